"""Tests of waiting for a phase, over HTTP against the emulator, in emulated time."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from airflow_provider_stitch.connect.errors import (
    CannotFinish,
    DeletedSource,
    ExtractionFailed,
    JobOutcomeUnknown,
    LoadingFailed,
    PhaseTimedOut,
    RateLimited,
    StitchUnauthorized,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects import format_time, parse_time
from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError, LogPlan
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.rules.loading import may_overlap_previous_job
from airflow_provider_stitch.replication.rules.observations import Observations
from airflow_provider_stitch.replication.waiter import Waiter
from tests.replication.conftest import EmulatedClock
from tests.support.builders import EARLIER, at, extraction


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})


def seconds_after(stitch, record, instant):
    """Return the seconds from the start of a job to an instant, in whole seconds as Stitch reports times."""
    return (parse_time(instant) - record.start_time.replace(microsecond=0)).total_seconds()


# --- From start to loaded -------------------------------------------------------------------------------


def test_wait_succeeds_when_the_rows_of_the_job_are_loaded(stitch, waiter, github):
    outcome = waiter.replicate(github)

    assert outcome.error is None
    result = outcome.result
    assert result["job_name"] == stitch.jobs(github)[0].job_name
    assert {name: stream["rows"] for name, stream in result["streams"].items()} == {
        "commits": 120,
        "pulls": 7,
    }
    assert result["started_at"] < result["extraction_completed_at"] < result["loaded_at"]
    assert result["loaded_at"] == max(stream["loaded_at"] for stream in result["streams"].values())
    assert waiter.warnings == []


def test_wait_logs_each_step(waiter, github):
    waiter.replicate(github)

    waiting, extraction, heading, *loaded = waiter.lines
    assert waiting == "Waiting for loading of source github (310442)"
    assert extraction.startswith("Extraction finished after 150 s, at ")
    assert heading == "2 streams to load: commits (120 rows), pulls (7 rows)"
    assert sorted(line.split(" at ")[0] for line in loaded) == [
        "Loaded commits: 120 rows",
        "Loaded pulls: 7 rows",
    ]


@pytest.mark.parametrize(
    "phase", ["structure_sync", "extraction", "preparation", "loading", "extraction_end"]
)
def test_wait_succeeds_for_each_phase(waiter, github, phase):
    assert waiter.replicate(github, phase=phase).error is None


def test_wait_of_two_hours_keeps_the_rate_limit(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=2 * 3600))

    assert waiter.replicate(github).error is None
    assert stitch.busiest_window() <= 30


def test_short_poll_interval_keeps_the_rate_limit(stitch, waiter, github):
    started = waiter.start(github)
    waiter.wait(waiter.goal(github, started.job_name), poll_interval=1)

    assert stitch.busiest_window() <= 30


def test_late_waiter_succeeds_on_its_first_poll(stitch, waiter, github):
    job = stitch.complete_job(github, seconds_ago=3600)

    outcome = waiter.wait(waiter.goal(github, job.job_name))

    assert outcome.error is None
    assert len(stitch.limited_requests) == 3  # loads, extraction, log


def test_long_wait_logs_heartbeats(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=3000))

    waiter.replicate(github)

    heartbeats = [line for line in waiter.lines if line.startswith("Still waiting for loading")]
    assert 4 <= len(heartbeats) <= 6
    assert heartbeats[0].endswith("is not listed as finished; Stitch lists no finished job of the source")


# --- Records in the lists -------------------------------------------------------------------------------


def test_wait_finds_a_source_on_the_third_page(stitch, waiter):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(250)]
    for source_id in ids:
        stitch.complete_job(source_id, seconds_ago=600)

    outcome = waiter.replicate(ids[240], phase="extraction")

    assert outcome.error is None
    assert stitch.busiest_window() <= 30


def test_wait_finds_a_record_that_moves_to_the_next_page(stitch, waiter):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(201)]
    new_source, *others = ids
    for source_id in others:
        stitch.complete_job(source_id, seconds_ago=600)
    job = stitch.jobs(ids[100])[0]
    # Its record is the last of the first page until a job of the new source is listed before it.
    moves = [lambda: stitch.complete_job(new_source, seconds_ago=60)]

    def move_record():
        if moves:
            moves.pop()()

    waiter.client.on_limited_request = move_record

    assert waiter.wait(waiter.goal(ids[100], job.job_name, "extraction")).error is None


@pytest.mark.parametrize("order", ["stream_name", "stream_id"])
def test_wait_finds_loads_in_either_order(stitch, waiter, order):
    stitch.quirks.loads_order = order
    for number in range(12):
        other = stitch.add_source(f"other_{number}", streams={f"stream_{n}": 1 for n in range(30)})
        stitch.complete_job(other, seconds_ago=600)
    last = stitch.add_source("last", streams={"aardvarks": 3, "zebras": 4})

    assert set(waiter.replicate(last).result["streams"]) == {"aardvarks", "zebras"}
    assert stitch.busiest_window() <= 30


def test_listed_job_without_completion_time_is_still_running(stitch, waiter, github):
    stitch.quirks.list_running_jobs = True

    outcome = waiter.replicate(github)

    assert outcome.error is None
    assert outcome.result["extraction_completed_at"] is not None


def test_log_decides_if_a_later_job_is_listed(stitch, waiter, github):
    ours = stitch.complete_job(
        github, seconds_ago=2000, tap_exit_status=1, tap_description="401 Unauthorized"
    )
    later = stitch.complete_job(github, seconds_ago=1000)

    outcome = waiter.wait(waiter.goal(github, ours.job_name, "extraction"))

    assert later.job_name not in outcome.error["message"]
    with pytest.raises(ExtractionFailed, match="401 Unauthorized"):
        outcome.raise_for_error()


def test_outcome_is_unknown_if_a_later_job_is_listed_and_there_is_no_log(stitch, waiter, github):
    ours = stitch.complete_job(github, seconds_ago=2000, log=LogPlan(available=False))
    stitch.complete_job(github, seconds_ago=1000)

    with pytest.raises(JobOutcomeUnknown, match="is unknown"):
        waiter.wait(waiter.goal(github, ours.job_name, "extraction")).raise_for_error()


# --- Failures of the extraction -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        pytest.param(
            JobPlan(tap_exit_status=1, tap_description="401 Client Error"),
            "the tap.*401 Client Error.*Exit status is",
            id="the tap failed and the target did not",
        ),
        pytest.param(
            JobPlan(target_exit_status=1, tap_exit_status=-15, target_description="400 bad schema"),
            "the target.*400 bad schema.*Exit status is",
            id="the target failed and ended the tap",
        ),
        pytest.param(JobPlan(terminated=True), "terminated", id="terminated"),
        pytest.param(JobPlan(tap_seconds=30 * 3600), "24 hours", id="over 24 hours"),
    ],
)
def test_wait_fails_if_the_extraction_fails(stitch, waiter, github, plan, message):
    stitch.plan_jobs(github, plan)

    with pytest.raises(ExtractionFailed, match=f"(?s){message}"):
        waiter.replicate(github, poll_interval=600).raise_for_error()


# --- Loads ----------------------------------------------------------------------------------------------


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
    """A sensor may have polled the loads hours before the job starts."""
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
    others = {f"a_{number}": 0 for number in range(250)}  # three pages, which are cached at different times
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

    # The target's log contains only the table's name, so one load stands for both streams.
    assert {name: stream["rows"] for name, stream in result["streams"].items()} == {"orders": 14}


# --- Phases that cannot finish, timeouts and outages ----------------------------------------------------


def test_misspelt_stream_fails_before_the_first_limited_request(stitch, waiter, github):
    job = stitch.complete_job(github)

    with pytest.raises(UnknownStream, match="comits"):
        waiter.wait(waiter.goal(github, job.job_name, streams=("comits",))).raise_for_error()
    assert stitch.limited_requests == []


@pytest.mark.parametrize(
    ("change", "error_class"),
    [
        pytest.param(lambda stitch, source: stitch.delete_source(source), DeletedSource, id="deleted"),
        pytest.param(lambda stitch, source: stitch.pause_source(source), CannotFinish, id="paused by a user"),
        pytest.param(
            lambda stitch, source: stitch.pause_source(source, by_stitch=True),
            CannotFinish,
            id="paused by Stitch",
        ),
        pytest.param(
            lambda stitch, source: stitch.set_step(source, "form"), CannotFinish, id="not configured"
        ),
    ],
)
def test_wait_fails_at_once_if_the_schedule_cannot_start_a_job(stitch, waiter, github, change, error_class):
    goal = waiter.goal(github, started_after=stitch.now())
    change(stitch, github)

    with pytest.raises(error_class, match=r"310442"):
        waiter.wait(goal).raise_for_error()


def test_wait_since_an_instant_succeeds_with_the_first_job_after_it(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=60)
    instant = stitch.now()
    scheduled = stitch.start_job(github)

    outcome = waiter.wait(waiter.goal(github, started_after=instant))

    assert outcome.error is None
    assert outcome.result["job_name"] == scheduled.job_name


def test_timeout_reports_progress_and_the_limit_that_ended_the_wait(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(flushes={"commits": [Flush(at=50, rows=1, prepare=9999)], "pulls": []}))
    started = waiter.start(github)

    with pytest.raises(PhaseTimedOut, match="still to be loaded: commits") as caught:
        waiter.wait(
            waiter.goal(github, started.job_name), timeout=1200, time_limit="execution_timeout"
        ).raise_for_error()
    assert caught.value.job_name == started.job_name
    message = str(caught.value)
    for part in (
        "longer than the task's execution_timeout",
        started.job_name,
        "Raise the execution_timeout",
    ):
        assert part in message
    assert f"Status requests sent: {len(stitch.limited_requests)}." in message


def test_timeout_reports_how_many_requests_were_sent_during_an_outage(stitch, waiter, github):
    """A request without a usable response counts too, because it uses up the account's requests."""
    stitch.plan_jobs(github, JobPlan(tap_seconds=9999))
    goal = waiter.goal(github, waiter.start(github).job_name, "extraction")
    stitch.fail(path_regex="extractions", times=3, status=502)

    message = waiter.wait(goal, timeout=200).error["message"]

    assert f"Status requests sent: {len(stitch.limited_requests)}." in message


