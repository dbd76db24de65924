"""Test waits that cannot finish, time out, survive an outage, or are delayed by the request budget."""

from __future__ import annotations

import asyncio
import re

import pytest

from airflow_provider_stitch.connect.errors import (
    CannotFinish,
    DeletedSource,
    PhaseTimedOut,
    RateLimited,
    StitchUnauthorized,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.emulator import Flush, JobPlan
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.waiter import Waiter


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


@pytest.mark.parametrize("by_stitch", [False, True])
@pytest.mark.parametrize("phase", ["structure_sync", "extraction", "preparation", "loading"])
def test_wait_succeeds_if_the_source_is_paused_after_its_job(stitch, waiter, github, phase, by_stitch):
    instant = stitch.now()
    job = stitch.start_job(github)
    stitch.advance(3600)
    stitch.pause_source(github, by_stitch=by_stitch)

    outcome = waiter.wait(waiter.goal(github, phase=phase, started_after=instant))

    assert outcome.error is None
    assert outcome.result["job_name"] == job.job_name


@pytest.mark.parametrize(
    ("phase", "error_class"), [("extraction", None), ("preparation", CannotFinish), ("loading", CannotFinish)]
)
def test_wait_needs_a_destination_only_for_loads(stitch, waiter, github, phase, error_class):
    instant = stitch.now()
    stitch.start_job(github)
    stitch.advance(3600)
    stitch.delete_destinations()

    outcome = waiter.wait(waiter.goal(github, phase=phase, started_after=instant))

    if error_class is None:
        assert outcome.error is None
    else:
        with pytest.raises(error_class, match="no destination"):
            outcome.raise_for_error()


@pytest.mark.parametrize("phase", ["preparation", "loading"])
def test_wait_fails_if_the_destination_is_deleted_during_the_extraction(stitch, waiter, github, phase):
    stitch.plan_jobs(github, JobPlan(tap_seconds=36_000))
    goal = waiter.goal(github, waiter.start(github).job_name, phase)
    started_at = stitch.now()
    waiter.client.on_limited_request = stitch.delete_destinations

    with pytest.raises(CannotFinish, match="no destination"):
        waiter.wait(goal).raise_for_error()
    assert (stitch.now() - started_at).total_seconds() < 900


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
    """The number of requests in the error message includes failed requests, because Stitch counts them."""
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

    assert re.search(
        r"no free status request, and the next request is free in \d+ s", asyncio.run(time_out())
    )


def test_wait_logs_once_that_it_waits_for_the_budget(stitch, waiter, github):
    """The request budget is used up before the first poll, and again at a later time."""
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
    assert re.search(r"The next request is free in \d+ s", lines[0])


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
        "The task's execution_timeout has passed before the task received a response to a status request",
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
    for _ in range(25):  # requests from another client
        waiter.client.list_loads()

    assert waiter.replicate(github).error is None


def test_rejection_by_the_rate_limit_delays_all_users_of_the_budget(stitch, waiter):
    rejected, other = waiter.session(timeout=0), waiter.session()
    asyncio.run(rejected.call(lambda: rejected.client.client_id))
    other.caller._budget = rejected.budget
    stitch.fail(path_regex="/loads", status=429, headers={"Retry-After": "90"})
    with pytest.raises(RateLimited):
        asyncio.run(rejected.caller.call_limited(waiter.client.list_loads))
    rejected_at = stitch.requests[-1].at

    asyncio.run(other.caller.call_limited(waiter.client.list_extractions))

    assert (stitch.requests[-1].at - rejected_at).total_seconds() >= 90


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
