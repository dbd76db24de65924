"""Run StitchRunReplicationJobOperator without a DAG, and interrupt the operator at a chosen moment."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_stitch.common.operator import StitchTask
from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.waiter import Waiter
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mock import MockerFixture

    from airflow_provider_stitch.emulator import StitchEmulator

#: The plan of a job that ends only if the test advances the emulator's clock.
LONG_JOB = JobPlan(tap_seconds=80_000)


class FakeTaskStateStore(dict[str, Any]):
    """A fake of the `task_state_store` that Airflow 3.3 and later versions pass to a task."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))  # Airflow converts stored values to JSON

    def delete(self, key: str) -> None:
        self.pop(key, None)


class FakeTaskInstance:
    """A task instance for a task that runs without Airflow's database. XComs are stored in a dict."""

    dag_id, task_id, run_id, map_index = "dag", "replicate", "run", -1
    start_date = None
    max_tries = 1
    state: str | None = "running"

    def __init__(self) -> None:
        self.xcom: dict[str, Any] = {}

    def get_task_states(
        self, *, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int
    ) -> dict[str, dict[str, str | None]]:
        assert (dag_id, task_ids, run_ids, map_index) == ("dag", ["replicate"], ["run"], -1)
        return {"run": {"replicate": self.state}}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value


def run_job_operator(**options: Any) -> Any:
    """Return an operator that runs a job for the source `github`."""
    return StitchRunReplicationJobOperator(
        **{"task_id": "replicate", "source": "github", "timeout": 600, **options}
    )


def interrupt_before_wait(mocker: MockerFixture, context: Any, **options: Any) -> Any:
    """Run a try until its worker dies, after the job has started.

    Return the operator that the try has executed.
    """
    mocker.patch.object(Waiter, "wait", side_effect=KeyboardInterrupt)
    operator = run_job_operator(**options)
    with pytest.raises(KeyboardInterrupt):
        operator.execute(context)
    mocker.stopall()
    return operator


def interrupt_before_start_response(mocker: MockerFixture, context: Any, **options: Any) -> None:
    """Run a try until its worker dies, after Stitch has started the job but before the response arrives."""
    start_replication_job = StitchClient.start_replication_job

    def start_and_die(client: StitchClient, source_id: int) -> None:
        start_replication_job(client, source_id)
        raise KeyboardInterrupt

    mocker.patch.object(StitchClient, "start_replication_job", start_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_job_operator(**options).execute(context)
    mocker.stopall()


def before_each_wait(mocker: MockerFixture, action: Callable[[Waiter], None]) -> None:
    """Before each wait of a task, call a function with the waiter."""
    wait = Waiter.wait

    async def act_and_wait(waiter: Waiter) -> Any:
        action(waiter)
        return await wait(waiter)

    mocker.patch.object(Waiter, "wait", act_and_wait)


def expire_deadline_when_waiting(mocker: MockerFixture, *, times: int | None = None) -> None:
    """Make a task's deadline expire as soon as the task starts to wait, so that no test depends on real time.

    :param times: number of waits for which the deadline expires. If `times` is None, every deadline expires.
    """
    wait, defer_until = StitchTask.wait, StitchTask.defer_until
    expiring = itertools.count() if times is None else iter(range(times))

    def expired(deadline: Any) -> Any:
        return deadline if next(expiring, None) is None else time.time()

    def wait_until_now(task: Any, goal: Any, deadline: Any, **options: Any) -> Any:
        return wait(task, goal, expired(deadline), **options)

    def defer_until_now(task: Any, goal: Any, deadline: Any, **options: Any) -> Any:
        return defer_until(task, goal, expired(deadline), **options)

    mocker.patch.object(StitchTask, "wait", wait_until_now)
    mocker.patch.object(StitchTask, "defer_until", defer_until_now)


def end_job_when_awaited(stitch: StitchEmulator, mocker: MockerFixture) -> None:
    """End a long-running job exactly when a task starts to wait."""
    advance = iter([lambda: stitch.advance(81_000)])
    before_each_wait(mocker, lambda _: next(advance, lambda: None)())


def deferred_trigger(call: Callable[[], Any]) -> StitchPhaseTrigger:
    """Return the trigger to which a call defers its task.

    The trigger is serialized and deserialized, as if it had moved to another triggerer.
    """
    with pytest.raises(TaskDeferred) as deferred:
        call()
    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith("StitchPhaseTrigger")
    return StitchPhaseTrigger(**json.loads(json.dumps(arguments)))


def event_of(trigger: StitchPhaseTrigger) -> dict[str, Any]:
    """Run a trigger until its first event, and return the payload of this event."""
    event: dict[str, Any] = asyncio.run(trigger.run().__anext__()).payload
    return event
