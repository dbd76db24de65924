"""Test that a cancelled trigger stops its job only if a user has ended the task.

These tests use a fake task state, because only a triggerer can query the state of a task. The tests in
`tests/system` run the same cases in a real triggerer.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.replication.waiter import Waiter
from airflow_provider_stitch.triggers import cancellation
from airflow_provider_stitch.triggers import stitch as triggers
from tests.support.phase_triggers import loading_trigger


@pytest.fixture
def job(airflow_database, stitch):
    source = stitch.add_source("github", streams={"commits": 120}, job=JobPlan(tap_seconds=36_000))
    return stitch.start_job(source)


@pytest.fixture(params=["Airflow before 3.3", "Airflow 3.3"])
def cancel(request, monkeypatch):
    """Return a function that runs a trigger and cancels it the way Airflow does after a user action."""
    calls_on_kill = request.param == "Airflow 3.3"
    monkeypatch.setattr(triggers, "AIRFLOW_CALLS_ON_KILL", calls_on_kill)

    wait = Waiter.wait

    async def run_and_cancel(trigger, *, times=1, then=lambda: None):
        is_waiting = asyncio.Event()

        async def report_and_wait(waiter):
            is_waiting.set()
            return await wait(waiter)

        monkeypatch.setattr(Waiter, "wait", report_and_wait)
        task = asyncio.create_task(first_event(trigger))
        await is_waiting.wait()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.05)
        await asyncio.wait({task})
        then()
        assert task.cancelled()

    async def first_event(trigger):
        try:
            await trigger.run().__anext__()
        except asyncio.CancelledError:
            if calls_on_kill:
                await asyncio.wait_for(trigger.on_kill(), 600)
            raise
        finally:
            await trigger.cleanup()

    return lambda trigger, **options: asyncio.run(run_and_cancel(trigger, **options))


def fake_task_state(monkeypatch, is_still_deferred):
    async def check(trigger, job_name):
        if isinstance(is_still_deferred, Exception):
            raise is_still_deferred
        return True, "deferred" if is_still_deferred else "failed"

    monkeypatch.setattr(cancellation, "_check", check)


def is_stopped(stitch, job):
    return stitch.jobs(job.source_id)[0].stopped


def test_cancelled_trigger_stops_job_if_its_task_has_ended(stitch, job, cancel, monkeypatch):
    fake_task_state(monkeypatch, is_still_deferred=False)
    cancel(loading_trigger(stitch, job, poll_interval=0.01))
    assert is_stopped(stitch, job)


def test_cancelled_trigger_leaves_job_of_a_deferred_task(stitch, job, cancel, monkeypatch):
    fake_task_state(monkeypatch, is_still_deferred=True)
    cancel(loading_trigger(stitch, job, poll_interval=0.01))
    assert not is_stopped(stitch, job)


@pytest.mark.parametrize(
    ("seconds_left", "stop_at_deadline", "stopped"),
    [(-1, True, True), (-1, False, False), (3600, True, False)],
)
def test_trigger_that_is_cancelled_after_the_deadline_stops_the_job(
    stitch, job, cancel, monkeypatch, seconds_left, stop_at_deadline, stopped
):
    """Airflow 2 ends a task at its `execution_timeout`, and the task then has the state of a new try."""
    fake_task_state(monkeypatch, is_still_deferred=True)
    options = {"deadline": time.time() + seconds_left, "stop_at_deadline": stop_at_deadline}

    cancel(loading_trigger(stitch, job, poll_interval=0.01, **options))

    assert is_stopped(stitch, job) is stopped


def test_trigger_that_is_cancelled_while_it_stops_the_job_sends_one_stop_request(
    stitch, job, monkeypatch, mocker
):
    fake_task_state(monkeypatch, is_still_deferred=False)
    stitch.fail("DELETE", delay=0.5)
    trigger = loading_trigger(
        stitch, job, poll_interval=0.01, deadline=time.time() - 1, stop_at_deadline=True
    )
    stop = mocker.spy(StitchClient, "stop_replication_job")

    async def cancel_during_stop():
        task = asyncio.ensure_future(trigger.run().__anext__())
        while not stop.call_count:  # noqa: ASYNC110 - another thread calls the spy
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        await trigger.on_kill()
        await trigger.cleanup()
        assert task.cancelled()

    asyncio.run(cancel_during_stop())

    assert stop.call_count == 1
    assert is_stopped(stitch, job)


def test_cancelled_trigger_leaves_job_if_the_task_state_is_unknown(stitch, job, cancel, monkeypatch):
    fake_task_state(monkeypatch, is_still_deferred=OSError("no database"))
    cancel(loading_trigger(stitch, job, poll_interval=0.01))
    assert not is_stopped(stitch, job)


def test_cancelled_trigger_leaves_job_without_stop_on_kill(stitch, job, cancel, monkeypatch):
    fake_task_state(monkeypatch, is_still_deferred=False)
    cancel(loading_trigger(stitch, job, poll_interval=0.01, stop_on_kill=False))
    assert not is_stopped(stitch, job)


def test_repeated_cancellation_does_not_prevent_the_stop(stitch, job, cancel, monkeypatch):
    """Airflow repeats the cancellation of a trigger every second until the trigger has ended."""
    fake_task_state(monkeypatch, is_still_deferred=False)
    stitch.fail("DELETE", delay=0.5)
    stopped_after_cancellation = []
    cancel(
        loading_trigger(stitch, job, poll_interval=0.01),
        times=5,
        then=lambda: stopped_after_cancellation.append(is_stopped(stitch, job)),
    )
    assert stopped_after_cancellation == [True]


def test_failed_stop_does_not_fail_the_cancellation(stitch, job, cancel, monkeypatch):
    fake_task_state(monkeypatch, is_still_deferred=False)
    stitch.fail("DELETE", times=None, status=400, body={"error": {"type": "generic", "message": "no"}})
    cancel(loading_trigger(stitch, job, poll_interval=0.01))
    assert not is_stopped(stitch, job)


def test_triggerer_shutdown_does_not_wait_for_unavailable_stitch(stitch, job, monkeypatch):
    """A triggerer that shuts down cancels all of its asyncio tasks, including a task that stops a job."""
    fake_task_state(monkeypatch, is_still_deferred=False)
    stitch.fail("DELETE", times=None, status=503)

    async def shut_down():
        task = asyncio.create_task(loading_trigger(stitch, job, poll_interval=0.01).on_kill())
        await asyncio.sleep(0.2)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        assert task.done()

    asyncio.run(shut_down())
    assert not is_stopped(stitch, job)


@pytest.mark.parametrize("stop_at_deadline", [True, False])
def test_trigger_stops_job_at_deadline_if_stop_at_deadline(stitch, job, stop_at_deadline):
    """On Airflow 2, the worker may have no time left to stop the job, so the trigger stops the job."""
    trigger = loading_trigger(
        stitch, job, poll_interval=0.01, deadline=time.time() + 0.3, stop_at_deadline=stop_at_deadline
    )

    event = asyncio.run(trigger.run().__anext__())

    assert event.payload["error"]["kind"] == "PhaseTimedOut"
    assert is_stopped(stitch, job) is stop_at_deadline


@pytest.mark.parametrize(
    ("checks", "is_still_deferred"),
    [
        pytest.param([(True, "deferred")], True, id="triggerer shuts down"),
        pytest.param([(True, "queued")], True, id="dag.test runs the trigger"),
        pytest.param([(True, "queued"), (True, "running"), (True, "success")], True, id="dag.test finishes"),
        pytest.param(
            [(True, "scheduled"), (True, "queued"), (True, "failed")], True, id="other trigger fires first"
        ),
        pytest.param([(True, "failed")], False, id="marked failed"),
        pytest.param([(True, "success")], False, id="marked success"),
        pytest.param([(True, "skipped")], False, id="dagrun_timeout has passed"),
        pytest.param([(True, "removed")], False, id="task renamed"),
        pytest.param([(False, None)], False, id="task deleted"),
        pytest.param([(True, None), (True, "queued"), (False, "running")], False, id="cleared"),
        pytest.param([(False, "deferred")], False, id="cleared and deferred again"),
    ],
)
def test_task_is_still_deferred_unless_a_user_has_ended_its_try(monkeypatch, checks, is_still_deferred):
    remaining = list(checks)

    async def check(trigger, job_name):
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    monkeypatch.setattr(cancellation, "_check", check)
    monkeypatch.setattr(cancellation, "CHECK_INTERVAL", 0)

    assert asyncio.run(cancellation.is_still_deferred(None, "job")) is is_still_deferred
