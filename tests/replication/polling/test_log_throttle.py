"""Test that many waiters do not all write log lines at the same time."""

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

TIMEOUT = 1800.0
WAITERS = 60
MAX_BURST = 20


def most_within(seconds: float, sorted_times: list[float]) -> int:
    """Return the maximum number of log lines in any interval of the given length."""
    return max(bisect_left(sorted_times, at + seconds) - number for number, at in enumerate(sorted_times))


@pytest.mark.parametrize("poll_interval", [None, 60.0], ids=["scheduled", "at an interval"])
def test_waiters_log_one_heartbeat_per_second(poll_interval):
    never = float("inf")
    account = VirtualAccount(TimedJobs(dict.fromkeys(range(310_000, 310_000 + WAITERS), never)))
    account.client.now = account.loop.time
    heartbeats: list[tuple[float, int]] = []

    async def wait(source_id: int) -> None:
        def log_info(line: str) -> None:
            if line.startswith("Still waiting"):
                heartbeats.append((account.loop.time(), source_id))

        session = account.session(deadline=account.clock.time() + TIMEOUT)
        goal = extraction_goal(source_id)
        await Waiter(session, goal, poll_interval=poll_interval, log_info=log_info).wait()

    async def wait_for_all() -> None:
        await asyncio.gather(*map(wait, account.client.ends))

    account.run(wait_for_all)

    times = [at for at, _ in heartbeats]
    assert min(times) >= HEARTBEAT_INTERVAL - 0.001  # allows for rounding errors in virtual time
    assert most_within(10 * HEARTBEAT_LOG.interval, times) <= 10 + 1
    by_source = Counter(source_id for _, source_id in heartbeats)
    assert len(by_source) == WAITERS, "a waiter has logged no heartbeat"
    assert max(by_source.values()) <= TIMEOUT / HEARTBEAT_INTERVAL


class LoggingWaiters:
    """Runs tasks that wait for jobs of 100 seconds, and records when the tasks write log lines."""

    def __init__(self) -> None:
        jobs = dict.fromkeys(range(310_000, 310_000 + WAITERS), 100.0)
        self.account = VirtualAccount(TimedJobs(jobs))
        self.account.client.now = self.account.loop.time
        self.first_lines: dict[int, float] = {}  #: when the task for each source wrote its first log line

    def wait(self) -> None:
        async def wait_for_all() -> None:
            await asyncio.gather(*map(self._wait, self.account.client.ends))

        self.account.run(wait_for_all)

    async def _wait(self, source_id: int) -> None:
        def record(line: str) -> None:
            if not line.startswith("Waiting"):
                self.first_lines.setdefault(source_id, self.account.loop.time())

        session = self.account.session()
        session._on_warning = record
        await Waiter(session, extraction_goal(source_id), log_info=record).wait()

    def most_first_lines_within(self, seconds: float) -> int:
        return most_within(seconds, sorted(self.first_lines.values()))


@pytest.fixture
def waiters():
    return LoggingWaiters()


def test_waiters_do_not_all_log_the_end_of_their_jobs_at_once(waiters):
    waiters.wait()

    assert len(waiters.first_lines) == WAITERS
    assert waiters.most_first_lines_within(10 * PROGRESS_LOG.interval) <= MAX_BURST + 10


def test_waiters_do_not_all_log_an_outage_at_once(waiters):
    outage_ends_at = 60.0

    def fail() -> None:
        if waiters.account.loop.time() < outage_ends_at:
            raise StitchUnavailable("Stitch is down.")

    waiters.account.client.before_each = fail
    waiters.wait()

    assert len(waiters.first_lines) == WAITERS
    assert max(waiters.first_lines.values()) < outage_ends_at
    assert waiters.most_first_lines_within(10 * PROGRESS_LOG.interval) <= MAX_BURST + 10
