"""An HTTP adapter to which the head of an answer has to come in time as a whole.

Sockets limit each single wait only, so a server that sends a byte now and then could go on with its headers,
or with `100 Continue`, for ever. (The body is read piece by piece, and limited there.)
"""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any

import requests.adapters
import urllib3.connection
import urllib3.connectionpool

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Connections that a session keeps open. Threads that share it must not open one for each request.
MAX_CONNECTIONS = 32


class HeadInTimeAdapter(requests.adapters.HTTPAdapter):
    """Gives the head of an answer as much time as a single wait. (Not through SOCKS proxies.)"""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=MAX_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._in_time = _InTime(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._in_time)

    def begin(self) -> None:
        super().begin()
        self._in_time.ends_at = None


class _InTime(io.RawIOBase):
    """What a socket sends, until an instant."""

    def __init__(self, raw: io.RawIOBase, seconds: float | None) -> None:
        self._raw = raw
        self.ends_at = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            raise TimeoutError("The head of the answer took too long.")
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: Mapping[str, type[urllib3.connectionpool.HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}
