"""A replication job as pure data: a timeline that says when each thing happens.

What a job looks like at an instant is a function of its timeline and that instant, and of nothing else.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_stitch.emulator.clock import stamp, stamp_or_none
from airflow_provider_stitch.emulator.plans import Flush, JobPlan, LoadError, LogPlan, Target, release_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_stitch.emulator.taps import CounterTags

#: Stitch ends an extraction after this long. Source: Stitch documentation, "Replication: extractions".
LONGEST_EXTRACTION = timedelta(hours=24)
#: How long after the tap has read a stream its last rows reach the pipeline.
FLUSH_LAG = 10.0
#: How long after a request was refused for good the job ends.
_REFUSAL = timedelta(seconds=2)
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
    target_name: str  #: the name under which the target sends it
    rows: int
    flushes: int
    bookmark: str | None  #: the replication key; None: it is read whole each time
    table: tuple[str, str] | None  #: database and table; None: it is not a table of a database
    counter_tags: CounterTags  #: what the tap's counters name
    counted: bool  #: whether the tap counts its rows


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a phase ended, and when."""

    at: datetime
    exit_status: int
    description: str | None


@dataclass(frozen=True, slots=True)
class Read:
    """The tap reads a stream."""

    stream: StreamToRead
    rows: int
    begins_at: datetime
    at: datetime  #: when it has been read to its end
    bookmark_before: datetime | None  #: where earlier jobs left off; None: no job has read a row


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
    target_name: str = ""  #: the name under which the target sends it
    version_messages: int = 0  #: messages of a full-table stream that are no rows
    requests: int = 1
    retries: int = 0  #: of the last request. The batch reaches the pipeline when the last one has succeeded.


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that happens in one replication job."""

    job_name: str
    client_id: int
    source_id: int
    tap_name: str
    begins_at: datetime
    ends_at: datetime
    tap_begins_at: datetime
    terminated: bool
    target_program: Target
    discovery: Outcome | None  #: a phase that never ends, or that the tap does not have, has no outcome
    tap: Outcome | None
    target: Outcome | None
    reads: tuple[Read, ...]
    batches: tuple[Batch, ...]
    refused: Batch | None  #: the batch that the Import API has refused for good
    log: LogPlan
    has_discovery: bool

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
            refused=self.refused if self.refused and self.refused.flushed_at <= instant else None,
            batches=tuple(batch for batch in self.batches if batch.flushed_at <= instant),
        )

    def _signalled(self, instant: datetime) -> tuple[Outcome | None, Outcome | None, Outcome | None]:
        """The phases' outcomes if the one under way at an instant is ended by a signal."""
        ended = Outcome(instant, SIGTERM, None)
        if self.has_discovery and instant < self.tap_begins_at:
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
    target: Target,
    begins_at: datetime,
    bookmarks: Mapping[str, datetime],
) -> Timeline:
    """Work out a job from its plan and the streams that are selected when it begins.

    :param target: the target behind sources of this type.
    :param bookmarks: where earlier jobs left off, by ``tap_stream_id``.
    """
    job_name = name_of_job(client_id, source_id, "sync", begins_at)
    discovery_failed = plan.discovery_exit_status != 0 and not plan.terminated
    program: Target = plan.log.target or target
    tapping = [] if discovery_failed else _reads_and_flushes(plan, streams, program)
    sent = [
        _batch(job_name, reading, flush, plan, begins_at)
        for reading in tapping
        for flush in reading.flushes
        if flush.at <= _last_flush(plan)
    ]
    refused = _refused(plan, sent)
    outcomes = _outcomes(plan, begins_at, refused)
    timeline = Timeline(
        job_name=job_name,
        client_id=client_id,
        source_id=source_id,
        tap_name=tap_name,
        begins_at=begins_at,
        ends_at=next(outcome.at for outcome in reversed(outcomes) if outcome is not None),
        tap_begins_at=begins_at + timedelta(seconds=plan.discovery_seconds),
        terminated=plan.terminated,
        target_program=program,
        discovery=outcomes[0],
        tap=outcomes[1],
        target=outcomes[2],
        reads=tuple(_read(reading, begins_at, bookmarks) for reading in tapping),
        batches=tuple(batch for batch in sent if refused is None or batch.flushed_at < refused.flushed_at),
        refused=refused,
        log=plan.log,
        has_discovery=plan.has_discovery,
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


def _outcomes(
    plan: JobPlan, begins_at: datetime, refused: Batch | None
) -> tuple[Outcome | None, Outcome | None, Outcome | None]:
    """Return how discovery, tap and target end. If the target fails first, it takes the tap along."""
    discovered = begins_at + timedelta(seconds=plan.discovery_seconds)
    tapped = discovered + timedelta(seconds=plan.tap_seconds)
    ends_at = tapped + timedelta(seconds=plan.target_seconds)
    discovery = None
    if plan.has_discovery:
        discovery = Outcome(discovered, plan.discovery_exit_status, _description(plan, "discovery"))
    if plan.discovery_exit_status and not plan.terminated:
        return discovery, None, None
    tap = Outcome(tapped, plan.tap_exit_status, _description(plan, "tap"))
    if refused is None:
        return discovery, tap, Outcome(ends_at, plan.target_exit_status, _description(plan, "target"))
    ends_at = min(ends_at, refused.flushed_at + _REFUSAL)
    if ends_at < tapped:
        tap = Outcome(ends_at, SIGTERM, None)
    description = plan.target_description or _usual_refusal(plan, refused)
    return discovery, tap, Outcome(ends_at, plan.target_exit_status or 1, description)


class _Reading(NamedTuple):
    """A stream, from when to when the tap reads it, and its flushes. Times are seconds of the job."""

    stream: StreamToRead
    begins: float
    ends: float
    flushes: Sequence[Flush]


def _reads_and_flushes(plan: JobPlan, streams: Sequence[StreamToRead], target: Target) -> list[_Reading]:
    """Return the work of tap and target. The tap reads one stream after the other."""
    slice_seconds = plan.tap_seconds / max(len(streams), 1)
    found: list[_Reading] = []
    for index, stream in enumerate(streams):
        begins = plan.discovery_seconds + index * slice_seconds
        planned = plan.flushes.get(stream.key)
        if planned:
            # What was flushed had been read just before.
            ends = max(plan.discovery_seconds, max(flush.at for flush in planned) - 1.0)
            found.append(_Reading(stream, min(begins, ends), ends, tuple(planned)))
            continue
        flushes = () if planned is not None else _usual_flushes(plan, stream, index, begins, slice_seconds)
        if planned is None and not flushes and stream.bookmark is None and target == "target-stitch":
            at = min(begins + slice_seconds + FLUSH_LAG, _whole(plan))
            flushes = (Flush(at, 0, prepare=plan.prepare_seconds, load=plan.load_seconds),)
        found.append(_Reading(stream, begins, begins + slice_seconds, flushes))
    return found


def _usual_flushes(
    plan: JobPlan, stream: StreamToRead, index: int, begins: float, seconds: float
) -> tuple[Flush, ...]:
    rows = plan.rows.get(stream.key, stream.rows)
    count = min(stream.flushes, rows)
    if count < 1:
        return ()
    share, rest = divmod(rows, count)
    return tuple(
        Flush(
            at=min(begins + seconds * number / count + FLUSH_LAG, _whole(plan)),
            rows=share + (1 if number <= rest else 0),
            prepare=plan.prepare_seconds,
            load=plan.load_seconds + 10.0 * min(index, 4),
        )
        for number in range(1, count + 1)
    )


def _whole(plan: JobPlan) -> float:
    return plan.discovery_seconds + plan.tap_seconds + plan.target_seconds


def _last_flush(plan: JobPlan) -> float:
    """Until when the target can flush, in seconds after the start. A failing one dies when the tap ends."""
    failed = plan.target_exit_status and plan.refused_stream is None
    return _whole(plan) - (plan.target_seconds if failed else 0.0)


def _read(reading: _Reading, begins_at: datetime, bookmarks: Mapping[str, datetime]) -> Read:
    return Read(
        reading.stream,
        sum(flush.rows for flush in reading.flushes),
        begins_at + timedelta(seconds=reading.begins),
        begins_at + timedelta(seconds=reading.ends),
        bookmarks.get(reading.stream.tap_stream_id),
    )


def _batch(job_name: str, reading: _Reading, flush: Flush, plan: JobPlan, begins_at: datetime) -> Batch:
    stream, log = reading.stream, plan.log
    flushed_at = begins_at + timedelta(seconds=flush.at)
    # The tap sends the version of a full table when it has read it to its end.
    ends_a_full_table = stream.bookmark is None and flush is reading.flushes[-1]
    return Batch(
        job_name=job_name,
        tap_stream_id=stream.tap_stream_id,
        rows=flush.rows,
        extracted_at=begins_at + timedelta(seconds=min(reading.ends, flush.at)),
        flushed_at=flushed_at,
        load_at=flushed_at + timedelta(seconds=flush.prepare + flush.load),
        error=flush.error or plan.load_errors.get(stream.key),
        rejected=flush.rejected,
        target_name=stream.target_name,
        version_messages=1 if ends_a_full_table or flush.rows == 0 else 0,
        requests=flush.requests or log.requests_per_batch,
        retries=log.retries if flush.retries is None else flush.retries,
    )


def _refused(plan: JobPlan, sent: Sequence[Batch]) -> Batch | None:
    """Return the first batch of the stream that the Import API refuses."""
    batches = (batch for batch in sent if batch.tap_stream_id == plan.refused_stream)
    return min(batches, key=lambda batch: batch.flushed_at, default=None)


def _usual_refusal(plan: JobPlan, refused: Batch) -> str:
    message = (
        f"{{'error': 'Record 0 for table {refused.target_name} did not conform to schema:\\n"
        "#: #: no subschema matched out of the total 2 subschemas\\n#/payload'}"
    )
    if plan.log.target != "avro" and release_of(plan.log.target_version)[0] == 1:
        return f'Error persisting data for table "{refused.target_name}": {message}'
    return f"Error persisting data to Stitch: 400: {message}"


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
