"""What the lines of a target prove about each stream of a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect._log_lines import parse_stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_STREAMS = 20_000  #: twice as many as Stitch discovers tables
NAME_LIMIT = 4096  #: bytes of a stream's name: a thousand characters of any script
MAX_NAMES_SIZE = 16 * 1024 * 1024  #: bytes of all names together

# A full-table stream without rows can send two version messages, one before and one after its rows.
MAX_VERSION_MESSAGES = 2


@dataclass(frozen=True, slots=True)
class StreamLog:
    """What a log proves about one stream. Times are UTC."""

    name: str  #: as the target writes it: the name under which Stitch receives the rows
    #: The target's counters if every request has one. With the Avro target, or without a batch, the tap's.
    #: None: only message counts are known, or nothing.
    rows: int | None = None
    batches: int = 0  #: batches (of the Avro target: markers) that contain rows
    last_batch_at: datetime | None = None  #: None: no batch is logged, or the time of the last one is not
    certain: bool = True  #: False: there may have been only version messages, no rows
    one_request: bool = False  #: the log shows that target-stitch sent all rows in one request
    has_marker: bool = False  #: the Avro target wrote `last_batch_at`, perhaps long after the rows were sent
    longest_gap: timedelta = timedelta(0)  #: between two consecutive batches
    #: The time at which the last batch is proved to be persisted, if a request was retried since it was sent.
    persisted_by: datetime | None = None
    retried: bool = False  #: a request was retried after the last batch began, and may have delayed it


@dataclass(slots=True)
class StreamCounts:
    """The lines about one stream, as they are counted."""

    name: bytes
    batches: int = 0  # lines that begin a batch
    messages: int = 0  # rows and version messages in these
    requests: int = 0  # lines of requests; target-stitch before 3.0.2 writes none
    counters: int = 0
    positive_counters: int = 0
    rows: int = 0
    markers: int = 0
    last_line_at: datetime | None = None  # of the last line that begins a batch, or of the last marker
    last_counter_at: datetime | None = None
    line_gap: timedelta = timedelta(0)  # the longest one between two such lines
    counter_gap: timedelta = timedelta(0)  # and between two counters above 0
    retried: bool = False
    persisted_by: datetime | None = None

    def record_batch(self, messages: int, at: datetime | None) -> None:
        """Record a line that begins a batch."""
        self.batches += 1
        self.messages += messages
        self._record_line(at)

    def record_counter(self, rows: int, at: datetime | None) -> None:
        """Record the counter of a request."""
        self.counters += 1
        if rows:
            self.positive_counters += 1
            self.rows += rows
            self.counter_gap = max(self.counter_gap, _gap(self.last_counter_at, at))
            self.last_counter_at = at

    def record_marker(self, at: datetime | None) -> None:
        """Record a marker of the Avro target."""
        self.markers += 1
        self._record_line(at)

    def logged(self, tap_rows: int | None) -> StreamLog | None:
        """Return what the lines prove, or None if they are no evidence of rows.

        :param tap_rows: the tap's own count; None or 0 proves nothing.
        """
        if self.markers:
            return StreamLog(
                decoded_name(self.name),
                rows=tap_rows or None,
                batches=self.markers,
                last_batch_at=self.last_line_at,
                has_marker=True,
                longest_gap=self.line_gap,
            )
        uncounted = max(self.batches, self.requests) > self.counters
        if not uncounted and not self.positive_counters:
            return None
        certain = bool(self.positive_counters or tap_rows) or self.messages > MAX_VERSION_MESSAGES
        version_only = self.counters - self.positive_counters
        return StreamLog(
            decoded_name(self.name),
            rows=None if uncounted else self.rows,
            batches=self._batches_with_rows(),
            last_batch_at=self._last_batch_at(uncounted=uncounted),
            certain=certain,
            # Versions before 3.0.2 write no line for a request, so they prove nothing here.
            one_request=self.batches - version_only == 1 == self.requests - version_only,
            longest_gap=self.line_gap if uncounted else self.counter_gap,
            persisted_by=self.persisted_by,
            retried=self.retried,
        )

    def _batches_with_rows(self) -> int:
        if not self.batches:
            return self.positive_counters
        # A batch that needs several requests is large, so a counter of 0 stands for a batch of its own.
        version_only = self.counters - self.positive_counters
        return max(self.batches - version_only, 1)

    def _last_batch_at(self, *, uncounted: bool) -> datetime | None:
        if not uncounted:
            return self.last_counter_at
        if self.last_line_at is None or self.last_counter_at is None:
            return self.last_line_at
        return max(self.last_line_at, self.last_counter_at)

    def _record_line(self, at: datetime | None) -> None:
        self.line_gap = max(self.line_gap, _gap(self.last_line_at, at))
        self.last_line_at = at


def _gap(earlier: datetime | None, later: datetime | None) -> timedelta:
    return timedelta(0) if earlier is None or later is None else later - earlier


def decoded_name(name: bytes) -> str:
    """Return a name as text. Two names that are not UTF-8 stay two."""
    return name.decode("utf-8", errors="backslashreplace")


@dataclass(slots=True)
class StreamTable:
    """The streams that a target names, up to a limit, and which of their batches may still be in flight."""

    overflowed: bool = False  #: there were more names, or longer ones, than are kept
    _streams: dict[bytes, StreamCounts] = field(default_factory=dict)
    _tap_rows: dict[bytes, int] = field(default_factory=dict)  # by the names that the tap writes
    _names_size: int = 0
    _unproved: dict[bytes, StreamCounts] = field(default_factory=dict)  # sent since the last state update
    _delayed: dict[bytes, StreamCounts] = field(default_factory=dict)  # of these, sent before a retry

    def get(self, name: bytes) -> StreamCounts | None:
        """Return the counts of a stream, new if it had none; None if there is no room for its name."""
        stream = self._streams.get(name)
        if stream is None and name:
            if not self._add_name(name, len(self._streams)):
                self.overflowed = True
                return None
            stream = self._streams[name] = StreamCounts(name)
        return stream

    def record_tap_counter(self, name: bytes, rows: int) -> None:
        """Add to the rows that the tap counted; each of its counters covers the rows since the one before."""
        if name in self._tap_rows or self._add_name(name, len(self._tap_rows)):
            self._tap_rows[name] = self._tap_rows.get(name, 0) + rows

    def _add_name(self, name: bytes, count: int) -> bool:
        size = self._names_size + len(name)
        if count >= MAX_STREAMS or len(name) > NAME_LIMIT or size > MAX_NAMES_SIZE:
            return False
        self._names_size = size
        return True

    def record_sent(self, stream: StreamCounts) -> None:
        """Record that a batch of the stream was sent, which nothing proves to be persisted yet."""
        self._unproved[stream.name] = stream
        stream.retried, stream.persisted_by = stream.name in self._delayed, None

    def record_retry(self) -> None:
        """Record a retry.

        It names no stream, so it may delay every batch that is not proved to be persisted.
        """
        for stream in self._unproved.values():
            stream.retried = True
        self._delayed.update(self._unproved)

    def record_state_update(self, stamp: bytes | None) -> None:
        """Record a line that proves that all batches sent before are persisted."""
        if self._unproved:
            for stream in self._delayed.values():
                stream.persisted_by = parse_stamp(stamp)
            self._delayed.clear()
            self._unproved.clear()

    def logged(self, *, complete: bool) -> Iterator[StreamLog]:
        """Yield what is proved about each stream with evidence of rows.

        :param complete: the target's lines are complete, so rows that only the tap counted were never sent.
        """
        seen = set()
        for name, stream in self._streams.items():
            if (entry := stream.logged(self._tap_rows.get(name))) is not None:
                seen.add(name)
                yield entry
        if not complete:
            for name, rows in self._tap_rows.items():
                if rows and name not in seen:
                    yield StreamLog(decoded_name(name), rows)

    def tap_rows(self) -> dict[str, int]:
        """Return the rows that the tap counted, by the names that it writes."""
        return {decoded_name(name): rows for name, rows in self._tap_rows.items()}
