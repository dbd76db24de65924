"""A replication job as pure data: a timeline that says when each thing happens.

What a job looks like at an instant is a function of its timeline and that instant, and of nothing else.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.emulator.clock import stamp, stamp_or_none
from airflow_provider_stitch.emulator.plans import Flush, JobPlan, LoadError, LogPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Stitch ends an extraction after this long. Source: Stitch documentation, "Replication: extractions".
LONGEST_EXTRACTION = timedelta(hours=24)
#: How long after the tap has read a stream its last rows reach the pipeline.
FLUSH_LAG = 10.0
TERMINATED = "Terminated"
#: The exit status of a process that was told to end.
SIGTERM = -15

_GREGORIAN = datetime(1582, 10, 15, tzinfo=timezone.utc)
_clock_sequence = itertools.count()


@dataclass(frozen=True, slots=True)
class StreamToRead:
    """A selected stream as a job finds it."""

    key: str
    tap_stream_id: str
    rows: int
    flushes: int
    bookmark: str | None  #: the replication key; None: it is read whole each time


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a phase ended, and when."""

    at: datetime
    exit_status: int
    description: str | None


@dataclass(frozen=True, slots=True)
class Read:
    """The tap has read a stream to its end."""

    tap_stream_id: str
    rows: int
    at: datetime
    bookmark: str | None  #: the replication key


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one stream that reach the pipeline together, and whose load is attempted later."""

    job_name: str
    tap_stream_id: str
    rows: int
    extracted_at: datetime  #: its last row
    flushed_at: datetime
    load_at: datetime
    error: LoadError | None
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that happens in one replication job."""

    job_name: str
    client_id: int
    source_id: int
    tap_name: str
    begins_at: datetime
    ends_at: datetime
    terminated: bool
    discovery: Outcome | None  #: a phase that never ends has no outcome
    tap: Outcome | None
    target: Outcome | None
    reads: tuple[Read, ...]
    batches: tuple[Batch, ...]
    log: LogPlan

    def running(self, now: datetime) -> bool:
        """Whether the extraction is under way."""
        return self.begins_at <= now < self.ends_at

    def stopped(self, instant: datetime, how: Literal["terminated", "signalled"] = "terminated") -> Timeline:
        """The same job, ended early. What was flushed by then is still loaded; the rest never comes."""
        signalled = how == "signalled" and not self.terminated
        outcomes = self._signalled(instant) if signalled else (self.discovery, self.tap, self.target)
        return replace(
            self,
            ends_at=instant,
            terminated=not signalled,
            discovery=outcomes[0],
            tap=outcomes[1],
            target=outcomes[2],
            reads=tuple(read for read in self.reads if read.at <= instant),
            batches=tuple(batch for batch in self.batches if batch.flushed_at <= instant),
        )

    def _signalled(self, instant: datetime) -> tuple[Outcome | None, Outcome | None, Outcome | None]:
        """The phases' outcomes if the one under way at an instant is ended by a signal."""
        ended = Outcome(instant, SIGTERM, None)
        if self.discovery is None or self.discovery.at > instant:
            return ended, None, None
        if self.tap is None or self.tap.at > instant:
            return self.discovery, ended, Outcome(instant, 0, None)  # the target had nothing left to do
        return self.discovery, self.tap, ended

    def extraction(self, now: datetime, tap_field: str = "source_type") -> dict[str, Any]:
        """The Extraction object at an instant. Source: Stitch Connect API, "Extraction object"."""
        over = now >= self.ends_at
        body: dict[str, Any] = {
            "job_name": self.job_name,
            "stitch_client_id": self.client_id,
            "source_id": self.source_id,
            tap_field: self.tap_name,
            "start_time": stamp(self.begins_at),
            "completion_time": stamp_or_none(self.ends_at if over else None),
        }
        for phase, outcome in (("discovery", self.discovery), ("tap", self.tap), ("target", self.target)):
            ended = outcome is not None and outcome.at <= now and not (over and self.terminated)
            body[f"{phase}_exit_status"] = outcome.exit_status if outcome and ended else None
            body[f"{phase}_description"] = outcome.description if outcome and ended else None
            if over and self.terminated:
                body[f"{phase}_description"] = TERMINATED
        return body


def build_timeline(
    plan: JobPlan,
    streams: Sequence[StreamToRead],
    *,
    client_id: int,
    source_id: int,
    tap_name: str,
    begins_at: datetime,
) -> Timeline:
    """Work out a job from its plan and the streams that are selected when it begins."""
    job_name = name_of_job(client_id, source_id, "sync", begins_at)
    discovered = begins_at + timedelta(seconds=plan.discovery_seconds)
    tapped = discovered + timedelta(seconds=plan.tap_seconds)
    ends_at = tapped + timedelta(seconds=plan.target_seconds)
    discovery_failed = plan.discovery_exit_status != 0 and not plan.terminated
    tapping = [] if discovery_failed else _reads_and_flushes(plan, streams)
    timeline = Timeline(
        job_name=job_name,
        client_id=client_id,
        source_id=source_id,
        tap_name=tap_name,
        begins_at=begins_at,
        ends_at=discovered if discovery_failed else ends_at,
        terminated=plan.terminated,
        discovery=Outcome(discovered, plan.discovery_exit_status, _description(plan, "discovery")),
        tap=None if discovery_failed else Outcome(tapped, plan.tap_exit_status, _description(plan, "tap")),
        target=None
        if discovery_failed
        else Outcome(ends_at, plan.target_exit_status, _description(plan, "target")),
        reads=tuple(
            Read(
                stream.tap_stream_id,
                sum(flush.rows for flush in flushes),
                begins_at + timedelta(seconds=at),
                stream.bookmark,
            )
            for stream, at, flushes in tapping
        ),
        batches=tuple(
            _batch(
                job_name, stream, flush, begins_at, read_at=read_at, error=plan.load_errors.get(stream.key)
            )
            for stream, read_at, flushes in tapping
            for flush in flushes
            if flush.at <= _last_flush(plan)
        ),
        log=plan.log,
    )
    limit = begins_at + LONGEST_EXTRACTION
    return timeline.stopped(limit) if timeline.ends_at > limit else timeline


