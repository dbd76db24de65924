"""The endpoints of the API, each with a method, a path, schemas and a handler.

A handler receives a :class:`Call`. The handler returns the JSON body of a 200 response or a
:class:`Redirect`, or raises ``ApiError``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from airflow_provider_stitch.emulator.model.api_errors import ApiError, not_found, unauthorized

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.account import Account
    from airflow_provider_stitch.emulator.model.connections.sources import Source
    from airflow_provider_stitch.emulator.model.state import EmulatorState
    from airflow_provider_stitch.emulator.server.routes.schemas import Schema

FORM = "application/x-www-form-urlencoded"
_MAX_ID_DIGITS = 18


@dataclass(frozen=True)
class Redirect:
    """A 302 redirect to the log of a job."""

    job_name: str


@dataclass(frozen=True)
class Call:
    """One request to an endpoint."""

    state: EmulatorState
    sender: Account | None  #: the account with the access token, or None without a valid token
    now: datetime
    path: str
    params: Mapping[str, str]  #: the path parameters
    query: str
    content: bytes
    content_type: str

    @property
    def account(self) -> Account:
        """Return the account of the access token.

        :raises ApiError: if the request has no valid token.
        """
        if self.sender is None:
            raise unauthorized()
        return self.sender

    def source_id(self) -> int:
        """Return the source id from the path."""
        return self.number("source_id")

    def number(self, name: str) -> int:
        """Return an id from the path.

        :raises ApiError: if the id is not a number. Stitch then treats the path as unknown.
        """
        number = parse_number(self.params[name])
        if number is None:
            raise not_found()
        return number

    def source(self, unknown: ApiError) -> Source:
        """Return the source with the id from the path, even if the source is deleted.

        :param unknown: the error to raise if the account does not have this source.
        """
        source = self.account.sources.get(self.source_id())
        if source is None:
            raise unknown
        return source

    def json(self, invalid: ApiError) -> Any:
        """Return the decoded body.

        :param invalid: the error to raise if the body is not JSON, or if it contains NaN or characters that
            UTF-8 cannot encode.
        """
        try:
            body = json.loads(self.content)
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise invalid from error
        return body

    def form(self) -> dict[str, str] | None:
        """Return the fields of a form in the body, or None if the body is not a form."""
        if self.content_type.partition(";")[0].strip().lower() != FORM:
            return None
        try:
            return {name: values[-1] for name, values in parse_qs(self.content.decode()).items()}
        except ValueError:
            return None

    def parameters(self) -> dict[str, list[str]]:
        """Return the query parameters, including parameters with an empty value."""
        return parse_qs(self.query, keep_blank_values=True)


def parse_number(text: str) -> int | None:
    """Parse a number of ASCII digits. If the text is invalid or too long, return None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS else None


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the API."""

    method: str
    path: str
    handler: Handler
    group: str
    summary: str
    response: Schema  #: the schema of a 200 response
    body: Schema | None = None
    #: Schemas of error responses, by status. The 401 and 404 errors that all endpoints have are not included.
    errors: Mapping[int, Schema] = field(default_factory=dict)
    query: Mapping[str, Schema] = field(default_factory=dict)
    limited: bool = False  #: whether requests count against the rate limit
    needs_token: bool = True
    has_form_body: bool = False  #: whether the body is a form instead of JSON
    redirects: bool = False  #: whether a successful response is a 302 instead of a 200
