"""Large things work, or fail with words that say what is too large; their cost grows no faster than they."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from airflow_provider_stitch.connect import _pages
from airflow_provider_stitch.connect._log_streams import MAX_NAMES_SIZE, MAX_STREAMS
from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import UnexpectedAnswer, UnknownStream
from airflow_provider_stitch.connect.objects import Load, Page, Stream
from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.rules.observations import Observations
from airflow_provider_stitch.replication.rules.streams import MAX_NAMES, join_names, select_streams
from simulated_stitch.large_account import AT, load_of
from tests.replication import sizes
from tests.support.builders import OURS, SOURCE_ID, extraction

#: Characters that the text of an error may have: it travels through Airflow's database.
LONGEST_MESSAGE = 100_000


def steps_of(work: Callable[[], object]) -> int:
    """How many calls some work makes: what it costs, on however busy a machine."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def known_of(number: int) -> Observations:
    """All that is known of a source of so many streams, all of which had rows and are loaded."""
    names = [f"stream_{each:05d}" for each in range(number)]
    streams = [
        Stream.from_json({"stream_id": at, "tap_stream_id": each, "stream_name": each, "selected": True})
        for at, each in enumerate(names)
    ]
    known = replace(Observations(log=sizes.log_of(names)), streams=tuple(streams))
    known = known.with_extraction(extraction(), AT, is_ours=True)
    return known.with_loads([load_of("github", each) for each in names], AT)


LOADING = Goal("loading", SOURCE_ID, "github", 104857, job_name=OURS)


def test_ten_times_the_streams_cost_ten_times_the_steps():
    few, many = known_of(50), known_of(500)

    assert steps_of(lambda: evaluate(LOADING, many)) < 12 * steps_of(lambda: evaluate(LOADING, few))


def test_ten_times_the_pages_cost_ten_times_the_steps():
    def work(pages: int) -> Callable[[], object]:
        def list_loads(page: int) -> Page[Load]:
            records = tuple(load_of(f"source_{page}", f"stream_{each}") for each in range(100))
            return Page(records, page, 100 * pages, AT, page + 1 if page < pages else None)

        client = StitchClient("ac_token", client_id=104857)
        client.list_loads = list_loads
        return client.all_loads

    assert steps_of(work(40)) < 12 * steps_of(work(4))


def test_ten_times_the_waiters_take_ten_times_the_memory_and_are_all_told_within_the_limit():
    def peak(number: int) -> int:
        tracemalloc.start()
        try:
            told = sizes.waiters(number)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert told["finished"] == number
        assert told["in_10_minutes"] <= 30
        return most

    peak(1)  # with what is made once

    assert peak(60) < 12 * peak(6)


def test_a_list_of_more_than_a_thousand_pages_is_taken_for_none(monkeypatch):
    monkeypatch.setattr(_pages, "MOST_PAGES", 3)
    client = StitchClient("ac_token", client_id=104857)
    client.list_loads = lambda page: Page((load_of("a", str(page)),), page, 10**9, AT, page + 1)

    with pytest.raises(UnexpectedAnswer, match="more than 3 pages"):
        client.all_loads()


@pytest.mark.parametrize("script", sizes.SCRIPTS)
def test_a_stream_may_have_a_name_of_1000_characters_of_any_script(stitch, waiter, script):
    name = sizes.name_in(script)
    source = stitch.add_source("shop", streams={name: 12, "empty": 0})

    outcome = waiter.replicate(source)

    assert outcome.error is None
    assert {each: stream["rows"] for each, stream in outcome.result["streams"].items()} == {name: 12}
    assert waiter.warned == []


def test_a_log_keeps_the_names_of_so_many_streams_and_says_if_there_were_more():
    few = sizes.log_of([f"{each:04d}" for each in range(100)])
    too_many = sizes.log_of([str(each) for each in range(MAX_STREAMS + 1)])
    too_long = sizes.log_of([f"{each:05d}" + "x" * 4000 for each in range(MAX_NAMES_SIZE // 4000 + 1)])

    assert few.complete
    assert (too_many.complete, len(too_many.streams)) == (False, MAX_STREAMS)
    assert not too_long.complete
    assert sum(len(name.encode()) for name in too_long.streams) <= MAX_NAMES_SIZE


def test_of_very_many_names_a_message_shows_the_first():
    assert join_names("abc") == "a, b, c"
    assert join_names(map(str, range(MAX_NAMES + 2)), "; ").endswith(f"; {MAX_NAMES - 1}; and 2 more")


def test_an_unknown_stream_of_a_source_of_10000_is_refused_in_few_words():
    streams = known_of(10_000).streams

    with pytest.raises(UnknownStream, match="and 9950 more") as caught:
        select_streams(streams, ["stream"])
    assert len(str(caught.value)) < LONGEST_MESSAGE


@pytest.mark.parametrize("happens", ["time is up", "the destination refuses them all"])
def test_a_failure_of_1000_streams_of_long_names_has_few_words(stitch, waiter, happens):
    names = [f"{number:04d}{sizes.name_in('Han', 900)}" for number in range(1000)]
    source = stitch.add_source("shop", streams={name: EmulatedStream(1) for name in names})
    never = {name: [Flush(at=50, rows=1, prepare=10**7)] for name in names}
    refused = {name: LoadError("disk full") for name in names}
    plan = JobPlan(flushes=never) if happens == "time is up" else JobPlan(load_errors=refused)
    stitch.plan_jobs(source, plan)
    started = waiter.start(source)

    outcome = waiter.wait(waiter.goal(source, started.job_name), patience=1200)

    assert happens != "time is up" or "and 950 more" in outcome.error["message"]
    assert len(outcome.error["message"]) < LONGEST_MESSAGE
    assert all(len(line) < LONGEST_MESSAGE for line in [*waiter.told, *waiter.warned])
