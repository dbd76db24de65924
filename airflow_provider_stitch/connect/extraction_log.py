"""Parse extraction logs.

The result shows which streams had rows, when the rows were sent, and how the job ended.

Three programs write to a log: the runner (`main`), the tap and the target. The target `target-stitch` logs
every batch that it sends. The Avro target writes a marker for each stream that has rows. In a complete log,
only lines from the target prove that a stream had rows, because many taps do not count rows, and a tap's
count may include rows that it does not send. In other logs, a tap's count above 0 is evidence as well.

A log is parsed in one pass while it is downloaded. Memory use is limited, even if the log is very long, has
very long lines, or contains many streams.

Source of the line format and the exit status: Stitch Connect API, "Extraction logs". The log lines of
target-stitch are known from its source code. The Avro target's marker is known from published logs.
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
MAX_PROBLEM_LENGTH = 500  #: maximum length of one problem, in characters

_LINE = re.compile(
    rb"(?:(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d{3})Z?\s+)?"
    rb"(?:(main|tap|target)\s+-\s+(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:\s+|$))?)?"
)
_EXIT = b"Exit status is:"
_RUNNING = re.compile(rb"Running \S+ version \S+ and (target-stitch(?:-avro)?) version ")
_STARTING = re.compile(rb"Starting target: \S*/(target-stitch(?:-avro)?)(?:\s|$)")
_TARGET_SUCCEEDED = b"Target exited normally with status 0"
_STATE_UPDATE = b"State update: "

# Texts and patterns that identify log lines from target-stitch 1.0 to 4.0.
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

# The text before a marker from the Avro target is not documented. The text is usually the name of the logger.
_MARKER_WORD = b"send-stream-record-count-impl"
_MARKER = re.compile(rb"(?:[\w.$-]+\s+-\s+)?send-stream-record-count-impl\s+(\S.*)$")

_TARGETS: Mapping[bytes, Literal["target-stitch", "avro"]] = {
    b"target-stitch": "target-stitch",
    b"target-stitch-avro": "avro",
}


@dataclass(frozen=True, slots=True)
class ExtractionLog:
    """The parsed content of one extraction job's log."""

    #: The streams that had rows according to the log, by name. A stream's name is taken from the target's
    #: lines. If the log is not complete, streams that only the tap's counters contain are included.
    streams: Mapping[str, StreamLog]
    #: Whether `streams` contains every stream that had rows. False if the log is truncated.
    complete: bool
    #: The target that the job used, or None if the log does not identify it.
    target: Literal["target-stitch", "avro"] | None
    exits: tuple[PhaseExit, ...]  #: the phases that the exit line lists, in the same order
    exit_line: str | None  #: the line that begins with "Exit status is:", or None if the log has no exit line
    exited_at: datetime | None  #: the timestamp of the exit line (UTC)
    #: The last 20 lines at level ERROR or CRITICAL, each truncated to 500 characters.
    problems: tuple[str, ...]
    #: The tap's row count for each stream, under the name that the tap uses. Some taps count only the rows of
    #: parent streams, and other taps do not count rows.
    tap_rows: Mapping[str, int] = field(default_factory=dict)
    started_at: datetime | None = None  #: the first timestamp in the log (UTC)

    @property
    def succeeded(self) -> bool | None:
        """Whether all phases succeeded, or None if the log does not show the outcome.

        If the tap has no discovery, the exit line contains only the statuses of the tap and the target.
        """
        if any(each.failed for each in self.exits):
            return False
        # A truncated exit line does not prove success, because it may omit a failed phase.
        return True if tuple(each.phase for each in self.exits) in (PHASES, PHASES[1:]) else None

    @property
    def cause(self) -> PhaseExit | None:
        """The phase that caused the job to fail, or None if no phase failed. See `failure_cause`."""
        return failure_cause(self.exits)


def parse_extraction_log(chunks: Iterable[bytes]) -> ExtractionLog:
    """Parse a log that arrives in chunks of any size.

    Unexpected content never raises an error.
    """
    reader = _LogReader()
    for number, (line, has_end) in enumerate(split_lines(chunks)):
        reader.read_line(line if number else line.removeprefix(codecs.BOM_UTF8), has_end=has_end)
    return reader.result()


class _LogReader:
    """The state of the parser while it reads a log.

    Lines from the tap and the runner may appear between any two lines from the target, but they do not change
    the meaning of the target's lines.
    """

    def __init__(self) -> None:
        self._streams = StreamTable()
        self._open_batch: StreamCounts | None = None  # the batch to which the next logged requests belong
        self._target: Literal["target-stitch", "avro"] | None = None
        self._target_started = self._target_finished = self._target_succeeded = self._has_markers = False
        self._problems: deque[str] = deque(maxlen=MAX_PROBLEMS)
        self._first_timestamp: bytes | None = None
        self._last_timestamp: bytes | None = None
        self._exit = BoundedLine()
        # The exit line, without the continuation lines that may follow.
        self._exit_first: bytes | None = None
        self._exit_timestamp: bytes | None = None
        self._in_exit = False

    def read_line(self, line: bytes, *, has_end: bool = True) -> None:
        """Read one line of the log.

        :param has_end: whether the line ends with a line break. Without a line break, the line may be
            truncated.
        """
        matched = _LINE.match(line)
        timestamp, location, level = matched.groups() if matched else (None, None, None)
        start = matched.end() if matched else 0
        if timestamp:
            self._first_timestamp = self._first_timestamp or timestamp
            self._last_timestamp = timestamp
        if timestamp or location:
            self._in_exit = False
        if location == b"tap":
            if level == b"INFO":
                self._read_tap(line, start, timestamp)
        elif location == b"target":
            # Without a line break, a name at the end of the line may be truncated. Counters are accepted
            # nevertheless, because `parse_record_count` rejects truncated counters.
            if has_end or line.startswith(COUNTER_STARTS, start):
                self._read_target(line, start, timestamp, level)
        elif location == b"main":
            self._read_main(line, start, timestamp, level)
        elif self._in_exit:
            self._exit.add(b" " + line.strip())
        # Two comparisons are twice as fast as `in`, and this check runs for every line.
        if level == b"ERROR" or level == b"CRITICAL":  # noqa: PLR1714
            self._problems.append(one_line(_decoded(line), MAX_PROBLEM_LENGTH))

    def result(self) -> ExtractionLog:
        """Return the parsed content of the lines that were read so far."""
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
            started_at=parse_timestamp(self._first_timestamp),
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
        self._exit.take()  # if a log has several exit lines, only the last exit line is used
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
        """Record a line from target-stitch if it concerns a batch, and return whether it does."""
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
        self._target_finished = False  # a batch cannot follow the target's last line
        self._open_batch = self._streams.get(name)
        if self._open_batch is not None:
            self._open_batch.record_batch(messages, parse_timestamp(timestamp))
            self._streams.record_sent(self._open_batch)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")
