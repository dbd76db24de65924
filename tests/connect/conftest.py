from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_stitch.connect.client import StitchClient

from .scripted_server import ScriptedServer, running_server

TOKEN = "ac_4be1d5f0secretsecret"


@pytest.fixture
def stitch() -> Iterator[ScriptedServer]:
    """Return a local server that replaces Stitch."""
    with running_server() as server:
        yield server


@pytest.fixture
def other_host() -> Iterator[ScriptedServer]:
    """Return a second server, which is either the log host or a host that must not receive requests."""
    with running_server() as server:
        yield server


@pytest.fixture
def client_for(stitch: ScriptedServer) -> Iterator[Callable[..., StitchClient]]:
    clients: list[StitchClient] = []

    def make(**options: Any) -> StitchClient:
        settings = {"base_url": stitch.url, "client_id": 104857, "request_timeout": 2.0, **options}
        clients.append(StitchClient(TOKEN, **settings))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


@pytest.fixture
def client(client_for: Callable[..., StitchClient]) -> StitchClient:
    return client_for()


class FakeClock:
    """A clock that advances only when `sleep` is called."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.delays: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.delays.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()
