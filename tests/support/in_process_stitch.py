"""Run the emulator without sockets, in the virtual time of an event loop.

The client calls the emulator's HTTP application directly, so a test can send thousands of requests in a few
seconds. The test scenario determines how long each request takes in virtual time.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3._collections import HTTPHeaderDict

from airflow_provider_stitch.connect.transport import session
from airflow_provider_stitch.emulator import Quirks, StitchEmulator
from airflow_provider_stitch.emulator.clock import Clock
from simulated_stitch.virtual_time import START, VirtualLoop

if TYPE_CHECKING:
    import pytest

API, LOGS = 8001, 8002


class InProcessStitch(StitchEmulator):
    """An emulator that uses the time of an event loop as its clock.

    The emulator accepts requests only from code that runs in the event loop.
    """

    def __init__(self, loop: VirtualLoop, quirks: Quirks) -> None:
        super().__init__(start=START, quirks=quirks)
        self._loop = loop
        self._state.clock = Clock(START, 1.0, loop.time)
        self._app.log_port = LOGS
        self._app.log_url = f"http://127.0.0.1:{LOGS}"
        #: a function that is called for each request and returns its latency in virtual seconds
        self.latency: Callable[[], float] = lambda: 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{API}"

    def patch_transport(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Redirect all requests from this process to the emulator."""
        monkeypatch.setattr(session.Session, "get_adapter", lambda session, url: _InProcessAdapter(self))

    def respond(self, request: requests.PreparedRequest) -> HTTPResponse | None:
        """Return the response to a request, or None if the connection is closed without a response."""
        self._loop.latency = self.latency()
        url = urlsplit(str(request.url))
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": url.path,
            "raw_path": url.path.encode(),
            "query_string": url.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
            "server": ("127.0.0.1", url.port),
            "state": {"transport": _Transport()},
        }
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        _run_synchronously(self._app(scope, receive, send))
        if not sent:
            return None
        headers = HTTPHeaderDict((name.decode(), value.decode()) for name, value in sent[0]["headers"])
        return HTTPResponse(
            body=io.BytesIO(b"".join(message["body"] for message in sent[1:])),
            headers=headers,
            status=sent[0]["status"],
            preload_content=False,
            enforce_content_length=True,
            request_method=request.method,
        )


class _InProcessAdapter(HTTPAdapter):
    def __init__(self, stitch: InProcessStitch) -> None:
        super().__init__()
        self._stitch = stitch

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        response = self._stitch.respond(request)
        if response is None:
            raise requests.ConnectionError("The connection was cut.", request=request)
        return self.build_response(request, response)


class _Transport(asyncio.Transport):
    def close(self) -> None:
        return


def _run_synchronously(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits for anything."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        return
