"""A wait measures Stitch's time, whatever this machine's clock shows."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import Flush, JobPlan, LogPlan, StitchEmulator
from airflow_provider_stitch.replication.start import Occupied
from tests.replication.conftest import Waiter

LIMITED = r"/v4/\d+/(extractions|loads)"
TWO_BATCHES = [Flush(at=60, rows=100, prepare=90, load=0), Flush(at=140, rows=20, prepare=100, load=0)]


@pytest.fixture(params=[-30, 30], ids=["clock 30 minutes ahead", "clock 30 minutes behind"])
def stitch(request):
    start = datetime.now(timezone.utc) + timedelta(minutes=request.param)
    with StitchEmulator(speed=1e-6, start=start) as stitch:
        yield stitch


@pytest.fixture
def waiter(stitch):
    with StitchClient(
        stitch.access_token, base_url=stitch.url, monotonic=lambda: stitch.now().timestamp()
    ) as client:
        yield Waiter(stitch, client)


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120})


def without_date(waiter: Waiter, *, limited_only: bool) -> None:
    """Remove `Date` from the responses to rate-limited requests, or from all."""

    def remove(response, **_):
        if not limited_only or "/extractions" in response.url or "/loads" in response.url:
            response.headers.pop("Date")

    waiter.client._transport._session.hooks["response"].append(remove)


@pytest.mark.parametrize("limited_only", [True, False], ids=["of limited requests", "of all"])
def test_load_settles_by_stitch_time_if_responses_have_no_date(stitch, waiter, github, limited_only):
    stitch.plan_jobs(github, JobPlan(flushes={"commits": TWO_BATCHES}))
    job = waiter.start(github)
    goal = waiter.goal(github, job.job_name)
    without_date(waiter, limited_only=limited_only)

    outcome = waiter.wait(goal)

    began = stitch.jobs(github)[0].start_time.replace(microsecond=0)
    second_load = began + timedelta(seconds=240)
    assert outcome.error is None
    assert outcome.result["loaded_at"] == second_load.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert timedelta(seconds=0) < stitch.now() - second_load < timedelta(minutes=15)


def test_missing_log_is_given_up_by_stitch_time(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(log=LogPlan(available=False), tap_seconds=60))
    goal = waiter.goal(github, waiter.start(github).job_name)
    without_date(waiter, limited_only=True)

    assert waiter.wait(goal).error is None

    asked = [each for each in stitch.limited_requests if ".sync." in each.path]
    assert len(asked) >= 3


def test_refused_start_is_dated_by_stitch_time(stitch, waiter, github):
    stitch.start_job(github)
    source = waiter.client.get_source(github)  # this response has a date
    without_date(waiter, limited_only=False)

    refusal = waiter.start(source.id)

    assert isinstance(refusal, Occupied)
    assert abs(refusal.running_at - stitch.now()) < timedelta(minutes=1)
