"""Download extraction logs from Stitch, or from the log host to which Stitch redirects."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    StitchUnavailable,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.transport.network_errors import translate_errors
from airflow_provider_stitch.connect.transport.request import REDIRECT_STATUSES, HttpRequest
from airflow_provider_stitch.connect.transport.response import error_from_response, parse_retry_after
from airflow_provider_stitch.connect.transport.session import NoAuth, Session, suppress_urllib3_logs
from airflow_provider_stitch.connect.transport.urls import is_loopback, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import requests

    from airflow_provider_stitch.connect.transport.request import Transport

MAX_LOG_TIMEOUTS = 20  #: maximum time for reading a log, in multiples of the request timeout
#: Minimum average download rate in bytes per second, required after one request timeout.
MIN_LOG_RATE = 10_000
MAX_LOG_REDIRECTS = 3  #: maximum number of redirects from the pre-signed URL to other URLs

_MARKUP_TYPES = ("text/html", "application/xhtml+xml", "application/xml", "text/xml")


@contextmanager
def open_log(
    transport: Transport,
    path: str,
    *,
    attempt_context: Callable[[], AbstractContextManager[None]] = nullcontext,
    should_abort: Callable[[], bool] = lambda: False,
) -> Iterator[Iterator[bytes]]:
    """Open an extraction log for reading, without retries.

    Stitch's documentation describes a redirect to a log host. A log that Stitch sends without a redirect is
    accepted as well.

    :param path: the path of the endpoint. See `Transport.request`.
    :param attempt_context: see `Transport.request`.
    :param should_abort: a function that is called after each chunk of the log. If the function returns True,
        the download is aborted with StitchUnavailable.
    :raises ExtractionLogUnavailable: if the log host does not respond, or if the pre-signed URL has expired.
    :raises StitchError: see `Transport.request` and `fetch_log`. Errors may also be raised while the log is
        read.
    """
    request = HttpRequest("GET", path, secrets=transport.secrets, attempt_context=attempt_context)
    with closing(transport.send(request)) as response:
        location = response.headers.get("Location")
        if response.status_code == 200:
            request_line = transport.request_line(request)
            reject_markup(request_line, response)
            yield _iter_log(transport, request_line, response, should_abort)
            return
        if response.status_code not in REDIRECT_STATUSES or not location:
            raise error_from_response(transport.read_response(request, response))
    url = resolve_location(transport.base_url, location)
    with ExitStack() as stack:
        # The `yield` is outside this block, because the caller's code may raise StitchUnavailable for another
        # request.
        with report_as_log_error():
            chunks = stack.enter_context(fetch_log(transport, url, should_abort=should_abort))
        yield chunks


@contextmanager
def fetch_log(
    transport: Transport, url: str, *, should_abort: Callable[[], bool] = lambda: False
) -> Iterator[Iterator[bytes]]:
    """Open the log at a pre-signed URL, without the token and without retries.

    The URL itself is a credential, so it must not appear in any message, log or repr.

    :raises StitchUnavailable: if the host does not respond, or if the URL has expired.
    :raises UnexpectedResponse: if the URL is invalid, or if the response is not a log.

    Source: Stitch Connect API, "Get extraction logs".
    """
    host = ""
    for _ in range(1 + MAX_LOG_REDIRECTS):
        host = _log_host(url, allow_loopback=transport.is_local)
        request_line = f"GET <the extraction log at {host}>"
        with (
            Session(trust_env=not is_loopback(host)) as session,
            closing(_get(session, url, request_line, transport.request_timeout)) as response,
        ):
            location = response.headers.get("Location")
            if response.status_code in REDIRECT_STATUSES and location:
                url = resolve_location(url, location)
                continue
            check_log_response(request_line, response)
            yield _iter_log(transport, request_line, response, should_abort)
            return
    raise UnexpectedResponse(f"GET <the extraction log at {host}>: more than {MAX_LOG_REDIRECTS} redirects.")


def _log_host(url: str, *, allow_loopback: bool) -> str:
    """Return the host of a log's URL, or raise an error if a log must not be downloaded from this URL."""
    try:
        scheme, host, _ = origin(url)
    except ValueError:
        scheme, host = "", ""
    # A redirect to plain HTTP is accepted only from a Stitch API on this machine. The real Stitch must not be
    # able to send requests to services on this machine.
    if host and (scheme == "https" or (scheme == "http" and allow_loopback and is_loopback(host))):
        return host
    raise UnexpectedResponse("Stitch redirects to an extraction log at a URL that is not an https:// URL.")


def _get(session: Session, url: str, request_line: str, timeout: float) -> requests.Response:
    with suppress_urllib3_logs():
        return translate_errors(
            request_line,
            timeout,
            lambda: session.get(url, auth=NoAuth(), timeout=timeout, allow_redirects=False, stream=True),
        )


def _iter_log(
    transport: Transport, request_line: str, response: requests.Response, should_abort: Callable[[], bool]
) -> Iterator[bytes]:
    # The number of concurrent downloads is limited. The minimum rate prevents a slow download from blocking
    # other downloads.
    with report_as_log_error():
        yield from transport.iter_body(
            request_line,
            response,
            max_timeouts=MAX_LOG_TIMEOUTS,
            min_rate=MIN_LOG_RATE,
            should_abort=should_abort,
        )


def resolve_location(url: str, location: str) -> str:
    """Return the absolute URL for a `Location` header."""
    try:
        return urljoin(f"{url}/" if not urlsplit(url).path else url, location)
    except ValueError:
        raise UnexpectedResponse("Stitch redirects to an extraction log at an invalid URL.") from None


def check_log_response(request_line: str, response: requests.Response) -> None:
    """Raise an error if the response of the log host is not a log.

    The message omits the body, because it may contain the pre-signed URL.
    """
    status = response.status_code
    if status in (403, 404):
        raise StitchUnavailable(
            f"{request_line} (HTTP {status}): the URL has expired. Request the log again."
        )
    if status == 429 or status >= 500:
        retry_after = parse_retry_after(response.headers.get("Retry-After"), None)
        raise StitchUnavailable(
            f"{request_line} (HTTP {status}): the host has a problem.", retry_after=retry_after
        )
    if status != 200:
        raise UnexpectedResponse(f"{request_line} (HTTP {status}): the response is not the log.")
    reject_markup(request_line, response)


def reject_markup(request_line: str, response: requests.Response) -> None:
    """Raise an error if the response is an HTML or XML page instead of a log."""
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type in _MARKUP_TYPES:
        raise UnexpectedResponse(
            f"{request_line} (HTTP {response.status_code}): the response is {media_type}, not a log."
        )


@contextmanager
def report_as_log_error() -> Iterator[None]:
    """Convert StitchUnavailable to ExtractionLogUnavailable, because Stitch itself has responded."""
    try:
        yield
    except StitchUnavailable as error:
        raise ExtractionLogUnavailable(str(error), retry_after=error.retry_after) from None
