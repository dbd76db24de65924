"""Redis servers that a test can kill: a `redis-server` process (if installed) or a server in memory."""

from __future__ import annotations

import json
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

STARTUP_TIMEOUT = 30.0  # seconds

HAS_SERVER = shutil.which("redis-server") is not None

#: The kinds of Redis servers that tests can run on this machine.
KINDS = ["memory", *(["process"] if HAS_SERVER else [])]


class KillableRedis(Protocol):
    """A Redis server that loses its data when it is killed, because the data is stored only in memory."""

    def client(self) -> redis.Redis: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


class RedisInMemory:
    """A Redis server from the package fakeredis, which can run Lua scripts but has no run ID."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer(version=(7,))

    def client(self) -> redis.Redis:
        return fakeredis.FakeRedis(server=self._server)

    def kill(self) -> None:
        if self._server.connected:
            self.client().flushall()
        self._server.connected = False

    def start(self) -> None:
        self._server.connected = True


class RedisProcess:
    """A `redis-server` process that listens on a free port of this machine."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def client(self) -> redis.Redis:
        return redis.Redis(
            port=self.port, retry=Retry(NoBackoff(), 0), socket_timeout=5, socket_connect_timeout=5
        )

    def connection_json(self) -> str:
        """Return an Airflow connection to this Redis server as JSON."""
        return json.dumps({"conn_type": "redis", "host": "127.0.0.1", "port": self.port})

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
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
def redis_over_tcp() -> Iterator[int]:
    """Run a Redis server to which other processes can connect, and yield its port."""
    if HAS_SERVER:
        server = RedisProcess()
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
def running_redis(kind: str) -> Iterator[Any]:
    """Run a Redis server of the given kind.

    :param kind: one of `KINDS`.
    """
    server: KillableRedis = RedisInMemory() if kind == "memory" else RedisProcess()
    server.start()
    try:
        yield server
    finally:
        server.kill()
