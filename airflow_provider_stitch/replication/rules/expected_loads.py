"""Determine from an extraction's log which loads the job requires.

All functions are pure. A complete log reports every stream that had rows. If a log is incomplete, a load is
expected for each reported stream, and every other selected stream may have had rows as well. Source of the
rules: Stitch's extraction logs; the source code of target-stitch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.replication.rules.streams import StreamNames, load_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_stitch.connect.extraction_log import ExtractionLog, StreamLog
    from airflow_provider_stitch.connect.objects import Stream


# Maximum difference between the clock of a log and the clock of the list of extractions. A log is written
# between the start and the end of the job, so a larger difference shows that a clock is wrong.
MAX_LOG_CLOCK_OFFSET = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ExpectedLoad:
    """A load that must finish before one stream's rows from a job are in the warehouse.

    One expected load covers several streams if the log does not distinguish them.
    """

    label: str  #: the `stream_name`, or the `tap_stream_id` if the name is ambiguous
    load_names: tuple[str, ...]  #: possible names of the load, beginning with the name that the target logged
    #: The exact or latest possible time of the last batch. A load at or after this time contains the batch.
    last_batch_at: datetime
    rows: int | None = None  #: number of rows, or None if unknown
    #: Whether the load must remain unchanged for some time before it is accepted. Shortly after
    #: `last_batch_at`, a load may contain only earlier batches.
    must_settle: bool = False
    longest_gap: timedelta = timedelta(0)  #: the longest time between two consecutive batches of the stream
    #: The earliest possible time of the last batch; None if `last_batch_at` is exact.
    earliest_last_batch_at: datetime | None = None
    rows_confirmed: bool = True  #: whether the log proves that the stream had rows
    #: The `tap_stream_id` of each stream; empty if the logged name matches no stream.
    stream_ids: frozenset[str] = frozenset()
    #: How many streams share each load name, omitting names that no other stream has.
    shared_names: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """A value that identifies the load among the expected loads of one job."""
        return (self.label, *self.load_names)

    @property
    def is_exact(self) -> bool:
        """Whether the log proves that the stream had rows and shows when the last batch was sent."""
        return self.rows_confirmed and self.earliest_last_batch_at is None


class JobTimes(NamedTuple):
    """The start and end of a job's extraction, by Stitch's clock."""

    started_at: datetime
    ended_at: datetime


def expected_loads(
    log: ExtractionLog | None, streams: Sequence[Stream], job: JobTimes
) -> tuple[ExpectedLoad, ...]:
    """Return the loads that a job requires, according to its log.

    :param log: the extraction's log. If None, Stitch has no log, and every selected stream may have had rows.
    """
    names = StreamNames(streams)
    expected = (
        [] if log is None else [_expected_load(each, names, log, job) for each in _evidence_in(log, names)]
    )
    if log is None or not log.complete:
        covered = {stream_id for each in expected for stream_id in each.stream_ids}
        expected += _possible_loads(streams, names, covered, job)
    return tuple(expected)


def is_requested(expected: ExpectedLoad, requested: frozenset[str] | None) -> bool:
    """Return whether an expected load may belong to a requested stream.

    If the name of the load matches no stream of the source, the load may belong to any stream.

    :param requested: the `tap_stream_id` of each requested stream. If None, all streams are requested.
    """
    return requested is None or not expected.stream_ids or not requested.isdisjoint(expected.stream_ids)


def unknown_names(expected: Iterable[ExpectedLoad]) -> list[str]:
    """Return the logged names that match no stream of the source."""
    return sorted(each.label for each in expected if not each.stream_ids)


class _Evidence(NamedTuple):
    """What a log reports about one stream, or about several streams with the same name."""

    streams: tuple[Stream, ...]
    log: StreamLog


def _evidence_in(log: ExtractionLog, names: StreamNames) -> list[_Evidence]:
    """Match the names in a log to streams, and merge the log entries of a stream with several names."""
    merged: dict[frozenset[str] | str, _Evidence] = {}
    covered: set[str] = set()
    # Names with batches come first, because a tap can count the same rows under a different name.
    for logged in sorted(log.streams.values(), key=lambda logged: not logged.batches):
        streams = names.find_all(logged.name)
        ids = frozenset(stream.tap_stream_id for stream in streams)
        if not logged.batches and (covered & ids or not any(stream.selected for stream in streams)):
            continue  # taps also count rows of endpoints and parent streams that are never loaded
        key = ids or logged.name
        previous = merged.get(key)
        merged[key] = _Evidence(streams, _merge(previous.log, logged) if previous else logged)
        covered |= ids
    tap_rows = _tap_rows_by_id(log, names)
    return [_Evidence(evidence.streams, _with_tap_rows(evidence, tap_rows)) for evidence in merged.values()]


def _tap_rows_by_id(log: ExtractionLog, names: StreamNames) -> dict[str, int]:
    """Return the tap's row counts by `tap_stream_id`, ignoring names that are unknown or ambiguous."""
    rows_by_id: dict[str, int] = {}
    for name, rows in log.tap_rows.items():
        streams = names.find_all(name)
        if rows and len(streams) == 1:
            stream_id = streams[0].tap_stream_id
            rows_by_id[stream_id] = rows_by_id.get(stream_id, 0) + rows
    return rows_by_id


def _with_tap_rows(evidence: _Evidence, tap_rows: dict[str, int]) -> StreamLog:
    """Use the tap's counters as proof of rows and, with the Avro target, as row counts."""
    counts = [tap_rows.get(stream.tap_stream_id) for stream in evidence.streams]
    known = [rows for rows in counts if rows is not None]
    logged = replace(evidence.log, certain=evidence.log.certain or bool(known))
    if logged.has_marker and logged.rows is None and known and len(known) == len(counts):
        return replace(logged, rows=sum(known))
    return logged


