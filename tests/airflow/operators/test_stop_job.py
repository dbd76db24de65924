"""Stopping: only this task's own job, only while it runs, and once."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_stitch.connect.errors import PhaseTimedOut
from airflow_provider_stitch.emulator import Flush, JobPlan
from airflow_provider_stitch.operators.stitch import (
    StitchRunReplicationJobOperator,
    StitchStopReplicationJobOperator,
)
from airflow_provider_stitch.replication import jobs as start
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.waiter import Waiter
from airflow_provider_stitch.triggers import cancellation as deferral
from airflow_provider_stitch.triggers import stitch as triggers
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger

#: A job that ends, and whose rows are never loaded.
NEVER_LOADED = JobPlan(flushes={"commits": [Flush(at=50, rows=120, prepare=10**7)]})


class TaskInstance:
    start_date = None

    def xcom_push(self, key, value):
        pass


CONTEXT = {"ti": TaskInstance()}


@pytest.fixture
def github(airflow_database, stitch):
    return stitch.add_source("github", streams={"commits": 120}, job=NEVER_LOADED)


@pytest.fixture
def busy_account(stitch, monkeypatch):
    """Let each poll of the extractions take longer than the poll before a stop may."""
    monkeypatch.setattr(start, "LOOK_PATIENCE", 0.1)
    return lambda: stitch.fail("GET", "/extractions", delay=1, times=None)


def trigger_of(stitch, job, **options):
    goal = Goal("loading", job.source_id, "github", stitch.client_id, job_name=job.job_name)
    arguments = {"stitch_conn_id": "stitch_default", "goal": goal.to_dict(), "stop_on_kill": True}
    return StitchPhaseTrigger(**{**arguments, **options})


def test_killed_task_leaves_next_job_alone_if_it_saw_its_own_end(stitch, github, busy_account, mocker):
    task = StitchRunReplicationJobOperator(task_id="replicate", source="github", retries=0)

    async def kill_after_extraction(watch):
        stitch.advance(3600)
        await watch.look()
        stitch.start_job(github, tap_seconds=80_000)
        busy_account()
        task.on_kill()
        raise KeyboardInterrupt

    mocker.patch.object(Waiter, "wait", kill_after_extraction)
    with pytest.raises(KeyboardInterrupt):
        task.execute(CONTEXT)

    assert [job.stopped for job in stitch.jobs(github)] == [False, False]


def test_trigger_leaves_next_job_alone_if_it_saw_its_own_end(stitch, github, busy_account, mocker):
    job = stitch.start_job(github)
    trigger = trigger_of(stitch, job)
    seen_over = asyncio.Event()

    async def look_once(watch):
        stitch.advance(3600)
        await watch.look()
        seen_over.set()
        await asyncio.Event().wait()

    async def answer(*_):
        return False

    async def kill():
        task = asyncio.ensure_future(trigger.run().__anext__())
        await seen_over.wait()
        stitch.start_job(github, tap_seconds=80_000)
        busy_account()
        await trigger.on_kill()
        task.cancel()

    mocker.patch.object(Waiter, "wait", look_once)
    mocker.patch.object(triggers, "is_still_deferred", answer)
    asyncio.run(kill())

    assert [job.stopped for job in stitch.jobs(github)] == [False, False]


def test_execution_timeout_sends_one_stop_from_trigger_and_none_from_worker(stitch, github, busy_account):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    job = stitch.start_job(github)
    resume_state = {"reason": "own", "deadline": [time.time(), True], "first_attempt_at": None}
    trigger = trigger_of(stitch, job, deadline=time.time(), stop_at_deadline=True, resume_state=resume_state)
    event = asyncio.run(trigger.run().__anext__())
    stitch.start_job(github, tap_seconds=80_000)
    busy_account()

    task = StitchRunReplicationJobOperator(task_id="replicate", source="github", retries=0)
    with pytest.raises(PhaseTimedOut):
        task.execute_complete(CONTEXT, event.payload)

    assert [job.stopped for job in stitch.jobs(github)] == [True, False]


def stop_operator(job, **options):
    return StitchStopReplicationJobOperator(
        task_id="stop", source="github", job_name=job.job_name, retries=0, **options
    )


def test_stop_operator_waits_for_its_poll_and_leaves_next_job_alone(stitch, github, busy_account):
    job = stitch.complete_job(github)
    stitch.start_job(github, tap_seconds=80_000)
    busy_account()

    assert stop_operator(job, timeout=60).execute(CONTEXT)["stopped"] is False
    assert not stitch.jobs(github)[-1].stopped


def test_stop_operator_stops_nothing_without_a_poll(stitch, github):
    job = stitch.complete_job(github)
    stitch.start_job(github, tap_seconds=80_000)
    stitch.fail("GET", "/extractions", status=503, times=None)

    with pytest.raises(Exception, match=r"503|No stop was sent"):
        stop_operator(job, timeout=2).execute(CONTEXT)
    assert not stitch.jobs(github)[-1].stopped


def test_stop_operator_does_not_claim_to_have_stopped_an_idle_source(airflow, github):
    with airflow.dag() as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github")

    dag_run = airflow.run(dag)

    assert (
        f"Sent a stop request for source github ({github}). Stitch does not report"
        in dag_run.output
    )
    assert "stopped whichever job was running" not in dag_run.output


# --- Does the task of a cancelled trigger still need its job? -------------------------------------------


@pytest.mark.parametrize(
    ("checks", "is_still_deferred"),
    [
        pytest.param([(True, "deferred")], True, id="the triggerer ends"),
        pytest.param([(True, "queued")], True, id="dag.test runs the trigger itself"),
        pytest.param([(True, "queued"), (True, "running"), (True, "success")], True, id="dag.test finishes"),
        pytest.param([(True, "scheduled"), (True, "queued"), (True, "failed")], True, id="another's event"),
        pytest.param([(True, "failed")], False, id="marked failed"),
        pytest.param([(True, "success")], False, id="marked success"),
        pytest.param([(False, None)], False, id="deleted"),
        pytest.param([(True, None), (True, "queued"), (False, "running")], False, id="cleared"),
        pytest.param([(False, "deferred")], False, id="cleared, and deferred again"),
    ],
)
def test_trigger_stops_job_only_if_a_user_has_ended_its_try(monkeypatch, checks, is_still_deferred):
    left = list(checks)

    async def check(trigger, job_name):
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(deferral, "_check", check)
    monkeypatch.setattr(deferral, "CHECK_INTERVAL", 0)

    assert asyncio.run(deferral.is_still_deferred(None, "job")) is is_still_deferred
