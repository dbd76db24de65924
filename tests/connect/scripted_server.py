"""An HTTP server on a free port of 127.0.0.1 that sends exactly the bytes a test specifies."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Behaviour = Callable[[socket.socket], None]

DATE = "Mon, 17 Aug 2026 06:40:12 GMT"


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]  # the header names are in lower case
    body: bytes


class ScriptedServer:
    """Records each request and responds with the next behavior that a test has specified.

    The server repeats the last behavior for all further requests.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        # This timeout is needed because closing a listening socket does not interrupt `accept`.
        self._listener.settimeout(0.05)
        self._behaviours: list[Behaviour] = []
        self._stopping = threading.Event()
        self.requests: list[Request] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]

    def script(self, *behaviours: Behaviour | bytes) -> None:
        self._behaviours = [sends(each) if isinstance(each, bytes) else each for each in behaviours]

    def stop(self) -> None:
        self._stopping.set()
        self._listener.close()
        self._thread.join(timeout=5)

    def hang(self, _: socket.socket) -> None:
        """Behave like a server that sends nothing until the test ends."""
        self._stopping.wait(timeout=10)

    def drip(self, connection: socket.socket) -> None:
        """Behave like a server that sends one byte at a time, so that no single read times out."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self._stopping.wait(timeout=0.02):
            connection.sendall(b" ")

    def drip_head(self, connection: socket.socket) -> None:
        """Behave like a server that sends endless headers, one byte at a time."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while not self._stopping.wait(timeout=0.02):
            connection.sendall(b"x")

    def repeat_continue(self, connection: socket.socket) -> None:
        """Behave like a server that sends the status 100 Continue again and again."""
        while not self._stopping.wait(timeout=0.02):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        # The timeout applies to a whole `sendall` call. A client on a busy machine reads a long log slowly.
        connection.settimeout(60)
        with connection, connection.makefile("rb") as stream:
            try:
                request = _read_request(stream)
                if request is None:
                    return
                self.requests.append(request)
                behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
                behaviour(connection)
            except OSError:
                return  # in many tests, the client closes the connection before the response is complete


def _read_request(stream) -> Request | None:  # type: ignore[no-untyped-def]
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(first[0], first[1], headers, stream.read(int(headers.get("content-length", 0))))


def sends(raw: bytes) -> Behaviour:
    return lambda connection: connection.sendall(raw)


def http_response(body: object = b"", status: int = 200, **headers: str) -> bytes:
    """Return the bytes of an HTTP response.

    A body that is not of type `bytes` is sent as JSON. Keyword arguments such as `Retry_After="3"` become
    headers.
    """
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Date": DATE, "Content-Length": str(len(content)), "Connection": "close"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + content


def cut_after(raw: bytes) -> Behaviour:
    """Return a behavior that sends the given bytes and then resets the connection."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(raw)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return behave


@contextmanager
def running_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    try:
        yield server
    finally:
        server.stop()
