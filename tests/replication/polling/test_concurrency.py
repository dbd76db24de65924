"""Few requests at a time in an event loop."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.connect.errors import StitchUnavailable
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.concurrency import MAX_CONCURRENT_REQUESTS
from airflow_provider_stitch.replication.session import AccountSession
from simulated_stitch.large_account import LargeAccount
from simulated_stitch.virtual_time import VirtualClock, VirtualLoop, run


@pytest.fixture
def loop():
    return VirtualLoop()


class Asking:
    """Questions that take 10 seconds each."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.session = AccountSession(StitchCaller(LargeAccount(), clock=VirtualClock(loop)))
        self.begun: list[float] = []

    def ask(self) -> asyncio.Task[None]:
        def answer() -> None:
            self.begun.append(self.loop.time())
            self.loop.latency = 10.0

        return asyncio.ensure_future(self.session.call(answer))

    def ask_in_vain(self) -> asyncio.Task[None]:
        """Ask somebody who is there again after 100 seconds."""
        gone_until = self.loop.time() + 100.0

        def answer() -> None:
            self.loop.latency = 10.0
            if self.loop.time() < gone_until:
                raise StitchUnavailable("Stitch is down.", retry_after=90.0)

        return asyncio.ensure_future(self.session.call(answer))


@pytest.fixture
def asking(loop):
    return Asking(loop)


def test_no_more_than_there_are_places_for_begin_at_once(loop, asking):
    async def story() -> None:
        await asyncio.gather(*(asking.ask() for _ in range(2 * MAX_CONCURRENT_REQUESTS + 1)))

    run(loop, story())

    assert asking.begun == [0.0] * MAX_CONCURRENT_REQUESTS + [10.0] * MAX_CONCURRENT_REQUESTS + [20.0]


def test_who_pauses_leaves_its_place_to_others(loop, asking):
    async def story() -> None:
        in_vain = [asking.ask_in_vain() for _ in range(MAX_CONCURRENT_REQUESTS)]
        await asyncio.gather(*in_vain, asking.ask())

    run(loop, story())

    assert asking.begun == [10.0]


@pytest.mark.parametrize("cancelled_at", [5.0, 50.0, 105.0], ids=["asking", "pausing", "waiting for a place"])
def test_who_is_cancelled_takes_no_place_along(loop, asking, cancelled_at):
    async def story() -> None:
        for each in [asking.ask_in_vain() for _ in range(MAX_CONCURRENT_REQUESTS)]:
            loop.call_later(cancelled_at, each.cancel)
        loop.call_later(99.0, lambda: [asking.ask() for _ in range(MAX_CONCURRENT_REQUESTS)])
        await asyncio.sleep(120.0)
        await asyncio.gather(*(asking.ask() for _ in range(2 * MAX_CONCURRENT_REQUESTS)))

    run(loop, story())

    assert (
        asking.begun
        == [99.0] * MAX_CONCURRENT_REQUESTS
        + [120.0] * MAX_CONCURRENT_REQUESTS
        + [130.0] * MAX_CONCURRENT_REQUESTS
    )
