"""What an endpoint is made of: its place in the API, what it takes and gives, and the function that does it.

The function gets a :class:`Call` and returns the JSON body of a 200, or raises ``Refusal``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from airflow_provider_stitch.emulator.refusal import Refusal, not_found, unauthorized

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.emulator.account import Account
    from airflow_provider_stitch.emulator.routes.schemas import Schema
    from airflow_provider_stitch.emulator.sources import Source
    from airflow_provider_stitch.emulator.world import World

FORM = "application/x-www-form-urlencoded"
#: No id has more digits.
_LONGEST_ID = 18


@dataclass(frozen=True)
class Redirect:
    """The log of this job is elsewhere: a 302."""

    job_name: str


@dataclass(frozen=True)
class Call:
    """One request that was let in."""

    world: World
    sender: Account | None  #: whose token it carries; None where none is needed
    now: datetime
    path: str
    params: Mapping[str, str]  #: from the path
    query: str
    content: bytes
    content_type: str

    @property
    def account(self) -> Account:
        """The account whose token the request carries."""
        if self.sender is None:
            raise unauthorized()
        return self.sender

    def source_id(self) -> int:
        """The source id of the path. One that is no number is an unknown URI."""
        return self.number("source_id")

    def number(self, name: str) -> int:
        """An id of the path, likewise."""
        number = whole_number(self.params[name])
        if number is None:
            raise not_found()
        return number

    def source(self, unknown: Refusal) -> Source:
        """The source of the path, deleted or not."""
        source = self.account.sources.get(self.source_id())
        if source is None:
            raise unknown
        return source

    def json(self, otherwise: Refusal) -> Any:
        """The body, decoded; refused if it is no JSON, or holds what JSON text in UTF-8 cannot."""
        try:
            body = json.loads(self.content)
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise otherwise from error
        return body

    def form(self) -> dict[str, str] | None:
        """The body's fields; None if it is no form."""
        if self.content_type.partition(";")[0].strip().lower() != FORM:
            return None
        try:
            return {name: values[-1] for name, values in parse_qs(self.content.decode()).items()}
        except ValueError:
            return None

    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters, empty ones too."""
        return parse_qs(self.query, keep_blank_values=True)


def whole_number(text: str) -> int | None:
    """A number that is written in digits; None if it is not, or too long to be any."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID else None


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: what the router, the description and the record of requests need to know of it."""

    method: str
    path: str
    handler: Handler
    group: str
    summary: str
    answer: Schema  #: of the 200
    body: Schema | None = None
    refusals: Mapping[int, Schema] = field(default_factory=dict)  #: beside the 401 and 404 that all have
    query: Mapping[str, Schema] = field(default_factory=dict)
    limited: bool = False  #: counts against the limit of 30 requests in 10 minutes
    needs_token: bool = True
    takes_form: bool = False  #: the body is a form, not JSON
    redirects: bool = False  #: answers 302, never 200
