"""What Stitch answered: a body to work with, or an error in one of its many shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_stitch.connect._json import compact, encodable, excerpt, readable
from airflow_provider_stitch.connect.errors import (
    RateLimited,
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    StitchUnauthorized,
    StitchUnavailable,
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SAID_LIMIT = 500  #: characters of Stitch's own words that a message shows
NOT_SHOWN = "it is not shown, for it may hold a secret."  #: in place of an answer
LONGEST_RETRY_AFTER = 86_400.0  #: seconds; whoever asks for more than a day is not meant


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of Stitch."""

    asked: str  #: method and URL, for messages
    status: int
    body: Any  #: decoded JSON, or the bare text of an error that is no JSON; None if empty
    answered_at: datetime | None  #: the `Date` header (UTC), or by earlier ones
    retry_after: float | None = None  #: seconds
    #: Removes from a text the secrets that the request contained, and their beginnings.
    redacted: Callable[[str], str] = field(default=str, repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def said(self) -> str:
        """Stitch's own words about an error, on one line."""
        return readable(self.words, SAID_LIMIT) or "nothing more."

    @property
    def words(self) -> str:
        """Stitch's own words about an error, whole."""
        return self.redacted(_words(self.body))

    @property
    def error_type(self) -> str | None:
        """The name that Stitch gives the error: `already_running`, `InvalidId` ..."""
        body = self.body if isinstance(self.body, Mapping) else {}
        error = body.get("error", body.get("code"))
        kind = error.get("type") if isinstance(error, Mapping) else error
        return kind if isinstance(kind, str) else None

    @property
    def is_page(self) -> bool:
        """Return whether the body is a page of HTML or XML, which Stitch does not send."""
        return isinstance(self.body, str) and self.body.lstrip().startswith("<")

    @property
    def names_no_source(self) -> bool:
        """The error is about the source's id: unknown, or deleted."""
        return self.error_type in ("invalid_source", "InvalidId")


def decode(asked: str, status: int, body: bytes, *, confidential: bool = False) -> Any:
    """Return what a body holds. Errors may be bare text, a success may not.

    The charset of the answer is not asked: Stitch labels UTF-8 as ISO-8859-1.

    :param confidential: a success may hold a secret, so it is not shown.

    :raises UnexpectedAnswer: a success that is not JSON.

    Source: Stitch Connect API, "Requests and responses" and the samples of string errors.
    """
    text = body.decode("utf-8-sig", errors="replace")
    if not text.strip():
        return None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        if 200 <= status < 300:
            shown = NOT_SHOWN if confidential else excerpt(encodable(text))
            raise UnexpectedAnswer(f"{asked}: the answer is not JSON: {shown}") from None
        return text


def with_advice(text: str) -> str:
    """Return what is said about an unexpected answer, with what to do now."""
    return (
        f"{text.removesuffix('.')}. Something on the way may have answered in Stitch's place: check the "
        "connection's API base URL, and any proxy, then try again."
    )


def refusal(answer: Answer) -> StitchError:
    """Return the error that an answer other than a success stands for.

    Source: Stitch Connect API, "Response codes" and the error bodies of each endpoint. 403 and 429 are not
    documented, but proxies and future limits speak them. A page is that of a proxy or firewall.
    """
    status, asked = answer.status, f"{answer.asked} (HTTP {answer.status})"
    if status == 429:
        wait = "" if answer.retry_after is None else f" Stitch asks to wait {answer.retry_after:g} s."
        return RateLimited(
            f"{asked}: too many requests. 30 in 10 minutes are allowed to all programs of an account "
            f"together.{wait} Divide them by requests_per_10_minutes in the connections, or let something "
            "else ask less.",
            retry_after=answer.retry_after,
            maybe_received=False,
        )
    if status >= 500 or status == 408:
        told = f": {excerpt(answer.words)}" if answer.body else ""
        return StitchUnavailable(
            f"{asked}: Stitch has a problem{told}. See Stitch's status page and try again later.",
            retry_after=answer.retry_after,
        )
    if 400 <= status < 500 and not answer.is_page:
        error = _client_error(answer, asked)
        error.is_doubtful = status not in (400, 401, 404)
        return error
    return UnexpectedAnswer(f"{asked}: not an answer that is due here: {excerpt(answer.words)}")


def _client_error(answer: Answer, asked: str) -> StitchError:
    if answer.status in (401, 403):
        return StitchUnauthorized(
            f"{asked}: Stitch refuses the access token. Check that it is enabled (Stitch: Account Settings, "
            "API Access Keys) and belongs to this account, and that the client id, if you set one, is right "
            "too."
        )
    if answer.status == 404:
        return StitchNotFound(f"{asked}: Stitch knows no such thing. {_CHECK} It says: {answer.said}")
    return StitchBadRequest(f"{asked}: Stitch refuses the request. {_CHECK} It says: {answer.said}")


_CHECK = "Check the arguments and the connection's API base URL."


def parse_date(value: str | None) -> datetime | None:
    """Return the instant of an HTTP date (UTC); None if there is none or it is not one."""
    try:
        moment = parsedate_to_datetime(value or "")
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def parse_retry_after(value: str | None, answered_at: datetime | None) -> float | None:
    """Return the seconds that a `Retry-After` (seconds, or a date) asks for; None if it says nothing."""
    if value is None:
        return None
    number = value.strip()  # of more than float() takes
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", number, re.ASCII):
        return min(float(number), LONGEST_RETRY_AFTER)
    moment = parse_date(value)
    if moment is None:
        return None
    # Stitch's own clock, where it tells the time: this machine's may be off by more than the pause.
    seconds = (moment - (answered_at or datetime.now(timezone.utc))).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _words(body: Any) -> str:
    """Return what an error body says, whichever of the documented shapes it has."""
    if not isinstance(body, Mapping):
        return encodable(_plain("" if body is None else body))
    error, data, code = body.get("error"), body.get("data"), body.get("code")
    if isinstance(error, Mapping):  # {"error": {"type", "message"}}, replication jobs and notifications
        return _joined(error.get("type"), error.get("message"))
    if isinstance(error, str):  # {"error": "Code", "data": {"message", "bad_properties"}}, sources and hooks
        told = data if isinstance(data, Mapping) else {}
        return _joined(error, told.get("message"), told.get("bad_properties"))
    if isinstance(code, str):  # {"code", "message", "errors"}, accounts
        return _joined(code, body.get("message"), body.get("errors"))
    for key in ("invalid_fields", "message", "status"):  # streams; gateways; notifications
        if isinstance(body.get(key), str):
            return _joined(key if key == "invalid_fields" else None, body[key])
    return compact(body)


def _joined(*parts: Any) -> str:
    return ": ".join(encodable(_plain(part)) for part in parts if part)


def _plain(part: Any) -> str:
    if isinstance(part, Mapping):
        return ", ".join(f"{key}: {_plain(value)}" for key, value in part.items())
    if isinstance(part, list):
        return ", ".join(_plain(value) for value in part)
    return part if isinstance(part, str) else compact(part)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
