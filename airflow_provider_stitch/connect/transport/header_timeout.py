"""An HTTP adapter that limits the total time until the response headers have arrived.

A socket timeout applies to each read separately. Without this adapter, a server that sends one byte at a
time, or repeats `100 Continue`, could block a request forever. `request.Transport` limits the time for the
body.
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


#: The maximum number of connections that a session keeps open for reuse by the threads that share it.
MAX_CONNECTIONS = 32


class HeaderTimeoutAdapter(requests.adapters.HTTPAdapter):
    """An adapter that applies the read timeout to all response headers together.

    The limit does not apply to requests through SOCKS proxies.
    """

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
        self._reader = _DeadlineReader(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.deadline = None


class _DeadlineReader(io.RawIOBase):
    """A raw stream that raises TimeoutError if it is read after the deadline."""

    def __init__(self, raw: io.RawIOBase, seconds: float | None) -> None:
        self._raw = raw
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeoutError("The response headers did not arrive in time.")
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
