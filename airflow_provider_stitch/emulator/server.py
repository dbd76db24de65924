"""A uvicorn server in a thread of its own, listening on two ports: for the API and for the logs.

In the same thread webhooks are delivered.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.courier import Courier
    from airflow_provider_stitch.emulator.front import Front

logger = logging.getLogger(__name__)

_PATIENCE = 10.0


class _Protocol(H11Protocol):
    """HTTP/1.1 that hands its transport to the application, so that a fault can close the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Uvicorn(uvicorn.Server):
    """uvicorn that begins and ends at once: its own loop looks every tenth of a second whether to end."""

    def __init__(self, config: uvicorn.Config, courier: Courier) -> None:
        super().__init__(config)
        self._courier = courier
        self._deliveries: asyncio.Task[None] | None = None
        self.listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    def end(self) -> None:
        """End, from another thread."""
        self.should_exit = True
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets=sockets)
        self._deliveries = self._loop.create_task(self._courier.run())
        self._deliveries.add_done_callback(_report)
        self.listening.set()

    async def main_loop(self) -> None:
        if self._ended is not None:
            await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._deliveries is not None:
            self._deliveries.cancel()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        # A stopped emulator answers nobody any more, however long an answer was to be delayed.
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol):
                connection.transport.abort()
        await asyncio.sleep(0)  # the connections learn that they are lost
        tasks = [*self.server_state.tasks, *([self._deliveries] if self._deliveries else [])]
        await asyncio.gather(*tasks, return_exceptions=True)


def _report(deliveries: asyncio.Task[None]) -> None:
    """Deliveries go on until they are cancelled. If they end before, it is a fault of the emulator itself."""
    if not deliveries.cancelled() and deliveries.exception() is not None:
        logger.error("The emulator delivers no webhooks any more.", exc_info=deliveries.exception())


class Server:
    """Serves an application until it is stopped. The ports are known when :meth:`start` returns."""

    def __init__(self, front: Front, courier: Courier, host: str, port: int) -> None:
        self._front = front
        self._courier = courier
        self._host = host
        self._port = port
        self._uvicorn: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen, and return the API's URL. OSError if the port is taken."""
        api = _bind(self._host, self._port)
        try:
            log = _bind(self._host, 0)
        except OSError:
            api.close()
            raise
        self._front.log_port = log.getsockname()[1]
        self._front.log_url = _url(self._host, log)
        config = uvicorn.Config(
            self._front,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the emulator's time is not this machine's
            timeout_keep_alive=75,
        )
        self._uvicorn = _Uvicorn(config, self._courier)
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([api, log],), name="stitch-emulator", daemon=True
        )
        self._thread.start()
        if not self._uvicorn.listening.wait(_PATIENCE):
            self.stop()
            raise RuntimeError("The Stitch emulator did not start to listen.")
        return _url(self._host, api)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._uvicorn is not None and self._thread is not None:
            self._uvicorn.end()
            self._thread.join(_PATIENCE)
            if self._thread.is_alive():
                raise RuntimeError("The Stitch emulator's thread did not end.")
            self._uvicorn = self._thread = None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off. Otherwise an answer, whose head and body
    # are sent apart, waits 40 ms for the client's delayed acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # From here on a client may connect; it is answered once the server runs.
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


def _url(host: str, bound: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{bound.getsockname()[1]}"
