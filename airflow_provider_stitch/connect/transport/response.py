"""Decode responses from Stitch, and convert error responses into subclasses of StitchError."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_stitch.connect.errors import (
    RateLimited,
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    StitchUnauthorized,
    StitchUnavailable,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.objects.json import compact_json, excerpt, one_line, replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE_LENGTH = 500  #: maximum length of Stitch's message in an error message, in characters
HIDDEN_BODY = "it is not shown, because it may contain a secret."  #: shown instead of a confidential body
#: Maximum delay in seconds. A longer delay in a response is assumed to be an error and is reduced to this
#: limit.
MAX_RETRY_AFTER = 86_400.0


@dataclass(frozen=True, slots=True)
class Response:
    """One response from Stitch."""

    request_line: str  #: the method and the URL, for messages
    status: int
    body: Any  #: the decoded JSON, the plain text of an error, or None if the body is empty
    responded_at: datetime | None  #: the `Date` header (UTC), or an estimate from earlier responses
    retry_after: float | None = None  #: the `Retry-After` header in seconds
    #: A function that removes the request's secrets and their prefixes from a text.
    redact: Callable[[str], str] = field(default=str, repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """Stitch's error message on one line, truncated to `MAX_MESSAGE_LENGTH` characters."""
        return one_line(self.full_message, MAX_MESSAGE_LENGTH) or "none."

    @property
    def full_message(self) -> str:
        """Stitch's complete error message, without secrets."""
        return self.redact(_error_message(self.body))

    @property
    def error_type(self) -> str | None:
        """The type of the error, such as `already_running` or `InvalidId`."""
        body = self.body if isinstance(self.body, Mapping) else {}
        error = body.get("error", body.get("code"))
        error_type = error.get("type") if isinstance(error, Mapping) else error
        return error_type if isinstance(error_type, str) else None

    @property
    def is_markup(self) -> bool:
        """Whether the body is HTML or XML. An HTML or XML body comes from a proxy, not from Stitch."""
        return isinstance(self.body, str) and self.body.lstrip().startswith("<")

    @property
    def is_invalid_source(self) -> bool:
        """Whether the error means that the source does not exist or is deleted."""
        return self.error_type in ("invalid_source", "InvalidId")


def decode_body(request_line: str, status: int, body: bytes, *, confidential: bool = False) -> Any:
    """Decode the body of a response.

    Return the decoded JSON, or None if the body is empty. If an error response is not JSON, return its text.

    The body is always decoded as UTF-8, because Stitch declares ISO-8859-1 although it sends UTF-8.

    :param confidential: whether to omit the body from the error message.
    :raises UnexpectedResponse: if a successful response is not JSON.

    Source: Stitch Connect API, "Requests and responses", and the samples in which an error is a plain string.
    """
    text = body.decode("utf-8-sig", errors="replace")
    if not text.strip():
        return None
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        if 200 <= status < 300:
            shown = HIDDEN_BODY if confidential else excerpt(replace_surrogates(text))
            raise UnexpectedResponse(f"{request_line}: the response is not JSON: {shown}") from None
        return text


def with_proxy_hint(text: str) -> str:
    """Add the likely cause to the message of an UnexpectedResponse."""
    return (
        f"{text.removesuffix('.')}. A proxy may have responded instead of Stitch: check the connection's API "
        "base URL, and any proxy, then try again."
    )


