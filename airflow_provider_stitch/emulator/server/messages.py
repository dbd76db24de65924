"""HTTP requests and responses. Except for logs, bodies are small and are not streamed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from airflow_provider_stitch.emulator.model.faults import Fault


class ApiRequest(NamedTuple):
    """A complete request."""

    method: str
    path: str
    query: str
    authorization: str | None
    content_type: str
    content: bytes
    transport: asyncio.Transport

    @property
    def target(self) -> str:
        """Return the path and query of the request."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Response(NamedTuple):
    """A complete response."""

    status: int
    headers: dict[str, str]
    content: bytes = b""


class Connection(NamedTuple):
    """A request, with the ASGI functions that receive and send its messages."""

    request: ApiRequest
    receive: Receive
    send: Send


def json_response(status: int, body: Any, *, charset: str = "") -> Response:
    """Return a response with a JSON body."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"content-type": f"application/json{charset}"}, content)


def text_response(status: int, body: str) -> Response:
    """Return a response with a plain-text body."""
    return Response(status, {"content-type": "text/plain;charset=utf-8"}, body.encode())


async def send_response(response: Response, date: str, connection: Connection, fault: Fault | None) -> None:
    """Send a response. A fault can slow down the body, or close the connection in the middle of the body."""
    _, receive, send = connection
    headers = {"date": date, **response.headers, "content-length": str(len(response.content))}
    start = {"type": "http.response.start", "status": response.status, "headers": _encode_headers(headers)}
    await send(start)
    if fault and fault.drip is not None:
        for index in range(len(response.content)):
            if await disconnected_within(fault.drip, receive):
                return
            await send(_body_message(response.content[index : index + 1], more=True))
        await send(_body_message(b"", more=False))
    elif fault and fault.cut == "mid-body":
        await send(_body_message(response.content[: len(response.content) // 2], more=True))
        await close_connection(connection)
    else:
        await send(_body_message(response.content, more=False))


async def disconnected_within(seconds: float, receive: Receive) -> bool:
    """Wait until the client disconnects, and return whether the client disconnected in time.

    :param seconds: how long to wait, in real seconds.
    """
    if seconds <= 0:
        return False
    try:
        await asyncio.wait_for(_wait_for_disconnect(receive), seconds)
    except asyncio.TimeoutError:
        return False
    return True


async def close_connection(connection: Connection) -> None:
    """Close the connection, even if no response has been sent."""
    connection.request.transport.close()
    await _wait_for_disconnect(connection.receive)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _encode_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _body_message(content: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}
