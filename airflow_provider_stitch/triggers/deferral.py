"""Why was a trigger cancelled? Because its task waits no more, or because only this triggerer goes?"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from airflow.triggers.base import BaseTrigger
from asgiref.sync import sync_to_async

DEFERRED = "deferred"

JOB_NAME_KEY = "job_name"
"""The XCom key under which a task has the name of its job as soon as it is known."""

# Seconds for an answer of Airflow. The first one that a triggerer asks for can take 20 on a busy machine.
LOOK_PATIENCE = 60.0

# Airflow 3.3 and later call a trigger's `on_kill` when a user has acted on its task. Before, all that a
# trigger notices is its cancellation, which is also how a triggerer ends.
AIRFLOW_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")


async def still_waits(trigger: BaseTrigger, job_name: str) -> bool:
    """Whether the trigger's task is deferred for this job, as Airflow's database has it now.

    It is when the triggerer ends, and when another one has taken the trigger over because this one was held
    up; Airflow 3.3, too, then calls `on_kill`. It is not when a user has marked, cleared or deleted the task.

    :raises asyncio.TimeoutError: the database did not answer in time.
    """
    look = asyncio.ensure_future(_look(trigger, job_name))
    # Without cancelling it: an answer of the supervisor that nobody reads would be taken for the next one.
    await asyncio.wait({look}, timeout=LOOK_PATIENCE)
    if not look.done():
        raise asyncio.TimeoutError
    return look.result()


async def _look(trigger: BaseTrigger, job_name: str) -> bool:
    try:
        from airflow.sdk.execution_time import comms, task_runner, xcom  # noqa: PLC0415 - Airflow 3
    except ImportError:
        return await asyncio.to_thread(_is_deferred_in_database, trigger)
    task: Any = trigger.task_instance
    supervisor: Any = task_runner.SUPERVISOR_COMMS
    reader = getattr(supervisor, "_reader_task", None)
    if reader is not None and reader.done():
        return True  # the triggerer ends, and nobody reads answers any more
    answer = await supervisor.asend(
        comms.GetTaskStates(
            dag_id=task.dag_id, run_ids=[task.run_id], task_ids=[task.task_id], map_index=task.map_index
        )
    )
    if not isinstance(answer, comms.TaskStatesResult):
        raise TypeError(f"Airflow's answer is {answer!r}.")
    # Named by its id, and the map index if it has one: there is one at most.
    if DEFERRED not in answer.task_states.get(task.run_id, {}).values():
        return False
    # A task that was cleared may be deferred again already. Its XComs are of its latest try.
    key = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    return bool(await sync_to_async(xcom.XCom.get_one)(key=JOB_NAME_KEY, **key) == job_name)


def _is_deferred_in_database(trigger: BaseTrigger) -> bool:
    """The same on Airflow 2, where a triggerer may ask the database itself."""
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415 - Airflow 2
    from airflow.utils.session import create_session  # noqa: PLC0415 - Airflow 2

    task: Any = trigger.task_instance
    key = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    with create_session() as session:
        row = session.query(TaskInstance.state, TaskInstance.trigger_id).filter_by(**key).one_or_none()
    return row is not None and row.state == DEFERRED and row.trigger_id == trigger.trigger_id


async def undisturbed(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task, for Airflow cancels a trigger anew each second until it has ended.

    Only a triggerer that ends cuts it short: that cancels all there is.
    """
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled():
        task.result()
