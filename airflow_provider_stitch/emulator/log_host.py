"""The host that serves logs, another than the API's: a signed address opens a log, a token does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from starlette.responses import StreamingResponse

from airflow_provider_stitch.emulator.answers import Answer, Asked, Wire, cut, gone_within, send_answer
from airflow_provider_stitch.emulator.ledger import LogHostRequest
from airflow_provider_stitch.emulator.log import log_chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from starlette.types import Scope

    from airflow_provider_stitch.emulator.jobs import Timeline
    from airflow_provider_stitch.emulator.world import World


class LogHost:
    """Answers requests for logs."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def serve(self, wire: Wire, scope: Scope) -> None:
        """Answer one request."""
        asked, receive, send = wire
        world = self._world
        fault = world.faults.take("log", asked.method, asked.target)
        if fault:
            await gone_within(fault.delay, receive)
        with world.at_now() as now:
            answer, timeline = self._open(asked, now)
            if fault and fault.replaces_answer:
                answer, timeline = Answer(*fault.answer()), None
            silent = fault is not None and fault.cut is True
            status = None if silent else answer.status
            world.log_host_requests.append(
                LogHostRequest(now, asked.method, asked.path, status, asked.authorization is not None)
            )
        if silent:
            await cut(wire)
        elif timeline is not None and fault is None:
            headers = {"date": world.clock.date(), **answer.headers}
            await StreamingResponse(_stream(timeline, now), headers=headers)(scope, receive, send)
        else:
            if timeline is not None:
                # Whole, so that it can be cut in the middle or dripped.
                answer = answer._replace(content=b"".join(log_chunks(timeline, now)))
            await send_answer(answer, world.clock.date(), wire, fault)

    def _open(self, asked: Asked, now: datetime) -> tuple[Answer, Timeline | None]:
        """A signed address opens its log, and nothing else does."""
        if asked.authorization is not None:
            text = "Only one auth mechanism allowed; found Authorization header and X-Amz-Security-Token."
            return _s3_error(400, "InvalidArgument", text), None
        key = parse_qs(asked.query).get("x-amz-security-token", [""])[0]
        timeline = self._world.open_log(key, unquote(asked.path).removeprefix("/"), now)
        if timeline is None or asked.method != "GET":
            return _s3_error(403, "AccessDenied", "Request has expired"), None
        return Answer(200, {"content-type": "text/plain; charset=utf-8"}), timeline


def _s3_error(status: int, code: str, message: str) -> Answer:
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode()
    return Answer(status, {"content-type": "application/xml"}, content)


async def _stream(timeline: Timeline, now: datetime) -> AsyncIterator[bytes]:
    for chunk in log_chunks(timeline, now):
        yield chunk
        await asyncio.sleep(0)  # a long log must not keep the others waiting
