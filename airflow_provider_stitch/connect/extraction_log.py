"""Parse an extraction log: which streams had rows, when they were sent, and how the job ended.

Three programs write to one log: the runner (`main`), the tap and the target. `target-stitch` logs every batch
that it sends; the Avro target writes a marker for each stream with rows. Evidence of rows comes from the
target alone, because only some taps count rows, and their counts may include rows that they do not send.

A log is read in one pass, as it arrives. Memory is bounded, even if the log, one of its lines, or its list of
streams is very long.

Source: Stitch Connect API, "Extraction logs" (line format, exit status); the source code of target-stitch
(its lines); published logs (the Avro marker).
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_provider_stitch.connect.log_parser.counters import COUNTER_STARTS, parse_record_count
from airflow_provider_stitch.connect.log_parser.exit_line import (
    MAX_EXIT_LINE_LENGTH,
    PHASES,
    PhaseExit,
    failure_cause,
    parse_exit_line,
)
from airflow_provider_stitch.connect.log_parser.lines import BoundedLine, parse_timestamp, split_lines
from airflow_provider_stitch.connect.log_parser.streams import StreamCounts, StreamLog, StreamTable
from airflow_provider_stitch.connect.objects.json import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

__all__ = ["ExtractionLog", "PhaseExit", "StreamLog", "parse_extraction_log"]

MAX_PROBLEMS = 20
MAX_PROBLEM_LENGTH = 500  #: characters of one problem

_LINE = re.compile(
    rb"(?:(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d{3})Z?\s+)?"
    rb"(?:(main|tap|target)\s+-\s+(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:\s+|$))?)?"
)
_EXIT = b"Exit status is:"
_RUNNING = re.compile(rb"Running \S+ version \S+ and (target-stitch(?:-avro)?) version ")
_STARTING = re.compile(rb"Starting target: \S*/(target-stitch(?:-avro)?)(?:\s|$)")
_TARGET_SUCCEEDED = b"Target exited normally with status 0"
_STATE_UPDATE = b"State update: "

# The lines of target-stitch, of versions 1.0 to 4.0.
_FIRST_LINES = (
    b"Using Stitch import URL ",
    b"Using batch_size_prefernces of ",
    b"Using turbo_boost_factor of ",
)
_LAST_LINES = (b"Requests complete, stopping loop", b"Exiting normally")
_BATCH_SENT = re.compile(rb"Sending batch with (\d{1,18}) messages? for table (.+) to \S+\s*$")
_BATCH_SERIALIZED = re.compile(rb"Serializing batch with (\d{1,18}) messages? for table (.+)$")
_REQUEST = b"Sending batch of "
_RETRIES = (b"Error sending data to Stitch. Sleeping ", b"Backing off post_coroutine(")

# The text before the Avro target's marker is not documented; usually it is the logger's name.
_MARKER_WORD = b"send-stream-record-count-impl"
_MARKER = re.compile(rb"(?:[\w.$-]+\s+-\s+)?send-stream-record-count-impl\s+(\S.*)$")

_TARGETS: Mapping[bytes, Literal["target-stitch", "avro"]] = {
    b"target-stitch": "target-stitch",
    b"target-stitch-avro": "avro",
}


@dataclass(frozen=True, slots=True)
class ExtractionLog:
    """The content of one extraction job's log."""

    #: The streams with evidence of rows, by the name in the target's lines, or else in the tap's.
    streams: Mapping[str, StreamLog]
    #: Whether `streams` contains every stream that had rows. False if the log is truncated.
    complete: bool
    target: Literal["target-stitch", "avro"] | None  #: None if the log does not show it
    exits: tuple[PhaseExit, ...]  #: the phases in the exit line, in its order
    exit_line: str | None  #: begins with "Exit status is:"; None if the log has no exit line
    exited_at: datetime | None  #: UTC
    problems: tuple[str, ...]  #: the last 20 ERROR and CRITICAL lines, each of at most 500 characters
    #: The tap's row counts, by the names that it writes. Some taps count only parent streams, or nothing.
    tap_rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool | None:
        """True if all phases succeeded, False if one failed, None if the log does not show it.

        A tap without discovery has no clause for discovery in its exit line.
        """
        if any(each.failed for each in self.exits):
            return False
        # A truncated exit line does not prove success.
        return True if tuple(each.phase for each in self.exits) in (PHASES, PHASES[1:]) else None

    @property
    def cause(self) -> PhaseExit | None:
        """The phase that made the job fail; see `failure_cause`."""
        return failure_cause(self.exits)


def parse_extraction_log(chunks: Iterable[bytes]) -> ExtractionLog:
    """Parse a log from chunks of any size. No content of a log makes it fail."""
    reader = _LogReader()
    for number, (line, has_end) in enumerate(split_lines(chunks)):
        reader.read_line(line if number else line.removeprefix(codecs.BOM_UTF8), has_end=has_end)
    return reader.result()


