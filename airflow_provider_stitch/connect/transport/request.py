"""Send one request to Stitch, with limits of time and size. Every failure becomes a StitchError."""

from __future__ import annotations

import copy
import math
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode, urlsplit

from airflow_provider_stitch.connect.errors import (
    StitchConfigurationError,
    StitchError,
    StitchUnavailable,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.objects.json import excerpt
from airflow_provider_stitch.connect.transport.clock import shared_clock
from airflow_provider_stitch.connect.transport.network_errors import translate_errors
from airflow_provider_stitch.connect.transport.response import (
    HIDDEN_BODY,
    Response,
    decode_body,
    error_from_response,
    parse_date,
    parse_retry_after,
    with_proxy_hint,
)
from airflow_provider_stitch.connect.transport.retry import retry_policy
from airflow_provider_stitch.connect.transport.session import (
    BearerToken,
    NoAuth,
    Session,
    read_chunk,
    redact,
)
from airflow_provider_stitch.connect.transport.urls import (
    is_loopback,
    normalize_base_url,
    redirect_host,
    validate_path,
    validate_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    import requests

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 1024 * 1024  #: limit of a JSON body, decompressed
MAX_BODY_TIME_FACTOR = 4  #: limit for reading a JSON body, in multiples of the request timeout
MAX_REQUEST_TIMEOUT = 86_400.0  #: seconds; sockets reject much longer timeouts

REDIRECT_STATUSES = (301, 302, 303, 307, 308)

_JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The parameters of one request, the same for each attempt. See `Transport.request`."""

    method: str
    path: str
    params: Mapping[str, int | str] | None = None
    json: object = None
    form: Mapping[str, str] | None = None
    secrets: tuple[str, ...] = ()
    confidential: bool = False
    attempt_context: Callable[[], AbstractContextManager[None]] = nullcontext

    def __post_init__(self) -> None:
        validate_path(self.path)


class Transport:
    """Sends requests to a Stitch API, optionally with an access token. Thread-safe.

    :param base_url: `https://host`; plain HTTP only to this machine's loopback.
    :param access_token: an API access token; None sends no credentials.
    :param secrets: other secrets in requests, which are kept out of messages.
    :param request_timeout: seconds to wait for a connection, for the response headers, and for each
        chunk of the body.
    :param retry_for: seconds for which repeatable requests are retried while Stitch is unavailable; 0 means
        one attempt.
    :raises StitchConfigurationError: if a parameter is invalid.
    """

    def __init__(
        self,
        base_url: str,
        access_token: str | None,
        *,
        secrets: Sequence[str] = (),
        request_timeout: float = 30.0,
        retry_for: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = normalize_base_url(base_url)
        self.request_timeout = _seconds("request_timeout", request_timeout, 0.001, MAX_REQUEST_TIMEOUT)
        self.retry_for = _seconds("retry_for", retry_for, 0.0, math.inf)
        self._sleep = sleep
        self._monotonic = monotonic
        self._auth = (
            NoAuth() if access_token is None else BearerToken(self.base_url, validate_token(access_token))
        )
        self.secrets = (*secrets, *([] if access_token is None else [access_token]))
        self.is_local = is_loopback(urlsplit(self.base_url).hostname or "")
        # A proxy would see the plain HTTP of a local Stitch, and cannot reach this machine's loopback.
        self._session = Session(trust_env=not self.is_local, headers=_JSON_HEADERS)
        self._clock = shared_clock(self.base_url, monotonic)

    def __repr__(self) -> str:
        return f"Transport({urlsplit(self.base_url).netloc})"

    @property
    def stitch_time(self) -> datetime | None:
        """Stitch's current time (UTC), estimated from its responses; None if no response contained a time."""
        return self._clock.now(self._monotonic())

    def record_past_time(self, moment: datetime) -> None:
        """Record a time that Stitch's clock has passed. It is used if no response has a `Date` header."""
        self._clock.record_past_time(moment, self._monotonic())

    def with_retries(self, retry_for: float) -> Transport:
        """Return a copy with a different `retry_for`. Connections are shared."""
        other = copy.copy(self)
        other.retry_for = _seconds("retry_for", retry_for, 0.0, math.inf)
        return other

    def with_request_timeout(self, request_timeout: float) -> Transport:
        """Return a copy with a different `request_timeout`. Connections are shared."""
        other = copy.copy(self)
        other.request_timeout = _seconds("request_timeout", request_timeout, 0.001, MAX_REQUEST_TIMEOUT)
        return other

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def redact(self, text: str) -> str:
        """Return a text without the token, in case a server echoed it."""
        return redact(text, self.secrets)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, int | str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        confidential: bool = False,
        accept: Container[int] = (),
        expects_body: bool = True,
        retry: bool | None = None,
        attempt_context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Response:
        """Send a request and return the response with its body decoded.

        :param path: starts with `/`; ids and names in it are percent-encoded.
        :param form: a form-encoded body, instead of `json`.
        :param secrets: additional secrets in the request, which are kept out of messages.
        :param confidential: a successful response contains a secret, so no message shows its body.
        :param accept: status codes besides 2xx to return; all others raise.
        :param expects_body: whether an empty 2xx body is an error.
        :param retry: whether the request may be repeated; by default only GET requests are.
        :param attempt_context: returns a context manager that is entered for each attempt, until the headers
            of its response have arrived.
        :raises StitchError: see `error_from_response` for the class of each status code.
        """
        request = HttpRequest(
            method, path, params, json, form, (*self.secrets, *secrets), confidential, attempt_context
        )

        def attempt() -> Response:
            return self._attempt(request, accept, expects_body=expects_body)

        may_retry = method == "GET" if retry is None else retry
        if may_retry:
            return self.run_with_retries(attempt, retry_unexpected=method == "GET")
        return self._call_redacted(attempt)

    def run_with_retries(self, attempt: Callable[[], T], *, retry_unexpected: bool = True) -> T:
        """Call a function until it succeeds, for at most `retry_for` seconds.

        :param retry_unexpected: whether to retry after UnexpectedResponse too, such as a truncated body.
        """
        if not self.retry_for:
            return self._call_redacted(attempt)
        errors = (StitchUnavailable, UnexpectedResponse) if retry_unexpected else (StitchUnavailable,)
        policy = retry_policy(self.retry_for, retry_on=errors, sleep=self._sleep, monotonic=self._monotonic)
        result: T = policy(self._call_redacted, attempt)
        return result

    def _call_redacted(self, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except StitchError as error:
            text = self.redact(str(error))
            error.args = (with_proxy_hint(text) if isinstance(error, UnexpectedResponse) else text,)
            raise

    def _attempt(self, request: HttpRequest, accept: Container[int], *, expects_body: bool) -> Response:
        with closing(self.send(request)) as http_response:
            response = self.read_response(request, http_response)
        if response.ok and response.body is None and expects_body:
            raise UnexpectedResponse(
                f"{response.request_line} (HTTP {response.status}): the response is empty."
            )
        if not response.ok and (response.status not in accept or response.is_markup):
            raise error_from_response(response)
        return response

    # The steps of one attempt. `log_download` uses them too.

    def request_line(self, request: HttpRequest) -> str:
        """Return method and URL of a request, for messages."""
        query = f"?{urlencode(request.params)}" if request.params else ""
        return f"{request.method} {self.base_url}{request.path}{query}"

    def send(self, request: HttpRequest) -> requests.Response:
        """Send a request once and return the response with its body unread.

        :raises RateLimited: if the status code is 429. It is raised inside `attempt_context`, so that the
            budget can block further requests.
        """
        with request.attempt_context():
            response = translate_errors(
                self.request_line(request),
                self.request_timeout,
                lambda: self._session.request(
                    request.method,
                    f"{self.base_url}{request.path}",
                    params=request.params,
                    json=request.json,
                    data=request.form,
                    headers=None if request.form is None else _FORM_HEADERS,
                    auth=self._auth,
                    timeout=self.request_timeout,
                    allow_redirects=False,
                    stream=True,
                ),
            )
            self._clock.record_date(parse_date(response.headers.get("Date")), self._monotonic())
            if response.status_code == 429:
                with closing(response):
                    raise error_from_response(self.read_response(request, response))
        return response

    def read_response(self, request: HttpRequest, http_response: requests.Response) -> Response:
        """Read and decode the body of a response.

        :raises UnexpectedResponse: if it is a redirect, too large, or a success that is not JSON.
        """
        request_line, status = self.request_line(request), http_response.status_code
        if 300 <= status < 400:
            # The body is not shown, because it may repeat the redirect's URL, which may be a credential.
            raise UnexpectedResponse(
                f"{request_line} (HTTP {status}): an unexpected redirect to "
                f"{redirect_host(http_response.headers.get('Location'))}. It was not followed."
            )
        # Without a valid `Date` header, the time is estimated from earlier responses.
        responded_at = parse_date(http_response.headers.get("Date")) or self.stitch_time
        hidden = request.confidential and status < 300
        chunks = self.iter_body(
            request_line,
            http_response,
            max_timeouts=MAX_BODY_TIME_FACTOR,
            max_bytes=MAX_BODY_BYTES,
            hidden=hidden,
        )
        content = b"".join(chunks)
        if status >= 300:  # messages show the body of an error, which may echo the request
            content = redact(content.decode("utf-8", errors="replace"), request.secrets).encode()
        return Response(
            request_line=request_line,
            status=status,
            body=decode_body(request_line, status, content, confidential=hidden),
            responded_at=responded_at,
            retry_after=parse_retry_after(http_response.headers.get("Retry-After"), responded_at),
            redact=partial(redact, secrets=request.secrets),
        )

    def iter_body(
        self,
        request_line: str,
        response: requests.Response,
        *,
        max_timeouts: int,
        max_bytes: int | None = None,
        min_rate: int = 0,
        hidden: bool = False,
        should_abort: Callable[[], bool] = lambda: False,
    ) -> Iterator[bytes]:
        """Yield the body as it arrives. The read timeout alone would allow one byte per second without end.

        :param max_timeouts: limit of the time spent reading, in multiples of the request timeout.
        :param min_rate: bytes per second on average, required once reading has taken one request timeout.
        :param hidden: keep the body out of messages.
        :param should_abort: called after each chunk; True ends the reading with StitchUnavailable.
        """
        elapsed, size, first_bytes = 0.0, 0, b""
        start = self._monotonic()
        while chunk := translate_errors(request_line, self.request_timeout, lambda: read_chunk(response)):
            elapsed += self._monotonic() - start
            size, first_bytes = size + len(chunk), first_bytes or chunk[:200]
            if max_bytes is not None and size > max_bytes:
                shown = HIDDEN_BODY if hidden else excerpt(first_bytes.decode("utf-8", errors="replace"))
                raise UnexpectedResponse(
                    f"{request_line}: the response has more than {max_bytes} bytes. It begins: {shown}"
                )
            is_too_slow = elapsed > self.request_timeout and size < min_rate * elapsed
            if is_too_slow or elapsed > max_timeouts * self.request_timeout:
                seconds = self.request_timeout * (1 if is_too_slow else max_timeouts)
                raise StitchUnavailable(
                    f"{request_line}: the response was not complete after {seconds:g} s. Check the network "
                    "and Stitch's status page; if responses are slow, raise the connection's request_timeout."
                )
            if should_abort():
                raise StitchUnavailable(f"{request_line}: stopped reading, because no task waits for it.")
            yield chunk
            start = self._monotonic()


def _seconds(name: str, value: float, minimum: float, maximum: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and minimum <= value <= maximum:
        return float(value)
    raise StitchConfigurationError(
        f"{name} must be a number of seconds, from {minimum:g} to {maximum:g}; it is {value!r}."
    )
