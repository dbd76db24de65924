"""The goal of a wait: one phase of one job of one source."""

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
"""Stitch's phases, in order. `extraction_end` finishes when an extraction ends, even if it failed."""

PHASES: tuple[str, ...] = get_args(Phase)

DEFAULT_LOAD_SETTLE = 120.0
DEFAULT_QUIET_PERIOD = 900.0

_TIME_FIELDS = {"started_after", "running_at", "job_started_at"}


@dataclass(frozen=True, slots=True)
class Goal:
    """One phase of one job.

    The job is identified in exactly one of three ways: by its name; as the first job that started at or after
    `started_after` (a sensor for Stitch's own schedule); or as the job that was running at `running_at`
    (Stitch rejects a second start without naming the first job). All times are UTC and Stitch's own, except
    a user's `started_after`.
    """

    phase: Phase
    source_id: int
    source_name: str  #: the source's `name`, which the list of loads shows
    client_id: int  #: the Stitch account
    job_name: str | None = None
    started_after: datetime | None = None
    running_at: datetime | None = None
    job_started_at: datetime | None = None  #: start time of the named job, if its name contains none
    streams: tuple[str, ...] | None = None  #: `stream_name`s to wait for; None: every stream with rows
    load_settle: float = DEFAULT_LOAD_SETTLE  #: seconds without a change of a stream's last load
    #: Seconds after the source's last load until a stream without a load is assumed to have had no rows.
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
        """The named job's start time: from the UUID in its name, or else `job_started_at`."""
        if self.job_name is None:
            return None
        return job_start_time(self.job_name) or self.job_started_at

    def for_job(self, job_name: str, started_at: datetime | None) -> Goal:
        """Return the same goal with its job identified by name."""
        return replace(
            self, job_name=job_name, job_started_at=started_at, started_after=None, running_at=None
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the goal as JSON values without None, to be stored with a trigger. It contains no secret."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        for name in _TIME_FIELDS & fields.keys():
            fields[name] = fields[name].isoformat()
        if self.streams is not None:
            fields["streams"] = list(self.streams)
        return fields

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Goal:
        """Return the goal that `to_dict` stored."""
        fields = {name: value for name, value in stored.items() if value is not None}
        for name in _TIME_FIELDS & fields.keys():
            fields[name] = parse_time(fields[name])
        if "streams" in fields:
            fields["streams"] = tuple(fields["streams"])
        return cls(**fields)


def job_start_time(job_name: str) -> datetime | None:
    """Return a job's start time from the version-1 UUID in its name, or None if the name has none."""
    try:
        return JobName.parse(job_name).start_time
    except InvalidArgument:  # a name that Stitch generated in an undocumented form
        return None


def whole_seconds(time: datetime) -> datetime:
    """Return a time without its fraction of a second, which Stitch's lists do not show."""
    return time.replace(microsecond=0)
