"""Test a task's complete wait for a job, including the records that the wait reads."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from airflow_provider_stitch.connect.errors import (
    ExtractionFailed,
    JobOutcomeUnknown,
    PhaseTimedOut,
)
from airflow_provider_stitch.emulator import JobPlan, LoadError, LogPlan
from airflow_provider_stitch.replication.rules.loading import may_overlap_previous_job
from airflow_provider_stitch.replication.rules.observations import Observations
from airflow_provider_stitch.replication.waiter import Waiter
from tests.replication.waiter.durations import seconds_after
from tests.support.builders import EARLIER, at, extraction

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
    assert waiting == "Waiting for source github (310442) to finish loading"
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
    assert len(stitch.limited_requests) == 3  # one request each for the loads, the extraction and the log


def test_long_wait_logs_heartbeats(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=3000))

    waiter.replicate(github)

    heartbeats = [line for line in waiter.lines if line.startswith("Still waiting for source")]
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
    # The source's record is the last record on the first page. When Stitch lists a job for the new source,
    # the record moves to the second page.
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


def test_wait_for_a_job_that_is_no_longer_listed_ends(stitch, waiter, github):
    """Stitch stops listing a job after 60 days."""
    job = stitch.complete_job(github, seconds_ago=61 * 86_400)
    started_at = stitch.now()

    outcome = waiter.wait(waiter.goal(github, job.job_name, phase="extraction"))

    assert outcome.error["kind"] == "JobOutcomeUnknown"
    assert stitch.now() - started_at < timedelta(minutes=15)


def test_outcome_is_unknown_if_a_later_job_is_listed_and_there_is_no_log(stitch, waiter, github):
    ours = stitch.complete_job(github, seconds_ago=2000, log=LogPlan(available=False))
    stitch.complete_job(github, seconds_ago=1000)

    with pytest.raises(JobOutcomeUnknown, match="is unknown"):
        waiter.wait(waiter.goal(github, ours.job_name, "extraction")).raise_for_error()


@pytest.mark.parametrize(
    ("plan", "exit_line"),
    [
        pytest.param(LogPlan(exit_line=False), None, id="no exit line"),
        pytest.param(
            LogPlan(), "Exit status is: Discovery succeeded. Tap succ", id="the exit line is truncated"
        ),
    ],
)
def test_outcome_is_unknown_if_a_complete_log_has_no_outcome(stitch, waiter, github, plan, exit_line):
    ours = stitch.complete_job(github, seconds_ago=2000, log=plan)
    stitch.complete_job(github, seconds_ago=1000)
    if exit_line is not None:
        lines = (
            "target - INFO Using Stitch import URL https://import.example",
            "target - INFO Exiting normally",
            f"main - INFO {exit_line}",
        )
        stitch.fail(host="log", times=None, status=200, body="\n".join(lines))

    with pytest.raises(JobOutcomeUnknown, match="is unknown"):
        waiter.wait(waiter.goal(github, ours.job_name), timeout=3600).raise_for_error()
    assert len(stitch.limited_requests) < 10


@pytest.mark.parametrize("limit", [3, 10, 30])
@pytest.mark.parametrize(
    ("plan", "path"),
    [
        pytest.param(JobPlan(log=LogPlan(available=False)), r"\.sync\.", id="missing log"),
        pytest.param(JobPlan(load_errors={"commits": LoadError("locked")}), "/loads", id="load error"),
    ],
)
def test_poke_polls_three_times_if_not_conclusive(stitch, waiter, github, plan, path, limit):
    """The polls take five minutes, or two intervals between evenly spaced requests if that is longer."""
    waiter.client.requests_per_10_minutes = limit
    job = stitch.complete_job(github, plan, seconds_ago=600)
    sensor = Waiter(waiter.session(), waiter.goal(github, job.job_name), stateless=True)

    asyncio.run(sensor.poke())

    polls = [request for request in stitch.limited_requests if re.search(path, request.path)]
    assert len(polls) == 3
    assert 300 <= (polls[-1].at - polls[0].at).total_seconds() < max(400, 2 * 600 / limit + 600)


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


# --- Edge cases -----------------------------------------------------------------------------------------


def test_late_rows_of_the_previous_job_do_not_count_as_ours(stitch, waiter, github):
    # The rows of the previous job are loaded about 50 s from now.
    stitch.complete_job(github, seconds_ago=1, load_seconds=100)
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
    # The emulator returns a sorted list, as documented, so the test reverses the order of the pages.
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

    with pytest.raises(PhaseTimedOut, match="requests for the last 10 minutes are used up") as caught:
        asyncio.run(Waiter(session, waiter.goal(github, job.job_name)).wait()).raise_for_error()
    event = f"source github ({github}) to finish loading (job {job.job_name})"
    assert f"Raised while waiting for {event}." in str(caught.value)


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
