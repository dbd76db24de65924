"""The goal of a wait, which is one phase of a source's job."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import JobName, parse_time

if TYPE_CHECKING:
    from datetime import datetime

Phase = Literal[
    "connection_check", "structure_sync", "extraction", "extraction_end", "preparation", "loading"
]
"""The phases of a job, in order.

The phase `extraction_end` is finished when the extraction has ended, even if it failed.
"""

PHASES: tuple[str, ...] = get_args(Phase)

DEFAULT_LOAD_SETTLE = 120.0
DEFAULT_QUIET_PERIOD = 900.0

_TIME_FIELDS = {"started_after", "running_at", "job_started_at"}


@dataclass(frozen=True, slots=True)
class Goal:
    """One phase of a source's job.

    Exactly one of `job_name`, `started_after` and `running_at` identifies the job. All times are in UTC, by
    Stitch's clock, except a `started_after` that a user passed.
    """

    phase: Phase
    source_id: int
    source_name: str  #: the source's `name`, as in the list of loads
    client_id: int  #: id of the Stitch account
    job_name: str | None = None
    #: Wait for a job that started at or after this time. If several such jobs have completed, the last of
    #: them is used. Sensors that wait for scheduled jobs set this field.
    started_after: datetime | None = None
    #: Wait for the job that was running at this time. If Stitch refuses to start a job because another job is
    #: running, the response does not contain the name of the running job.
    running_at: datetime | None = None
    job_started_at: datetime | None = None  #: the job's start time, if `job_name` does not contain it
    #: Names of the streams to wait for. If None, wait for all streams with rows.
    streams: tuple[str, ...] | None = None
    load_settle: float = DEFAULT_LOAD_SETTLE  #: seconds for which a stream's last load must not change
    #: If the source has had no load for this number of seconds, a stream without a load is assumed to have
    #: had no rows.
    quiet_period: float = DEFAULT_QUIET_PERIOD

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise InvalidArgument(f"Unknown phase {self.phase!r}. Use one of: {', '.join(PHASES)}.")
        if sum(value is not None for value in (self.job_name, self.started_after, self.running_at)) != 1:
            raise InvalidArgument(
                "Identify the job in exactly one way: by job_name (of a job that was started), or by "
                "started_after (a time)."
            )
        for name, seconds in (("load_settle", self.load_settle), ("quiet_period", self.quiet_period)):
            if seconds < 0:
                raise InvalidArgument(f"{name} must be a number of seconds, 0 or more; it is {seconds}.")

    @property
    def started_at(self) -> datetime | None:
        """The job's start time, from the UUID in `job_name` or from `job_started_at`; None if unknown."""
        if self.job_name is None:
            return None
        return job_start_time(self.job_name) or self.job_started_at

    def for_job(self, job_name: str, started_at: datetime | None) -> Goal:
        """Return a copy of the goal that identifies the job by name."""
        return replace(
            self, job_name=job_name, job_started_at=started_at, started_after=None, running_at=None
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields that are not None as JSON values. The values contain no secret."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        for name in _TIME_FIELDS & fields.keys():
            fields[name] = fields[name].isoformat()
        if self.streams is not None:
            fields["streams"] = list(self.streams)
        return fields

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Goal:
        """Create a goal from the result of `to_dict`."""
        fields = {name: value for name, value in stored.items() if value is not None}
        for name in _TIME_FIELDS & fields.keys():
            fields[name] = parse_time(fields[name])
        if "streams" in fields:
            fields["streams"] = tuple(fields["streams"])
        return cls(**fields)


def job_start_time(job_name: str) -> datetime | None:
    """Return a job's start time from the UUID in its name, or None if there is no version-1 UUID."""
    try:
        return JobName.parse(job_name).start_time
    except InvalidArgument:  # the job name has an undocumented form
        return None


def whole_seconds(time: datetime) -> datetime:
    """Truncate a time to whole seconds, like the times in Stitch's lists."""
    return time.replace(microsecond=0)
