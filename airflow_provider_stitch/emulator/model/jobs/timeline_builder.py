"""Functions that build the timeline of a replication job from its plan and the selected streams."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.emulator.model.job_names import make_job_name
from airflow_provider_stitch.emulator.model.jobs.timeline import (
    SIGTERM,
    Batch,
    PhaseResult,
    StreamRead,
    Timeline,
)
from airflow_provider_stitch.emulator.model.plans import Flush, JobPlan, Target, release_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_stitch.emulator.model.connections.sources import Source
    from airflow_provider_stitch.emulator.model.connections.streams import SelectedStream

#: The time after which Stitch terminates an extraction. See "Replication: extractions" in the Stitch
#: documentation.
MAX_EXTRACTION_DURATION = timedelta(hours=24)
#: Seconds from the end of a read to the last flush of the stream.
FLUSH_LAG_SECONDS = 10.0
#: Time from the permanent rejection of a request to the end of the job.
_SHUTDOWN_AFTER_REFUSAL = timedelta(seconds=2)


def build_timeline(
    plan: JobPlan, source: Source, starts_at: datetime, bookmarks: Mapping[str, datetime]
) -> Timeline:
    """Build the timeline of a job that replicates the selected streams of a source.

    :param bookmarks: for each ``tap_stream_id``, the time up to which earlier jobs have read the stream.
    """
    job_name = make_job_name(source.client_id, source.id, "sync", starts_at)
    discovery_failed = plan.discovery_exit_status != 0 and not plan.terminated
    target: Target = plan.log.target or source.target_program
    reads = [] if discovery_failed else _plan_reads(plan, source.selected_streams(), target)
    sent = _sent_batches(job_name, reads, plan, starts_at)
    refused_batch = _refused_batch(plan, sent)
    target_error = _default_target_error(plan, target, reads, refused_batch)
    results = _phase_results(plan, starts_at, refused_batch, target_error)
    timeline = Timeline(
        job_name=job_name,
        client_id=source.client_id,
        source_id=source.id,
        tap_name=source.tap_name,
        starts_at=starts_at,
        ends_at=next(result.ended_at for result in reversed(results) if result is not None),
        tap_starts_at=starts_at + timedelta(seconds=plan.discovery_seconds),
        terminated=plan.terminated,
        target_program=target,
        discovery=results[0],
        tap=results[1],
        target=results[2],
        reads=tuple(_stream_read(read, starts_at, bookmarks) for read in reads),
        batches=tuple(
            batch for batch in sent if refused_batch is None or batch.flushed_at < refused_batch.flushed_at
        ),
        refused_batch=refused_batch,
        log=plan.log,
        has_discovery=plan.has_discovery,
    )
    return _limit_duration(timeline)


def _limit_duration(timeline: Timeline) -> Timeline:
    limit = timeline.starts_at + MAX_EXTRACTION_DURATION
    return timeline.stopped_at(limit) if timeline.ends_at > limit else timeline


class _PlannedRead(NamedTuple):
    """A planned read of one stream, with its flushes. All times are in seconds from the start of the job."""

    stream: SelectedStream
    start: float
    end: float
    flushes: Sequence[Flush]


def _plan_reads(plan: JobPlan, streams: Sequence[SelectedStream], target: Target) -> list[_PlannedRead]:
    """Return the planned reads of all streams.

    The tap reads one stream after another, and spends the same time on each stream.
    """
    slice_seconds = plan.tap_seconds / max(len(streams), 1)
    reads: list[_PlannedRead] = []
    for index, stream in enumerate(streams):
        start = plan.discovery_seconds + index * slice_seconds
        planned = plan.flushes.get(stream.key)
        if planned:
            # The rows of a flush are read just before the flush.
            end = max(plan.discovery_seconds, max(flush.at for flush in planned) - 1.0)
            reads.append(_PlannedRead(stream, min(start, end), end, tuple(planned)))
            continue
        flushes = () if planned is not None else _default_flushes(plan, stream, index, start, slice_seconds)
        # target-stitch sends the version message of a full-table stream even if the stream has no rows.
        if planned is None and not flushes and stream.bookmark is None and target == "target-stitch":
            at = min(start + slice_seconds + FLUSH_LAG_SECONDS, _total_seconds(plan))
            flushes = (Flush(at, 0, prepare=plan.prepare_seconds, load=plan.load_seconds),)
        reads.append(_PlannedRead(stream, start, start + slice_seconds, flushes))
    return reads


def _default_flushes(
    plan: JobPlan, stream: SelectedStream, index: int, start: float, seconds: float
) -> tuple[Flush, ...]:
    rows = plan.rows.get(stream.key, stream.rows)
    count = min(stream.flushes, rows)
    if count < 1:
        return ()
    per_batch, remainder = divmod(rows, count)
    return tuple(
        Flush(
            at=min(start + seconds * number / count + FLUSH_LAG_SECONDS, _total_seconds(plan)),
            rows=per_batch + (1 if number <= remainder else 0),
            prepare=plan.prepare_seconds,
            # Loads take a different time for each stream.
            load=plan.load_seconds + 10.0 * min(index, 4),
        )
        for number in range(1, count + 1)
    )


def _total_seconds(plan: JobPlan) -> float:
    return plan.discovery_seconds + plan.tap_seconds + plan.target_seconds


def _last_flush(plan: JobPlan) -> float:
    """Return the number of seconds from the start of the job to the last possible flush.

    A failing target exits when the tap ends, and flushes no rows after the tap has ended.
    """
    fails = plan.target_exit_status and plan.refused_stream is None
    return _total_seconds(plan) - (plan.target_seconds if fails else 0.0)


def _sent_batches(
    job_name: str, reads: Sequence[_PlannedRead], plan: JobPlan, starts_at: datetime
) -> list[Batch]:
    last_flush = _last_flush(plan)
    return [
        _batch(job_name, read, flush, plan, starts_at)
        for read in reads
        for flush in read.flushes
        if flush.at <= last_flush
    ]


def _batch(job_name: str, read: _PlannedRead, flush: Flush, plan: JobPlan, starts_at: datetime) -> Batch:
    stream, log = read.stream, plan.log
    flushed_at = starts_at + timedelta(seconds=flush.at)
    # The tap sends the version message of a full-table stream after the last row of the stream.
    ends_full_table = stream.bookmark is None and flush is read.flushes[-1]
    return Batch(
        job_name=job_name,
        tap_stream_id=stream.tap_stream_id,
        rows=flush.rows,
        extracted_at=starts_at + timedelta(seconds=min(read.end, flush.at)),
        flushed_at=flushed_at,
        load_at=flushed_at + timedelta(seconds=flush.prepare + flush.load),
        error=flush.error or plan.load_errors.get(stream.key),
        rejected=flush.rejected,
        target_name=stream.target_name,
        version_messages=1 if ends_full_table or flush.rows == 0 else 0,
        requests=flush.requests or log.requests_per_batch,
        retries=log.retries if flush.retries is None else flush.retries,
    )


def _stream_read(read: _PlannedRead, starts_at: datetime, bookmarks: Mapping[str, datetime]) -> StreamRead:
    return StreamRead(
        stream=read.stream,
        rows=sum(flush.rows for flush in read.flushes),
        starts_at=starts_at + timedelta(seconds=read.start),
        ends_at=starts_at + timedelta(seconds=read.end),
        previous_bookmark=bookmarks.get(read.stream.tap_stream_id),
    )


def _refused_batch(plan: JobPlan, sent: Sequence[Batch]) -> Batch | None:
    """Return the batch that the Import API rejects, or None if no batch is rejected."""
    batches = (batch for batch in sent if batch.tap_stream_id == plan.refused_stream)
    return min(batches, key=lambda batch: batch.flushed_at, default=None)


def _phase_results(
    plan: JobPlan, starts_at: datetime, refused_batch: Batch | None, target_error: str
) -> tuple[PhaseResult | None, PhaseResult | None, PhaseResult | None]:
    """Return the results of the discovery, the tap and the target.

    If the target fails early, the tap is killed.

    :param target_error: the default error message of a failed target.
    """
    discovery_ends_at = starts_at + timedelta(seconds=plan.discovery_seconds)
    tap_ends_at = discovery_ends_at + timedelta(seconds=plan.tap_seconds)
    target_ends_at = tap_ends_at + timedelta(seconds=plan.target_seconds)
    discovery = None
    if plan.has_discovery:
        description = _description(plan, "discovery", _DISCOVERY_ERROR)
        discovery = PhaseResult(discovery_ends_at, plan.discovery_exit_status, description)
    if plan.discovery_exit_status and not plan.terminated:
        return discovery, None, None
    tap = PhaseResult(tap_ends_at, plan.tap_exit_status, _description(plan, "tap", _TAP_ERROR))
    if refused_batch is None:
        description = _description(plan, "target", target_error)
        return discovery, tap, PhaseResult(target_ends_at, plan.target_exit_status, description)
    target_ends_at = min(target_ends_at, refused_batch.flushed_at + _SHUTDOWN_AFTER_REFUSAL)
    if target_ends_at < tap_ends_at:
        tap = PhaseResult(target_ends_at, SIGTERM, None)
    description = plan.target_description or target_error
    return discovery, tap, PhaseResult(target_ends_at, plan.target_exit_status or 1, description)


def _default_target_error(
    plan: JobPlan, target: Target, reads: Sequence[_PlannedRead], refused_batch: Batch | None
) -> str:
    """Return the default error message of a failed target, in the format of the target's version."""
    table = reads[0].stream.target_name if reads else "orders"
    message = "{'error': 'Invalid JSON schema: key null: expected type is one of JSONObject, found: String'}"
    if refused_batch is not None:
        table = refused_batch.target_name
        message = (
            f"{{'error': 'Record 0 for table {table} did not conform to schema:\\n"
            "#: #: no subschema matched out of the total 2 subschemas\\n#/payload'}"
        )
    if target == "target-stitch" and release_of(plan.log.target_version)[0] == 1:
        return f'Error persisting data for table "{table}": {message}'
    return f"Error persisting data to Stitch: 400: {message}"


_DISCOVERY_ERROR = "401 Client Error: Bad Credentials for url: https://api.acme.example/companies"
_TAP_ERROR = (
    "401 Client Error: Unauthorized for url: https://acme.my.salesforce.com/services/data/v52.0/limits"
)


def _description(plan: JobPlan, phase: str, default: str) -> str | None:
    status: int = getattr(plan, f"{phase}_exit_status")
    given: str | None = getattr(plan, f"{phase}_description")
    if status == 0 or given is not None:
        return given
    return default if status > 0 else None
