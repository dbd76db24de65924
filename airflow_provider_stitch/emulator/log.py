"""The text of an extraction log, line by line, as a timeline tells it.

Source: Stitch documentation, "Interpreting your extraction logs": four fields a line, and an exit line from
``main`` at level INFO, also on failure. A terminated extraction has none.
"""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.emulator.jobs import SIGTERM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator.jobs import Outcome, Timeline

_FLUSH = "com.stitchdata.target-stitch-avro.flush-pipeline - send-stream-record-count-impl"
_CHUNK = 64 * 1024


class _Line(NamedTuple):
    at: datetime
    location: str
    text: str  #: level and body, or a traceback's line without a level


def log_chunks(timeline: Timeline, now: datetime | None = None) -> Iterator[bytes]:
    """The log in pieces of some 64 kB. With ``now``, only what a running job has written by then."""
    gathered: list[str] = []
    size = 0
    for line in log_lines(timeline, now):
        gathered.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield "".join(gathered).encode()
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered).encode()


def log_lines(timeline: Timeline, now: datetime | None = None) -> Iterator[str]:
    """The log's lines with their line ends; the last may be cut, if the plan says so."""
    left = timeline.log.cut_after_lines
    for text in _all_lines(timeline, timeline.ends_at if now is None else min(now, timeline.ends_at)):
        if left == 0:
            yield text[: len(text) // 2]
            return
        yield text
        left = None if left is None else left - 1


def _all_lines(timeline: Timeline, until: datetime) -> Iterator[str]:
    body = heapq.merge(
        sorted((*_start(timeline), *_reads(timeline), *_flushes(timeline)), key=lambda line: line.at),
        _padding(timeline),
        key=lambda line: line.at,
    )
    for line in body:
        if line.at <= until:
            yield _format(line)
    if until < timeline.ends_at:
        return
    for extra in timeline.log.extra_lines:
        yield extra + "\n"
    if not timeline.terminated:
        for line in _end(timeline):
            yield _format(line)


def _format(line: _Line) -> str:
    at = line.at.astimezone(timezone.utc)
    return f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d}Z {line.location:>6} - {line.text}\n"


def _start(timeline: Timeline) -> Iterator[_Line]:
    yield _Line(timeline.begins_at, "main", "INFO Running tap in discovery mode")
    if (
        timeline.tap is not None
        and timeline.discovery is not None
        and timeline.discovery.at <= timeline.ends_at
    ):
        yield _Line(timeline.discovery.at, "main", "INFO Running tap in sync mode")


def _reads(timeline: Timeline) -> Iterator[_Line]:
    for read in timeline.reads:
        name = read.tap_stream_id
        bookmark = (read.at - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield _Line(
            read.at, "tap", f'INFO HTTP request to "{name}" endpoint took 0.329s, returned status code 200'
        )
        if timeline.log.replicated_markers:
            yield _Line(read.at, "tap", f'INFO replicated {read.rows} records from "{name}" endpoint')
        if read.rows and read.bookmark:
            key = f"bookmarks.{name}.{read.bookmark}"
            yield _Line(read.at, "main", f'INFO State update: adding {key} = "{bookmark}"')


def _flushes(timeline: Timeline) -> Iterator[_Line]:
    if timeline.log.flush_markers == "none":
        return
    last = {
        batch.tap_stream_id: batch.flushed_at
        for batch in sorted(timeline.batches, key=lambda b: b.flushed_at)
    }
    for batch in timeline.batches:
        if timeline.log.flush_markers == "every" or batch.flushed_at == last[batch.tap_stream_id]:
            yield _Line(batch.flushed_at, "target", f"INFO {_FLUSH} {batch.tap_stream_id}")


def _padding(timeline: Timeline) -> Iterator[_Line]:
    """Lines that say nothing, spread over the time of the tap."""
    line = 'DEBUG HTTP request to "limits" endpoint took 0.211s, returned status code 200'
    count = -(-timeline.log.padding_bytes // len(line)) if timeline.discovery else 0
    if not count or timeline.discovery is None:
        return
    step = (timeline.ends_at - timeline.discovery.at) / (count + 1)
    at = timeline.discovery.at
    for _ in range(count):
        at += step
        yield _Line(at, "tap", line)


def _end(timeline: Timeline) -> Iterator[_Line]:
    at = timeline.ends_at
    ends = [("tap", timeline.tap or timeline.discovery), ("target", timeline.target)]
    if timeline.tap is not None and timeline.tap.exit_status == SIGTERM:
        ends.reverse()  # the target died first
    for location, outcome in ends:
        if outcome is not None and outcome.exit_status:
            yield from _failure(location, outcome, at)
    yield _Line(at, "main", "INFO No tunnel subprocess to tear down")
    if timeline.log.exit_line:
        yield _Line(at, "main", f"INFO Exit status is: {_exit_status(timeline)}")


def _failure(location: str, outcome: Outcome, at: datetime) -> Iterator[_Line]:
    if outcome.description is not None:
        first, *rest = outcome.description.split("\n")
        yield _Line(at, location, f"CRITICAL {first}")
        for continuation in rest:
            yield _Line(at, location, continuation)
    if location == "target":
        yield _Line(
            at, "main", f"ERROR Target exited abnormally with status {outcome.exit_status}. Terminating tap."
        )
    else:
        yield _Line(at, "main", f"INFO Tap exited abnormally with status {outcome.exit_status}")


def _exit_status(timeline: Timeline) -> str:
    phases = (("Discovery", timeline.discovery), ("Tap", timeline.tap), ("Target", timeline.target))
    return " ".join(_clause(phase, outcome) for phase, outcome in phases if outcome is not None)


def _clause(phase: str, outcome: Outcome) -> str:
    if outcome.exit_status == 0:
        return f"{phase} succeeded."
    if outcome.description is None:
        return f"{phase} failed with code {outcome.exit_status}."
    message = outcome.description.replace("\n", "\\n")  # two characters, as in the documented samples
    return f'{phase} failed with code {outcome.exit_status} and error message: "{message}".'
