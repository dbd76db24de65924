"""Test that a wait uses Stitch's time if this machine's clock is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import Flush, JobPlan, LogPlan, StitchEmulator
from airflow_provider_stitch.replication.jobs import SourceBusy
from tests.replication.conftest import WaitingTask

TWO_BATCHES = [Flush(at=60, rows=100, prepare=90, load=0), Flush(at=140, rows=20, prepare=100, load=0)]


@pytest.fixture(params=[30, -30], ids=["clock 30 minutes ahead", "clock 30 minutes behind"])
def minutes_ahead(request):
    return request.param


@pytest.fixture
def stitch(minutes_ahead):
    start = datetime.now(timezone.utc) - timedelta(minutes=minutes_ahead)
    with StitchEmulator(speed=1e-6, start=start) as stitch:
        yield stitch


@pytest.fixture
def waiter(stitch, minutes_ahead):
    with StitchClient(
        stitch.access_token, base_url=stitch.url, monotonic=lambda: stitch.now().timestamp()
    ) as client:
        yield WaitingTask(stitch, client, clock_ahead=minutes_ahead * 60)


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120})


def remove_dates(waiter: WaitingTask, *, limited_only: bool) -> None:
    """Remove the `Date` header from all responses, or only from responses to rate-limited requests."""

    def remove(response, **_):
        if not limited_only or "/extractions" in response.url or "/loads" in response.url:
            response.headers.pop("Date")

    waiter.client._transport._session.hooks["response"].append(remove)


@pytest.mark.parametrize("limited_only", [True, False], ids=["limited requests", "all requests"])
def test_load_settles_by_stitch_time_if_responses_have_no_date(stitch, waiter, github, limited_only):
    stitch.plan_jobs(github, JobPlan(flushes={"commits": TWO_BATCHES}))
    job = waiter.start(github)
    goal = waiter.goal(github, job.job_name)
    remove_dates(waiter, limited_only=limited_only)

    outcome = waiter.wait(goal)

    started_at = stitch.jobs(github)[0].start_time.replace(microsecond=0)
    second_load = started_at + timedelta(seconds=240)
    assert outcome.error is None
    assert outcome.result["loaded_at"] == second_load.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert timedelta(seconds=0) < stitch.now() - second_load < timedelta(minutes=15)


def test_wait_for_a_missing_log_ends_by_stitch_time(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(log=LogPlan(available=False), tap_seconds=60))
    goal = waiter.goal(github, waiter.start(github).job_name)
    remove_dates(waiter, limited_only=True)

    assert waiter.wait(goal).error is None

    log_requests = [request for request in stitch.limited_requests if ".sync." in request.path]
    assert len(log_requests) >= 3


def test_rejected_start_is_dated_by_stitch_time(stitch, waiter, github):
    stitch.start_job(github)
    source = waiter.client.get_source(github)  # this response has a `Date` header
    remove_dates(waiter, limited_only=False)

    rejection = waiter.start(source.id)

    assert isinstance(rejection, SourceBusy)
    assert abs(rejection.running_at - stitch.now()) < timedelta(minutes=1)


def test_lost_start_is_found_by_stitch_time(stitch, waiter, github):
    """This machine's clock is ahead of the job's start, but the job is not mistaken for an earlier job."""
    stitch.plan_jobs(github, JobPlan(discovery_seconds=0.1, tap_seconds=0.1, target_seconds=0.1))
    waiter.client.get_source(github)  # this response has a `Date` header
    remove_dates(waiter, limited_only=False)
    stitch.fail("POST", "/sync$", after_effect=True, cut=True)

    waiter.start(github)

    assert len(stitch.jobs(github)) == 1
