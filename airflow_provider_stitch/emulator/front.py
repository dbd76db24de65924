"""The HTTP face: one ASGI application for two ports, the API's and that of the host that serves logs.

The API's answers are small, so each is made whole, noted in the record of requests, and only then sent: that
is where a fault can take the answer's place after Stitch has done the work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.routing import Match, Route

from airflow_provider_stitch.emulator import routes
from airflow_provider_stitch.emulator.account import Account, Refusal
from airflow_provider_stitch.emulator.ledger import LogHostRequest, RequestRecord
from airflow_provider_stitch.emulator.log import log_chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from airflow_provider_stitch.emulator.faults import Fault
    from airflow_provider_stitch.emulator.jobs import Timeline
    from airflow_provider_stitch.emulator.world import World

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """A whole HTTP answer."""

    status: int
    headers: dict[str, str]
    content: bytes = b""


class Asked(NamedTuple):
    """A request, read whole."""

    method: str
    path: str
    query: str
    authorization: str | None
    content: bytes
    transport: asyncio.Transport

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Matched(NamedTuple):
    """The endpoint that a request is for."""

    handler: routes.Handler | None  #: None: documented, but not modelled
    params: dict[str, Any]
    needs_token: bool


def _never(request: Request) -> None:
    """Starlette's routes are used to match paths; what is called stands in the table."""
    raise NotImplementedError


_ROUTES = [
    (
        method,
        Route(pattern, _never),
        routes.ROUTES.get((method, pattern)),
        (method, pattern) not in routes.WITHOUT_TOKEN,
    )
    for method, pattern in (*routes.ROUTES, *sorted(routes.NOT_MODELLED))
]


