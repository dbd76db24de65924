"""Translate exceptions of the HTTP libraries into subclasses of StitchError.

The original exceptions may reference the request with its token. The messages of these exceptions may contain
the URL, and the URL of an extraction log is a credential. For this reason, a StitchError is never chained to
the original exception, and its message contains only a short reason.
"""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, TypeVar

import requests
import urllib3

from airflow_provider_stitch.connect.errors import (
    StitchConfigurationError,
    StitchError,
    StitchUnavailable,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

# While the requests library reads a body, it does not wrap the exceptions of urllib3, sockets and codecs.
_HTTP_EXCEPTIONS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
_CONNECT_ERRORS = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
_DECODING_ERRORS = (urllib3.exceptions.DecodeError, requests.exceptions.ContentDecodingError)
_URL_ERRORS = (
    urllib3.exceptions.LocationValueError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidProxyURL,
    UnicodeError,
)
_TIMEOUTS = (urllib3.exceptions.TimeoutError, requests.exceptions.Timeout, TimeoutError)


def translate_errors(request_line: str, timeout: float, operation: Callable[[], T]) -> T:
    """Run one HTTP operation, and raise a StitchError if it fails.

    :param request_line: the method and the URL for the error message. The method and the URL must not contain
        secrets.
    :param timeout: the timeout of the operation in seconds, for the error message.
    """
    try:
        return operation()
    except _HTTP_EXCEPTIONS as exception:
        error = _translate(exception, request_line, timeout)
    # The error is raised outside the except clause, so that Python does not set the original exception as its
    # context.
    raise error


def _translate(exception: BaseException, request_line: str, timeout: float) -> StitchError:
    chain = list(_causes(exception))
    if _contains(chain, _DECODING_ERRORS):
        return UnexpectedResponse(f"{request_line}: the response body is corrupt and cannot be decompressed.")
    if _contains(chain, _URL_ERRORS):
        return StitchConfigurationError(
            f"{request_line}: the URL or a proxy's URL is invalid. Check the base URL (the connection's "
            "host) and the proxy settings of this machine."
        )
    not_connected = _contains(chain, _CONNECT_ERRORS)
    if not_connected and not _contains(chain, (urllib3.exceptions.NewConnectionError,)):
        problem = f"no connection within {timeout:g} s"
    elif not_connected:
        problem = f"no connection ({_reason(chain)})"
    elif _contains(chain, _TIMEOUTS):
        problem = f"no response within {timeout:g} s"
    else:
        problem = f"the connection failed ({_reason(chain)})"
    return StitchUnavailable(
        f"{request_line}: {problem}. Check the connection's API base URL, the network, and Stitch's status "
        "page.",
        maybe_received=not not_connected,
    )


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """Yield the exception and its causes, which the libraries store in different attributes."""
    pending: list[object] = [exception]
    seen: set[int] = set()
    while pending:
        current = pending.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            pending += [getattr(current, "reason", None), current.__cause__, *current.args]
            if isinstance(current, _CONNECT_ERRORS):
                # urllib3 < 2 stores the OS error in `__context__`. The `__context__` of other exceptions may
                # be an unrelated exception of the caller.
                pending.append(current.__context__)


def _contains(chain: list[BaseException], types: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(each, types) for each in chain)


def _reason(chain: list[BaseException]) -> str:
    """Return the error message of the operating system or of the TLS library.

    If neither provides a message, return the class name of the innermost exception.
    """
    for each in reversed(chain):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {each.verify_message}"
        if isinstance(each, ssl.SSLError):
            return f"TLS: {each.reason or type(each).__name__}"
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return type(chain[-1]).__name__
