"""Decide whether a sensor can start in the triggerer, and create the arguments for that."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import StartTriggerArgs

from airflow_provider_stitch.common.deadline import time_before_execution_timeout
from airflow_provider_stitch.triggers.versions import RENDERS_IN_TRIGGERER, STARTS_IN_TRIGGERER

if TYPE_CHECKING:
    from collections.abc import Mapping

TRIGGER = "airflow_provider_stitch.triggers.sensor.StitchSensorTrigger"

# Seconds that Airflow waits longer than the sensor, so that the trigger can report the timeout itself.
GRACE_SECONDS = 60.0


def worker_reason(
    templated: Mapping[str, Any], *, starts: bool = STARTS_IN_TRIGGERER, renders: bool = RENDERS_IN_TRIGGERER
) -> str | None:
    """Return why a sensor with these templated arguments must start in a worker, or None if it need not.

    :param starts: whether this version of Airflow starts tasks in the triggerer.
    :param renders: whether it renders templates there.
    """
    if not starts:
        return "Airflow 3 before 3.3 starts no task in the triggerer"
    for name, value in templated.items():
        is_template = "{{" in str(_serializable(value)) or "{%" in str(_serializable(value))
        if _is_reference(value) and (name == "streams" or not is_template):
            return f"the triggerer cannot resolve the reference to another task in {name}"
        if is_template and not renders:
            return f"{name} is a template, and Airflow before 3.3 renders no templates in the triggerer"
    return None


def start_args(sensor: Any, templated: Mapping[str, Any]) -> StartTriggerArgs:
    """Return the arguments that Airflow needs to start a sensor's trigger.

    :param sensor: one of this package's sensors.
    :param templated: the sensor's templated arguments, by name.
    """
    end_options = sensor._end_options()  # noqa: SLF001 - the same package
    is_execution_timeout = _ends_by_execution_timeout(sensor.timeout, sensor.execution_timeout)
    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        next_method="execute_complete",
        trigger_kwargs={
            **{name: _serializable(value) for name, value in templated.items()},
            "phase": sensor.phase,
            "load_settle": sensor.load_settle,
            "quiet_period": sensor.quiet_period,
            "poll_interval": sensor.poll_interval,
            "time_limit": "execution_timeout" if is_execution_timeout else "timeout",
            "resume_state": {"is_execution_timeout": is_execution_timeout},
            "end_options": None if end_options is None else end_options.to_dict(),
            "grace_seconds": _grace_seconds(sensor.timeout, sensor.execution_timeout),
        },
        timeout=timedelta(seconds=sensor.timeout + GRACE_SECONDS),
    )


def _ends_by_execution_timeout(timeout: float, execution_timeout: timedelta | None) -> bool:
    return execution_timeout is not None and time_before_execution_timeout(execution_timeout) <= timeout


def _grace_seconds(timeout: float, execution_timeout: timedelta | None) -> float:
    """Return the seconds between the end of the sensor's own timeout and the end of Airflow's."""
    if execution_timeout is None:
        return GRACE_SECONDS
    sensor_timeout = min(timeout, time_before_execution_timeout(execution_timeout))
    return min(timeout + GRACE_SECONDS, execution_timeout.total_seconds()) - sensor_timeout


def _is_reference(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_is_reference(element) for element in value)
    return hasattr(value, "iter_references")


def _serializable(value: Any) -> Any:
    """Return a JSON-serializable value. A reference to an XCom becomes the template that reads it."""
    if isinstance(value, (list, tuple)):
        return [_serializable(element) for element in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if _is_reference(value) else value
