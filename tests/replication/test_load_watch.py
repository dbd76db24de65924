"""Test how watchers observe the loads of an account, in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import Any

import pytest

from airflow_provider_stitch.connect.errors import StitchUnauthorized
from airflow_provider_stitch.replication.load_cursor import LoadCursor
from airflow_provider_stitch.replication.load_watch import Interest, Interests, LoadWatch
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.account import STREAMS, SimulatedAccount
from simulated_stitch.large_account import LargeAccount, load_of, loads_by_stream_name, sources_with
from simulated_stitch.virtual_time import START
from tests.support.polled_account import PolledAccount

WINDOW = 600.0


class Watched:
    """A watched account and a record of the announced loads."""

    def __init__(self, client: Any = None, *, sources: int = 1) -> None:
        self.account = PolledAccount(client)
        self.stitch = client or SimulatedAccount(self.account.loop, sources)
        self.interests = Interests()
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.announced: list[tuple[str, str, float]] = []  # tuples of source name, stream name and load time
        self.seen_at: list[float] = []
        self.snapshot_times: list[float] = []
        self._cursors: dict[str, LoadCursor] = {}

    @property
    def loop(self) -> Any:
        return self.account.loop

    def watch(self) -> LoadWatch:
        async def read_client() -> Any:
            return self.stitch

        return LoadWatch(
            self.interests,
            read_client,
            lambda client, _: self.account.session(client),
            clock=self.account.clock,
            log_warning=self.warnings.append,
            log_info=self.lines.append,
        )

    async def consume(self, watch: LoadWatch) -> None:
        async for snapshot in (each async for batch in watch.batches() for each in batch.snapshots.values()):
            cursor = self._cursors.setdefault(snapshot.source, LoadCursor(snapshot.stitch_time))
            new = cursor.new_loads(snapshot.loads)
            self._cursors[snapshot.source] = cursor.after(new)
            self.snapshot_times.append(self.loop.time())
            for stream, at in new.items():
                self.announced.append((snapshot.source, stream, (at - START).total_seconds()))
                self.seen_at.append(self.loop.time())

    def run(self, scenario: Any, seconds: float) -> None:
        """Run a scenario and a watch concurrently for the given number of virtual seconds."""

        async def main() -> None:
            consumer = asyncio.ensure_future(self.consume(self.watch()))
            beside = asyncio.ensure_future(scenario())
            await asyncio.sleep(seconds)
            assert not consumer.done()
            consumer.cancel()
            beside.cancel()
            await asyncio.gather(consumer, beside, return_exceptions=True)

        self.account.run(main)


def busiest_window(times: list[float]) -> int:
    return max(sum(start <= time < start + WINDOW for time in times) for start in times)


def interest(source: str = "source_0000", stream: str | None = "commits", every: float = 60.0) -> Interest:
    return Interest(source, stream, every)


async def idle() -> None:
    """Run a scenario in which no task waits."""


def test_watch_without_tasks_polls_at_most_once_per_interval():
    watched = Watched()
    watched.interests.add("watcher", interest())
    watched.run(idle, 3600)

    times = watched.stitch.limited_request_times
    assert 45 <= len(times) <= 60
    assert busiest_window(times) <= 10


def test_watchers_of_one_account_share_polls():
    watched = Watched(sources=20)
    for number in range(20):
        watched.interests.add(number, interest(f"source_{number:04}"))
    watched.run(idle, 3600)

    assert busiest_window(watched.stitch.limited_request_times) <= 11


def test_new_load_is_announced_within_two_intervals():
    watched = Watched()
    watched.interests.add("watcher", interest())

    async def load() -> None:
        await asyncio.sleep(1000)
        watched.stitch.start_job(0, duration=100, flush_offsets=[50] * 3, load_lags=[60] * 3)

    watched.run(load, 1500)

    (_, stream, loaded_at), *_ = watched.announced
    assert (stream, loaded_at) == ("commits", 1110)
    assert watched.seen_at[0] - loaded_at <= 120


def test_source_watcher_sees_all_streams():
    watched = Watched()
    watched.interests.add("watcher", interest(stream=None))

    async def load() -> None:
        await asyncio.sleep(100)
        watched.stitch.start_job(0, duration=100, flush_offsets=[50] * 3, load_lags=[60, 400, 800])

    watched.run(load, 1500)

    assert {stream for _, stream, _ in watched.announced} == set(STREAMS)


def test_watchers_and_50_tasks_stay_within_the_budget_and_see_every_load():
    """The watchers reuse the polls for the tasks, and do not delay the tasks."""
    watched = Watched(sources=60)
    for number in range(60):
        watched.interests.add(number, interest(f"source_{number:04}"))
    delays: list[float] = []

    async def wait_for_job(number: int) -> None:
        await asyncio.sleep(number * 20)
        source = watched.stitch.sources[number]
        for _ in range(3):
            job = watched.stitch.start_job(
                number, duration=300 + 20 * number, flush_offsets=[200] * 3, load_lags=[300] * 3
            )
            goal = Goal("loading", source.id, source.name, watched.stitch.client_id, job_name=job.name)
            outcome = await Waiter(watched.account.session(watched.stitch), goal).wait()
            assert outcome.error is None
            delays.append(watched.loop.time() - max(job.ended_at, *job.loaded_at))

    async def tasks() -> None:
        await asyncio.gather(*(wait_for_job(number) for number in range(50)))

    watched.run(tasks, 10_000)

    assert busiest_window(watched.stitch.limited_request_times) <= 30
    assert len(delays) == 150
    jobs = watched.stitch._jobs.values()
    expected = {(f"source_{int(job.name.split('.')[1]) - 310_000:04}", job.loaded_at[0]) for job in jobs}
    announced = [(source, at) for source, stream, at in watched.announced if stream == "commits"]
    # Stitch truncates times to whole seconds.
    assert {(source, math.floor(at)) for source, at in expected} <= {
        (source, math.floor(at)) for source, at in announced
    } | _superseded(expected)
    assert max(Counter(announced).values()) == 1


def _superseded(loads: set[tuple[str, float]]) -> set[tuple[str, int]]:
    """Return the loads that a newer load may have replaced before the source was polled."""
    newest: dict[str, float] = {}
    for source, at in loads:
        newest[source] = max(at, newest.get(source, at))
    return {(source, math.floor(at)) for source, at in loads if at != newest[source]}


def test_rejected_token_causes_few_requests_and_one_warning_until_the_connection_changes():
    watched = Watched(sources=3)
    rejected = LargeAccount(sources=sources_with(["commits"], ["source_0000", "source_0001"]))

    def reject() -> None:
        raise StitchUnauthorized("The token is disabled.")

    rejected.before_each = reject
    accepted, watched.stitch = watched.stitch, rejected
    for number in range(2):
        watched.interests.add(number, interest(f"source_{number:04}"))

    async def replace_token() -> None:
        await asyncio.sleep(600)
        watched.stitch = accepted
        accepted.start_job(0, duration=100, flush_offsets=[50] * 3, load_lags=[60] * 3)

    watched.run(replace_token, 900)

    assert len(rejected.requests) <= 8
    (warning,) = watched.warnings
    assert "The token is disabled." in warning
    assert len(watched.lines) == 1
    assert ("source_0000", "commits", 710.0) in watched.announced


def test_failure_to_read_the_connection_does_not_end_the_watch():
    watched = Watched()
    watched.interests.add("watcher", interest())
    watch = watched.watch()
    failures = iter([RuntimeError("Airflow's API server is gone")] * 3)

    async def read_client() -> Any:
        for error in failures:
            raise error
        return watched.stitch

    watch._read_client = read_client
    watched.watch = lambda: watch
    watched.run(idle, 900)

    assert len(watched.warnings) == 1
    assert watched.stitch.limited_request_times


def test_source_that_is_no_longer_watched_is_not_polled():
    watched = Watched()
    watched.interests.add("watcher", interest())

    async def remove() -> None:
        await asyncio.sleep(300)
        watched.interests.remove("watcher")

    watched.run(remove, 3600)

    assert max(watched.stitch.limited_request_times) <= 300


def test_watch_of_a_long_list_uses_a_third_of_the_budget():
    """The loads of the watched streams are spread over many pages."""
    names = [f"source_{number:04}" for number in range(300)]
    client = LargeAccount(loads=loads_by_stream_name(names, STREAMS), sources=sources_with(STREAMS, names))
    watched = Watched(client)
    for number in range(0, 300, 30):
        watched.interests.add(number, interest(names[number], None))
    watched.run(idle, 7200)

    assert 60 <= len(client.requests) <= 12 * 10 + 20


def test_unknown_source_is_reported_and_still_watched():
    client = LargeAccount(loads=[load_of("github", "commits")], sources=sources_with(["commits"], ["github"]))
    watched = Watched(client)
    watched.interests.add("watcher", interest("gitlab"))
    watched.run(idle, 600)

    (warning,) = watched.warnings
    assert "This Stitch account has no source 'gitlab'. It has: github" in warning


@pytest.mark.parametrize("hours", [-2, 2])
def test_watch_continues_if_the_clock_was_set(hours):
    watched = Watched()
    watched.interests.add("watcher", interest())

    async def set_clock() -> None:
        await asyncio.sleep(600)
        watched.account.clock.offset = hours * 3600.0
        await asyncio.sleep(60)
        watched.stitch.start_job(0, duration=100, flush_offsets=[50] * 3, load_lags=[60] * 3)

    watched.run(set_clock, 1500)

    assert ("source_0000", "commits", 770.0) in watched.announced
