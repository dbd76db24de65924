"""Find out why a trigger was cancelled: its task no longer waits, or only this triggerer is stopping."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from airflow.triggers.base import BaseTrigger
from asgiref.sync import sync_to_async

from airflow_provider_stitch.triggers.task_context import JOB_NAME_KEY

DEFERRED = "deferred"

# States that a user does not set, but that a cleared task passes through on the way to its next try. None is
# the state of a task that is about to be scheduled.
UNDECIDED_STATES = (None, "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule")

# A cleared task usually starts its next try within a few seconds. Airflow gives `on_kill` 30 s.
CHECK_INTERVAL = 1.0
MAX_CHECKS = 20

# Seconds to wait for a response from Airflow. A triggerer's first one can take 20 s on a busy machine.
RESPONSE_TIMEOUT = 60.0

# Airflow 3.3 and later call a trigger's `on_kill` when a user has ended its task. Earlier versions only
# cancel the trigger, as they do when the triggerer stops.
AIRFLOW_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")


async def is_still_deferred(trigger: BaseTrigger, job_name: str) -> bool:
    """Return whether the trigger's task still needs this job, according to Airflow's database.

    The job is not needed if a user has marked, cleared or deleted the task. It is still needed if the
    triggerer stops, if another triggerer has taken over the trigger (Airflow 3.3 calls `on_kill` then, too),
    and in `dag.test()`, which sets a deferred task to `queued` and runs its trigger itself.

    :raises asyncio.TimeoutError: if the database did not respond in time.
    """
    is_first_check = True
    for _ in range(MAX_CHECKS):
        check = asyncio.ensure_future(_check(trigger, job_name))
        # It is not cancelled, because the next request would receive its late response.
        await asyncio.wait({check}, timeout=RESPONSE_TIMEOUT)
        if not check.done():
            raise asyncio.TimeoutError
        is_same_try, state = check.result()
        if not is_same_try:
            return False
        if state == DEFERRED:
            return True
        if state not in UNDECIDED_STATES:
            # If an earlier check saw the task in progress, it has ended on its own since then.
            return not is_first_check
        is_first_check = False
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
    reader_task = getattr(supervisor, "_reader_task", None)
    if reader_task is not None and reader_task.done():
        return True, DEFERRED  # the triggerer is shutting down and no longer reads responses
    response = await supervisor.asend(
        comms.GetTaskStates(
            dag_id=task.dag_id, run_ids=[task.run_id], task_ids=[task.task_id], map_index=task.map_index
        )
    )
    if not isinstance(response, comms.TaskStatesResult):
        raise TypeError(f"Airflow responded with {response!r} instead of the state of the task.")
    # The key of a state is the task's id, with the map index if it has one. So there is at most one state.
    states = list(response.task_states.get(task.run_id, {}).values())
    if not states:
        return False, None  # a user has deleted the task
    # A cleared task may be deferred again already. But Airflow deletes a task's XComs when a try starts.
    key = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    saved_job_name = await sync_to_async(xcom.XCom.get_one)(key=JOB_NAME_KEY, **key)
    return saved_job_name == job_name, None if states[0] is None else str(states[0])


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
    # Clearing a task increases its `max_tries`.
    return (row.try_number, row.max_tries) == (task.try_number, task.max_tries), row.state


async def wait_ignoring_cancellation(task: asyncio.Task[None]) -> None:
    """Wait until a task has ended, although Airflow cancels a trigger again each second.

    A triggerer that shuts down cancels the task as well, which ends the wait.
    """
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled():
        task.result()
