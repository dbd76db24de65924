"""Functions that determine a sensor's goal, and whether and how the sensor starts in the triggerer.

To make DAG files load faster, sensors import this module only when they run or start in the triggerer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import StartTriggerArgs

from airflow_provider_stitch.common.deadline import time_before_execution_timeout
from airflow_provider_stitch.sensors._trigger_end import end_options
from airflow_provider_stitch.triggers.versions import RENDERS_IN_TRIGGERER, STARTS_IN_TRIGGERER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.session import AccountSession

TRIGGER = "airflow_provider_stitch.triggers.sensor.StitchSensorTrigger"

# Number of seconds from the sensor's timeout to Airflow's timeout. During this time, the trigger can report
# the timeout.
GRACE_SECONDS = 60.0


def worker_reason(
    templated: Mapping[str, Any], *, starts: bool = STARTS_IN_TRIGGERER, renders: bool = RENDERS_IN_TRIGGERER
) -> str | None:
    """Return the reason why a sensor must start in a worker, or None if it can start in the triggerer.

    :param templated: the sensor's templated arguments, by name.

    :param starts: whether this version of Airflow starts tasks in the triggerer.
    :param renders: whether this version of Airflow renders templates in the triggerer.
    """
    if not starts:
        return "Airflow 3 before 3.3 starts no task in the triggerer"
    for name, value in templated.items():
        is_template = "{{" in str(_serializable(value)) or "{%" in str(_serializable(value))
        if _is_reference(value) and (name == "streams" or not is_template):
            return f"the triggerer cannot resolve the reference to another task in {name}"
        if is_template and not renders:
            return f"{name} is a template, and Airflow before 3.3 renders no templates in the triggerer"
        if name == "timeout" and (is_template or _is_reference(value)):
            return "timeout is a template, and Airflow needs the timeout before it renders templates"
    return None


def start_args(sensor: Any) -> StartTriggerArgs:
    """Return the arguments that Airflow needs to start a sensor's trigger."""
    by_execution_timeout, options = _ends_by_execution_timeout(sensor), end_options(sensor)
    templated = {name: value for name, value in templated_arguments(sensor).items() if name != "timeout"}
    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        next_method="execute_complete",
        trigger_kwargs={
            "load_settle": sensor.load_settle,
            "quiet_period": sensor.quiet_period,
            **{name: _serializable(value) for name, value in templated.items()},
            "phase": sensor.phase,
            "poll_interval": sensor.poll_interval,
            "time_limit": "execution_timeout" if by_execution_timeout else "timeout",
            "resume_state": {"is_execution_timeout": by_execution_timeout},
            "end_options": None if options is None else options.to_dict(),
            "grace_seconds": _grace_seconds(sensor.timeout, sensor.execution_timeout),
        },
        timeout=timedelta(seconds=sensor.timeout + GRACE_SECONDS),
    )


async def find_goal(sensor: Any, context: Context, session: AccountSession) -> Goal:
    """Find the sensor's source in Stitch, and return the goal that the sensor waits for.

    :raises StitchError: if the arguments do not identify a job.
    """
    from airflow_provider_stitch.replication.rules.user_input import sensor_goal
    from airflow_provider_stitch.triggers.task_context import run_started_at

    source = await session.call(lambda: sensor.hook.resolve_source(sensor.source))
    client_id = await session.call(lambda: session.client.client_id)
    return sensor_goal(
        sensor.phase,
        source,
        client_id,
        by_job_name=sensor.is_for_job,
        job_name=sensor.job_name,
        started_after=sensor.started_after,
        run_started_at=run_started_at(context),
        streams=sensor.streams,
        load_settle=sensor.load_settle,
        quiet_period=sensor.quiet_period,
    )


def templated_arguments(sensor: Any) -> dict[str, Any]:
    """Return a sensor's templated arguments, by name."""
    return {name: getattr(sensor, name) for name in sensor.template_fields}


def _ends_by_execution_timeout(sensor: Any) -> bool:
    limit = sensor.execution_timeout
    return limit is not None and time_before_execution_timeout(limit) <= sensor.timeout


def _grace_seconds(timeout: float, execution_timeout: timedelta | None) -> float:
    """Return the number of seconds from the sensor's own timeout to Airflow's later timeout."""
    if execution_timeout is None:
        return GRACE_SECONDS
    sensor_timeout = min(timeout, time_before_execution_timeout(execution_timeout))
    return min(timeout + GRACE_SECONDS, execution_timeout.total_seconds()) - sensor_timeout


def _is_reference(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_is_reference(element) for element in value)
    return hasattr(value, "iter_references")


def _serializable(value: Any) -> Any:
    """Return a JSON-serializable value. Templates that read XComs replace references to XComs."""
    if isinstance(value, (list, tuple)):
        return [_serializable(element) for element in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if _is_reference(value) else value
