"""Which streams must be loaded after a job, and since when a load counts. Pure functions.

The extraction's log decides it. A complete log lists every stream that had rows. Otherwise the streams with
evidence of rows are expected, and every other selected stream is possible: it may have had rows. Source of
the rules: Stitch's extraction logs; the source code of target-stitch.
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

_NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class ExpectedLoad:
    """A load that must come before the job's rows of one stream are in the warehouse.

    If nothing tells several streams apart, one expected load stands for all of them.
    """

    label: str  #: its `stream_name`, or the `tap_stream_id` if the source selects the name twice
    load_names: tuple[str, ...]  #: the names under which the load may be listed, the likeliest first
    last_batch_at: datetime  #: a load at or after this time has the last batch
    rows: int | None = None
    must_settle: bool = False  #: a load just after `last_batch_at` may still carry only earlier batches
    settle: timedelta = _NO_TIME  #: the longest gap between two batches of the stream
    #: If `last_batch_at` may be too late: the last batch was sent at this time or later.
    earliest_batch_at: datetime | None = None
    rows_confirmed: bool = True  #: False: the stream may have had no rows
    #: The `tap_stream_id` of each stream; empty: no stream of the source has the name.
    stream_ids: frozenset[str] = frozenset()
    #: Of `load_names`, those under which further streams may be listed, and the number of all these streams.
    sharers: Mapping[str, int] = field(default_factory=dict)


class JobTimes(NamedTuple):
    """When a job's extraction began and ended, by Stitch's clock."""

    started_at: datetime
    ended_at: datetime


def expected_loads(
    log: ExtractionLog | None, streams: Sequence[Stream], job: JobTimes
) -> tuple[ExpectedLoad, ...]:
    """Return the loads that a job requires, according to its log.

    :param log: None if Stitch has no log; then every selected stream is possible.
    """
    names = StreamNames(streams)
    expected = [] if log is None else [_expected_load(each, names, log, job) for each in _entries(log, names)]
    if log is None or not log.complete:
        covered = {stream_id for each in expected for stream_id in each.stream_ids}
        expected += _possible_loads(streams, names, covered, job)
    return tuple(expected)


def is_requested(expected: ExpectedLoad, requested: frozenset[str] | None) -> bool:
    """Return whether a load stands for a requested stream, or may do so because no stream has its name.

    :param requested: each stream's `tap_stream_id`; None requests all.
    """
    return requested is None or not expected.stream_ids or not requested.isdisjoint(expected.stream_ids)


def unknown_names(expected: Iterable[ExpectedLoad]) -> list[str]:
    """Return the names in the log that no stream of the source has."""
    return sorted(each.label for each in expected if not each.stream_ids)


class _Entry(NamedTuple):
    """What a log proves about the streams that share a name."""

    streams: tuple[Stream, ...]
    log: StreamLog


def _entries(log: ExtractionLog, names: StreamNames) -> list[_Entry]:
    """Match the log's names to streams, and merge the names of one stream."""
    merged: dict[frozenset[str] | str, _Entry] = {}
    covered: set[str] = set()
    # Batches first, because a tap can count the same rows under another name.
    for entry in sorted(log.streams.values(), key=lambda entry: not entry.batches):
        streams = names.find_all(entry.name)
        ids = frozenset(stream.tap_stream_id for stream in streams)
        if not entry.batches and (covered & ids or not any(stream.selected for stream in streams)):
            continue  # taps also count endpoints and parents that are never loaded
        key = ids or entry.name
        before = merged.get(key)
        merged[key] = _Entry(streams, _merge(before.log, entry) if before else entry)
        covered |= ids
    tap_rows = _rows_by_stream(log, names)
    return [_Entry(entry.streams, _with_tap_rows(entry, tap_rows)) for entry in merged.values()]


def _rows_by_stream(log: ExtractionLog, names: StreamNames) -> dict[str, int]:
    """Return the rows that the tap counted, by `tap_stream_id`, where its name stands for one stream."""
    rows: dict[str, int] = {}
    for name, counted in log.tap_rows.items():
        found = names.find_all(name)
        if counted and len(found) == 1:
            rows[found[0].tap_stream_id] = rows.get(found[0].tap_stream_id, 0) + counted
    return rows


