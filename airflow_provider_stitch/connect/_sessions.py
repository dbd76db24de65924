"""HTTP sessions that follow nothing, remember nothing, and give the token to one host only."""

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
from airflow_provider_stitch.connect._addresses import origin
from airflow_provider_stitch.connect._heads import HeadInTimeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK = 64 * 1024
_SMALL_CHUNK = 256
_TELLING = 8  #: characters of a secret that are too many to be shown


class BearerToken(AuthBase):
    """The token, for the base URL's own origin only. As an auth object no .netrc can replace it."""

    def __init__(self, base_url: str, token: str) -> None:
        self._origin = origin(base_url)
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if origin(request.url or "") == self._origin:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class NoAuth(AuthBase):
    """No credentials, not even those that a .netrc has for the host."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Session(requests.Session):
    """A session that follows no redirect and keeps no cookie, so that threads can share it.

    :param trust_env: use the environment's proxies and certificates.
    """

    def __init__(self, *, trust_env: bool, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.trust_env = trust_env
        for scheme in ("https://", "http://"):
            self.mount(scheme, HeadInTimeAdapter())
        self.headers.update({"User-Agent": f"airflow-provider-stitch/{__version__}", **(headers or {})})
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        # Even with allow_redirects=False requests prepares the next request, and for that it reads the whole
        # body first, however long.
        return None


def read_some(response: requests.Response) -> bytes:
    """Return what has arrived of the body, decompressed; empty at its end."""
    response.raw.enforce_content_length = True  # urllib3 before 2 takes a body that was cut for a whole one
    # read() waits until it has as much as it was asked for, so a dribble would keep it for hours. urllib3
    # before 2.1 has nothing else; there we ask for little.
    read1 = getattr(response.raw, "read1", None)
    data: bytes = (
        read1(_CHUNK, decode_content=True) if read1 else response.raw.read(_SMALL_CHUNK, decode_content=True)
    )
    return data


def redacted(text: str, secrets: Sequence[str]) -> str:
    """Return a text without these secrets and without their beginnings."""
    return _without_beginnings(_without_secrets(text, secrets), secrets)


def _without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets, in the forms in which a server may repeat what it was sent."""
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}:
            text = text.replace(form, "<secret>")
    return text


def _without_beginnings(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the beginnings of these secrets: an excerpt may end in the midst of one, and a
    server may repeat only a part."""
    for secret in secrets:
        if secret[:_TELLING] not in text:
            continue
        for length in range(len(secret) - 1, _TELLING - 1, -1):
            text = text.replace(secret[:length], "<secret>")
    return text


_hushed = threading.local()


@contextmanager
def urllib3_kept_quiet() -> Iterator[None]:
    """Keep urllib3 from logging this thread's request: at DEBUG it writes the query, here a credential."""
    # A logger adds a filter once, however often it is asked; it stays, since others may be within it.
    logging.getLogger("urllib3.connectionpool").addFilter(_from_a_thread_not_hushed)
    _hushed.now = True
    try:
        yield
    finally:
        _hushed.now = False


def _from_a_thread_not_hushed(entry: logging.LogRecord) -> bool:  # noqa: ARG001
    return not getattr(_hushed, "now", False)
