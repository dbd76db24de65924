"""A uvicorn server in a separate thread, with one port for the API and one for the logs.

Webhooks are delivered in the same thread.
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
    from airflow_provider_stitch.emulator.server.app import EmulatorApp
    from airflow_provider_stitch.emulator.server.webhook_delivery import WebhookDelivery

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0  # maximum time to start or stop the server


class _Protocol(H11Protocol):
    """An HTTP/1.1 protocol that passes its transport to the application.

    With the transport, a fault can close the connection at any time.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Uvicorn(uvicorn.Server):
    """A uvicorn server that stops without delay.

    By default, uvicorn checks every 0.1 s whether it must stop.
    """

    def __init__(self, config: uvicorn.Config, delivery: WebhookDelivery) -> None:
        super().__init__(config)
        self._delivery = delivery
        self._delivery_task: asyncio.Task[None] | None = None
        self.listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested: asyncio.Event | None = None

    def request_stop(self) -> None:
        """Stop the server. This method can be called from any thread."""
        self.should_exit = True
        if self._loop is not None and self._stop_requested is not None:
            self._loop.call_soon_threadsafe(self._stop_requested.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._stop_requested = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets=sockets)
        self._delivery_task = self._loop.create_task(self._delivery.run())
        self._delivery_task.add_done_callback(_log_failure)
        self.listening.set()

    async def main_loop(self) -> None:
        if self._stop_requested is not None:
            await self._stop_requested.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._delivery_task is not None:
            self._delivery_task.cancel()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        # A stopped emulator must not send responses that a fault has delayed.
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol):
                connection.transport.abort()
        await asyncio.sleep(0)  # give the protocols time to process the aborted connections
        tasks = [*self.server_state.tasks, *([self._delivery_task] if self._delivery_task else [])]
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_failure(delivery: asyncio.Task[None]) -> None:
    """Log an error if the task that delivers webhooks has failed.

    The delivery of webhooks can fail only because of a bug in the emulator.
    """
    if not delivery.cancelled() and delivery.exception() is not None:
        logger.error("The emulator stopped delivering webhooks.", exc_info=delivery.exception())


class Server:
    """A server for the application. Until the server is stopped, it also delivers webhooks."""

    def __init__(self, app: EmulatorApp, delivery: WebhookDelivery, host: str, port: int) -> None:
        self._app = app
        self._delivery = delivery
        self._host = host
        self._port = port
        self._uvicorn: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Start the server, and return the URL of the API.

        :raises OSError: if the port is in use.
        """
        api = _bind(self._host, self._port)
        try:
            log = _bind(self._host, 0)
        except OSError:
            api.close()
            raise
        self._app.log_port = log.getsockname()[1]
        self._app.log_url = _url(self._host, log)
        config = uvicorn.Config(
            self._app,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the application sends a ``Date`` header with the virtual time
            timeout_keep_alive=75,
        )
        self._uvicorn = _Uvicorn(config, self._delivery)
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([api, log],), name="stitch-emulator", daemon=True
        )
        self._thread.start()
        if not self._uvicorn.listening.wait(_TIMEOUT_SECONDS):
            self.stop()
            raise RuntimeError(f"The Stitch emulator did not start within {_TIMEOUT_SECONDS:g} s.")
        return _url(self._host, api)

    def stop(self) -> None:
        """Close all connections and stop the thread."""
        if self._uvicorn is not None and self._thread is not None:
            self._uvicorn.request_stop()
            self._thread.join(_TIMEOUT_SECONDS)
            if self._thread.is_alive():
                raise RuntimeError(f"The Stitch emulator did not stop within {_TIMEOUT_SECONDS:g} s.")
            self._uvicorn = self._thread = None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the socket's protocol is given. Otherwise, the body of a
    # response is delayed by 40 ms, until the client's delayed acknowledgement of the headers arrives.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # From now on, clients can connect, and they receive responses once the server is running.
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


def _url(host: str, bound: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{bound.getsockname()[1]}"
