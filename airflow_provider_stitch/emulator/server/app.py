"""The ASGI application that serves the API on one port and the logs on another port.

API responses are small, so the emulator creates and records each complete response before sending it. After
Stitch has processed a request, a fault can still replace the response.
"""

from __future__ import annotations

import logging
import math
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from airflow_provider_stitch.emulator.model.api_errors import ApiError, unauthorized
from airflow_provider_stitch.emulator.model.request_log import RequestRecord
from airflow_provider_stitch.emulator.server import openapi
from airflow_provider_stitch.emulator.server.log_host import LogHost
from airflow_provider_stitch.emulator.server.messages import (
    ApiRequest,
    Connection,
    Response,
    close_connection,
    disconnected_within,
    json_response,
    send_response,
    text_response,
)
from airflow_provider_stitch.emulator.server.routes import table
from airflow_provider_stitch.emulator.server.routes.endpoint import Call, Redirect

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from airflow_provider_stitch.emulator.model.account import Account
    from airflow_provider_stitch.emulator.model.faults import Fault
    from airflow_provider_stitch.emulator.model.state import EmulatorState

logger = logging.getLogger(__name__)


class EmulatorApp:
    """The ASGI application of an emulator."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._log_host = LogHost(state)
        self.log_port: int | None = None
        self.log_url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = Request(scope, receive)
        try:
            content = await received.body()
        except ClientDisconnect:
            return
        request = ApiRequest(
            method=received.method,
            path=scope["path"],
            query=received.url.query,
            authorization=received.headers.get("authorization"),
            content_type=received.headers.get("content-type", ""),
            content=content,
            transport=scope["state"]["transport"],
        )
        connection = Connection(request, receive, send)
        if scope["server"][1] == self.log_port:
            await self._log_host.serve(connection, scope)
        else:
            await self._serve(connection)

    async def _serve(self, connection: Connection) -> None:
        request, receive, _ = connection
        fault = self._state.faults.take("api", request.method, request.target)
        # If the client disconnects before the delay ends, Stitch does not process the request.
        lost = (
            fault is not None and not fault.after_effect and await disconnected_within(fault.delay, receive)
        )
        response = self._respond(request, fault, lost=lost)
        if fault and fault.after_effect:
            await disconnected_within(fault.delay, receive)
        if response is None:
            await close_connection(connection)
        else:
            await send_response(response, self._state.clock.http_date(), connection, fault)

    def _respond(self, request: ApiRequest, fault: Fault | None, *, lost: bool) -> Response | None:
        """Process and record a request, and return the response, or None if the connection must be closed."""
        with self._state.locked() as now:
            account = self._state.authenticate(request.authorization)
            match = table.match(request.method, request.path)
            counted = _is_counted(account, match)
            response = None
            if not lost and (fault is None or fault.after_effect or not fault.prevents_processing):
                response = self._process(request, account, match, counted=counted, now=now)
            if fault and fault.replaces_response:
                response = Response(*fault.response())
            if lost or (fault and fault.cut is True):
                response = None
            client_id = account.client_id if account else None
            status = response.status if response else None
            self._state.requests.append(
                RequestRecord(now, request.method, request.target, status, counted, client_id)
            )
            return response

    def _process(
        self,
        request: ApiRequest,
        account: Account | None,
        match: table.RouteMatch | None,
        *,
        counted: bool,
        now: datetime,
    ) -> Response:
        """Return the response of the endpoint, or an error response."""
        try:
            return self._call_endpoint(request, account, match, counted=counted, now=now)
        except _RateLimitExceeded as error:
            return Response(429, error.headers)
        except ApiError as error:
            return self._error_response(request, error)
        except Exception:
            # A bug in the emulator must not look like an error response of Stitch.
            logger.exception("The emulator failed to process %s %s", request.method, request.path)
            return json_response(
                500, {"error": "The emulator itself failed; see the log of airflow_provider_stitch."}
            )

    def _call_endpoint(
        self,
        request: ApiRequest,
        account: Account | None,
        match: table.RouteMatch | None,
        *,
        counted: bool,
        now: datetime,
    ) -> Response:
        if (request.method, request.path) == ("GET", openapi.PATH):
            return _openapi_response()
        # Stitch does not document whether an unknown path without a token returns 401 or 404.
        if account is None and (match is None or match.endpoint.needs_token):
            raise unauthorized()
        if match is None:
            raise table.unknown_path(request.method, request.path)
        if counted and account is not None:
            self._check_rate_limit(account, now)
        call = Call(
            state=self._state,
            sender=account,
            now=now,
            path=request.path,
            params=match.params,
            query=request.query,
            content=request.content,
            content_type=request.content_type,
        )
        result = match.endpoint.handler(call)
        if not isinstance(result, Redirect):
            return json_response(200, result, charset=self._charset(request))
        key = self._state.create_log_key(call.account, result.job_name, now)
        location = f"{self.log_url}/{result.job_name}?x-amz-security-token={key}"
        return Response(302, {"location": location, "connection": "close"})

    def _error_response(self, request: ApiRequest, error: ApiError) -> Response:
        if error.body is None:
            return Response(error.status, {})
        if isinstance(error.body, str) and self._state.quirks.string_errors == "text":
            return text_response(error.status, error.body)
        return json_response(error.status, error.body, charset=self._charset(request))

    def _charset(self, request: ApiRequest) -> str:
        """Return the charset parameter for the content type. One sample of API v3 contains a charset."""
        shown = self._state.quirks.v3_charset and request.path.startswith("/v3/")
        return ";charset=ISO-8859-1" if shown else ""

    def _check_rate_limit(self, account: Account, now: datetime) -> None:
        virtual_seconds = self._state.limits[account.client_id].admit(now)
        if virtual_seconds is None:
            return
        # The ``Retry-After`` header contains real seconds, because clients wait in real time.
        seconds = max(1, math.ceil(virtual_seconds / self._state.clock.speed))
        raise _RateLimitExceeded({"retry-after": str(seconds)} if self._state.quirks.retry_after else {})


class _RateLimitExceeded(Exception):  # noqa: N818 - the exception is converted to a response
    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers


@cache
def _openapi_response() -> Response:
    body: dict[str, Any] = openapi.describe(table.ENDPOINTS)
    return json_response(200, body)


def _is_counted(account: Account | None, match: table.RouteMatch | None) -> bool:
    """Return whether a request counts against the rate limit of its account."""
    return (
        account is not None
        and match is not None
        and match.endpoint.limited
        and match.params["stitch_client_id"] == str(account.client_id)
    )
