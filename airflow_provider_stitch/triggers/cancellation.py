"""Functions that determine whether a trigger is cancelled because a user has ended its task."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from airflow.triggers.base import BaseTrigger
from asgiref.sync import sync_to_async

from airflow_provider_stitch.triggers.task_context import JOB_NAME_KEY

DEFERRED = "deferred"

# States of a cleared task before and during its next try. Users cannot set these states of a task. A task
# that is about to be scheduled has the state None.
UNDECIDED_STATES = (None, "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule")

# Seconds between two checks of the task's state. A cleared task usually starts its next try within a few
# seconds. Airflow cancels `on_kill` after 30 s.
CHECK_INTERVAL = 1.0
MAX_CHECKS = 20

# Seconds to wait for a response from Airflow. The first response of a triggerer can take 20 s on a busy
# machine.
RESPONSE_TIMEOUT = 60.0

# Airflow 3.3 and later call a trigger's `on_kill` when a user has ended its task. Earlier versions of Airflow
# only cancel the trigger, and also cancel the trigger when the triggerer stops.
AIRFLOW_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")


async def is_still_deferred(trigger: BaseTrigger, job_name: str) -> bool:
    """Return whether the trigger's task still needs this job, according to Airflow's database.

    A task no longer needs its job if a user has marked the task as failed or successful, or has cleared or
    deleted the task. The task still needs its job in the following cases:

    - the triggerer is stopping,
    - another triggerer has taken over the trigger (in this case, Airflow 3.3 also calls `on_kill`), or
    - `dag.test()` runs the trigger itself, after setting the deferred task to `queued`.

    :raises asyncio.TimeoutError: if the database does not respond in time.
    """
    is_first_check = True
    for _ in range(MAX_CHECKS):
        check = asyncio.ensure_future(_check(trigger, job_name))
        # Do not cancel a check that takes too long, because the next request would receive the response to
        # the check.
        await asyncio.wait({check}, timeout=RESPONSE_TIMEOUT)
        if not check.done():
            raise asyncio.TimeoutError
        is_same_try, state = check.result()
        if not is_same_try:
            return False
        if state == DEFERRED:
            return True
        if state not in UNDECIDED_STATES:
            # If an earlier check returned an undecided state, the task has ended on its own. Otherwise, a
            # user has marked the task as failed or successful.
            return not is_first_check
        is_first_check = False
        await asyncio.sleep(CHECK_INTERVAL)
    return True


async def _check(trigger: BaseTrigger, job_name: str) -> tuple[bool, str | None]:
    """Return whether the task is still in the try that waits for this job.

    Also return the state of the task.
    """
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
    # Airflow returns the states by task id and map index, and the request asks for a single task instance.
    states = list(response.task_states.get(task.run_id, {}).values())
    if not states:
        return False, None  # a user has deleted the task
    # A task that was cleared may already be deferred again in its next try. When a try starts, Airflow
    # deletes the task's XComs. The job name in XCom therefore shows whether this is the same try.
    key = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    saved_job_name = await sync_to_async(xcom.XCom.get_one)(key=JOB_NAME_KEY, **key)
    return saved_job_name == job_name, None if states[0] is None else str(states[0])


def _check_in_database(trigger: BaseTrigger) -> tuple[bool, str | None]:
    """Return the result of `_check` on Airflow 2, where a triggerer can query the database."""
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


async def wait_ignoring_cancellation(task: asyncio.Task[Any]) -> None:
    """Wait until an asyncio task has ended, although Airflow cancels the trigger again each second.

    If the triggerer shuts down, Airflow cancels the asyncio task, and the wait ends.
    """
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled():
        task.result()