def _with_tap_rows(entry: _Entry, tap_rows: dict[str, int]) -> StreamLog:
    """Add what the tap's counters prove under its own names: rows, and with the Avro target their number."""
    counted = [tap_rows.get(stream.tap_stream_id) for stream in entry.streams]
    known = [rows for rows in counted if rows is not None]
    logged = replace(entry.log, certain=entry.log.certain or bool(known))
    if logged.has_marker and logged.rows is None and known and len(known) == len(counted):
        return replace(logged, rows=sum(known))
    return logged


def _merge(one: StreamLog, other: StreamLog) -> StreamLog:
    """Combine what a log proves about one stream under two names."""
    last_batch_at, gap = None, timedelta(0)
    if one.last_batch_at is not None and other.last_batch_at is not None:
        last_batch_at = max(one.last_batch_at, other.last_batch_at)
        gap = abs(one.last_batch_at - other.last_batch_at)
    proofs = [at for at in (one.persisted_by, other.persisted_by) if at is not None]
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
        persisted_by=max(proofs, default=None),
    )


def _expected_load(entry: _Entry, names: StreamNames, log: ExtractionLog, job: JobTimes) -> ExpectedLoad:
    streams, logged = entry
    last_batch_at, earliest_batch_at = _batch_times(logged, log, job)
    # If several selected streams share the name, a load may be another stream's.
    is_only = len(streams) == 1 and not names.are_shared_by(streams[0])
    load_names = _load_names(streams, logged)
    return ExpectedLoad(
        label=_label(streams, logged.name, names),
        load_names=load_names,
        last_batch_at=last_batch_at,
        rows=logged.rows,
        must_settle=not (log.complete and logged.one_request and is_only) or earliest_batch_at is not None,
        settle=logged.longest_gap,
        earliest_batch_at=earliest_batch_at,
        rows_confirmed=logged.certain,
        stream_ids=frozenset(stream.tap_stream_id for stream in streams),
        sharers=_sharers(load_names, streams, names),
    )


def _batch_times(logged: StreamLog, log: ExtractionLog, job: JobTimes) -> tuple[datetime, datetime | None]:
    """Return when the last batch was sent at the latest and, unless that is exact, at the earliest."""
    if logged.last_batch_at is None:
        return job.ended_at, job.started_at
    if logged.has_marker:  # it may be written long after its rows were sent
        return logged.last_batch_at, job.started_at
    if not log.complete:  # there may be later batches, up to the end of the extraction
        return max(logged.last_batch_at, job.ended_at), logged.last_batch_at
    if logged.retried:  # a retried request arrives some time after its line
        return max(logged.last_batch_at, logged.persisted_by or job.ended_at), logged.last_batch_at
    return logged.last_batch_at, None


def _possible_loads(
    streams: Sequence[Stream], names: StreamNames, covered: set[str], job: JobTimes
) -> Iterator[ExpectedLoad]:
    for stream in streams:
        if stream.selected and stream.tap_stream_id not in covered:
            yield ExpectedLoad(
                label=names.label_of_selected(stream),
                load_names=load_names(stream),
                # It may have had batches at any time of the job.
                last_batch_at=job.ended_at,
                earliest_batch_at=job.started_at,
                must_settle=True,
                rows_confirmed=False,
                stream_ids=frozenset((stream.tap_stream_id,)),
                sharers=_sharers(load_names(stream), (stream,), names),
            )


def _sharers(load_names: tuple[str, ...], streams: tuple[Stream, ...], names: StreamNames) -> dict[str, int]:
    """Return of how many streams a load may be listed under each name that further streams have, too."""
    counts = {name: names.streams_named(name) for name in load_names}
    return {name: count for name, count in counts.items() if count > len(streams)}


def _label(streams: tuple[Stream, ...], logged_name: str, names: StreamNames) -> str:
    if len(streams) == 1:
        return names.label_of_selected(streams[0])
    shared = {stream.stream_name for stream in streams}
    return shared.pop() if len(shared) == 1 else logged_name


def _load_names(streams: tuple[Stream, ...], logged: StreamLog) -> tuple[str, ...]:
    """Return the names of a load, first the name that the target sends: Stitch has no other to go by."""
    sent = (logged.name,) if logged.batches or not streams else ()
    if len(streams) == 1:
        return tuple(dict.fromkeys((*sent, *load_names(streams[0]))))
    return tuple(dict.fromkeys((*sent, *(stream.stream_name for stream in streams))))
