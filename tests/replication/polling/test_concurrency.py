"""Test the limit on concurrent requests in an event loop."""

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


class Requests:
    """Sends requests that take 10 seconds each."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.session = AccountSession(StitchCaller(LargeAccount(), clock=VirtualClock(loop)))
        self.started_at: list[float] = []  #: start time of each request that `send` has sent

    def send(self) -> asyncio.Task[None]:
        def respond() -> None:
            self.started_at.append(self.loop.time())
            self.loop.latency = 10.0

        return asyncio.ensure_future(self.session.call(respond))

    def send_during_outage(self) -> asyncio.Task[None]:
        """Send a request that is retried until an outage of 100 seconds ends."""
        outage_ends_at = self.loop.time() + 100.0

        def respond() -> None:
            self.loop.latency = 10.0
            if self.loop.time() < outage_ends_at:
                raise StitchUnavailable("Stitch is down.", retry_after=90.0)

        return asyncio.ensure_future(self.session.call(respond))


@pytest.fixture
def requests(loop):
    return Requests(loop)


def test_requests_beyond_the_limit_start_when_others_end(loop, requests):
    async def scenario() -> None:
        await asyncio.gather(*(requests.send() for _ in range(2 * MAX_CONCURRENT_REQUESTS + 1)))

    run(loop, scenario())

    assert requests.started_at == [0.0] * MAX_CONCURRENT_REQUESTS + [10.0] * MAX_CONCURRENT_REQUESTS + [20.0]


def test_request_that_pauses_before_a_retry_does_not_count(loop, requests):
    async def scenario() -> None:
        failing = [requests.send_during_outage() for _ in range(MAX_CONCURRENT_REQUESTS)]
        await asyncio.gather(*failing, requests.send())

    run(loop, scenario())

    assert requests.started_at == [10.0]


@pytest.mark.parametrize(
    "cancelled_at", [5.0, 50.0, 105.0], ids=["in flight", "pausing", "waiting for a slot"]
)
def test_cancelled_request_does_not_keep_its_slot(loop, requests, cancelled_at):
    async def scenario() -> None:
        for each in [requests.send_during_outage() for _ in range(MAX_CONCURRENT_REQUESTS)]:
            loop.call_later(cancelled_at, each.cancel)
        loop.call_later(99.0, lambda: [requests.send() for _ in range(MAX_CONCURRENT_REQUESTS)])
        await asyncio.sleep(120.0)
        await asyncio.gather(*(requests.send() for _ in range(2 * MAX_CONCURRENT_REQUESTS)))

    run(loop, scenario())

    assert (
        requests.started_at
        == [99.0] * MAX_CONCURRENT_REQUESTS
        + [120.0] * MAX_CONCURRENT_REQUESTS
        + [130.0] * MAX_CONCURRENT_REQUESTS
    )
