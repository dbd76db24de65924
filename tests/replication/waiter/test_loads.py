"""Test which loads end a wait."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.connect.errors import (
    LoadingFailed,
)
from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError, LogPlan
from airflow_provider_stitch.replication.waiter import Waiter
from tests.replication.conftest import EmulatedClock
from tests.replication.waiter.durations import seconds_after


def test_load_before_the_end_of_the_extraction_counts(stitch, waiter, github):
    early_flushes = JobPlan(
        tap_seconds=7200, flushes={"commits": [Flush(at=60, rows=120)], "pulls": [Flush(at=60, rows=7)]}
    )
    stitch.plan_jobs(github, early_flushes)

    result = waiter.replicate(github).result

    assert result["loaded_at"] < result["extraction_completed_at"]


def test_load_before_the_last_flush_does_not_count(stitch, waiter, github):
    slow = Flush(at=100, rows=20, prepare=3600)
    stitch.plan_jobs(
        github, JobPlan(flushes={"commits": [Flush(at=5, rows=100, prepare=1, load=1), slow], "pulls": []})
    )

    result = waiter.replicate(github).result

    record = stitch.jobs(github)[0]
    assert seconds_after(stitch, record, result["streams"]["commits"]["loaded_at"]) >= 3700


def test_load_of_the_first_batch_after_the_second_flush_does_not_count(stitch, waiter, github):
    plan = JobPlan(
        flushes={
            "commits": [
                Flush(at=60, rows=100, prepare=90, load=0),
                Flush(at=140, rows=20, prepare=100, load=0),
            ],
            "pulls": [],
        }
    )
    stitch.plan_jobs(github, plan)

    loaded_at = waiter.replicate(github).result["streams"]["commits"]["loaded_at"]

    assert seconds_after(stitch, stitch.jobs(github)[0], loaded_at) == pytest.approx(240, abs=1)


def test_load_of_the_first_batch_counts_if_load_settle_is_0(stitch, waiter, github):
    plan = JobPlan(
        flushes={
            "commits": [
                Flush(at=60, rows=100, prepare=90, load=0),
                Flush(at=140, rows=20, prepare=3600, load=0),
            ],
            "pulls": [],
        }
    )
    stitch.plan_jobs(github, plan)

    loaded_at = waiter.replicate(github, load_settle=0).result["streams"]["commits"]["loaded_at"]

    assert seconds_after(stitch, stitch.jobs(github)[0], loaded_at) == pytest.approx(150, abs=1)


def test_job_without_rows_finishes_with_its_extraction(stitch, waiter):
    idle = stitch.add_source("idle", streams={"commits": 0})

    outcome = waiter.replicate(idle)

    assert outcome.error is None
    assert outcome.result["streams"] == {}
    assert outcome.result["loaded_at"] is None
    assert "nothing to load" in waiter.lines[-1]


def test_new_load_error_fails_the_wait_with_the_destinations_message(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("relation commits is locked")}))

    with pytest.raises(LoadingFailed, match="commits: relation commits is locked"):
        waiter.replicate(github).raise_for_error()

    started_at = stitch.jobs(github)[-1].start_time
    assert (stitch.now() - started_at).total_seconds() < 300, "the error was treated as an old one"


def test_old_load_error_fails_the_wait_after_two_more_polls(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.set_load_error(github, "commits", "disk full", seconds_ago=1800)

    with pytest.raises(LoadingFailed, match="commits: disk full"):
        waiter.replicate(github).raise_for_error()

    started_at = stitch.jobs(github)[-1].start_time
    assert (stitch.now() - started_at).total_seconds() >= 300
    assert any("may be older than this job" in line for line in waiter.warnings)


def test_old_load_error_that_clears_does_not_fail_the_wait(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.set_load_error(github, "commits", "disk full", seconds_ago=1800)
    started = waiter.start(github)
    stitch.advance(100)

    def clear_error_before_fifth_request():
        if len(stitch.limited_requests) == 4:
            stitch.clear_load_error(github, "commits")

    waiter.client.on_limited_request = clear_error_before_fifth_request

    assert waiter.wait(waiter.goal(github, started.job_name)).error is None


def test_preparation_succeeds_if_loading_fails(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("locked")}))

    assert waiter.replicate(github, phase="preparation").error is None


def test_wait_without_a_log_waits_for_all_selected_streams(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(log=LogPlan(available=False)))

    outcome = waiter.replicate(github)

    assert outcome.error is None
    assert {name: stream["rows"] for name, stream in outcome.result["streams"].items()} == {
        "commits": None,
        "pulls": None,
    }
    assert any("streams that had rows are unknown" in line for line in waiter.warnings)
    assert any("Found no load of issues" in line for line in waiter.warnings)


@pytest.mark.parametrize("target", ["avro", "target-stitch"])
def test_slow_load_does_not_use_up_the_budget(stitch, waiter, github, target):
    """With the Avro target, an earlier load is sufficient after the quiet period.

    The quiet period must not seem to have passed because the last load of the source is old.
    """
    stitch.complete_job(github, seconds_ago=86_400)
    flushes = {"commits": [Flush(at=5, rows=5, prepare=600)], "pulls": [], "issues": []}
    stitch.plan_jobs(github, JobPlan(tap_seconds=20, flushes=flushes, log=LogPlan(target=target)))

    waiter.replicate(github)

    times = [request.at for request in stitch.limited_requests]
    end = stitch.jobs(github)[-1].start_time.timestamp() + 240
    assert sum(time.timestamp() < end for time in times) < 20


def test_deselected_namesake_on_another_page_does_not_count_as_ours(stitch, waiter):
    stitch.quirks.loads_order = "stream_id"
    users = {
        schema: EmulatedStream(
            rows=7, tap_stream_id=schema, stream_name="users", schema_name=schema, selected=schema == "new"
        )
        for schema in ("old", "new")
    }
    others = {f"table_{number}": 0 for number in range(110)}
    shop = stitch.add_source("shop", streams={"old": users["old"], **others, "new": users["new"]})
    for stream in ("old", *others, "new"):
        stitch.record_load(shop, stream, seconds_ago=86_400)

    goal = waiter.goal(shop, waiter.start(shop).job_name)

    assert waiter.wait(goal, stateless=True).error is None


def test_load_error_from_before_the_job_is_old_despite_an_earlier_poll(stitch, waiter):
    """A sensor can poll the loads hours before the job starts."""
    clock = EmulatedClock(stitch)
    shop = stitch.add_source("shop", streams={"orders": 5}, schedule_minutes=60)
    stitch.record_load(shop, "orders", seconds_ago=7200)
    events = {1800.0: stitch.set_load_error, 3600.0 + 320: stitch.clear_load_error}
    started_at = clock.time()

    class ClockWithEvents(EmulatedClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            for due in [each for each in events if self.time() - started_at >= each]:
                events.pop(due)(shop, "orders")

    session = waiter.session()
    session.caller.clock = ClockWithEvents(stitch)
    goal = waiter.goal(shop, started_after=stitch.now())

    outcome = asyncio.run(Waiter(session, goal, log_warning=waiter.warnings.append).wait())

    assert outcome.error is None
    assert events == {}
    assert any("may be older than this job" in warning for warning in waiter.warnings)


def test_cached_error_from_before_the_wait_does_not_fail_it_if_cleared(stitch, waiter):
    # The loads fill three pages, which are cached at different times.
    others = {f"a_{number}": 0 for number in range(250)}
    shop = stitch.add_source("shop", streams={**others, "orders": 5})
    for stream in others:
        stitch.record_load(shop, stream, seconds_ago=86_400)
    stitch.set_load_error(shop, "orders", seconds_ago=60)
    started = waiter.start(shop)
    goal = waiter.goal(shop, started.job_name)

    async def scenario():
        first = await Waiter(waiter.session(), goal).wait()
        stitch.clear_load_error(shop, "orders")
        stitch.advance(3600)
        return first, await Waiter(waiter.session(), goal).wait()

    first, second = asyncio.run(scenario())

    assert first.error is not None
    assert first.error["kind"] == "LoadingFailed"
    assert second.error is None


def test_cached_error_from_another_wait_does_not_fail_ours_if_cleared(stitch, waiter):
    others = {f"a_{number}": 0 for number in range(250)}
    shop = stitch.add_source("shop", streams={**others, "orders": 5}, job=JobPlan(tap_seconds=600))
    for stream in (*others, "orders"):
        stitch.record_load(shop, stream, seconds_ago=86_400)
    started = waiter.start(shop)
    goal = waiter.goal(shop, started.job_name)

    async def scenario():
        first, second = Waiter(waiter.session(), goal), Waiter(waiter.session(), goal)
        for each in (first, second):
            assert (await each.poll_once()).state == "running"
        stitch.set_load_error(shop, "orders")
        failed = await first.wait()
        stitch.clear_load_error(shop, "orders")
        stitch.advance(3600)
        return failed, await second.wait()

    failed, passed = asyncio.run(scenario())

    assert failed.error is not None
    assert failed.error["kind"] == "LoadingFailed"
    assert passed.error is None


def test_streams_that_share_a_name_in_two_schemas_are_one_load(stitch, waiter):
    shop = stitch.add_source(
        "shop_pg",
        type="platform.hp-postgres",
        streams={
            "public_orders": EmulatedStream(5, "shop-public-orders", "orders", schema_name="public"),
            "archive_orders": EmulatedStream(9, "shop-archive-orders", "orders", schema_name="archive"),
        },
    )

    result = waiter.replicate(shop).result

    # The target's log contains only the table name, so the result contains one load for both streams.
    assert {name: stream["rows"] for name, stream in result["streams"].items()} == {"orders": 14}