class _LogReader:
    """The state of the parser.

    The meaning of a target's line does not depend on lines of the tap or runner.
    """

    def __init__(self) -> None:
        self._streams = StreamTable()
        self._open_batch: StreamCounts | None = None  # the batch of the requests that follow
        self._target: Literal["target-stitch", "avro"] | None = None
        self._target_started = self._target_finished = self._target_succeeded = self._has_markers = False
        self._problems: deque[str] = deque(maxlen=MAX_PROBLEMS)
        self._last_timestamp: bytes | None = None
        self._exit = BoundedLine()
        self._exit_first: bytes | None = None  # without lines that may continue it
        self._exit_timestamp: bytes | None = None
        self._in_exit = False

    def read_line(self, line: bytes, *, has_end: bool = True) -> None:
        """Read one line of the log.

        :param has_end: False for a last line without a line break, which may be truncated.
        """
        matched = _LINE.match(line)
        timestamp, location, level = matched.groups() if matched else (None, None, None)
        start = matched.end() if matched else 0
        if timestamp:
            self._last_timestamp = timestamp
        if timestamp or location:
            self._in_exit = False
        if location == b"tap":
            if level == b"INFO":
                self._read_tap(line, start, timestamp)
        elif location == b"target":
            if has_end or line.startswith(
                COUNTER_STARTS, start
            ):  # a name at the end of the line may be truncated
                self._read_target(line, start, timestamp, level)
        elif location == b"main":
            self._read_main(line, start, timestamp, level)
        elif self._in_exit:
            self._exit.add(b" " + line.strip())
        if level == b"ERROR" or level == b"CRITICAL":  # noqa: PLR1714 - twice as fast as `in`, and this runs for each line
            self._problems.append(one_line(_decoded(line), MAX_PROBLEM_LENGTH))

    def result(self) -> ExtractionLog:
        """Return the result for the lines so far."""
        first = None if self._exit_first is None else _decoded(self._exit_first)
        whole = "" if first is None else _decoded(self._exit.take())
        exits = () if first is None else parse_exit_line(first, whole)
        complete = self._is_complete(exits)
        return ExtractionLog(
            streams={entry.name: entry for entry in self._streams.evidence(complete=complete)},
            complete=complete,
            target=self._target or ("avro" if self._has_markers else None),
            exits=exits,
            exit_line=None if first is None else one_line(whole, MAX_EXIT_LINE_LENGTH),
            exited_at=parse_timestamp(self._exit_timestamp),
            tap_rows=self._streams.tap_rows(),
            problems=tuple(self._problems),
        )

    def _is_complete(self, exits: tuple[PhaseExit, ...]) -> bool:
        if self._streams.overflowed:
            return False
        if self._target == "avro" or (self._target is None and self._has_markers):
            succeeded = any(each.phase == "Target" and not each.failed for each in exits)
            return self._has_markers and (succeeded or self._target_succeeded)
        return self._target == "target-stitch" and self._target_started and self._target_finished

    # --- The runner and the tap -------------------------------------------------------------------------

    def _read_main(self, line: bytes, start: int, timestamp: bytes | None, level: bytes | None) -> None:
        if line.startswith(_EXIT, start):
            self._begin_exit(line[start:])
        elif level != b"INFO":
            return
        elif line.startswith(_STATE_UPDATE, start):
            self._streams.record_state_update(timestamp)
        elif line.startswith(_TARGET_SUCCEEDED, start):
            self._target_succeeded = True
        elif named := (_RUNNING.match(line, start) or _STARTING.match(line, start)):
            self._target = _TARGETS[named[1]]

    def _begin_exit(self, text: bytes) -> None:
        self._exit.take()  # the last exit line counts
        self._exit.add(text)
        self._exit_first, self._exit_timestamp, self._in_exit = text, self._last_timestamp, True

    def _read_tap(self, line: bytes, start: int, timestamp: bytes | None) -> None:
        if line.startswith(COUNTER_STARTS, start):
            count = parse_record_count(line[start:])
            if count is not None:
                self._streams.record_tap_counter(count.name, count.rows)
        elif line.startswith(_STATE_UPDATE, start):
            self._streams.record_state_update(timestamp)

    # --- The target -------------------------------------------------------------------------------------

    def _read_target(self, line: bytes, start: int, timestamp: bytes | None, level: bytes | None) -> None:
        if line.startswith(_RETRIES, start):
            self._streams.record_retry()
        elif level != b"INFO" or self._read_batch(line, start, timestamp):
            return
        elif line.startswith(_FIRST_LINES, start):
            self._target, self._target_started = self._target or "target-stitch", True
        elif line.startswith(_LAST_LINES, start):
            self._target_finished = True
            self._streams.record_state_update(timestamp)
        elif _MARKER_WORD in line and (marker := _MARKER.match(line, start)):
            self._has_markers = True
            if stream := self._streams.get(marker[1].strip()):
                stream.record_marker(parse_timestamp(timestamp))

    def _read_batch(self, line: bytes, start: int, timestamp: bytes | None) -> bool:
        """Record a line of target-stitch about a batch, and return whether the line is one."""
        if line.startswith(COUNTER_STARTS, start):
            count = parse_record_count(line[start:])
            if count is not None and (stream := self._streams.get(count.name)):
                stream.record_counter(count.rows, parse_timestamp(timestamp))
                self._streams.record_sent(stream)
        elif line.startswith(_REQUEST, start):
            if self._open_batch is not None:
                self._open_batch.requests += 1
        elif batch := (_BATCH_SERIALIZED.match(line, start) or _BATCH_SENT.match(line, start)):
            self._begin_batch(batch[2].strip(), int(batch[1]), timestamp)
        else:
            return False
        return True

    def _begin_batch(self, name: bytes, messages: int, timestamp: bytes | None) -> None:
        self._target = self._target or "target-stitch"
        self._target_finished = False  # the last line comes after every batch
        self._open_batch = self._streams.get(name)
        if self._open_batch is not None:
            self._open_batch.record_batch(messages, parse_timestamp(timestamp))
            self._streams.record_sent(self._open_batch)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")
