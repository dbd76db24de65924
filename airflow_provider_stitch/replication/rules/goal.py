"""What somebody waits for: one phase of one job of one source."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import JobName, parse_time

if TYPE_CHECKING:
    from datetime import datetime

Phase = Literal[
    "connection_check", "structure_sync", "extraction", "extraction_end", "preparation", "loading"
]
"""The phases of Stitch, in their order. `end` is the end of an extraction, however it went."""

PHASES: tuple[str, ...] = get_args(Phase)

DEFAULT_LOAD_SETTLE = 120.0
DEFAULT_QUIET_PERIOD = 900.0

_INSTANTS = {"started_after", "running_at", "job_started_at"}


@dataclass(frozen=True, slots=True)
class Goal:
    """One phase of one job.

    Which job is told in exactly one of three ways: by its name; as one that began at or after an instant (a
    sensor for Stitch's own schedule); or as the one that was running at an instant (Stitch refuses a second
    start without naming the first job). All instants are UTC, and Stitch's own except a user's
    `started_after`.
    """

    phase: Phase
    source_id: int
    source_name: str  #: the source's `name`, by which loads are listed
    client_id: int  #: the account
    job_name: str | None = None
    started_after: datetime | None = None
    running_at: datetime | None = None
    job_started_at: datetime | None = None  #: when the named job began, if its name does not tell
    streams: tuple[str, ...] | None = None  #: wait for these only, by stream name; None is all that had rows
    load_settle: float = DEFAULT_LOAD_SETTLE  #: seconds for which a stream's last load must have stood still
    #: Seconds after the source's last load after which a stream without a load is assumed to have had no
    #: rows.
    quiet_period: float = DEFAULT_QUIET_PERIOD

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise InvalidArgument(
                f"There is no phase {self.phase!r}. Stitch's phases are: {', '.join(PHASES)}."
            )
        told = [self.job_name, self.started_after, self.running_at]
        if sum(way is not None for way in told) != 1:
            raise InvalidArgument(
                "Which job to wait for must be told in exactly one way: "
                "job_name (of a job that was started), or started_after (an instant)."
            )
        for name, value in (("load_settle", self.load_settle), ("quiet_period", self.quiet_period)):
            if value < 0:
                raise InvalidArgument(f"{name} is a number of seconds, 0 or more; it was {value}.")

    @property
    def started_at(self) -> datetime | None:
        """When the named job began: from the version-1 UUID in its name, or else as told."""
        if self.job_name is None:
            return None
        return job_start_time(self.job_name) or self.job_started_at

    def for_job(self, job_name: str, started_at: datetime | None) -> Goal:
        """Return the same goal for the job that turned out to be meant."""
        return replace(
            self, job_name=job_name, job_started_at=started_at, started_after=None, running_at=None
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, none of them None, for a trigger's stored arguments. None is a secret."""
        plain = {key: value for key, value in asdict(self).items() if value is not None}
        for key in _INSTANTS & plain.keys():
            plain[key] = plain[key].isoformat()
        if self.streams is not None:
            plain["streams"] = list(self.streams)
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Goal:
        """Return the goal that `to_dict` described."""
        fields = {key: value for key, value in plain.items() if value is not None}
        for key in _INSTANTS & fields.keys():
            fields[key] = parse_time(fields[key])
        if "streams" in fields:
            fields["streams"] = tuple(fields["streams"])
        fields["phase"] = sys.intern(fields["phase"])  # or each of a thousand would have a copy
        return cls(**fields)


def job_start_time(job_name: str) -> datetime | None:
    """Return when a job began, from the version-1 UUID in its name, or None if it tells no time."""
    try:
        return JobName.parse(job_name).started_at
    except InvalidArgument:  # Stitch's own, of a form that is not documented
        return None
