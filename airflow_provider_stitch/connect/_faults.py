"""Every fault of the HTTP libraries as a StitchError.

Those libraries' exceptions hold the request, so its token, and the text of some holds the URL, which for a
log is a credential. So a fault is never chained to the error that is raised for it; only its plain reason is
kept.
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
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

# Besides requests' own: what urllib3 raises while a body is read, what sockets and codecs raise through both.
_FAULTS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
_NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
_GARBLED = (urllib3.exceptions.DecodeError, requests.exceptions.ContentDecodingError)
_BAD_ADDRESS = (
    urllib3.exceptions.LocationValueError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidProxyURL,
    UnicodeError,
)
_TIMEOUTS = (urllib3.exceptions.TimeoutError, requests.exceptions.Timeout, TimeoutError)


def guarded(asked: str, timeout: float, work: Callable[[], T]) -> T:
    """Do one piece of HTTP and raise a StitchError, and nothing else, if it fails.

    :param asked: what the message says was asked: method and place, without secrets.
    :param timeout: seconds, for the message.
    """
    try:
        return work()
    except _FAULTS as fault:
        error = _kind_of(fault, asked, timeout)
    # Not within the except clause: there Python would attach the fault to the error by itself.
    raise error


def _kind_of(fault: BaseException, asked: str, timeout: float) -> StitchError:
    chain = list(_chain(fault))
    if _any(chain, _GARBLED):
        return UnexpectedAnswer(
            f"{asked}: the body of the answer is garbled, its compression cannot be undone."
        )
    if _any(chain, _BAD_ADDRESS):
        return StitchConfigurationError(
            f"{asked}: there is no way to this address. Check the base URL (the connection's host) and the "
            "proxy settings of this machine."
        )
    never_sent = _any(chain, _NEVER_SENT)
    if never_sent and not _any(chain, (urllib3.exceptions.NewConnectionError,)):
        what = f"no connection within {timeout:g} s"
    elif never_sent:
        what = f"no connection ({_reason(chain)})"
    elif _any(chain, _TIMEOUTS):
        what = f"no answer within {timeout:g} s"
    else:
        what = f"the connection failed ({_reason(chain)})"
    return StitchUnavailable(
        f"{asked}: {what}. Check the connection's API base URL, the network, and Stitch's status page.",
        maybe_received=not never_sent,
    )


def _chain(fault: BaseException) -> Iterator[BaseException]:
    """Yield the fault and all that led to it, wherever the libraries put that."""
    waiting: list[object] = [fault]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [getattr(current, "reason", None), current.__cause__, *current.args]
            if isinstance(current, _NEVER_SENT):
                # Where urllib3 before 2 leaves the system's error. Others' context may be the caller's.
                waiting.append(current.__context__)


def _any(chain: list[BaseException], kinds: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(each, kinds) for each in chain)


def _reason(chain: list[BaseException]) -> str:
    """Return the system's own words for what went wrong; failing that the name of the deepest exception."""
    for each in reversed(chain):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {each.verify_message}"
        if isinstance(each, ssl.SSLError):
            return f"TLS: {each.reason or type(each).__name__}"
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return type(chain[-1]).__name__
