"""Test that a trigger delays its event until the scheduler has recorded the exit of the previous worker."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest

from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.waiter import Waiter
from airflow_provider_stitch.triggers.sensor import StitchSensorTrigger
from airflow_provider_stitch.triggers.stitch import EVENT_DELAY, StitchPhaseTrigger


class Clock:
    """A clock that advances only when `sleep` is called or when the test sets `now`."""

    def __init__(self):
        self.now = 1_000.0

    def time(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("wait_seconds", "kind", "trigger_id", "expected_delay"),
    [
        pytest.param(0, StitchPhaseTrigger, 1, EVENT_DELAY, id="job has already ended"),
        pytest.param(3, StitchPhaseTrigger, 1, EVENT_DELAY, id="job ends soon"),
        pytest.param(3600, StitchPhaseTrigger, 1, 3600, id="job ends later"),
        pytest.param(0, StitchPhaseTrigger, None, 0, id="dag.test, without an executor"),
        pytest.param(0, StitchSensorTrigger, 1, 0, id="started from the triggerer"),
    ],
)
def test_trigger_delays_its_event_if_a_worker_deferred_the_task(
    stitch, github, monkeypatch, wait_seconds, kind, trigger_id, expected_delay
):
    clock = Clock()
    goal = Goal(
        "loading", github, "github", stitch.client_id, started_after=datetime(2026, 1, 1, tzinfo=timezone.utc)
    )

    async def wait(waiter):
        clock.now += wait_seconds
        return Outcome(goal.to_dict(), {})

    async def begin(trigger):
        trigger.goal = goal

    monkeypatch.setattr(Waiter, "wait", wait)
    monkeypatch.setattr(StitchPhaseTrigger, "clock", clock)
    monkeypatch.setattr(StitchSensorTrigger, "_prepare", begin)
    arguments = {"goal": goal.to_dict()}
    if kind is StitchSensorTrigger:
        arguments = {"phase": "loading", "source": "github", "load_settle": 120.0, "quiet_period": 900.0}
    trigger = kind(stitch_conn_id="stitch_default", **arguments)
    trigger.trigger_id = trigger_id

    asyncio.run(trigger.run().__anext__())

    assert clock.now - 1_000.0 == expected_delay
