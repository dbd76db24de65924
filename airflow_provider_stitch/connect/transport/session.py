"""HTTP sessions that follow no redirects, store no cookies, and send the token to a single host."""

from __future__ import annotations

import http.cookiejar
import json
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import requests
from requests.auth import AuthBase

from airflow_provider_stitch import __version__
from airflow_provider_stitch.connect.transport.header_timeout import HeaderTimeoutAdapter
from airflow_provider_stitch.connect.transport.urls import origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK_SIZE = 64 * 1024  #: bytes
_SMALL_CHUNK_SIZE = 256
_MIN_REDACTED_PREFIX = 8  #: minimum number of characters; shorter prefixes of a secret are not replaced


class BearerToken(AuthBase):
    """Authentication that adds the token to all requests to the origin of the base URL.

    An auth object takes precedence over credentials in a .netrc file.
    """

    def __init__(self, base_url: str, token: str) -> None:
        self._origin = origin(base_url)
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if origin(request.url or "") == self._origin:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class NoAuth(AuthBase):
    """Authentication without credentials, which prevents the use of credentials in a .netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Session(requests.Session):
    """A session that follows no redirects and stores no cookies, so that threads can share it.

    :param trust_env: whether to use proxies and certificates from environment variables.
    """

    def __init__(self, *, trust_env: bool, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.trust_env = trust_env
        for scheme in ("https://", "http://"):
            self.mount(scheme, HeaderTimeoutAdapter())
        self.headers.update({"User-Agent": f"airflow-provider-stitch/{__version__}", **(headers or {})})
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        # Even with allow_redirects=False, the requests library would prepare a request to the target of the
        # redirect. To prepare the request, the library would read the whole body of the redirect without a
        # limit.
        return None


def read_chunk(response: requests.Response) -> bytes:
    """Return the next decompressed bytes of the body that have arrived, or b"" at the end of the body."""
    response.raw.enforce_content_length = True  # by default, urllib3 < 2 accepts truncated bodies
    # read() blocks until all requested bytes have arrived, which can take hours on a slow connection. urllib3
    # < 2.1 does not provide read1(), so read() is called with a small size instead.
    read1 = getattr(response.raw, "read1", None)
    data: bytes = (
        read1(_CHUNK_SIZE, decode_content=True)
        if read1
        else response.raw.read(_SMALL_CHUNK_SIZE, decode_content=True)
    )
    return data


def redact(text: str, secrets: Sequence[str]) -> str:
    """Return a text without the secrets and their prefixes."""
    return _redact_prefixes(_redact_secrets(text, secrets), secrets)


def _redact_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace the secrets in all encodings that a server may use to echo a request."""
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}:
            text = text.replace(form, "<secret>")
    return text


def _redact_prefixes(text: str, secrets: Iterable[str]) -> str:
    """Replace prefixes of secrets, because an excerpt or an echoed request may end within a secret."""
    for secret in secrets:
        if secret[:_MIN_REDACTED_PREFIX] not in text:
            continue
        for length in range(len(secret) - 1, _MIN_REDACTED_PREFIX - 1, -1):
            text = text.replace(secret[:length], "<secret>")
    return text


_suppressed = threading.local()


@contextmanager
def suppress_urllib3_logs() -> Iterator[None]:
    """Suppress urllib3's log messages about requests of the current thread.

    At level DEBUG, urllib3's messages contain the URLs, and the URL of an extraction log is a credential.
    """
    # addFilter() ignores a filter that was already added. The filter is never removed, because other threads
    # may still need it.
    logging.getLogger("urllib3.connectionpool").addFilter(_is_not_suppressed)
    _suppressed.active = True
    try:
        yield
    finally:
        _suppressed.active = False


def _is_not_suppressed(record: logging.LogRecord) -> bool:  # noqa: ARG001
    return not getattr(_suppressed, "active", False)
