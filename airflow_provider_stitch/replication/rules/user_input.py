"""Parse the arguments by which a sensor's user names a job."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import JobName
from airflow_provider_stitch.replication.rules.goal import DEFAULT_QUIET_PERIOD, Goal

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    streams: Iterable[str] | None,
    load_settle: float,
    quiet_period: float = DEFAULT_QUIET_PERIOD,
) -> Goal:
    """Return what a sensor's user wants to wait for.

    :param by_job_name: the user gave a `job_name`, whatever its template has come to.
    :param started_after: what the user gave; None is `run_started_at`.
    :raises InvalidArgument: what was given can't tell it.
    """
    since = run_started_at if started_after is None else started_after
    return Goal(
        *(phase, source.id, source.name, client_id),
        job_name=validate_job_name(job_name, source) if by_job_name else None,
        started_after=None if by_job_name else parse_instant(since),
        streams=None if streams is None else tuple(streams),
        load_settle=load_settle,
        quiet_period=quiet_period,
    )


def parse_instant(started_after: object) -> datetime:
    """Return the instant that a user gave, a datetime or ISO 8601, as a plain datetime in UTC.

    :raises InvalidArgument: it is none, or has no time zone.
    """
    instant = started_after
    if isinstance(instant, str):
        try:
            instant = datetime.fromisoformat(instant.strip().replace("Z", "+00:00"))
        except ValueError:
            instant = None
    if not isinstance(instant, datetime) or instant.tzinfo is None:
        raise InvalidArgument(
            "started_after must be an instant with a time zone, such as 2026-08-17T06:00:00Z; "
            f"it was {started_after!r}."
        )
    # Airflow's own instants are Pendulum's, whose differences are not those of datetime.
    return datetime.fromisoformat(instant.isoformat()).astimezone(timezone.utc)


def validate_job_name(job_name: object, source: Source) -> str:
    """Return the job name that a user gave, if it can be one of this source's jobs.

    :raises InvalidArgument: it is not a job's name, or that of another source's job.
    """
    if not isinstance(job_name, str) or not job_name:
        raise InvalidArgument(
            f"job_name must be the name of a Stitch job, but it is {job_name!r}. "
            "If it comes from another task's XCom: did that task start a job?"
        )
    source_id = JobName.parse(job_name).source_id
    if source_id != source.id:
        raise InvalidArgument(
            f"Job {job_name} belongs to source {source_id}, not to {source.label}. Name the job's own source."
        )
    return job_name
