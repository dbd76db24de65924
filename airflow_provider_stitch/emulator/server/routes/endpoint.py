"""An endpoint of the API: its method and path, its schemas, and the function that handles its requests.

The function receives a :class:`Call` and returns the JSON body of a 200 response, or raises ``ApiError``.
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
    sender: Account | None  #: the account of the access token, if there was a valid one
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
        """Return the source id in the path."""
        return self.number("source_id")

    def number(self, name: str) -> int:
        """Return an id in the path.

        :raises ApiError: if it is not a number, because that is an unknown path.
        """
        number = parse_number(self.params[name])
        if number is None:
            raise not_found()
        return number

    def source(self, unknown: ApiError) -> Source:
        """Return the source in the path, even if it is deleted.

        :param unknown: raised if the account has no such source.
        """
        source = self.account.sources.get(self.source_id())
        if source is None:
            raise unknown
        return source

    def json(self, invalid: ApiError) -> Any:
        """Return the decoded body.

        :param invalid: raised if the body is not JSON, or contains NaN or characters that UTF-8 cannot
            encode.
        """
        try:
            body = json.loads(self.content)
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise invalid from error
        return body

    def form(self) -> dict[str, str] | None:
        """Return the fields of a form body, or None if the body is not a form."""
        if self.content_type.partition(";")[0].strip().lower() != FORM:
            return None
        try:
            return {name: values[-1] for name, values in parse_qs(self.content.decode()).items()}
        except ValueError:
            return None

    def parameters(self) -> dict[str, list[str]]:
        """Return the query parameters, including empty ones."""
        return parse_qs(self.query, keep_blank_values=True)


def parse_number(text: str) -> int | None:
    """Return a number that consists of ASCII digits, or None if it is invalid or too long."""
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
    response: Schema  #: of a 200 response
    body: Schema | None = None
    errors: Mapping[int, Schema] = field(
        default_factory=dict
    )  #: by status, beside the 401 and 404 of all endpoints
    query: Mapping[str, Schema] = field(default_factory=dict)
    limited: bool = False  #: whether requests count against the limit of 30 in 10 minutes
    needs_token: bool = True
    has_form_body: bool = False  #: whether the body is a form instead of JSON
    redirects: bool = False  #: whether a successful response is a 302 instead of a 200