def test_timeout_claims_only_what_was_observed(stitch, waiter, github):
    listed = stitch.complete_job(github, seconds_ago=7200)
    instant = stitch.now()

    outcome = waiter.wait(waiter.goal(github, started_after=instant), timeout=1200)

    message = outcome.error["message"]
    assert format_time(instant) in message
    assert f"the last finished job that Stitch lists is {listed.job_name}" in message
    assert "goes on" not in message


def test_timeout_reports_that_the_budget_is_used_up(stitch, waiter, github):
    session = waiter.session(timeout=60)
    phase_waiter = Waiter(session, waiter.goal(github, waiter.start(github).job_name))

    async def time_out() -> str:
        await session.resolve_account(github)
        while not session.budget.acquire():
            session.budget.release()
        outcome = await phase_waiter._timed_out(evaluate(phase_waiter.goal, phase_waiter.observations))
        return outcome.error["message"]

    assert re.search(r"used up its requests, and the next one is free in \d+ s", asyncio.run(time_out()))


def test_wait_logs_once_that_it_waits_for_the_budget(stitch, waiter, github):
    """The budget is used up twice: before the first poll, and again later."""
    started = waiter.start(github)
    session = waiter.session()
    stitch.plan_jobs(github, JobPlan(flushes={"commits": [Flush(at=50, rows=1, prepare=3600)], "pulls": []}))
    asyncio.run(session.resolve_account(github))

    def use_up() -> None:
        while not session.budget.acquire():
            session.budget.release()

    use_up()
    waiter.client.on_limited_request = use_up
    phase_waiter = Waiter(session, waiter.goal(github, started.job_name))

    assert asyncio.run(phase_waiter.wait()).error is None
    lines = [line for line in waiter.warnings if "Waiting for a free status request" in line]
    assert len(lines) == 1
    assert re.search(r"The next one is free in \d+ s", lines[0])


