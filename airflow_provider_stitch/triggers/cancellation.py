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

# States that a user does not set, but that a cleared task passes through as well. A task that is to be
# scheduled has None.
UNDECIDED = (None, "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule")

# A cleared task usually begins its next try within some seconds. Airflow gives `on_kill` 30 s.
CHECK_INTERVAL = 1.0
MAX_CHECKS = 20

# Seconds for an answer of Airflow. The first one that a triggerer asks for can take 20 on a busy machine.
LOOK_PATIENCE = 60.0

# Airflow 3.3 and later call a trigger's `on_kill` when a user has acted on its task. Before, all that a
# trigger notices is its cancellation, which is also how a triggerer ends.
AIRFLOW_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")


async def is_still_deferred(trigger: BaseTrigger, job_name: str) -> bool:
    """Return whether the trigger's task still needs this job, as Airflow's database has it now.

    A user no longer wants the job after marking, clearing or deleting the task. All else leaves it: the end
    of the triggerer, another triggerer that took the trigger over (Airflow 3.3 then calls `on_kill`, too),
    and `dag.test()`, which sets a deferred task to `queued` and runs its trigger itself.

    :raises asyncio.TimeoutError: the database did not respond in time.
    """
    first = True
    for _ in range(MAX_CHECKS):
        check = asyncio.ensure_future(_check(trigger, job_name))
        # It is not cancelled: a late response of the supervisor would be taken for the next one.
        await asyncio.wait({check}, timeout=LOOK_PATIENCE)
        if not check.done():
            raise asyncio.TimeoutError
        same_try, state = check.result()
        if not same_try:
            return False
        if state == DEFERRED:
            return True
        if state not in UNDECIDED:
            # If the task was seen to go on, it has ended by itself since.
            return not first
        # A cleared task passes through the same states on its way to its next try.
        first = False
        await asyncio.sleep(CHECK_INTERVAL)
    return True


async def _check(trigger: BaseTrigger, job_name: str) -> tuple[bool, str | None]:
    """Return whether the task is still in the try that waits for this job, and the task's state."""
    try:
        from airflow.sdk.execution_time import comms, task_runner, xcom  # noqa: PLC0415 - Airflow 3
    except ImportError:
        return await asyncio.to_thread(_check_in_database, trigger)
    task: Any = trigger.task_instance
    supervisor: Any = task_runner.SUPERVISOR_COMMS
    reader = getattr(supervisor, "_reader_task", None)
    if reader is not None and reader.done():
        return True, DEFERRED  # the triggerer ends, and nothing reads responses any more
    answer = await supervisor.asend(
        comms.GetTaskStates(
            dag_id=task.dag_id, run_ids=[task.run_id], task_ids=[task.task_id], map_index=task.map_index
        )
    )
    if not isinstance(answer, comms.TaskStatesResult):
        raise TypeError(f"Airflow's answer is {answer!r}.")
    # Named by its id, and the map index if it has one: there is one at most.
    states = list(answer.task_states.get(task.run_id, {}).values())
    if not states:
        return False, None  # a user has deleted it
    # A task that was cleared may be deferred again already. Airflow removes a task's XComs when a try begins.
    key = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    stored = await sync_to_async(xcom.XCom.get_one)(key=JOB_NAME_KEY, **key)
    return stored == job_name, None if states[0] is None else str(states[0])


def _check_in_database(trigger: BaseTrigger) -> tuple[bool, str | None]:
    """Do the same on Airflow 2, where a triggerer may query the database itself."""
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415 - Airflow 2
    from airflow.utils.session import create_session  # noqa: PLC0415 - Airflow 2

    task: Any = trigger.task_instance
    key = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    columns = (TaskInstance.state, TaskInstance.try_number, TaskInstance.max_tries)
    with create_session() as session:
        row = session.query(*columns).filter_by(**key).one_or_none()
    if row is None:
        return False, None
    # A clear grants the task more tries.
    return (row.try_number, row.max_tries) == (task.try_number, task.max_tries), row.state


async def wait_ignoring_cancellation(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task, for Airflow cancels a trigger anew each second until it has ended.

    Only a triggerer that ends cuts it short: that cancels all there is.
    """
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled():
        task.result()
