"""Test large accounts, lists, logs and names.

Each operation must either succeed, with time and memory that grow linearly, or raise a clear error.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Callable

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.endpoints import pagination
from airflow_provider_stitch.connect.errors import UnexpectedResponse, UnknownStream
from airflow_provider_stitch.connect.log_parser.streams import MAX_STREAMS, MAX_TOTAL_NAME_BYTES
from airflow_provider_stitch.connect.objects import Load, Page
from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.rules.observations import Observations
from airflow_provider_stitch.replication.rules.streams import MAX_NAMES, join_names, select_streams
from airflow_provider_stitch.replication.waiter import Waiter
from benchmarks.scale import cases
from benchmarks.scale.account import DAY, TimedJobs, VirtualAccount, extraction_goal
from simulated_stitch.large_account import AT, load_of
from tests.support.builders import OURS, SOURCE_ID

#: Maximum length of an error message. Airflow stores error messages in its database.
MAX_MESSAGE_LENGTH = 100_000


def count_calls(function: Callable[[], object]) -> int:
    """Return the number of Python function calls, which does not depend on the speed of the machine."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(previous)
    return calls


def observe(number: int) -> Observations:
    """Return the observations of a source with `number` streams. The rows of all streams are loaded."""
    names = [f"stream_{index:05d}" for index in range(number)]
    return cases.loaded_streams(names, cases.log_with_rows(names))


LOADING = Goal("loading", SOURCE_ID, "github", 104857, job_name=OURS)


def test_cost_of_evaluation_is_linear_in_streams():
    few, many = observe(50), observe(500)

    assert count_calls(lambda: evaluate(LOADING, many)) < 12 * count_calls(lambda: evaluate(LOADING, few))


def test_cost_of_reading_all_loads_is_linear_in_pages():
    def reader_of_pages(pages: int) -> Callable[[], object]:
        def list_loads(page: int) -> Page[Load]:
            records = tuple(load_of(f"source_{page}", f"stream_{index}") for index in range(100))
            return Page(records, page, 100 * pages, AT, page + 1 if page < pages else None)

        client = StitchClient("ac_token", client_id=104857)
        client.list_loads = list_loads
        return lambda: client.all_loads(sources=[])

    assert count_calls(reader_of_pages(40)) < 12 * count_calls(reader_of_pages(4))


def test_memory_is_linear_in_waiters_and_the_rate_limit_holds():
    def peak_memory(number: int) -> int:
        tracemalloc.start()
        try:
            figures = cases.waiters(number)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert figures["finished"] == number
        assert figures["in_10_minutes"] <= 30
        return peak

    peak_memory(1)  # the first call fills caches that all later calls use

    assert peak_memory(20) < 12 * peak_memory(2)


#: Maximum memory per waiter in bytes. Python 3.10 needs more memory for each suspended coroutine.
MAX_WAITER_BYTES = 4_500 if sys.version_info >= (3, 11) else 5_800


def test_memory_of_a_waiter_is_small():
    account = VirtualAccount(TimedJobs({SOURCE_ID: DAY}))
    account.client.now = account.loop.time

    async def memory_while_waiting(number: int) -> int:
        """Return the allocated memory in bytes while each waiter waits in its own asyncio task."""
        waiters = [Waiter(account.session(), extraction_goal(SOURCE_ID)) for _ in range(number)]
        tasks = [asyncio.ensure_future(waiter.wait()) for waiter in waiters]
        await account.clock.sleep(100)  # by this time, all waiters have finished their first polls
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return memory

    async def memory_per_waiter() -> float:
        await memory_while_waiting(1)  # the first waiter allocates the objects that all waiters share
        return (await memory_while_waiting(60) - await memory_while_waiting(10)) / 50

    tracemalloc.start()
    try:
        per_waiter = account.run(memory_per_waiter)
    finally:
        tracemalloc.stop()

    assert 2_000 < per_waiter < MAX_WAITER_BYTES


def test_list_with_too_many_pages_is_rejected(monkeypatch):
    monkeypatch.setattr(pagination, "MAX_PAGES", 3)
    client = StitchClient("ac_token", client_id=104857)
    client.list_loads = lambda page: Page((load_of("a", str(page)),), page, 10**9, AT, page + 1)

    with pytest.raises(UnexpectedResponse, match="more than 3 pages"):
        client.all_loads()


@pytest.mark.parametrize("script", cases.SCRIPTS)
def test_stream_names_may_have_1000_characters_of_any_script(stitch, waiter, script):
    name = cases.long_name(script)
    source = stitch.add_source("shop", streams={name: 12, "empty": 0})

    outcome = waiter.replicate(source)

    assert outcome.error is None
    assert {stream: figures["rows"] for stream, figures in outcome.result["streams"].items()} == {name: 12}
    assert waiter.warnings == []


def test_log_beyond_the_limits_of_streams_is_incomplete():
    small = cases.log_with_rows([f"{index:04d}" for index in range(100)])
    too_many = cases.log_with_rows([str(index) for index in range(MAX_STREAMS + 1)])
    too_long = cases.log_with_rows(
        [f"{index:05d}" + "x" * 4000 for index in range(MAX_TOTAL_NAME_BYTES // 4000 + 1)]
    )

    assert small.complete
    assert (too_many.complete, len(too_many.streams)) == (False, MAX_STREAMS)
    assert not too_long.complete
    assert sum(len(name.encode()) for name in too_long.streams) <= MAX_TOTAL_NAME_BYTES


def test_join_names_shows_the_first_names_and_the_number_of_others():
    assert join_names("abc") == "a, b, c"
    assert join_names(map(str, range(MAX_NAMES + 2)), "; ").endswith(f"; {MAX_NAMES - 1}; and 2 more")


def test_error_for_unknown_stream_is_short_with_10000_streams():
    streams = observe(10_000).streams

    with pytest.raises(UnknownStream, match="and 9950 more") as caught:
        select_streams(streams, ["stream"])
    assert len(str(caught.value)) < MAX_MESSAGE_LENGTH


@pytest.mark.parametrize("cause", ["timeout", "load errors"])
def test_error_for_1000_streams_with_long_names_is_short(stitch, waiter, cause):
    names = [f"{number:04d}{cases.long_name('Han', 900)}" for number in range(1000)]
    source = stitch.add_source("shop", streams={name: EmulatedStream(1) for name in names})
    never = {name: [Flush(at=50, rows=1, prepare=10**7)] for name in names}
    rejected = {name: LoadError("disk full") for name in names}
    plan = JobPlan(flushes=never) if cause == "timeout" else JobPlan(load_errors=rejected)
    stitch.plan_jobs(source, plan)
    started = waiter.start(source)

    outcome = waiter.wait(waiter.goal(source, started.job_name), timeout=400)

    assert cause != "timeout" or "and 950 more" in outcome.error["message"]
    assert len(outcome.error["message"]) < MAX_MESSAGE_LENGTH
    assert all(len(line) < MAX_MESSAGE_LENGTH for line in [*waiter.lines, *waiter.warnings])