def test_wait_logs_nothing_of_the_budget_while_requests_are_free(waiter, github):
    assert waiter.replicate(github).error is None
    assert not any("free status request" in line for line in waiter.warnings)


def test_wait_without_a_free_request_reports_the_limit_that_ended_it(stitch, waiter, github):
    instant = stitch.now()
    session = waiter.session(timeout=60, time_limit="execution_timeout")
    goal = waiter.goal(github, started_after=instant)
    asyncio.run(session.resolve_account(github))
    while not session.budget.acquire():
        session.budget.release()

    message = asyncio.run(Waiter(session, goal).wait()).error["message"]

    for part in (
        "The task's execution_timeout has passed, and Stitch answered none of its status requests",
        "Raise the execution_timeout",
        f"a job that started at {format_time(instant)} or later",
    ):
        assert part in message


@pytest.mark.parametrize("phase", ["preparation", "loading"])
def test_wait_fails_if_the_destination_is_deleted(stitch, waiter, github, phase):
    """The only destination is deleted after the extraction and before the rows are loaded."""
    slow = [Flush(at=50, rows=1, prepare=7200)]
    stitch.plan_jobs(github, JobPlan(flushes={"commits": slow, "pulls": []}))
    started = waiter.start(github)
    deleted_at = stitch.now().timestamp() + 1200
    delete = stitch.delete_destinations
    waiter.client.on_limited_request = lambda: delete() if stitch.now().timestamp() > deleted_at else None

    outcome = waiter.wait(waiter.goal(github, started.job_name, phase))

    assert outcome.error["kind"] == "CannotFinish"
    assert "no destination" in outcome.error["message"]
    assert stitch.now().timestamp() < deleted_at + 1800


