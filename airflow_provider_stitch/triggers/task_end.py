"""How a task ends in the triggerer, where no worker is there to return its result or to raise its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XCom
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent
from asgiref.sync import sync_to_async

from airflow_provider_stitch.common.versions import RETRIES_FROM_TRIGGERER
from airflow_provider_stitch.connect.errors import ERROR_CLASSES, PhaseTimedOut, StitchError

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTaskEndEvent

    from airflow_provider_stitch.replication.outcome import Outcome


@dataclass(frozen=True)
class TaskEndOptions:
    """What the triggerer must know of a task that is to end there. In a trigger's arguments it is a dict."""

    soft_fail: bool  #: whatever would fail the task skips it
    has_retries: bool
    do_xcom_push: bool  #: its result goes to XCom


def end_event(
    outcome: Outcome, ending: TaskEndOptions, *, retries: bool = RETRIES_FROM_TRIGGERER
) -> BaseTaskEndEvent | None:
    """Return the event that ends the task as a worker would, or None if only a worker can do that.

    Airflow decides by itself whether it retries a task that failed in the triggerer. So where a task may be
    retried, but not for this error, only a worker can say so.

    :param retries: this Airflow retries such a task at all.
    """
    if outcome.error is None:
        return TaskSuccessEvent()
    if ending.soft_fail:
        return TaskSkippedEvent()
    if not ending.has_retries or (retries and _is_retried(outcome.error)):
        return TaskFailedEvent()
    return None


def _is_retried(error: dict[str, Any]) -> bool:
    kind = ERROR_CLASSES.get(error["kind"], StitchError)
    # The end of a sensor's `timeout` is final, that of its `execution_timeout` is not: a worker knows.
    return kind.retryable and kind is not PhaseTimedOut


def failure_message(error: dict[str, Any], ending: TaskEndOptions) -> str:
    """Return what the task's log has to say of the error that ends it: nobody raises it in the triggerer."""
    text = f"{error['kind']}: {error['message']}"
    return f"Skipped, for soft_fail is set: {text}" if ending.soft_fail else text


async def push_xcom(task_instance: Any, key: str, value: Any) -> None:
    """Leave an XCom as a worker would.

    An end event can carry XComs, too, but Airflow 3 stores those as the text of their JSON.
    """
    await sync_to_async(XCom.set)(
        key=key,
        value=value,
        dag_id=task_instance.dag_id,
        task_id=task_instance.task_id,
        run_id=task_instance.run_id,
        map_index=task_instance.map_index,
    )
