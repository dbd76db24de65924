"""Parse the arguments that identify a sensor's job."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import JobName
from airflow_provider_stitch.replication.rules.arguments import parse_streams
from airflow_provider_stitch.replication.rules.goal import DEFAULT_QUIET_PERIOD, Goal

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.rules.goal import Phase


def sensor_goal(
    phase: Phase,
    source: Source,
    client_id: int,
    *,
    by_job_name: bool,
    job_name: object,
    started_after: object,
    run_started_at: datetime | None,
    streams: object,
    load_settle: object,
    quiet_period: object = DEFAULT_QUIET_PERIOD,
) -> Goal:
    """Return the goal of a sensor.

    :param by_job_name: whether the user passed a `job_name`, even if its template rendered to an empty value.
    :param started_after: the sensor's argument of the same name. If None, `run_started_at` is used.
    :param streams: see `parse_streams`.
    :raises InvalidArgument: if the arguments do not identify a job.
    """
    instant = run_started_at if started_after is None else started_after
    return Goal(
        phase=phase,
        source_id=source.id,
        source_name=source.name,
        client_id=client_id,
        job_name=(
            validate_job_name(job_name, source, accepts_checks=phase == "connection_check")
            if by_job_name
            else None
        ),
        started_after=None if by_job_name else parse_instant(instant),
        streams=_streams(streams),
        load_settle=_seconds(load_settle, "load_settle"),
        quiet_period=_seconds(quiet_period, "quiet_period"),
    )


def _streams(value: object) -> tuple[str, ...] | None:
    try:
        return parse_streams(value)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def _seconds(value: Any, name: str) -> float:
    """Return a number of seconds that a template may have rendered as a string."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise InvalidArgument(f"{name} must be a number of seconds, 0 or more; it is {value!r}.")
    return seconds


def parse_instant(value: object, name: str = "started_after") -> datetime:
    """Convert a datetime or an ISO 8601 string to a plain datetime in UTC.

    :param name: name of the argument, for the error message.
    :raises InvalidArgument: if the value has another form, or has no time zone.
    """
    try:
        instant = value.strip().upper().replace("Z", "+00:00") if isinstance(value, str) else value
        # Convert Airflow's Pendulum times, because subtracting two such times returns no plain timedelta.
        text = instant.isoformat() if isinstance(instant, datetime) else str(instant)
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is not None:
            return parsed.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass
    raise InvalidArgument(
        f"{name} must be a time with a time zone, such as 2026-08-17T06:00:00Z; it is {value!r}."
    )


def validate_job_name(job_name: object, source: Source, *, accepts_checks: bool = False) -> str:
    """Return a job name if it can belong to a job of this source.

    :param accepts_checks: whether the name may be the name of a connection check.
    :raises InvalidArgument: if the value is not the name of a replication job, or if the job belongs to
        another source or account.
    """
    if not isinstance(job_name, str) or not job_name:
        raise InvalidArgument(
            f"job_name must be the name of a Stitch job; it is {job_name!r}. "
            "If it comes from another task's XCom, check that the task started a job."
        )
    name = JobName.parse(job_name)
    if name.source_id != source.id:
        raise InvalidArgument(
            f"Job {job_name} belongs to source {name.source_id}, not to {source.label}. Set source "
            f"to {name.source_id}, or job_name to a job of source {source.id}."
        )
    if source.stitch_client_id not in (None, name.client_id):
        raise InvalidArgument(
            f"Job {job_name} belongs to Stitch account {name.client_id}, but source {source.label} is in "
            f"account {source.stitch_client_id}. Set job_name to a job of this account."
        )
    if name.mode == "check" and not accepts_checks:
        raise InvalidArgument(
            f"{job_name} is a connection check of source {source.label}, not a replication job. Set job_name "
            "to a replication job, or wait for the check with StitchConnectionCheckSensor."
        )
    return job_name
