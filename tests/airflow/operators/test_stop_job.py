"""Test that a task stops only its own job, only while this job is running, and at most once."""

from __future__ import annotations

import asyncio
import time

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import InvalidArgument, PhaseTimedOut, StitchUnavailable
from airflow_provider_stitch.emulator import Flush, JobPlan
from airflow_provider_stitch.operators.stitch import (
    StitchRunReplicationJobOperator,
    StitchStopReplicationJobOperator,
)
from airflow_provider_stitch.replication import jobs
from airflow_provider_stitch.replication.waiter import Waiter
from airflow_provider_stitch.triggers import stitch as triggers
from tests.support.interrupted_runs import FakeTaskInstance
from tests.support.phase_triggers import loading_trigger

#: The plan of a job that ends normally, although its rows are never loaded.
NEVER_LOADED = JobPlan(flushes={"commits": [Flush(at=50, rows=120, prepare=10**7)]})
CONTEXT = {"ti": FakeTaskInstance()}


@pytest.fixture
def github(airflow_database, stitch):
    return stitch.add_source("github", streams={"commits": 120}, job=NEVER_LOADED)


@pytest.fixture
def delay_polls(stitch, monkeypatch):
    """Return a function that delays polls, so that the poll before a stop request times out."""
    monkeypatch.setattr(jobs, "STOP_POLL_TIMEOUT", 0.1)
    return lambda: stitch.fail("GET", "/extractions", delay=1, times=None)


def test_killed_task_does_not_stop_next_job_if_its_own_has_ended(stitch, github, delay_polls, mocker):
    task = StitchRunReplicationJobOperator(task_id="replicate", source="github", retries=0)

    async def kill_after_extraction(waiter):
        stitch.advance(3600)
        await waiter.poll_once()
        stitch.start_job(github, tap_seconds=80_000)
        delay_polls()
        task.on_kill()
        raise KeyboardInterrupt

    mocker.patch.object(Waiter, "wait", kill_after_extraction)
    with pytest.raises(KeyboardInterrupt):
        task.execute(CONTEXT)

    assert [job.stopped for job in stitch.jobs(github)] == [False, False]


def test_trigger_does_not_stop_next_job_if_its_own_has_ended(stitch, github, delay_polls, mocker):
    job = stitch.start_job(github)
    trigger = loading_trigger(stitch, job)
    own_job_has_ended = asyncio.Event()

    async def poll_once(waiter):
        stitch.advance(3600)
        await waiter.poll_once()
        own_job_has_ended.set()
        await asyncio.Event().wait()

    async def task_has_ended(*_):
        return False

    async def kill():
        task = asyncio.ensure_future(trigger.run().__anext__())
        await own_job_has_ended.wait()
        stitch.start_job(github, tap_seconds=80_000)
        delay_polls()
        await trigger.on_kill()
        task.cancel()

    mocker.patch.object(Waiter, "wait", poll_once)
    mocker.patch.object(triggers, "is_still_deferred", task_has_ended)
    asyncio.run(kill())

    assert [job.stopped for job in stitch.jobs(github)] == [False, False]


def test_execution_timeout_sends_one_stop_request_from_the_trigger(stitch, github, delay_polls):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    job = stitch.start_job(github)
    resume_state = {"reason": "own", "deadline": [time.time(), True], "first_attempt_at": None}
    trigger = loading_trigger(
        stitch, job, deadline=time.time(), stop_at_deadline=True, resume_state=resume_state
    )
    event = asyncio.run(trigger.run().__anext__())
    stitch.start_job(github, tap_seconds=80_000)
    delay_polls()

    task = StitchRunReplicationJobOperator(task_id="replicate", source="github", retries=0)
    with pytest.raises(PhaseTimedOut):
        task.execute_complete(CONTEXT, event.payload)

    assert [job.stopped for job in stitch.jobs(github)] == [True, False]