def error_from_response(response: Response) -> StitchError:
    """Return the error for an unsuccessful response.

    Source: Stitch Connect API, "Response codes", and the error bodies of each endpoint. Stitch does not
    document the status codes 403 and 429, but proxies and rate limits cause them. An HTML body comes from a
    proxy or firewall.
    """
    status, prefix = response.status, f"{response.request_line} (HTTP {response.status})"
    if status == 429:
        seconds = response.retry_after
        wait = "" if seconds is None else f" Stitch requires a pause of {seconds:g} s."
        return RateLimited(
            f"{prefix}: too many requests. All programs of an account together may send 30 status requests "
            f"in 10 minutes.{wait} Divide the requests with requests_per_10_minutes in the connections, or "
            "let other programs send fewer requests.",
            retry_after=response.retry_after,
            maybe_received=False,
        )
    if status >= 500 or status == 408:
        details = f": {excerpt(response.full_message)}" if response.body else ""
        return StitchUnavailable(
            f"{prefix}: Stitch has a problem{details}. See Stitch's status page and try again later.",
            retry_after=response.retry_after,
        )
    if 400 <= status < 500 and not response.is_markup:
        error = _client_error(response, prefix)
        error.needs_confirmation = status not in (400, 401, 404)
        return error
    return UnexpectedResponse(f"{prefix}: unexpected response: {excerpt(response.full_message)}")


def _client_error(response: Response, prefix: str) -> StitchError:
    if response.status in (401, 403):
        return StitchUnauthorized(
            f"{prefix}: Stitch rejected the access token. Check that it is enabled (Stitch: Account "
            "Settings, API Access Keys) and belongs to this account, and that the client id, if you set one, "
            "is correct."
        )
    if response.status == 404:
        return StitchNotFound(f"{prefix}: not found. {_CHECK} Stitch's message: {response.message}")
    return StitchBadRequest(
        f"{prefix}: Stitch rejected the request. {_CHECK} Stitch's message: {response.message}"
    )


_CHECK = "Check the arguments and the connection's API base URL."


def parse_date(value: str | None) -> datetime | None:
    """Parse an HTTP date and return it in UTC, or return None if it is missing or invalid."""
    try:
        moment = parsedate_to_datetime(value or "")
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def parse_retry_after(value: str | None, responded_at: datetime | None) -> float | None:
    """Return the delay in a `Retry-After` header, in seconds.

    The header contains a number of seconds or a date. Return None if the header is missing or invalid.
    """
    if value is None:
        return None
    number = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", number, re.ASCII):
        return min(float(number), MAX_RETRY_AFTER)
    moment = parse_date(value)
    if moment is None:
        return None
    # If the time of the response is known, the date is compared with that time, because this machine's clock
    # may be wrong.
    seconds = (moment - (responded_at or datetime.now(timezone.utc))).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _error_message(body: Any) -> str:
    """Return the message in an error body. All documented structures of error bodies are supported."""
    if not isinstance(body, Mapping):
        return replace_surrogates(_to_string("" if body is None else body))
    error, data, code = body.get("error"), body.get("data"), body.get("code")
    # Error format of the endpoints for replication jobs and notifications: {"error": {"type", "message"}}
    if isinstance(error, Mapping):
        return _joined(error.get("type"), error.get("message"))
    # Error format of the endpoints for sources and hooks: {"error": "Code", "data": {"message",
    # "bad_properties"}}
    if isinstance(error, str):
        details = data if isinstance(data, Mapping) else {}
        return _joined(error, details.get("message"), details.get("bad_properties"))
    # Error format of the endpoints for accounts: {"code", "message", "errors"}
    if isinstance(code, str):
        return _joined(code, body.get("message"), body.get("errors"))
    # Error responses from gateways, and from the endpoints for streams and notifications, contain one of
    # these keys.
    for key in ("invalid_fields", "message", "status"):
        if isinstance(body.get(key), str):
            return _joined(key if key == "invalid_fields" else None, body[key])
    return compact_json(body)


def _joined(*parts: Any) -> str:
    return ": ".join(replace_surrogates(_to_string(part)) for part in parts if part)


def _to_string(part: Any) -> str:
    if isinstance(part, Mapping):
        return ", ".join(f"{key}: {_to_string(value)}" for key, value in part.items())
    if isinstance(part, list):
        return ", ".join(_to_string(value) for value in part)
    return part if isinstance(part, str) else compact_json(part)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
