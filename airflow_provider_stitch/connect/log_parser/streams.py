"""Count the batches and rows of each stream in an extraction log, based on the target's lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.log_parser.lines import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_STREAMS = 20_000  #: maximum number of streams, twice the number of tables that Stitch can discover
MAX_NAME_BYTES = 4096  #: maximum size of a name in bytes, enough for a thousand characters
MAX_TOTAL_NAME_BYTES = 16 * 1024 * 1024  #: maximum total size of all names in bytes

# A full-table stream can send one version message before its rows and one after its rows, even if there are
# no rows.
MAX_VERSION_MESSAGES = 2


@dataclass(frozen=True, slots=True)
class StreamLog:
    """The rows and batches of one stream, according to a log. All times are in UTC."""

    name: str  #: the stream's name in the target's lines; Stitch receives the rows under this name
    #: The row count of the stream. If every request has a counter, the row count is the sum of the target's
    #: counters. With the Avro target, or if no batch is logged, the row count is the sum of the tap's
    #: counters. In all other cases, the row count is None.
    rows: int | None = None
    batches: int = 0  #: number of batches that contain rows; for the Avro target, number of markers
    #: Time of the last batch or marker, or None if no batch is logged or the last batch has no timestamp.
    last_batch_at: datetime | None = None
    #: Whether the stream certainly has rows. False if all messages may be version messages.
    certain: bool = True
    one_request: bool = False  #: whether the log proves that target-stitch sent all rows in a single request
    #: Whether `last_batch_at` is the time at which the target wrote a marker. The Avro target may write a
    #: marker long after it sent the rows.
    has_marker: bool = False
    longest_gap: timedelta = timedelta(0)  #: longest interval between two consecutive batches
    #: If a request was retried after the last batch was sent, the time by which the batch was certainly
    #: persisted.
    persisted_by: datetime | None = None
    #: Whether a request was retried after the last batch began. The retry may have delayed the batch.
    retried: bool = False


@dataclass(slots=True)
class StreamCounts:
    """Counts that are derived from the log lines about one stream."""

    name: bytes
    batches: int = 0  # number of lines that begin a batch
    messages: int = 0  # number of rows and version messages in all batches of the stream
    # Number of lines about requests. Versions of target-stitch before 3.0.2 write no lines about requests.
    requests: int = 0
    counters: int = 0
    positive_counters: int = 0
    rows: int = 0
    markers: int = 0
    last_line_at: datetime | None = None  # time of the last line that begins a batch, or of the last marker
    last_counter_at: datetime | None = None
    # Longest interval between two lines that begin a batch, or between two markers.
    line_gap: timedelta = timedelta(0)
    counter_gap: timedelta = timedelta(0)  # longest interval between two consecutive counters above 0
    retried: bool = False
    persisted_by: datetime | None = None

    def record_batch(self, messages: int, at: datetime | None) -> None:
        """Record a line that begins a batch."""
        self.batches += 1
        self.messages += messages
        self._record_line(at)

    def record_counter(self, rows: int, at: datetime | None) -> None:
        """Record the counter that the target logged for a request."""
        self.counters += 1
        if rows:
            self.positive_counters += 1
            self.rows += rows
            self.counter_gap = max(self.counter_gap, _gap(self.last_counter_at, at))
            self.last_counter_at = at

    def record_marker(self, at: datetime | None) -> None:
        """Record a marker that the Avro target logged."""
        self.markers += 1
        self._record_line(at)

    def evidence(self, tap_rows: int | None) -> StreamLog | None:
        """Return what the log reports about the stream, or None if no line shows that the stream had rows.

        :param tap_rows: the tap's row count. A count of 0 or None does not prove that the stream had no rows.
        """
        if self.markers:
            return StreamLog(
                decode_name(self.name),
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
            decode_name(self.name),
            rows=None if uncounted else self.rows,
            batches=self._batches_with_rows(),
            last_batch_at=self._last_batch_at(uncounted=uncounted),
            certain=certain,
            # The value is always False for target-stitch before 3.0.2, which writes no lines about requests.
            one_request=self.batches - version_only == 1 == self.requests - version_only,
            longest_gap=self.line_gap if uncounted else self.counter_gap,
            persisted_by=self.persisted_by,
            retried=self.retried,
        )

    def _batches_with_rows(self) -> int:
        if not self.batches:
            return self.positive_counters
        # A batch that is sent in several requests is large and has rows in each request. A counter of 0
        # therefore belongs to a separate batch.
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


def decode_name(name: bytes) -> str:
    """Decode a name so that different names stay different, even if the names are not valid UTF-8."""
    return name.decode("utf-8", errors="backslashreplace")


@dataclass(slots=True)
class StreamTable:
    """The streams that occur in the target's lines, and the batches that may not be persisted yet.

    The number of streams and the size of their names are limited.
    """

    overflowed: bool = False  #: whether stream names were omitted because a limit was exceeded
    _streams: dict[bytes, StreamCounts] = field(default_factory=dict)
    # The tap's row count for each stream, under the name that the tap uses.
    _tap_rows: dict[bytes, int] = field(default_factory=dict)
    _names_size: int = 0
    # The streams with batches that were sent since the last state update.
    _unpersisted: dict[bytes, StreamCounts] = field(default_factory=dict)
    # The streams with batches that were sent before a retry and may not be persisted.
    _delayed: dict[bytes, StreamCounts] = field(default_factory=dict)

    def get(self, name: bytes) -> StreamCounts | None:
        """Return the counts for a stream, and create an entry if necessary.

        Return None if the name is empty or exceeds a limit.
        """
        stream = self._streams.get(name)
        if stream is None and name:
            if not self._add_name(name, len(self._streams)):
                self.overflowed = True
                return None
            stream = self._streams[name] = StreamCounts(name)
        return stream

    def record_tap_counter(self, name: bytes, rows: int) -> None:
        """Record a counter that the tap logged. Each counter reports the rows since the previous counter."""
        if name in self._tap_rows or self._add_name(name, len(self._tap_rows)):
            self._tap_rows[name] = self._tap_rows.get(name, 0) + rows

    def _add_name(self, name: bytes, count: int) -> bool:
        size = self._names_size + len(name)
        if count >= MAX_STREAMS or len(name) > MAX_NAME_BYTES or size > MAX_TOTAL_NAME_BYTES:
            return False
        self._names_size = size
        return True

    def record_sent(self, stream: StreamCounts) -> None:
        """Record that a batch was sent. The batch may not be persisted yet."""
        self._unpersisted[stream.name] = stream
        stream.retried, stream.persisted_by = stream.name in self._delayed, None

    def record_retry(self) -> None:
        """Record that a request was retried.

        The log line about a retry does not contain a stream name, so the retry may delay any batch that is
        not known to be persisted.
        """
        for stream in self._unpersisted.values():
            stream.retried = True
        self._delayed.update(self._unpersisted)

    def record_state_update(self, timestamp: bytes | None) -> None:
        """Record a line that proves that all earlier batches are persisted."""
        if self._unpersisted:
            for stream in self._delayed.values():
                stream.persisted_by = parse_timestamp(timestamp)
            self._delayed.clear()
            self._unpersisted.clear()

    def evidence(self, *, complete: bool) -> Iterator[StreamLog]:
        """Yield what the log reports about each stream that had rows.

        :param complete: whether the log contains all lines of the target. In a complete log, rows that only
            the tap counted were never sent, so such rows are ignored.
        """
        seen = set()
        for name, stream in self._streams.items():
            if (entry := stream.evidence(self._tap_rows.get(name))) is not None:
                seen.add(name)
                yield entry
        if not complete:
            for name, rows in self._tap_rows.items():
                if rows and name not in seen:
                    yield StreamLog(decode_name(name), rows)

    def tap_rows(self) -> dict[str, int]:
        """Return the tap's row count for each stream, under the name that the tap uses."""
        return {decode_name(name): rows for name, rows in self._tap_rows.items()}