def test_wait_survives_an_outage_of_20_minutes_with_one_warning(stitch, waiter, github):
    started = waiter.start(github)
    stitch.advance(100)
    outage = stitch.fail(
        path_regex="extractions|loads", times=None, status=502, body="<html>Bad Gateway</html>"
    )
    ends_at = stitch.now().timestamp() + 1200
    waiter.client.on_limited_request = lambda: outage.cancel() if stitch.now().timestamp() > ends_at else None

    assert waiter.wait(waiter.goal(github, started.job_name)).error is None
    assert outage.hits > 5
    assert sum("502" in line for line in waiter.warnings) == 1
    assert stitch.busiest_window() <= 30


@pytest.mark.parametrize("path", ["extractions|loads", "sources|streams", "."])
@pytest.mark.parametrize("time_limit", ["timeout", "execution_timeout"])
def test_error_of_an_outage_names_the_limit_that_ended_the_retries(stitch, waiter, github, path, time_limit):
    goal = waiter.goal(github, waiter.start(github).job_name)
    stitch.fail(path_regex=path, times=None, status=502)

    error = waiter.wait(goal, timeout=600, time_limit=time_limit).error

    assert error["kind"] == "StitchUnavailable"
    assert f"Retries ended at the task's {time_limit}." in error["message"]


def test_error_that_is_not_retried_names_no_limit(stitch, waiter, github):
    goal = waiter.goal(github, waiter.start(github).job_name)
    stitch.disable_token()

    assert "Retries ended" not in waiter.wait(goal).error["message"]


def test_wait_survives_rejections_by_the_rate_limit(stitch, waiter, github):
    stitch.enforce_limit()
    for _ in range(25):  # requests of another client
        waiter.client.list_loads()

    assert waiter.replicate(github).error is None


def test_rejection_by_the_rate_limit_delays_all_users_of_the_budget(stitch, waiter):
    rejected, other = waiter.session(timeout=0), waiter.session()
    asyncio.run(rejected.call(lambda: rejected.client.client_id))
    other.caller._budget = rejected.budget
    stitch.fail(path_regex="/loads", status=429, headers={"Retry-After": "90"})
    with pytest.raises(RateLimited):
        asyncio.run(rejected.caller.call_limited(waiter.client.list_loads))
    rejected_at = stitch.now()

    asyncio.run(other.caller.call_limited(waiter.client.list_extractions))

    assert (stitch.now() - rejected_at).total_seconds() >= 90


def test_wait_for_a_source_does_not_list_all_sources(stitch, waiter, github):
    job = stitch.start_job(github)
    goal = Goal("loading", github, "github", stitch.client_id, job_name=job.job_name)

    assert waiter.wait(goal).error is None
    assert "/v4/sources" not in {request.path for request in stitch.requests}


def test_wait_checks_its_source_every_five_minutes(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=7200))

    waiter.replicate(github)

    checks = [request for request in stitch.requests if request.path == f"/v4/sources/{github}"]
    assert 20 < len(checks) < 30


