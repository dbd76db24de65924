"""Functions that decide whether a sensor can end in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseSensorOperator

    from airflow_provider_stitch.triggers.task_context import TaskEndOptions


def worker_end_reason(sensor: BaseSensorOperator) -> str | None:
    """Return the reason why a sensor must end in a worker, or None if it can end in the triggerer."""
    if sensor.outlets:
        return "the task has outlets, and Airflow updates no assets for a task that ends in the triggerer"
    if sensor.multiple_outputs:
        return "the task has multiple_outputs, and only a worker pushes their XComs"
    if _has_listeners():
        return "Airflow has listeners, and it calls none of them for a task that ends in the triggerer"
    return None


def end_options(sensor: Any) -> TaskEndOptions | None:
    """Return the options that the trigger needs to end the task, or None if a worker ends the task."""
    from airflow_provider_stitch.triggers.task_context import TaskEndOptions

    # The DAG's author may have set the outlets after creating the sensor.
    if not sensor.end_from_trigger or sensor.outlets or sensor.multiple_outputs:
        return None
    return TaskEndOptions(
        soft_fail=sensor.soft_fail,
        has_retries=bool(sensor.retries),
        do_xcom_push=sensor.do_xcom_push,
        skip_if_no_rows=sensor.skip_if_no_rows,
    )


def _has_listeners() -> bool:
    # When Airflow imports a DAG file, Airflow checks the same listener manager. If there are listeners,
    # Airflow rejects tasks with end_from_trigger=True.
    from airflow.listeners.listener import get_listener_manager

    return bool(get_listener_manager().has_listeners)
