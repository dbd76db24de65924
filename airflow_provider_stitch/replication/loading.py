"""When is a stream loaded, or at least prepared? Pure functions.

Stitch reports loads by stream and not by job, so that a job's rows are in can only be told from a stream's
`last_batch_loaded_at` having passed the instant at which the job flushed the stream's last rows. Which
streams had rows, and when they were flushed, is in the extraction's log. Source of the rules: Stitch Connect
API, "Load object", "List last loads for an account"; Stitch's extraction logs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from airflow_provider_stitch.connect.errors import UnknownStream
from airflow_provider_stitch.replication.stream_names import StreamNames
from airflow_provider_stitch.replication.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_stitch.connect.extraction_log import ExtractionLog, StreamLog
    from airflow_provider_stitch.connect.objects import Load, Stream
    from airflow_provider_stitch.replication.known import Known, Trouble

# A load error that may be older than the job counts only if two later looks still show it,
# the last of them this long after the first.
OLD_TROUBLE_LOOKS = 2
OLD_TROUBLE_PATIENCE = timedelta(minutes=5)

# Rows of a job that ended so long before another began are taken to be loaded when that one flushes its own.
LONGEST_LAG = timedelta(minutes=30)

# Without a log, a stream that sees no load for this long after the source's last one had no rows. So long is
# a load waited for, too, where the log does not tell when rows were flushed, before an earlier one counts.
NO_ROWS_PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Target:
    """A stream that is to be loaded, and from when on a load of it counts."""

    label: str  #: its `stream_name`, or its `tap_stream_id` where the source has the name twice
    load_names: tuple[str, ...]  #: the names under which its load may be listed, the likeliest first
    since: datetime
    rows: int | None = None
    must_settle: bool = False  #: a load just after `since` may still carry only earlier batches
    perhaps_since: datetime | None = None  #: where `since` is not its flush: its last may be as early as this
    had_rows: bool = True  #: False: nobody can tell


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """What has become of one target."""

    target: Target
    state: Literal["waiting", "loaded", "in_error", "no_rows"]
    loaded_at: datetime | None = None
    in_trouble: bool = False  #: its load is in an error state, be it old or new
    said: str | None = None  #: the destination's own message

    @property
    def is_early(self) -> bool:
        """Whether it counts as loaded by a load from before its last flush as far as anything tells."""
        return (
            self.state == "loaded"
            and self.loaded_at is not None
            and self.loaded_at < _second(self.target.since)
        )


def select_streams(streams: Sequence[Stream], names: Sequence[str]) -> tuple[Stream, ...]:
    """Return the streams that a user named, by `stream_name` or `tap_stream_id`.

    :raises UnknownStream: no name, or one that the source does not have, has twice, or has not selected.
    """
    if not names:
        raise UnknownStream(
            "streams is empty, so there is nothing to wait for. Leave it out to wait for all."
        )
    return tuple(_select_stream(streams, name) for name in names)


def _select_stream(streams: Sequence[Stream], name: str) -> Stream:
    exact = [stream for stream in streams if stream.tap_stream_id == name]
    found = exact or [stream for stream in streams if stream.stream_name == name]
    if not found:
        names = StreamNames(streams)
        known = listed(sorted(names.label_of(stream) for stream in streams if stream.selected)) or "none"
        raise UnknownStream(f"The source has no stream {name!r}. Its selected streams are: {known}.")
    if len(found) > 1:
        ids = listed(stream.tap_stream_id for stream in found)
        raise UnknownStream(
            f"The source has {len(found)} streams named {name!r}. Name one of them by its id: {ids}."
        )
    if not found[0].selected:
        raise UnknownStream(
            f"Stream {name!r} is not selected, so Stitch does not replicate it. Select it first."
        )
    return found[0]


def targets_from_log(log: ExtractionLog, streams: Sequence[Stream], began_at: datetime) -> tuple[Target, ...]:
    """Return the streams that had rows in a job, according to its log; none of the others is ever loaded."""
    names = StreamNames(streams)
    merged: dict[str, tuple[StreamLog, Stream | None]] = {}
    for entry in log.streams.values():
        stream = names.find(entry.name)
        label = names.label_of(stream) if stream else entry.name
        before = merged.get(label)
        merged[label] = (_combine(before[0], entry) if before else entry, stream)
    return tuple(
        Target(
            label=label,
            load_names=load_names(stream) if stream else (entry.name,),
            since=entry.last_flush_at or entry.last_seen_at or began_at,
            perhaps_since=None if entry.last_flush_at else began_at,
            rows=entry.rows,
            # One flush makes one batch, which one load brings. Rows whose flush was not seen, or at no known
            # time, may come in a later one; and of two streams of one name, a load may be the other's.
            must_settle=entry.flushes != 1 or entry.last_flush_at is None or names.are_shared_by(stream),
        )
        for label, (entry, stream) in merged.items()
        if entry.flushes or entry.rows
    )


def targets_without_log(streams: Sequence[Stream], began_at: datetime) -> tuple[Target, ...]:
    """Return what to wait for when no log tells which streams had rows: all that are selected."""
    names = StreamNames(streams)
    return tuple(
        Target(names.label_of(stream), load_names(stream), began_at, must_settle=True, had_rows=False)
        for stream in streams
        if stream.selected
    )


def _combine(one: StreamLog, other: StreamLog) -> StreamLog:
    """Put together what a log says of one stream under its two names."""
    return replace(
        one,
        rows=one.rows if one.rows is not None else other.rows,
        flushes=one.flushes + other.flushes,
        last_flush_at=_latest(one.last_flush_at, other.last_flush_at),
        last_seen_at=_latest(one.last_seen_at, other.last_seen_at),
    )


def _latest(*instants: datetime | None) -> datetime | None:
    return max((instant for instant in instants if instant is not None), default=None)


def load_names(stream: Stream) -> tuple[str, ...]:
    """Return the names under which a stream's load may be listed, the likeliest first."""
    # With `include_schemas_in_destination_stream_name` the table is `<schema>__<table>`;
    # which of the two a load shows is not documented.
    with_schema = (f"{stream.schema_name}__{stream.stream_name}",) if stream.schema_name else ()
    return (*with_schema, stream.stream_name)


