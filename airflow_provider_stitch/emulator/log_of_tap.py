"""What the tap writes to an extraction log, and the state updates that the runner writes for it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.log_lines import Line, counter
from airflow_provider_stitch.emulator.log_of_target import sent_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator.jobs import Read, StreamToRead, Timeline

#: How often a tap writes a counter of a stream that it still reads.
_COUNTER_INTERVAL = timedelta(seconds=60)
_STATE_LAG = timedelta(milliseconds=500)


def tap_lines(timeline: Timeline) -> Iterator[Line]:
    """The lines of the streams that the tap reads."""
    for read in timeline.reads:
        name = read.stream.tap_stream_id
        if read.stream.table is None:
            text = f'INFO HTTP request to "{name}" endpoint took 0.329s, returned status code 200'
            yield Line(read.at, "tap", text)
        else:
            method = "incremental" if read.stream.bookmark else "full"
            text = f"INFO Beginning sync of stream({name}) with sync method({method})"
            yield Line(read.begins_at, "tap", text)
        if _is_counted(timeline, read.stream):
            yield from _counters(timeline, read)
    form = timeline.log.tap_counter_form
    for endpoint, count in timeline.log.other_counters.items():
        yield Line(timeline.tap_begins_at, "tap", counter(form, count, {"endpoint": endpoint}))


def state_updates(timeline: Timeline) -> Iterator[Line]:
    """The state updates: each after all batches that were sent before it have been persisted."""
    reads = {read.stream.tap_stream_id: read for read in timeline.reads}
    bookmarks = {name: read.bookmark_before for name, read in reads.items()}
    persisted_at = timeline.begins_at
    for batch in sorted(timeline.batches, key=sent_at):
        persisted_at = max(persisted_at, batch.flushed_at)
        stream = reads[batch.tap_stream_id].stream
        before, after = bookmarks[stream.tap_stream_id], batch.extracted_at
        key = _bookmark_key(stream)
        if key is None or (batch.rows == 0 and stream.bookmark) or (before and before >= after):
            continue
        bookmarks[stream.tap_stream_id] = after
        at = persisted_at + _STATE_LAG
        yield Line(
            at if _is_cut_short(timeline) else min(at, timeline.ends_at),
            "main",
            _update(stream, before, after),
        )


def state_before(timeline: Timeline) -> str:
    """Return the state with which the tap begins, as JSON."""
    bookmarks = {
        read.stream.tap_stream_id: {key: _bookmark(read.stream, read.bookmark_before)}
        for read in timeline.reads
        if read.bookmark_before and (key := _bookmark_key(read.stream))
    }
    return json.dumps({"bookmarks": bookmarks})


def _is_counted(timeline: Timeline, stream: StreamToRead) -> bool:
    which = timeline.log.tap_counters
    if which == "parents":
        return stream.tap_stream_id in timeline.log.counted_streams
    return stream.counted if which is None else which == "all"


def _counters(timeline: Timeline, read: Read) -> Iterator[Line]:
    """A counter every minute and at the end, each of the rows since the last one."""
    stream = read.stream
    tags: dict[str, str] = {}
    if stream.counter_tags == "endpoint":
        tags = {"endpoint": stream.tap_stream_id}
    elif stream.counter_tags == "table" and stream.table:
        tags = {"database": stream.table[0], "table": stream.table[1]}
    count = max(1, -((read.begins_at - read.at) // _COUNTER_INTERVAL))
    share, rest = divmod(read.rows, count)
    for number in range(1, count + 1):
        at = read.at if number == count else read.begins_at + _COUNTER_INTERVAL * number
        rows = share + (1 if number <= rest else 0)
        yield Line(at, "tap", counter(timeline.log.tap_counter_form, rows, tags))


def _is_cut_short(timeline: Timeline) -> bool:
    """Return whether the target could not persist everything that it had been given."""
    return timeline.terminated or timeline.refused is not None


def _bookmark_key(stream: StreamToRead) -> str | None:
    if stream.bookmark is None:
        return "version" if stream.table else None
    return stream.bookmark


def _bookmark(stream: StreamToRead, extracted_at: datetime) -> Any:
    if stream.bookmark is None:
        return int(extracted_at.timestamp() * 1000)
    return (extracted_at - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _update(stream: StreamToRead, before: datetime | None, after: datetime) -> str:
    path = f"bookmarks.{stream.tap_stream_id}.{_bookmark_key(stream)}"
    value = json.dumps(_bookmark(stream, after))
    if before is None:
        return f"INFO State update: adding {path} = {value}"
    return f"INFO State update: changing {path} from {json.dumps(_bookmark(stream, before))} to {value}"
