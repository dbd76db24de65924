"""How a sensor begins in the triggerer: when it can, and with which arguments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import StartTriggerArgs

from airflow_provider_stitch.common.operator import time_before_execution_timeout
from airflow_provider_stitch.common.versions import RENDERS_IN_TRIGGERER, STARTS_IN_TRIGGERER

if TYPE_CHECKING:
    from collections.abc import Mapping

TRIGGER = "airflow_provider_stitch.triggers.sensor.StitchSensorTrigger"

# Seconds that Airflow waits longer than the sensor, so that the trigger can say itself that its time is over.
GRACE = 60.0


def why_in_worker(
    templated: Mapping[str, Any], *, starts: bool = STARTS_IN_TRIGGERER, renders: bool = RENDERS_IN_TRIGGERER
) -> str | None:
    """Return why a sensor with these templated arguments can't begin in the triggerer, or None if it can.

    :param starts, renders: what this Airflow can do there.
    """
    if not starts:
        return "Airflow 3 starts no task in the triggerer before 3.3"
    for name, value in templated.items():
        is_template = "{{" in str(_plain(value)) or "{%" in str(_plain(value))
        if _is_reference(value) and (name == "streams" or not is_template):
            return f"{name} comes from another task in a way that the triggerer can't follow"
        if is_template and not renders:
            return f"Airflow before 3.3 renders no templates in the triggerer, and {name} is one"
    return None


def start_args(
    templated: Mapping[str, Any], *, timeout: float, execution_timeout: timedelta | None, **others: Any
) -> StartTriggerArgs:
    """Return with what Airflow starts a sensor's trigger.

    :param templated: the sensor's templated arguments, by name.
    :param others: the trigger's other arguments, in plain values.
    """
    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        next_method="execute_complete",
        trigger_kwargs={
            **{name: _plain(value) for name, value in templated.items()},
            **others,
            "spare": _spare(timeout, execution_timeout),
        },
        timeout=timedelta(seconds=timeout + GRACE),
    )


def _spare(timeout: float, execution_timeout: timedelta | None) -> float:
    """Return the seconds from the end of the sensor's time to the instant at which Airflow gives it up."""
    if execution_timeout is None:
        return GRACE
    ours = min(timeout, time_before_execution_timeout(execution_timeout))
    return min(timeout + GRACE, execution_timeout.total_seconds()) - ours


def _is_reference(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_is_reference(one) for one in value)
    return hasattr(value, "iter_references")


def _plain(value: Any) -> Any:
    """Return what can be stored: of a reference to an XCom, the template that reads it."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if _is_reference(value) else value
