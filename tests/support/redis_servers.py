"""Redis servers that tests can kill: a process of `redis-server` if it is installed, and one in memory."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import fakeredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STARTUP_TIMEOUT = 30.0  # seconds

HAS_SERVER = shutil.which("redis-server") is not None

#: The kinds of servers on this machine, for `pytest.mark.parametrize`.
KINDS = ["memory", *(["process"] if HAS_SERVER else [])]


class KillableRedis(Protocol):
    """A Redis server without persistence, so that it loses its data when it is killed."""

    def client(self) -> redis.Redis: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


class RedisInMemory:
    """A Redis of the package fakeredis, which runs Lua scripts. It has no run ID."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer(version=(7,))

    def client(self) -> redis.Redis:
        return fakeredis.FakeRedis(server=self._server)

    def kill(self) -> None:
        self.client().flushall()
        self._server.connected = False

    def start(self) -> None:
        self._server.connected = True


class RedisProcess:
    """A process of `redis-server` on a free port of this machine.

    :param folder: where it stores its data, if `save` is called.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def client(self) -> redis.Redis:
        return redis.Redis(
            port=self.port, retry=Retry(NoBackoff(), 0), socket_timeout=5, socket_connect_timeout=5
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + STARTUP_TIMEOUT
        while not self._responds():
            if time.monotonic() > deadline:
                raise TimeoutError("redis-server does not respond")
            time.sleep(0.005)

    def _responds(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False


@contextmanager
def redis_over_tcp(folder: Path) -> Iterator[int]:
    """Run a Redis server that other clients can connect to within the context. Yield its port."""
    if HAS_SERVER:
        server = RedisProcess(folder)
        server.start()
        try:
            yield server.port
        finally:
            server.kill()
        return
    tcp = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    try:
        yield tcp.server_address[1]
    finally:
        tcp.shutdown()
        tcp.server_close()


@contextmanager
def running_redis(kind: str, folder: Path) -> Iterator[Any]:
    """Run a Redis server of a kind in `KINDS` within the context."""
    server: KillableRedis = RedisInMemory() if kind == "memory" else RedisProcess(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
