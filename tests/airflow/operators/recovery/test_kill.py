"""Test that a killed task stops its own job, unless a later try of the task waits for that job."""

from __future__ import annotations

import asyncio
import threading

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import JobNotStarted, JobTerminated
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.replication import jobs
from airflow_provider_stitch.replication.session import AccountSession
from tests.support.interrupted_runs import (
    LONG_JOB,
    FakeTaskStateStore,
    before_each_wait,
    interrupt_before_wait,
    run_job_operator,
)


def test_task_killed_during_the_start_stops_its_job(stitch, github, context, mocker):
    """Airflow 3 calls `on_kill` while the start request is in flight, and ends the task 5 seconds later."""
    task = run_job_operator()
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    start_job = jobs.start_job

    async def kill_and_start(*args, **options):
        task.on_kill()
        return await start_job(*args, **options)

    mocker.patch.object(jobs, "start_job", kill_and_start)
    with pytest.raises(JobTerminated):
        task.execute(context)
    assert stitch.jobs(github)[0].stopped


def test_start_response_after_the_kill_stops_the_job(stitch, github, context, mocker):
    """Airflow 2 raises an exception in the killed task's event loop.

    The thread that sends the request continues.
    """
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    task = run_job_operator()
    start_replication_job = StitchClient.start_replication_job
    interrupted = threading.Event()

    def respond_late(client, source_id):
        job = start_replication_job(client, source_id)
        loop.call_soon_threadsafe(kill)
        interrupted.wait(30)
        return job

    def kill():
        task.on_kill()
        interrupted.set()
        raise KeyboardInterrupt

    stitch_time = AccountSession.stitch_time

    def record_loop(session, *result):
        nonlocal loop
        loop = asyncio.get_running_loop()
        return stitch_time(session, *result)

    loop = None
    mocker.patch.object(AccountSession, "stitch_time", record_loop)
    mocker.patch.object(StitchClient, "start_replication_job", respond_late)
    with pytest.raises(KeyboardInterrupt):
        task.execute(context)

    assert [job.stopped for job in stitch.jobs(github)] == [True]


def test_killed_retry_starts_no_job_after_its_own_is_stopped(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    interrupt_before_wait(mocker, context)
    retry = run_job_operator()

    before_each_wait(mocker, lambda _: retry.on_kill())
    with pytest.raises(JobTerminated):
        retry.execute(context)

    assert [job.stopped for job in stitch.jobs(github)] == [True]


def test_queued_task_starts_no_job_after_it_is_killed(stitch, github, context, mocker):
    other = stitch.start_job(github, LONG_JOB)
    task = run_job_operator()

    def kill_and_end_other(_):
        task.on_kill()  # this must not stop the other job, which is still running
        stitch.advance(81_000)

    before_each_wait(mocker, kill_and_end_other)
    with pytest.raises(JobNotStarted, match="killed"):
        task.execute(context)

    (job,) = stitch.jobs(github)
    assert job.job_name == other.job_name
    assert not job.stopped


@pytest.mark.parametrize(
    ("state", "is_given_up", "stopped"),
    [
        pytest.param("failed", False, True, id="marked failed by a user"),
        pytest.param("restarting", True, True, id="cleared by a user while running"),
        pytest.param("running", False, True, id="worker is shut down"),
        pytest.param("up_for_retry", True, False, id="given up, retry is due soon"),
        pytest.param(None, True, False, id="given up because its scheduler died, retry is due soon"),
        pytest.param("running", True, False, id="given up, next try is running"),
        pytest.param("deferred", True, False, id="given up, next try is deferred"),
    ],
)
def test_killed_try_stops_job_unless_a_later_try_follows(
    stitch, github, context, mocker, state, is_given_up, stopped
):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    task = interrupt_before_wait(mocker, context)
    context["ti"].state = state
    if is_given_up:  # Airflow 3.3 assigns a new id to the next try, so the old try has an empty store
        context["task_state_store"].clear()

    task.on_kill()

    assert stitch.jobs(github)[0].stopped is stopped


def test_killed_task_leaves_its_job_if_airflow_does_not_respond(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    task = interrupt_before_wait(mocker, context)
    mocker.patch("airflow_provider_stitch.operators.job_checkpoint.RESPONSE_TIMEOUT", 0.1)
    lock = threading.Lock()
    mocker.patch.object(FakeTaskStateStore, "get", side_effect=lambda _: lock.acquire())

    with lock:
        task.on_kill()

    # The next try may be waiting for this job. Leaving the job running is safer than stopping it.
    assert not stitch.jobs(github)[0].stopped
