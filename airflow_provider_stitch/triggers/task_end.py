"""Functions that end a task in the triggerer, without a worker to return the result or raise the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XCom
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent
from asgiref.sync import sync_to_async

from airflow_provider_stitch.connect.errors import ERROR_CLASSES, PhaseTimedOut, StitchError
from airflow_provider_stitch.triggers.versions import RETRIES_FROM_TRIGGERER

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTaskEndEvent

    from airflow_provider_stitch.replication.outcome import Outcome
    from airflow_provider_stitch.triggers.task_context import TaskEndOptions


def end_event(
    outcome: Outcome, options: TaskEndOptions, *, retries: bool = RETRIES_FROM_TRIGGERER
) -> BaseTaskEndEvent | None:
    """Return the event that ends the task the way a worker would, or None if the task needs a worker.

    If a task fails in the triggerer and has retries left, Airflow always applies its own rule for retries. If
    a task has retries left, only a worker can fail the task without a retry.

    :param retries: whether this version of Airflow retries tasks that failed in the triggerer.
    """
    if outcome.error is None:
        is_skipped = options.skip_if_no_rows and outcome.had_no_rows
        return TaskSkippedEvent() if is_skipped else TaskSuccessEvent()
    if options.soft_fail:
        return TaskSkippedEvent()
    if not options.has_retries or (retries and _is_retried(outcome.error)):
        return TaskFailedEvent()
    return None


def _is_retried(error: dict[str, Any]) -> bool:
    error_class = ERROR_CLASSES.get(error["kind"], StitchError)
    # Airflow does not retry a sensor after its `timeout`, but retries it after its `execution_timeout`. Only
    # a worker can distinguish `timeout` and `execution_timeout`.
    return error_class.retryable and error_class is not PhaseTimedOut


def failure_message(error: dict[str, Any], options: TaskEndOptions) -> str:
    """Return the log line of a task that fails in the triggerer, where no exception is raised."""
    message = f"{error['kind']}: {error['message']}"
    return f"Skipped because soft_fail is set: {message}" if options.soft_fail else message


async def push_xcom(task_instance: Any, key: str, value: Any) -> None:
    """Write an XCom in the same way as a worker.

    An end event can also contain XComs, but Airflow 3 would store the values of these XComs as JSON strings.
    """
    await sync_to_async(XCom.set)(
        key=key,
        value=value,
        dag_id=task_instance.dag_id,
        task_id=task_instance.task_id,
        run_id=task_instance.run_id,
        map_index=task_instance.map_index,
    )
