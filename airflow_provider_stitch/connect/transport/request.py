"""Send requests to Stitch, and limit the time and size of each response.

Every failure is raised as a StitchError.
"""

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

# A socket timeout applies to each chunk separately, so the whole body needs its own limits. Without these
# limits, a server that sends one byte per second could block a request forever.
MAX_BODY_BYTES = 64 * 1024 * 1024  #: maximum size of a decompressed JSON body
BODY_TIMEOUT_FACTOR = 4  #: maximum time for reading a JSON body, in multiples of the request timeout
MAX_REQUEST_TIMEOUT = 86_400.0  #: maximum timeout in seconds; sockets reject much longer timeouts

REDIRECT_STATUSES = (301, 302, 303, 307, 308)

_JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The parameters of a request, which are the same for all attempts.

    The parameters are explained in the docstring of `Transport.request`.
    """

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
    """A thread-safe HTTP client for one Stitch API.

    :param base_url: an `https://` URL. Plain `http://` is allowed only for this machine's loopback address.
    :param access_token: an API access token. If None, requests contain no access token.
    :param secrets: other secrets that requests contain. All secrets, including the access token, are removed
        from error messages.
    :param request_timeout: maximum number of seconds to wait for the connection, for the response headers,
        and for each chunk of the body.
    :param retry_for: number of seconds for which a request is retried while Stitch is unavailable; 0 disables
        retries. Requests that are not safe to repeat are never retried.
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
        self.request_timeout = _valid_seconds("request_timeout", request_timeout, 0.001, MAX_REQUEST_TIMEOUT)
        self.retry_for = _valid_seconds("retry_for", retry_for, 0.0, math.inf)
        self._sleep = sleep
        self._monotonic = monotonic
        self._auth = (
            NoAuth() if access_token is None else BearerToken(self.base_url, validate_token(access_token))
        )
        self.secrets = (*secrets, *([] if access_token is None else [access_token]))
        self.is_local = is_loopback(urlsplit(self.base_url).hostname or "")
        # Requests to a Stitch API on this machine bypass proxies, because a proxy cannot reach this machine's
        # loopback address and could read plain HTTP.
        self._session = Session(trust_env=not self.is_local, headers=_JSON_HEADERS)
        self._clock = shared_clock(self.base_url, monotonic)

    def __repr__(self) -> str:
        return f"Transport({urlsplit(self.base_url).netloc})"

    @property
    def stitch_time(self) -> datetime | None:
        """Stitch's current time (UTC), estimated from its responses, or None if no time is known yet."""
        return self._clock.now(self._monotonic())

    def record_past_time(self, moment: datetime) -> None:
        """Record a time that Stitch's clock has already passed.

        A recorded time is used only until a response contains a `Date` header.
        """
        self._clock.record_past_time(moment, self._monotonic())

    def with_retries(self, retry_for: float) -> Transport:
        """Return a copy of the transport with the same connections, but a different `retry_for`."""
        other = copy.copy(self)
        other.retry_for = _valid_seconds("retry_for", retry_for, 0.0, math.inf)
        return other

    def with_request_timeout(self, request_timeout: float) -> Transport:
        """Return a copy of the transport with the same connections, but a different `request_timeout`."""
        other = copy.copy(self)
        other.request_timeout = _valid_seconds("request_timeout", request_timeout, 0.001, MAX_REQUEST_TIMEOUT)
        return other

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def redact(self, text: str) -> str:
        """Remove this transport's secrets from a text in which a server may have echoed them."""
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

        :param path: a path that starts with `/`. The ids and names in the path must be percent-encoded.
        :param form: the fields of a form-encoded body. Pass either `form` or `json`.
        :param secrets: additional secrets in the request, which are removed from error messages.
        :param confidential: whether a successful response contains a secret. If True, no message shows the
            body of a successful response.
        :param accept: additional status codes for which the response is returned. By default, only 2xx
            responses are returned.
        :param expects_body: whether a 2xx response with an empty body is an error.
        :param retry: whether the request may be retried. By default, only GET requests are retried.
        :param attempt_context: a function that returns a context manager for each attempt. The context
            manager is exited when the response headers have arrived.
        :raises StitchError: if the request fails. See `error_from_response` for the exception class of each
            status code.
        """
        all_secrets = (*self.secrets, *secrets)
        request = HttpRequest(method, path, params, json, form, all_secrets, confidential, attempt_context)
        attempt = partial(self._attempt, request, accept, expects_body=expects_body)
        is_get = method == "GET"
        may_retry = is_get if retry is None else retry
        if may_retry:
            return self.run_with_retries(attempt, retry_unexpected=is_get)
        return self._call_redacted(attempt)

    def run_with_retries(self, attempt: Callable[[], T], *, retry_unexpected: bool = True) -> T:
        """Call a function, and retry it for up to `retry_for` seconds until it succeeds.

        :param retry_unexpected: whether a request is retried if it fails with UnexpectedResponse, for example
            after a truncated body. A request that fails with StitchUnavailable is always retried.
        """
        if not self.retry_for:
            return self._call_redacted(attempt)
        retry_on = (StitchUnavailable, UnexpectedResponse) if retry_unexpected else (StitchUnavailable,)
        policy = retry_policy(self.retry_for, retry_on=retry_on, sleep=self._sleep, monotonic=self._monotonic)
        result: T = policy(self._call_redacted, attempt)
        return result

    def _call_redacted(self, attempt: Callable[[], T]) -> T:
        """Call a function. If the function raises a StitchError, remove secrets from the message."""
        try:
            return attempt()
        except StitchError as error:
            message = self.redact(str(error))
            error.args = (with_proxy_hint(message) if isinstance(error, UnexpectedResponse) else message,)
            raise

    def _attempt(self, request: HttpRequest, accept: Container[int], *, expects_body: bool) -> Response:
        """Send a request once, and raise an error if the response is neither successful nor accepted."""
        with closing(self.send(request)) as http_response:
            response = self.read_response(request, http_response)
        if response.ok and response.body is None and expects_body:
            raise UnexpectedResponse(
                f"{response.request_line} (HTTP {response.status}): the response is empty."
            )
        if not response.ok and (response.status not in accept or response.is_markup):
            raise error_from_response(response)
        return response

    # The steps of one attempt, which `log_download` uses as well.

    def request_line(self, request: HttpRequest) -> str:
        """Return the method and the URL of a request for use in messages."""
        query = f"?{urlencode(request.params)}" if request.params else ""
        return f"{request.method} {self.base_url}{request.path}{query}"

    def send(self, request: HttpRequest) -> requests.Response:
        """Send a request once and return the response without reading its body.

        :raises RateLimited: if the status code is 429. The error is raised inside `attempt_context`, so that
            the request budget can block further requests.
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

        :raises UnexpectedResponse: if the response is a redirect, if the body is too large, or if a
            successful response is not JSON.
        """
        request_line, status = self.request_line(request), http_response.status_code
        if 300 <= status < 400:
            # The message omits the body, because the body may contain the URL of the redirect, which may be a
            # credential.
            raise UnexpectedResponse(
                f"{request_line} (HTTP {status}): an unexpected redirect to "
                f"{redirect_host(http_response.headers.get('Location'))}. The redirect was not followed."
            )
        # If the response has no valid `Date` header, its time is estimated from earlier responses.
        responded_at = parse_date(http_response.headers.get("Date")) or self.stitch_time
        confidential = request.confidential and status < 300
        chunks = self.iter_body(
            request_line,
            http_response,
            max_timeouts=BODY_TIMEOUT_FACTOR,
            max_bytes=MAX_BODY_BYTES,
            confidential=confidential,
        )
        content = b"".join(chunks)
        if status >= 400:  # error messages show the body, which may echo the request
            content = redact(content.decode("utf-8", errors="replace"), request.secrets).encode()
        return Response(
            request_line=request_line,
            status=status,
            body=decode_body(request_line, status, content, confidential=confidential),
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
        confidential: bool = False,
        should_abort: Callable[[], bool] = lambda: False,
    ) -> Iterator[bytes]:
        """Yield the chunks of the body as they arrive, and limit the time and size of the whole body.

        :param max_timeouts: maximum time for reading the body, in multiples of the request timeout.
        :param min_rate: minimum average rate in bytes per second, enforced after one request timeout.
        :param confidential: whether to omit the body from error messages.
        :param should_abort: called after each chunk; if it returns True, StitchUnavailable is raised.
        """
        elapsed, size, first_bytes = 0.0, 0, b""
        start = self._monotonic()
        while chunk := translate_errors(request_line, self.request_timeout, lambda: read_chunk(response)):
            elapsed += self._monotonic() - start
            size, first_bytes = size + len(chunk), first_bytes or chunk[:200]
            if max_bytes is not None and size > max_bytes:
                start_of_body = first_bytes.decode("utf-8", errors="replace")
                shown = HIDDEN_BODY if confidential else excerpt(start_of_body)
                raise UnexpectedResponse(
                    f"{request_line}: the response has more than {max_bytes} bytes and begins: {shown}"
                )
            is_too_slow = elapsed > self.request_timeout and size < min_rate * elapsed
            if is_too_slow or elapsed > max_timeouts * self.request_timeout:
                seconds = self.request_timeout * (1 if is_too_slow else max_timeouts)
                raise StitchUnavailable(
                    f"{request_line}: the response was not complete after {seconds:g} s. Check the network "
                    "and Stitch's status page; if responses are slow, raise the connection's request_timeout."
                )
            if should_abort():
                raise StitchUnavailable(f"{request_line}: download aborted, because no task waits for it.")
            yield chunk
            start = self._monotonic()  # the time that the caller spends on a chunk is not included


def _valid_seconds(name: str, value: float, minimum: float, maximum: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and minimum <= value <= maximum:
        return float(value)
    raise StitchConfigurationError(
        f"{name} must be a number of seconds, from {minimum:g} to {maximum:g}; it is {value!r}."
    )
