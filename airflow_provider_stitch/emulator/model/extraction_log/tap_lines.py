"""Lines of an extraction log that the tap writes, and state updates that the runner writes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.extraction_log.lines import Line, counter
from airflow_provider_stitch.emulator.model.extraction_log.target_lines import sent_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator.model.connections.streams import SelectedStream
    from airflow_provider_stitch.emulator.model.jobs.timeline import StreamRead, Timeline

#: Interval between the row counters that the tap writes while it reads a stream.
_COUNTER_INTERVAL = timedelta(seconds=60)
_STATE_LAG = timedelta(milliseconds=500)


def tap_lines(timeline: Timeline) -> Iterator[Line]:
    """Yield the lines that the tap writes for the streams it reads."""
    for read in timeline.reads:
        name = read.stream.tap_stream_id
        if read.stream.table is None:
            text = f'INFO HTTP request to "{name}" endpoint took 0.329s, returned status code 200'
            yield Line(read.ends_at, "tap", text)
        else:
            method = "incremental" if read.stream.bookmark else "full"
            text = f"INFO Beginning sync of stream({name}) with sync method({method})"
            yield Line(read.starts_at, "tap", text)
        if _is_counted(timeline, read.stream):
            yield from _counters(timeline, read)
    form = timeline.log.tap_counter_form
    for endpoint, count in timeline.log.other_counters.items():
        yield Line(timeline.tap_starts_at, "tap", counter(form, count, {"endpoint": endpoint}))


def state_updates(timeline: Timeline) -> Iterator[Line]:
    """Yield the state updates of the runner.

    The runner writes each update after all earlier batches are persisted.
    """
    reads = {read.stream.tap_stream_id: read for read in timeline.reads}
    bookmarks = {name: read.previous_bookmark for name, read in reads.items()}
    persisted_at = timeline.starts_at
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
    """Return the initial state of the tap as a JSON string."""
    bookmarks = {
        read.stream.tap_stream_id: {key: _bookmark(read.stream, read.previous_bookmark)}
        for read in timeline.reads
        if read.previous_bookmark and (key := _bookmark_key(read.stream))
    }
    return json.dumps({"bookmarks": bookmarks})


def _is_counted(timeline: Timeline, stream: SelectedStream) -> bool:
    which = timeline.log.tap_counters
    if which == "parents":
        return stream.tap_stream_id in timeline.log.counted_streams
    return stream.counted if which is None else which == "all"


def _counters(timeline: Timeline, read: StreamRead) -> Iterator[Line]:
    """Yield one row counter per minute while the tap reads a stream, and a last counter at the end.

    Each counter contains the number of rows since the previous counter.
    """
    stream = read.stream
    tags: dict[str, str] = {}
    if stream.counter_tags == "endpoint":
        tags = {"endpoint": stream.tap_stream_id}
    elif stream.counter_tags == "table" and stream.table:
        tags = {"database": stream.table[0], "table": stream.table[1]}
    count = max(1, -((read.starts_at - read.ends_at) // _COUNTER_INTERVAL))
    per_counter, remainder = divmod(read.rows, count)
    for number in range(1, count + 1):
        at = read.ends_at if number == count else read.starts_at + _COUNTER_INTERVAL * number
        rows = per_counter + (1 if number <= remainder else 0)
        yield Line(at, "tap", counter(timeline.log.tap_counter_form, rows, tags))


def _is_cut_short(timeline: Timeline) -> bool:
    """Return whether the target ended before it had persisted all rows."""
    return timeline.terminated or timeline.refused_batch is not None


def _bookmark_key(stream: SelectedStream) -> str | None:
    if stream.bookmark is None:
        return "version" if stream.table else None
    return stream.bookmark


def _bookmark(stream: SelectedStream, extracted_at: datetime) -> Any:
    if stream.bookmark is None:
        return int(extracted_at.timestamp() * 1000)
    return (extracted_at - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _update(stream: SelectedStream, before: datetime | None, after: datetime) -> str:
    path = f"bookmarks.{stream.tap_stream_id}.{_bookmark_key(stream)}"
    value = json.dumps(_bookmark(stream, after))
    if before is None:
        return f"INFO State update: adding {path} = {value}"
    return f"INFO State update: changing {path} from {json.dumps(_bookmark(stream, before))} to {value}"
