"""The HTTP face: one ASGI application for two ports, the API's and that of the host that serves logs.

The API's answers are small, so each is made whole, noted in the record of requests, and only then sent: that
is where a fault can take the answer's place after Stitch has done the work.
"""

from __future__ import annotations

import logging
import math
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from airflow_provider_stitch.emulator import description, routes
from airflow_provider_stitch.emulator.answers import (
    Answer,
    Asked,
    Wire,
    cut,
    gone_within,
    json_answer,
    send_answer,
    text_answer,
)
from airflow_provider_stitch.emulator.ledger import RequestRecord
from airflow_provider_stitch.emulator.log_host import LogHost
from airflow_provider_stitch.emulator.refusal import Refusal, unauthorized

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from airflow_provider_stitch.emulator.account import Account
    from airflow_provider_stitch.emulator.faults import Fault
    from airflow_provider_stitch.emulator.world import World

logger = logging.getLogger(__name__)


class Front:
    """The ASGI application."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._log_host = LogHost(world)
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
            content_type=request.headers.get("content-type", ""),
            content=content,
            transport=scope["state"]["transport"],
        )
        if scope["server"][1] == self.log_port:
            await self._log_host.serve(Wire(asked, receive, send), scope)
        else:
            await self._serve(Wire(asked, receive, send))

    async def _serve(self, wire: Wire) -> None:
        asked, receive, _ = wire
        fault = self._world.faults.take("api", asked.method, asked.target)
        # A client that gives up before Stitch came to its request: nothing was done.
        lost = fault is not None and not fault.after_effect and await gone_within(fault.delay, receive)
        answer = self._answer(asked, fault, lost=lost)
        if fault and fault.after_effect:
            await gone_within(fault.delay, receive)
        if answer is None:
            await cut(wire)
        else:
            await send_answer(answer, self._world.clock.date(), wire, fault)

    def _answer(self, asked: Asked, fault: Fault | None, *, lost: bool) -> Answer | None:
        """Do what is asked, unless a fault forbids it, and note it. None: there is to be no answer."""
        with self._world.at_now() as now:
            account = self._world.account_of(asked.authorization)
            matched = routes.match(asked.method, asked.path)
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
        self,
        asked: Asked,
        account: Account | None,
        matched: routes.Matched | None,
        *,
        counted: bool,
        now: datetime,
    ) -> Answer:
        try:
            return self._handle(asked, account, matched, counted=counted, now=now)
        except _TooMany as refusal:
            return Answer(429, refusal.headers)
        except Refusal as refusal:
            return self._refuse(asked, refusal)
        except Exception:
            # A fault of the emulator itself must not look like one of Stitch.
            logger.exception("The emulator failed at %s %s", asked.method, asked.path)
            return json_answer(
                500, {"error": "The emulator itself failed; see the log of airflow_provider_stitch."}
            )

    def _handle(
        self,
        asked: Asked,
        account: Account | None,
        matched: routes.Matched | None,
        *,
        counted: bool,
        now: datetime,
    ) -> Answer:
        if (asked.method, asked.path) == ("GET", description.PATH):
            return _description()
        # Whether an unknown path without a token is 401 or 404 is not documented.
        if account is None and (matched is None or matched.endpoint.needs_token):
            raise unauthorized()
        if matched is None:
            raise routes.unknown(asked.method, asked.path)
        if counted and account is not None:
            self._refuse_beyond_limit(account, now)
        call = routes.Call(
            world=self._world,
            sender=account,
            now=now,
            path=asked.path,
            params=matched.params,
            query=asked.query,
            content=asked.content,
            content_type=asked.content_type,
        )
        result = matched.endpoint.handler(call)
        if not isinstance(result, routes.Redirect):
            return json_answer(200, result, charset=self._charset(asked))
        key = self._world.sign_log(call.account, result.job_name, now)
        location = f"{self.log_url}/{result.job_name}?x-amz-security-token={key}"
        return Answer(302, {"location": location, "connection": "close"})

    def _refuse(self, asked: Asked, refusal: Refusal) -> Answer:
        if refusal.body is None:
            return Answer(refusal.status, {})
        if isinstance(refusal.body, str) and self._world.quirks.string_errors == "text":
            return text_answer(refusal.status, refusal.body)
        return json_answer(refusal.status, refusal.body, charset=self._charset(asked))

    def _charset(self, asked: Asked) -> str:
        """One sample of the third version names a charset that is not the text's."""
        shown = self._world.quirks.v3_charset and asked.path.startswith("/v3/")
        return ";charset=ISO-8859-1" if shown else ""

    def _refuse_beyond_limit(self, account: Account, now: datetime) -> None:
        wait = self._world.limits[account.client_id].admit(now)
        if wait is None:
            return
        # Clients sleep in real seconds, and the emulator's ten minutes may be shorter than ours.
        seconds = max(1, math.ceil(wait / self._world.clock.speed))
        raise _TooMany({"retry-after": str(seconds)} if self._world.quirks.retry_after else {})


class _TooMany(Exception):  # noqa: N818 - an answer
    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers


@cache
def _description() -> Answer:
    body: dict[str, Any] = description.describe(routes.ENDPOINTS)
    return json_answer(200, body)


def _counts(account: Account | None, matched: routes.Matched | None) -> bool:
    return (
        account is not None
        and matched is not None
        and matched.endpoint.limited
        and matched.params["stitch_client_id"] == str(account.client_id)
    )