def stop_operator(job, **options):
    return StitchStopReplicationJobOperator(
        task_id="stop", source="github", job_name=job.job_name, retries=0, **options
    )


def test_stop_operator_waits_for_its_poll_before_a_stop(stitch, github, delay_polls):
    job = stitch.complete_job(github)
    stitch.start_job(github, tap_seconds=80_000)
    delay_polls()

    assert stop_operator(job, timeout=60).execute(CONTEXT)["stopped"] is False
    assert not stitch.jobs(github)[-1].stopped


def test_stop_operator_stops_nothing_if_it_has_the_name_of_a_check(stitch, github):
    stitch.start_job(github, tap_seconds=80_000)
    check = stitch.start_check(github)
    task = StitchStopReplicationJobOperator(task_id="stop", source="github", job_name=check)

    with pytest.raises(InvalidArgument, match="is a connection check"):
        task.execute(CONTEXT)

    assert [job.stopped for job in stitch.jobs(github)] == [False]


def test_stop_operator_stops_nothing_if_its_poll_fails(stitch, github):
    job = stitch.complete_job(github)
    stitch.start_job(github, tap_seconds=80_000)
    stitch.fail("GET", "/extractions", status=503, times=None)

    with pytest.raises(Exception, match=r"503|sent no stop request"):
        stop_operator(job, timeout=2).execute(CONTEXT)
    assert not stitch.jobs(github)[-1].stopped


def test_stop_operator_stops_nothing_if_its_job_is_too_old_to_run(stitch, github):
    """Stitch lists jobs for 60 days. The list therefore does not show whether an older job has ended."""
    old = stitch.complete_job(github, seconds_ago=61 * 86_400)
    running = stitch.start_job(github, tap_seconds=80_000)
    assert StitchClient(stitch.access_token, base_url=stitch.url).list_extractions().records == ()

    assert stop_operator(old).execute(CONTEXT)["stopped"] is False
    assert stitch.jobs(github)[-1].job_name == running.job_name
    assert not stitch.jobs(github)[-1].stopped


def lose_response_to_first_stop(stitch, mocker, source_id):
    """Lose the response to the first stop request, after the next job has started."""
    stop_replication_job = StitchClient.stop_replication_job
    started = []

    def stop_and_lose_response(client, *args):
        stop_replication_job(client, *args)
        if not started:
            started.append(stitch.start_job(source_id, JobPlan(tap_seconds=80_000)))
            raise StitchUnavailable("The response was lost.")

    mocker.patch.object(StitchClient, "stop_replication_job", stop_and_lose_response)


def test_stop_operator_sends_no_second_stop_to_the_next_job(stitch, github, mocker):
    stitch.start_job(github, JobPlan(tap_seconds=80_000))
    lose_response_to_first_stop(stitch, mocker, github)

    StitchStopReplicationJobOperator(task_id="stop", source="github", retries=0).execute(CONTEXT)

    assert [job.stopped for job in stitch.jobs(github)] == [True, False]


@pytest.mark.parametrize("deferrable", [False, True])
def test_restart_sends_no_second_stop_to_the_next_job(stitch, github, mocker, deferrable):
    stitch.start_job(github, JobPlan(tap_seconds=80_000))
    lose_response_to_first_stop(stitch, mocker, github)
    mocker.patch.object(Waiter, "wait", side_effect=KeyboardInterrupt)
    task = StitchRunReplicationJobOperator(
        task_id="replicate", source="github", if_running="restart", deferrable=deferrable, retries=0
    )

    with pytest.raises(TaskDeferred if deferrable else KeyboardInterrupt):
        task.execute(CONTEXT)

    assert [job.stopped for job in stitch.jobs(github)] == [True, False]


def test_stop_operator_does_not_claim_to_have_stopped_a_job(airflow, github):
    with airflow.dag() as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github")

    dag_run = airflow.run(dag)

    assert f"Sent a stop request for source github ({github}). Stitch does not report" in dag_run.output
    assert "stopped whichever job was running" not in dag_run.output
