"""Of many who wait, one after the other says how far it is."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter

import pytest

from airflow_provider_stitch.connect.errors import StitchUnavailable
from airflow_provider_stitch.replication.polling.log_throttle import HEARTBEAT_LOG, PROGRESS_LOG
from airflow_provider_stitch.replication.progress import HEARTBEAT_INTERVAL
from airflow_provider_stitch.replication.waiter import Waiter
from benchmarks.scale.account import TimedJobs, VirtualAccount, extraction_goal

LONG = 1800.0
MANY = 60
MAX_BURST = 20


@pytest.mark.parametrize("poll_interval", [None, 60.0], ids=["planned", "at an interval"])
def test_of_many_who_begin_to_wait_at_once_one_a_second_says_that_it_still_does(poll_interval):
    never = float("inf")
    account = VirtualAccount(TimedJobs(dict.fromkeys(range(310_000, 310_000 + MANY), never)))
    account.client.now = account.loop.time
    said: list[tuple[float, int]] = []

    async def wait(source_id: int) -> None:
        def tell(line: str) -> None:
            if line.startswith("Still waiting"):
                said.append((account.loop.time(), source_id))

        session = account.session(deadline=account.clock.time() + LONG)
        await Waiter(session, extraction_goal(source_id), poll_interval=poll_interval, log_info=tell).wait()

    async def story() -> None:
        await asyncio.gather(*map(wait, account.client.ends))

    account.run(story)

    times = [at for at, _ in said]
    assert min(times) >= HEARTBEAT_INTERVAL - 0.001  # of virtual time, as it was added up
    pace = HEARTBEAT_LOG.interval
    busiest = max(bisect_left(times, at + 10 * pace) - number for number, at in enumerate(times))
    assert busiest <= 10 + 1
    each = Counter(source_id for _, source_id in said)
    assert len(each) == MANY, "everybody has had its turn"
    assert max(each.values()) <= LONG / HEARTBEAT_INTERVAL


class Said:
    """The lines of tasks that wait for jobs which have all ended after 100 seconds, and when they came."""

    def __init__(self) -> None:
        jobs = dict.fromkeys(range(310_000, 310_000 + MANY), 100.0)
        self.account = VirtualAccount(TimedJobs(jobs))
        self.account.client.now = self.account.loop.time
        self.times: dict[int, list[float]] = {}

    def wait(self) -> None:
        async def story() -> None:
            await asyncio.gather(*map(self._wait, self.account.client.ends))

        self.account.run(story)

    async def _wait(self, source_id: int) -> None:
        def say(line: str) -> None:
            if not line.startswith("Waiting"):
                self.times.setdefault(source_id, []).append(self.account.loop.time())

        session = self.account.session()
        session._on_warning = say
        await Waiter(session, extraction_goal(source_id), log_info=say).wait()

    def most_within(self, seconds: float) -> int:
        """How many tasks said something for the first time within so many seconds."""
        times = sorted(each[0] for each in self.times.values())
        return max(bisect_left(times, at + seconds) - number for number, at in enumerate(times))


@pytest.fixture
def said():
    return Said()


def test_of_many_whose_jobs_turn_out_to_have_ended_one_after_the_other_says_so(said):
    said.wait()

    assert len(said.times) == MANY
    assert said.most_within(10 * PROGRESS_LOG.interval) <= MAX_BURST + 10


def test_of_many_who_meet_an_outage_one_after_the_other_says_so(said):
    gone_until = 60.0

    def fail() -> None:
        if said.account.loop.time() < gone_until:
            raise StitchUnavailable("Stitch is down.")

    said.account.client.before_each = fail
    said.wait()

    assert len(said.times) == MANY
    assert max(each[0] for each in said.times.values()) < gone_until
    assert said.most_within(10 * PROGRESS_LOG.interval) <= MAX_BURST + 10
