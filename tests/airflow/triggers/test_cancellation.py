"""What a trigger does when it is cancelled. `tests/system` shows it in a triggerer, with the real database.

What Airflow knows of the task is replaced here: outside of a triggerer nobody can be asked.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.triggers import cancellation as deferral
from airflow_provider_stitch.triggers import stitch as triggers
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger


@pytest.fixture
def job(airflow_database, stitch):
    source = stitch.add_source("github", streams={"commits": 120}, job=JobPlan(tap_seconds=36_000))
    return stitch.start_job(source)


@pytest.fixture(params=["before 3.3", "from 3.3"])
def cancel(request, monkeypatch):
    """Run a trigger, and end it as an Airflow does whose user has acted, or whose triggerer ends."""
    calls_on_kill = request.param == "from 3.3"
    monkeypatch.setattr(triggers, "AIRFLOW_CALLS_ON_KILL", calls_on_kill)

    async def cancelled(trigger, *, times=1, then=lambda: None):
        task = asyncio.create_task(anext_of(trigger))
        await asyncio.sleep(0.1)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.05)
        await asyncio.wait({task})
        then()
        assert task.cancelled()

    async def anext_of(trigger):
        try:
            await trigger.run().__anext__()
        except asyncio.CancelledError:
            if calls_on_kill:
                await asyncio.wait_for(trigger.on_kill(), 30)
            raise
        finally:
            await trigger.cleanup()

    return lambda trigger, **options: asyncio.run(cancelled(trigger, **options))


def trigger_of(stitch, job, **options):
    goal = Goal("loading", job.source_id, "github", stitch.client_id, job_name=job.job_name)
    return StitchPhaseTrigger(
        **{
            "stitch_conn_id": "stitch_default",
            "goal": goal.to_dict(),
            "poll_interval": 0.01,
            "stop_on_kill": True,
            **options,
        }
    )


def airflow_says(monkeypatch, is_still_deferred):
    async def check(trigger, job_name):
        if isinstance(is_still_deferred, Exception):
            raise is_still_deferred
        return True, "deferred" if is_still_deferred else "failed"

    monkeypatch.setattr(deferral, "_check", check)


def is_stopped(stitch, job):
    return stitch.jobs(job.source_id)[0].stopped


def test_the_job_of_a_task_that_waits_no_more_is_stopped(stitch, job, cancel, monkeypatch):
    airflow_says(monkeypatch, is_still_deferred=False)
    cancel(trigger_of(stitch, job))
    assert is_stopped(stitch, job)


def test_the_job_of_a_task_that_still_waits_goes_on(stitch, job, cancel, monkeypatch):
    airflow_says(monkeypatch, is_still_deferred=True)
    cancel(trigger_of(stitch, job))
    assert not is_stopped(stitch, job)


def test_when_airflow_can_not_be_asked_the_job_goes_on(stitch, job, cancel, monkeypatch):
    airflow_says(monkeypatch, is_still_deferred=OSError("no database"))
    cancel(trigger_of(stitch, job))
    assert not is_stopped(stitch, job)


def test_a_trigger_that_is_told_to_leave_the_job_leaves_it(stitch, job, cancel, monkeypatch):
    airflow_says(monkeypatch, is_still_deferred=False)
    cancel(trigger_of(stitch, job, stop_on_kill=False))
    assert not is_stopped(stitch, job)


def test_being_cancelled_again_does_not_keep_the_job_from_being_stopped(stitch, job, cancel, monkeypatch):
    """Airflow cancels a trigger anew each second until it has ended."""
    airflow_says(monkeypatch, is_still_deferred=False)
    stitch.fail("DELETE", delay=0.5)
    stopped_at_the_end = []
    cancel(trigger_of(stitch, job), times=5, then=lambda: stopped_at_the_end.append(is_stopped(stitch, job)))
    assert stopped_at_the_end == [True]


def test_a_stop_that_fails_leaves_the_task_as_the_user_wants_it(stitch, job, cancel, monkeypatch):
    airflow_says(monkeypatch, is_still_deferred=False)
    stitch.fail("DELETE", times=None, status=400, body={"error": {"type": "generic", "message": "no"}})
    cancel(trigger_of(stitch, job))
    assert not is_stopped(stitch, job)


def test_a_triggerer_that_ends_does_not_wait_for_an_unavailable_stitch(stitch, job, monkeypatch):
    """It cancels all that runs in it, what stops the job included."""
    airflow_says(monkeypatch, is_still_deferred=False)
    stitch.fail("DELETE", times=None, status=503)

    async def stopping():
        task = asyncio.create_task(trigger_of(stitch, job).on_kill())
        await asyncio.sleep(0.2)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        assert task.done()

    asyncio.run(stopping())
    assert not is_stopped(stitch, job)


@pytest.mark.parametrize("stops", [True, False])
def test_a_job_is_stopped_at_the_deadline_if_it_is_that_of_the_task(stitch, job, stops):
    """Airflow 2 may leave a worker no time for it: that of the task is over, too."""
    trigger = trigger_of(stitch, job, deadline=time.time() + 0.3, stop_at_deadline=stops)

    event = asyncio.run(trigger.run().__anext__())

    assert event.payload["error"]["kind"] == "PhaseTimedOut"
    assert is_stopped(stitch, job) is stops
