"""The host that serves logs. A request for a log needs a signed URL, but no access token."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from starlette.responses import StreamingResponse

from airflow_provider_stitch.emulator.model.extraction_log.log import log_chunks
from airflow_provider_stitch.emulator.model.request_log import LogHostRequest
from airflow_provider_stitch.emulator.server.messages import (
    ApiRequest,
    Connection,
    Response,
    close_connection,
    disconnected_within,
    send_response,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from starlette.types import Scope

    from airflow_provider_stitch.emulator.model.jobs.timeline import Timeline
    from airflow_provider_stitch.emulator.model.state import EmulatorState


class LogHost:
    """The host that serves the logs of all jobs."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state

    async def serve(self, connection: Connection, scope: Scope) -> None:
        """Serve one request."""
        request, receive, send = connection
        state = self._state
        fault = state.faults.take("log", request.method, request.target)
        if fault:
            await disconnected_within(fault.delay, receive)
        with state.locked() as now:
            response, timeline = self._find_log(request, now)
            if fault and fault.replaces_response:
                response, timeline = Response(*fault.response()), None
            closed = fault is not None and fault.cut is True
            status = None if closed else response.status
            has_authorization = request.authorization is not None
            state.log_host_requests.append(
                LogHostRequest(now, request.method, request.path, status, has_authorization)
            )
        if closed:
            await close_connection(connection)
        elif timeline is not None and fault is None:
            headers = {"date": state.clock.http_date(), **response.headers}
            await StreamingResponse(_stream(timeline, now), headers=headers)(scope, receive, send)
        else:
            if timeline is not None:
                # A fault requires the complete body, for example to cut the body in half.
                response = response._replace(content=b"".join(log_chunks(timeline, now)))
            await send_response(response, state.clock.http_date(), connection, fault)

    def _find_log(self, request: ApiRequest, now: datetime) -> tuple[Response, Timeline | None]:
        """Return the response to a request, and the job's timeline if the signature is valid."""
        if request.authorization is not None:
            text = "Only one auth mechanism allowed; found Authorization header and X-Amz-Security-Token."
            return _s3_error(400, "InvalidArgument", text), None
        key = parse_qs(request.query).get("x-amz-security-token", [""])[0]
        timeline = self._state.find_log(key, unquote(request.path).removeprefix("/"), now)
        if timeline is None or request.method != "GET":
            return _s3_error(403, "AccessDenied", "Request has expired"), None
        return Response(200, {"content-type": "text/plain; charset=utf-8"}), timeline


def _s3_error(status: int, code: str, message: str) -> Response:
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode()
    return Response(status, {"content-type": "application/xml"}, content)


async def _stream(timeline: Timeline, now: datetime) -> AsyncIterator[bytes]:
    for chunk in log_chunks(timeline, now):
        yield chunk
        await asyncio.sleep(0)  # allow other requests between two chunks of a long log