def is_crowded(known: Known, began_at: datetime) -> bool:
    """Say whether rows of an earlier job may still be on their way when this one flushes its own."""
    if known.earlier_seen_at is None or known.earlier_seen_at < began_at.replace(microsecond=0):
        return True  # nobody knows when the job before ended, or one that came after that look
    return known.earlier_ended_at is not None and began_at - known.earlier_ended_at < LONGEST_LAG


def judge_streams(
    targets: Sequence[Target],
    known: Known,
    *,
    load_settle: float,
    began_at: datetime,
    completed_at: datetime,
) -> tuple[StreamVerdict, ...]:
    """Say of each target whether it is loaded, as of the last look at the source's loads."""
    if known.loads is None or known.loads_at is None:
        return tuple(StreamVerdict(target, "waiting") for target in targets)
    latest_load = _latest(
        completed_at, *(load.last_batch_loaded_at for rows in known.loads.values() for load in rows)
    )
    return tuple(
        _judge_stream(
            target,
            row,
            _trouble_of(target, known),
            began_at=began_at,
            at=known.loads_at,
            settle=timedelta(seconds=load_settle),
            quiet=known.loads_at - (latest_load or completed_at) >= NO_ROWS_PATIENCE,
        )
        for target, row in _rows_of([_after_trouble(target, known) for target in targets], known.loads)
    )


def _after_trouble(target: Target, known: Known) -> Target:
    """Let the first load after an error settle: it may bring only what earlier jobs had left."""
    recovered = not known.recovered.isdisjoint(target.load_names)
    return replace(target, must_settle=True) if recovered else target


def _judge_stream(
    target: Target,
    row: Load | None,
    trouble: Trouble | None,
    *,
    began_at: datetime,
    at: datetime,
    settle: timedelta,
    quiet: bool,
) -> StreamVerdict:
    if trouble is not None:
        counts = _counts(trouble, began_at)
        state: Literal["in_error", "waiting"] = "in_error" if counts else "waiting"
        return StreamVerdict(target, state, in_trouble=True, said=trouble.said)
    loaded_at = row.last_batch_loaded_at if row else None
    # Loads are told in whole seconds. One in the very second of the flush may be either side of it.
    if loaded_at is not None and loaded_at >= _second(target.since):
        sure = loaded_at >= target.since and not target.must_settle
        settled = at - loaded_at >= settle
        return StreamVerdict(target, "loaded" if sure or settled else "waiting", loaded_at)
    if not target.had_rows and quiet:
        return StreamVerdict(target, "no_rows")
    # A log that tells of rows, but not of their flush, may do so long after they were loaded.
    if (
        quiet
        and loaded_at is not None
        and target.perhaps_since
        and loaded_at >= _second(target.perhaps_since)
    ):
        return StreamVerdict(target, "loaded", loaded_at)
    return StreamVerdict(target, "waiting")


def _second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)


def _counts(trouble: Trouble, began_at: datetime) -> bool:
    # It is new if the stream was seen without it since the job began, and may else be older than the job.
    is_new = trouble.clear_at is not None and trouble.clear_at >= _second(began_at)
    return is_new or (
        trouble.looks >= OLD_TROUBLE_LOOKS and trouble.until - trouble.since >= OLD_TROUBLE_PATIENCE
    )


def _trouble_of(target: Target, known: Known) -> Trouble | None:
    return next((known.troubles[name] for name in target.load_names if name in known.troubles), None)


def _rows_of(
    targets: Sequence[Target], loads: Mapping[str, tuple[Load, ...]]
) -> Iterator[tuple[Target, Load | None]]:
    """Pair each target with its load.

    Streams of one name in two schemas have loads that nothing tells apart. All are loaded when the latest
    load has passed the latest flush, the next load the next flush, and so on: so they are paired in that
    order.
    """
    taken: Counter[str] = Counter()
    for target in sorted(targets, key=lambda target: target.since, reverse=True):
        name = next((name for name in target.load_names if name in loads), None)
        if name is None:
            yield target, None
            continue
        rows = sorted(loads[name], key=_loaded_last_first)
        yield target, rows[min(taken[name], len(rows) - 1)]
        taken[name] += 1


def _loaded_last_first(load: Load) -> float:
    return -load.last_batch_loaded_at.timestamp() if load.last_batch_loaded_at else 0.0