def name_of_job(client_id: int, connection_id: int, mode: str, begins_at: datetime) -> str:
    """``<client>.<connection>.<mode>.<uuid>``; the uuid is of version 1 and carries the start.

    Source: Stitch Connect API, samples of job names.
    """
    since = begins_at - _GREGORIAN
    ticks = (since.days * 86_400 + since.seconds) * 10_000_000 + since.microseconds * 10
    sequence = next(_clock_sequence)  # keeps apart two jobs of one microsecond
    fields = (
        ticks & 0xFFFFFFFF,
        (ticks >> 32) & 0xFFFF,
        (ticks >> 48) & 0x0FFF,
        (sequence >> 8) & 0x3F,
        sequence & 0xFF,
        0x06B1E2C4A85D,
    )
    return f"{client_id}.{connection_id}.{mode}.{uuid.UUID(fields=fields, version=1)}"


def duration(plan: JobPlan) -> timedelta:
    """How long a job of this plan takes if nobody stops it."""
    seconds = plan.discovery_seconds
    if plan.discovery_exit_status == 0 or plan.terminated:
        seconds += plan.tap_seconds + plan.target_seconds
    return min(timedelta(seconds=seconds), LONGEST_EXTRACTION)


def _reads_and_flushes(
    plan: JobPlan, streams: Sequence[StreamToRead]
) -> list[tuple[StreamToRead, float, Sequence[Flush]]]:
    """For each stream: itself, when the tap is done with it, and its flushes. The tap reads one by one."""
    slice_seconds = plan.tap_seconds / max(len(streams), 1)
    found: list[tuple[StreamToRead, float, Sequence[Flush]]] = []
    for index, stream in enumerate(streams):
        begins = plan.discovery_seconds + index * slice_seconds
        planned = plan.flushes.get(stream.key)
        if planned:
            # What was flushed had been read just before.
            read_at = max(plan.discovery_seconds, max(flush.at for flush in planned) - 1.0)
            found.append((stream, read_at, tuple(planned)))
            continue
        flushes = () if planned is not None else _usual_flushes(plan, stream, index, begins, slice_seconds)
        found.append((stream, begins + slice_seconds, flushes))
    return found


def _usual_flushes(
    plan: JobPlan, stream: StreamToRead, index: int, begins: float, seconds: float
) -> tuple[Flush, ...]:
    rows = plan.rows.get(stream.key, stream.rows)
    count = min(stream.flushes, rows)
    if count < 1:
        return ()
    whole = plan.discovery_seconds + plan.tap_seconds + plan.target_seconds
    share, rest = divmod(rows, count)
    return tuple(
        Flush(
            at=min(begins + seconds * number / count + FLUSH_LAG, whole),
            rows=share + (1 if number <= rest else 0),
            prepare=plan.prepare_seconds,
            load=plan.load_seconds + 10.0 * min(index, 4),
        )
        for number in range(1, count + 1)
    )


def _last_flush(plan: JobPlan) -> float:
    """Until when the target can flush, in seconds after the start. A failing one dies when the tap ends."""
    tapped = plan.discovery_seconds + plan.tap_seconds
    return tapped if plan.target_exit_status else tapped + plan.target_seconds


def _batch(
    job_name: str,
    stream: StreamToRead,
    flush: Flush,
    begins_at: datetime,
    *,
    read_at: float,
    error: LoadError | None,
) -> Batch:
    flushed_at = begins_at + timedelta(seconds=flush.at)
    return Batch(
        job_name=job_name,
        tap_stream_id=stream.tap_stream_id,
        rows=flush.rows,
        extracted_at=begins_at + timedelta(seconds=min(read_at, flush.at)),
        flushed_at=flushed_at,
        load_at=flushed_at + timedelta(seconds=flush.prepare + flush.load),
        error=flush.error or error,
        rejected=flush.rejected,
    )


_USUAL_FAILURES = {
    "discovery": "401 Client Error: Bad Credentials for url: https://api.acme.example/companies",
    "tap": "401 Client Error: Unauthorized for url: https://acme.my.salesforce.com/services/data/v52.0/limits",
    "target": "Error persisting data to Stitch: 400: {'error': 'Invalid JSON schema: key null: "
    "expected type is one of JSONObject, found: String'}",
}


def _description(plan: JobPlan, phase: str) -> str | None:
    status: int = getattr(plan, f"{phase}_exit_status")
    given: str | None = getattr(plan, f"{phase}_description")
    if status == 0 or given is not None:
        return given
    return _USUAL_FAILURES[phase] if status > 0 else None