def _merge(one: StreamLog, other: StreamLog) -> StreamLog:
    """Merge the log entries of one stream that is logged under two names."""
    last_batch_at, gap = None, timedelta(0)
    if one.last_batch_at is not None and other.last_batch_at is not None:
        last_batch_at = max(one.last_batch_at, other.last_batch_at)
        gap = abs(one.last_batch_at - other.last_batch_at)
    persisted_by = [time for time in (one.persisted_by, other.persisted_by) if time is not None]
    return replace(
        one,
        rows=None if one.rows is None or other.rows is None else one.rows + other.rows,
        batches=one.batches + other.batches,
        last_batch_at=last_batch_at,
        certain=one.certain or other.certain,
        one_request=False,
        has_marker=one.has_marker or other.has_marker,
        longest_gap=max(one.longest_gap, other.longest_gap, gap),
        retried=one.retried or other.retried,
        persisted_by=max(persisted_by, default=None),
    )


def _expected_load(
    evidence: _Evidence, names: StreamNames, log: ExtractionLog, job: JobTimes
) -> ExpectedLoad:
    streams, logged = evidence
    last_batch_at, earliest_last_batch_at = _batch_times(logged, log, job)
    # If several selected streams share the name, a load may belong to any of these streams.
    is_unique = len(streams) == 1 and not names.has_namesake(streams[0])
    is_single_batch = log.complete and logged.one_request and is_unique and earliest_last_batch_at is None
    load_names = _logged_load_names(streams, logged)
    return ExpectedLoad(
        label=_label(streams, logged.name, names),
        load_names=load_names,
        last_batch_at=last_batch_at,
        rows=logged.rows,
        must_settle=not is_single_batch,
        longest_gap=logged.longest_gap,
        earliest_last_batch_at=earliest_last_batch_at,
        rows_confirmed=logged.certain,
        stream_ids=frozenset(stream.tap_stream_id for stream in streams),
        shared_names=_shared_names(load_names, streams, names),
    )


def _batch_times(logged: StreamLog, log: ExtractionLog, job: JobTimes) -> tuple[datetime, datetime | None]:
    """Return the latest possible time of the last batch, and the earliest possible time or None if exact."""
    # If any time in the log is impossible, the times of all batches are unreliable.
    times = (log.started_at, logged.last_batch_at, log.exited_at)
    is_reliable = all(_is_within(job, time) for time in times if time is not None)
    if logged.last_batch_at is None or not is_reliable:
        return job.ended_at, job.started_at
    if logged.has_marker:  # the Avro target may write a marker long after it has sent the rows
        return logged.last_batch_at, job.started_at
    if not log.complete:  # later batches may be missing from the log
        return max(logged.last_batch_at, job.ended_at), logged.last_batch_at
    if logged.retried:  # a retried request arrives some time after its log line
        return max(logged.last_batch_at, logged.persisted_by or job.ended_at), logged.last_batch_at
    return logged.last_batch_at, None


def _is_within(job: JobTimes, logged_at: datetime) -> bool:
    """Return whether a line may have been logged at a time.

    If the clock of the log is wrong, a time in the log cannot be compared with the time of a load.
    """
    # If the start of the job is unknown, `started_at` is equal to `ended_at`.
    is_before_start = job.started_at < job.ended_at and job.started_at - logged_at > MAX_LOG_CLOCK_OFFSET
    return not is_before_start and logged_at - job.ended_at <= MAX_LOG_CLOCK_OFFSET


def _possible_loads(
    streams: Sequence[Stream], names: StreamNames, covered: set[str], job: JobTimes
) -> Iterator[ExpectedLoad]:
    """Yield an expected load for each selected stream for which the log reports no rows.

    Rows that the log does not report may have been sent at any time during the extraction.
    """
    for stream in streams:
        if stream.selected and stream.tap_stream_id not in covered:
            yield ExpectedLoad(
                label=names.label(stream),
                load_names=load_names(stream),
                last_batch_at=job.ended_at,
                earliest_last_batch_at=job.started_at,
                must_settle=True,
                rows_confirmed=False,
                stream_ids=frozenset((stream.tap_stream_id,)),
                shared_names=_shared_names(load_names(stream), (stream,), names),
            )


def _shared_names(
    load_names: tuple[str, ...], streams: tuple[Stream, ...], names: StreamNames
) -> dict[str, int]:
    """Return how many streams share each load name, omitting names that no other stream has."""
    counts = {name: names.count_by_load_name(name) for name in load_names}
    return {name: count for name, count in counts.items() if count > len(streams)}


def _label(streams: tuple[Stream, ...], logged_name: str, names: StreamNames) -> str:
    if len(streams) == 1:
        return names.label(streams[0])
    stream_names = {stream.stream_name for stream in streams}
    return stream_names.pop() if len(stream_names) == 1 else logged_name


def _logged_load_names(streams: tuple[Stream, ...], logged: StreamLog) -> tuple[str, ...]:
    """Return the names that a load may have, starting with the name that the target sent to Stitch."""
    sent = (logged.name,) if logged.batches or not streams else ()
    # If the name is the full name of one stream and a prefixed name of another stream, the other stream's
    # load has a different name and may contain only rows of earlier batches.
    named = [stream for stream in streams if stream.stream_name == logged.name] or streams
    if len(named) == 1:
        return tuple(dict.fromkeys((*sent, *load_names(named[0]))))
    return tuple(dict.fromkeys((*sent, *(stream.stream_name for stream in named))))
