"""Functions that parse durations set by DAG authors, and determine the deadline of a task."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# Seconds before the end of `execution_timeout` that are reserved for stopping the job.
STOP_SECONDS = 10.0


class Deadline(NamedTuple):
    """The time when a task gives up, and the argument of the task that determines this time."""

    at: float | None  #: seconds since the epoch, or None if the wait has no limit
    is_execution_timeout: bool = False

    @property
    def time_limit(self) -> str:
        """Name of the argument that sets the deadline, for error messages."""
        return "execution_timeout" if self.is_execution_timeout else "timeout"

    @classmethod
    def of(cls, context: Context, timeout: float | None, execution_timeout: timedelta | None) -> Deadline:
        """Return the end of `timeout`, or a time shortly before the end of an earlier `execution_timeout`.

        Airflow 3 does not apply `execution_timeout` to a deferred task, and Airflow 2 ends a deferred task
        without calling the operator. A task that stops waiting before the end of `execution_timeout` can
        still stop its job.
        """
        now = time.time()
        timeout_at = None if timeout is None else now + timeout
        if execution_timeout is None:
            return cls(timeout_at)
        task_start = getattr(context["ti"], "start_date", None)
        started_at = task_start.timestamp() if task_start else now
        execution_timeout_at = started_at + time_before_execution_timeout(execution_timeout)
        if timeout_at is not None and timeout_at < execution_timeout_at:
            return cls(timeout_at)
        return cls(execution_timeout_at, is_execution_timeout=True)


def time_before_execution_timeout(execution_timeout: timedelta) -> float:
    """Return the maximum number of seconds to wait, so that time remains to stop the job."""
    allowed = execution_timeout.total_seconds()
    return allowed - min(STOP_SECONDS, allowed / 10)


def parse_duration(
    duration: float | timedelta | str | None, name: str, *, allow_zero: bool = False
) -> float | None:
    """Return a duration in seconds, or None if `duration` is None.

    :param name: the argument's name, for the error message.
    :raises ValueError: if the duration is not a number, is negative, or is zero without `allow_zero`.
    """
    if duration is None:
        return None
    try:
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    except (TypeError, ValueError):
        seconds = math.nan
    if (
        isinstance(duration, bool)
        or not math.isfinite(seconds)
        or seconds < 0
        or (seconds == 0 and not allow_zero)
    ):
        minimum = "0 or more" if allow_zero else "positive"
        raise ValueError(f"{name} is a number of seconds and must be {minimum}; it was {duration!r}.")
    return seconds


def parse_templated_duration(duration: Any, name: str, *, allow_zero: bool = False) -> Any:
    """Return a duration in seconds. Return a template or another task's output unchanged.

    :raises ValueError: if the duration is invalid; see `parse_duration`.
    """
    from airflow_provider_stitch.replication.rules.arguments import is_template

    return duration if is_template(duration) else parse_duration(duration, name, allow_zero=allow_zero)


def rendered_duration(duration: Any, name: str) -> float | None:
    """Return a duration in seconds, after Airflow has rendered its template.

    :raises InvalidArgument: if the rendered value is not a positive number of seconds.
    """
    from airflow_provider_stitch.connect.errors import InvalidArgument

    try:
        return parse_duration(duration, name)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