class Front:
    """The ASGI application."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.log_port: int | None = None
        self.log_url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            content = await request.body()
        except ClientDisconnect:
            return
        asked = Asked(
            method=request.method,
            path=scope["path"],
            query=request.url.query,
            authorization=request.headers.get("authorization"),
            content=content,
            transport=scope["state"]["transport"],
        )
        if scope["server"][1] == self.log_port:
            await self._serve_log(asked, scope, receive, send)
        else:
            await self._serve_api(asked, receive, send)

    # The API

    async def _serve_api(self, asked: Asked, receive: Receive, send: Send) -> None:
        fault = self._world.faults.take("api", asked.method, asked.target)
        # A client that gives up before Stitch came to its request: nothing was done.
        lost = fault is not None and not fault.after_effect and await _gone_within(fault.delay, receive)
        answer = self._answer(asked, fault, lost=lost)
        if fault and fault.after_effect:
            await _gone_within(fault.delay, receive)
        if answer is None:
            await _cut(asked, receive)
        else:
            await self._send(answer, asked, fault, receive, send)

    def _answer(self, asked: Asked, fault: Fault | None, *, lost: bool) -> Answer | None:
        """Do what is asked, unless a fault forbids it, and note it. None: there is to be no answer."""
        with self._world.at_now() as now:
            account = self._world.account_of(asked.authorization)
            matched = _match(asked)
            counted = _counts(account, matched)
            answer = None
            if not lost and (fault is None or fault.after_effect or not fault.prevents_work):
                answer = self._work(asked, account, matched, counted=counted, now=now)
            if fault and fault.replaces_answer:
                answer = Answer(*fault.answer())
            if lost or (fault and fault.cut is True):
                answer = None
            client_id = account.client_id if account else None
            status = answer.status if answer else None
            self._world.requests.append(
                RequestRecord(now, asked.method, asked.target, status, counted, client_id)
            )
            return answer

    def _work(
        self, asked: Asked, account: Account | None, matched: Matched | None, *, counted: bool, now: datetime
    ) -> Answer:
        try:
            return self._handle(asked, account, matched, counted=counted, now=now)
        except _TooMany as refusal:
            return Answer(429, refusal.headers)
        except Refusal as refusal:
            bare = isinstance(refusal.body, str) and self._world.quirks.string_errors == "text"
            return _text(refusal.status, refusal.body) if bare else _json(refusal.status, refusal.body)
        except Exception:
            # A fault of the emulator itself must not look like one of Stitch.
            logger.exception("The emulator failed at %s %s", asked.method, asked.path)
            return _json(
                500, {"error": "The emulator itself failed; see the log of airflow_provider_stitch."}
            )

    def _handle(
        self, asked: Asked, account: Account | None, matched: Matched | None, *, counted: bool, now: datetime
    ) -> Answer:
        # Whether an unknown path without a token is 401 or 404 is not documented.
        if account is None and (matched is None or matched.needs_token):
            raise routes.unauthorized()
        if matched is None:
            raise routes.not_found()
        if matched.handler is None or account is None:
            return _json(501, {"error": f"The emulator does not model {asked.method} {asked.path}."})
        if counted:
            self._refuse_beyond_limit(account, now)
        call = routes.Call(account, now, asked.path, matched.params, asked.query, asked.content)
        result = matched.handler(call)
        if not isinstance(result, routes.Redirect):
            return _json(200, result)
        key = self._world.sign_log(account, result.job_name, now)
        location = f"{self.log_url}/{result.job_name}?x-amz-security-token={key}"
        return Answer(302, {"location": location, "connection": "close"})

    def _refuse_beyond_limit(self, account: Account, now: datetime) -> None:
        wait = self._world.limits[account.client_id].admit(now)
        if wait is None:
            return
        # Clients sleep in real seconds, and the emulator's ten minutes may be shorter than ours.
        seconds = max(1, math.ceil(wait / self._world.clock.speed))
        raise _TooMany({"retry-after": str(seconds)} if self._world.quirks.retry_after else {})

    async def _send(
        self, answer: Answer, asked: Asked, fault: Fault | None, receive: Receive, send: Send
    ) -> None:
        headers = {"date": self._date(), **answer.headers, "content-length": str(len(answer.content))}
        await send({"type": "http.response.start", "status": answer.status, "headers": _raw(headers)})
        if fault and fault.drip is not None:
            for index in range(len(answer.content)):
                if await _gone_within(fault.drip, receive):
                    return
                await send(_piece(answer.content[index : index + 1], more=True))
            await send(_piece(b"", more=False))
        elif fault and fault.cut == "mid-body":
            await send(_piece(answer.content[: len(answer.content) // 2], more=True))
            await _cut(asked, receive)
        else:
            await send(_piece(answer.content, more=False))

    def _date(self) -> str:
        return format_datetime(self._world.clock.now(), usegmt=True)

    # The host that serves logs

    async def _serve_log(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._world.faults.take("log", asked.method, asked.target)
        if fault:
            await _gone_within(fault.delay, receive)
        with self._world.at_now() as now:
            answer, timeline = self._open_log(asked, now)
            if fault and fault.replaces_answer:
                answer, timeline = Answer(*fault.answer()), None
            cut = fault is not None and fault.cut is True
            record = LogHostRequest(
                now, asked.method, asked.path, None if cut else answer.status, asked.authorization is not None
            )
            self._world.log_host_requests.append(record)
        if cut:
            await _cut(asked, receive)
        elif fault and timeline is not None:
            # Whole, so that it can be cut in the middle or dripped.
            answer = answer._replace(content=b"".join(log_chunks(timeline, now)))
            await self._send(answer, asked, fault, receive, send)
        elif timeline is not None:
            headers = {"date": self._date(), **answer.headers}
            await StreamingResponse(_stream(timeline, now), headers=headers)(scope, receive, send)
        else:
            await self._send(answer, asked, fault, receive, send)

    def _open_log(self, asked: Asked, now: datetime) -> tuple[Answer, Timeline | None]:
        """A signed address opens its log, and nothing else does."""
        if asked.authorization is not None:
            text = "Only one auth mechanism allowed; found Authorization header and X-Amz-Security-Token."
            return _s3_error(400, "InvalidArgument", text), None
        key = parse_qs(asked.query).get("x-amz-security-token", [""])[0]
        timeline = self._world.open_log(key, unquote(asked.path).removeprefix("/"), now)
        if timeline is None or asked.method != "GET":
            return _s3_error(403, "AccessDenied", "Request has expired"), None
        return Answer(200, {"content-type": "text/plain; charset=utf-8"}), timeline


class _TooMany(Exception):  # noqa: N818 - an answer
    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers


def _match(asked: Asked) -> Matched | None:
    """The endpoint of a request. A method that an endpoint does not allow is a 404 like an unknown path."""
    scope = {"type": "http", "method": "GET", "path": asked.path, "root_path": ""}
    for method, route, handler, needs_token in _ROUTES:
        if method == asked.method:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return Matched(handler, child["path_params"], needs_token)
    return None


def _counts(account: Account | None, matched: Matched | None) -> bool:
    return (
        account is not None
        and matched is not None
        and matched.handler in routes.LIMITED
        and matched.params["client_id"] == str(account.client_id)
    )


def _json(status: int, body: Any) -> Answer:
    """A JSON answer; None is no body at all."""
    if body is None:
        return Answer(status, {})
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, {"content-type": "application/json"}, content)


def _text(status: int, body: str) -> Answer:
    return Answer(status, {"content-type": "text/plain;charset=utf-8"}, body.encode())


def _s3_error(status: int, code: str, message: str) -> Answer:
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode()
    return Answer(status, {"content-type": "application/xml"}, content)


async def _stream(timeline: Timeline, now: datetime) -> AsyncIterator[bytes]:
    for chunk in log_chunks(timeline, now):
        yield chunk
        await asyncio.sleep(0)  # a long log must not keep the others waiting


async def _gone_within(seconds: float, receive: Receive) -> bool:
    """Wait so many real seconds, or until the client has gone: then true."""
    if seconds <= 0:
        return False
    try:
        await asyncio.wait_for(_gone(receive), seconds)
    except asyncio.TimeoutError:
        return False
    return True


async def _cut(asked: Asked, receive: Receive) -> None:
    """Close the connection with whatever has been sent."""
    asked.transport.close()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _piece(content: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}