def test_wait_fails_if_the_token_is_revoked(stitch, waiter, github):
    goal = waiter.goal(github, waiter.start(github).job_name)
    stitch.disable_token()

    with pytest.raises(StitchUnauthorized, match="access token"):
        waiter.wait(goal).raise_for_error()


# --- Edge cases -----------------------------------------------------------------------------------------


def test_late_rows_of_the_previous_job_do_not_count_as_ours(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=1, load_seconds=100)  # its rows are loaded about 50 s from now
    stitch.plan_next_job(
        github, JobPlan(discovery_seconds=2, tap_seconds=6, target_seconds=2, load_seconds=100)
    )

    result = waiter.replicate(github, streams=("commits",)).result

    record = stitch.jobs(github)[-1]
    assert seconds_after(stitch, record, result["streams"]["commits"]["loaded_at"]) >= 140


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 403}, id="expired"),
        pytest.param({"cut": True}, id="unreachable"),
        pytest.param({"garbage": True}, id="a page of HTML"),
    ],
)
def test_wait_succeeds_if_the_log_host_never_returns_the_log(stitch, waiter, github, fault):
    stitch.fail(host="log", times=None, **fault)

    outcome = waiter.replicate(github)

    assert outcome.error is None
    assert any("streams that had rows are unknown" in line for line in waiter.warnings)
    assert stitch.busiest_window() <= 30


def test_missing_page_is_requested_again(stitch, waiter):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(150)]
    jobs = [stitch.complete_job(source_id, seconds_ago=600) for source_id in ids]
    stitch.fail(path_regex="page=2", status=404, times=1)

    assert waiter.wait(waiter.goal(ids[140], jobs[140].job_name, "extraction")).error is None


def test_unsorted_list_is_read_in_full(stitch, waiter, mocker):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(250)]
    for source_id in ids:
        stitch.complete_job(source_id, seconds_ago=600)
    list_extractions = waiter.client.list_extractions
    # The emulator returns a sorted list, as documented, so its pages are reversed here.
    mocker.patch.object(
        waiter.client,
        "list_extractions",
        lambda page=1: replace(
            reversed_page := list_extractions(4 - page),
            number=page,
            records=reversed_page.records[::-1],
        ),
    )

    assert asyncio.run(waiter.session().query_extraction(ids[0])).value.source_id == ids[0]


def test_timeout_before_the_first_poll_reports_the_used_up_budget(stitch, waiter, github):
    job = stitch.complete_job(github)
    session = waiter.session(timeout=60)
    asyncio.run(session.resolve_account(github))
    budget = session.budget
    for _ in range(budget.limit):
        assert budget.acquire() == 0
        budget.release()

    with pytest.raises(PhaseTimedOut, match="requests of these 10 minutes are used up") as caught:
        asyncio.run(Waiter(session, waiter.goal(github, job.job_name)).wait()).raise_for_error()
    assert f"while waiting for loading of source github ({github}): {job.job_name}" in str(caught.value)


def test_job_between_two_polls_counts_as_the_previous_job():
    before, between = extraction(EARLIER, end="05:03:00"), extraction(EARLIER, end="05:59:00")

    observations = Observations().with_extraction(before, at("06:01:00"), is_ours=False)

    assert not may_overlap_previous_job(observations, at("06:00:02"))
    assert may_overlap_previous_job(
        observations.with_extraction(between, at("06:02:00"), is_ours=False), at("06:00:02")
    )


@pytest.mark.parametrize("delay", [0, 45])
def test_wait_succeeds_if_the_job_is_listed_some_time_after_its_end(stitch, waiter, github, delay):
    stitch.quirks.listing_delay = delay

    assert waiter.replicate(github).error is None


def test_wait_for_a_running_job_survives_a_change_of_settings(stitch, waiter, github):
    started = waiter.start(github)
    stitch.set_step(github, "form")

    assert waiter.wait(waiter.goal(github, started.job_name)).error is None


def test_waiter_in_a_new_event_loop_sends_one_request_per_poll(stitch, waiter, github):
    """Each poke of a sensor in `mode="poke"` runs in a new event loop."""
    job = stitch.start_job(github, tap_seconds=3600)
    phase_waiter = Waiter(waiter.session(), waiter.goal(github, job.job_name, "extraction"))

    for _ in range(5):
        stitch.advance(60)
        asyncio.run(phase_waiter.poll_once())

    assert len(stitch.limited_requests) == 5
