"""HTTP requests and answers as the emulator handles them: whole, since those of the API are small."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from airflow_provider_stitch.emulator.faults import Fault


class Asked(NamedTuple):
    """A request, read whole."""

    method: str
    path: str
    query: str
    authorization: str | None
    content_type: str
    content: bytes
    transport: asyncio.Transport

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Answer(NamedTuple):
    """A whole HTTP answer."""

    status: int
    headers: dict[str, str]
    content: bytes = b""


class Wire(NamedTuple):
    """The connection on which a request came, and its answer goes."""

    asked: Asked
    receive: Receive
    send: Send


def json_answer(status: int, body: Any, *, charset: str = "") -> Answer:
    """A JSON answer."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, {"content-type": f"application/json{charset}"}, content)


def text_answer(status: int, body: str) -> Answer:
    """Bare text."""
    return Answer(status, {"content-type": "text/plain;charset=utf-8"}, body.encode())


async def send_answer(answer: Answer, date: str, wire: Wire, fault: Fault | None) -> None:
    """Send an answer, as far and as fast as a fault lets it."""
    _, receive, send = wire
    headers = {"date": date, **answer.headers, "content-length": str(len(answer.content))}
    await send({"type": "http.response.start", "status": answer.status, "headers": _raw(headers)})
    if fault and fault.drip is not None:
        for index in range(len(answer.content)):
            if await gone_within(fault.drip, receive):
                return
            await send(_piece(answer.content[index : index + 1], more=True))
        await send(_piece(b"", more=False))
    elif fault and fault.cut == "mid-body":
        await send(_piece(answer.content[: len(answer.content) // 2], more=True))
        await cut(wire)
    else:
        await send(_piece(answer.content, more=False))


async def gone_within(seconds: float, receive: Receive) -> bool:
    """Wait so many real seconds, or until the client has gone: then true."""
    if seconds <= 0:
        return False
    try:
        await asyncio.wait_for(_gone(receive), seconds)
    except asyncio.TimeoutError:
        return False
    return True


async def cut(wire: Wire) -> None:
    """Close the connection with whatever has been sent."""
    wire.asked.transport.close()
    await _gone(wire.receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _piece(content: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}
