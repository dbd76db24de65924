"""The sorted list of an account's loads.

The list is kept sorted, so that the emulator can return a page quickly even if the list contains 100,000
loads. A stream is listed from its first load attempt until 60 days after its last load attempt. Scheduled
events add and remove streams, so a request for a page reads only the streams on that page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.jobs.loads import StreamLoads, load_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.emulator.model.connections.sources import Source
    from airflow_provider_stitch.emulator.model.connections.streams import Stream
    from airflow_provider_stitch.emulator.model.event_queue import EventQueue
    from airflow_provider_stitch.emulator.model.jobs.timeline import Batch
    from airflow_provider_stitch.emulator.model.quirks import Quirks

#: How long the API lists extractions and loads, and returns logs.
RETENTION = timedelta(days=60)
_MICROSECOND = timedelta(microseconds=1)
_SortKey = tuple[Any, ...]


@dataclass(slots=True)
class _Row:
    source: Source
    stream: Stream
    loads: StreamLoads
    listed: bool = False


class LoadList:
    """The loads of all streams in one account.

    :param on_load: a function to call with each loaded batch and its load time.
    """

    def __init__(
        self, events: EventQueue, quirks: Quirks, on_load: Callable[[Source, Stream, Batch, datetime], None]
    ) -> None:
        self._events = events
        self._quirks = quirks
        self._on_load = on_load
        self._rows: dict[int, _Row] = {}  # the list entry of each stream, by stream id
        self._sorted: list[_SortKey] | None = None  # sort keys that end with the stream id
        self._sort_order = ("", "")
        self._new: list[_Row] = []  # listed entries that are not yet in `_sorted`

    def add(self, source: Source, stream: Stream, batch: Batch) -> None:
        """Add a batch that has been or will be flushed."""
        row = self._row(source, stream)
        row.loads.add(batch)
        self._schedule_update(row, batch.load_at)

    def drop_unflushed(self, source: Source, stream: Stream, job_name: str, time: datetime) -> None:
        """Remove the batches that a job had not flushed when it was stopped."""
        self._row(source, stream).loads.drop_unflushed(job_name, time)

    def start_outage(self, source: Source, stream: Stream, since: datetime, message: str) -> None:
        """Make every load of a stream fail with the given message until :meth:`end_outages` is called."""
        row = self._row(source, stream)
        row.loads.start_outage(since, message)
        self._schedule_update(row, since)

    def end_outages(self, source: Source, stream: Stream, now: datetime) -> None:
        """End the current outage for a stream. Batches that could not be loaded are loaded immediately."""
        row = self._row(source, stream)
        row.loads.end_outages(now)
        self._schedule_update(row, now)
        if row.listed and row.loads.state(now) is None:  # the stream was listed only because of the outage
            self._unlist(row)

    def update_sources(self, source_ids: set[int], now: datetime) -> None:
        """Load the batches of these sources that were waiting for a destination."""
        for row in self._rows.values() if source_ids else ():
            if row.source.id in source_ids:
                self._schedule_update(row, now)

    def mark_unsorted(self) -> None:
        """Mark the list as unsorted after a name has changed.

        The next request for a page sorts the list again.
        """
        self._sorted = None

    def page(self, client_id: int, now: datetime, first: int, count: int) -> tuple[list[Any], int]:
        """Return up to ``count`` records from the list, and the total number of records.

        The caller must call ``Account.catch_up(now)`` first.
        """
        keys = self._sorted_keys()
        records = []
        for key in keys[first : first + count]:
            row = self._rows[key[-1]]
            state = row.loads.state(now)
            if state is not None:
                records.append(load_body(client_id, row.source.name, row.source.load_name(row.stream), state))
        return records, len(keys)

    def _row(self, source: Source, stream: Stream) -> _Row:
        row = self._rows.get(stream.stream_id)
        if row is None:
            row = self._rows[stream.stream_id] = _Row(
                source, stream, StreamLoads(source.disconnected_periods)
            )
        return row

    # Adding streams to the list and removing streams from the list

    def _schedule_update(self, row: _Row, time: datetime) -> None:
        self._events.schedule(time, self._update, row)

    def _update(self, row: _Row, now: datetime) -> None:
        """Report new loads of a stream, and add the stream to the list if a load has been attempted."""
        for loaded_at, batch in row.loads.take_newly_loaded(now):
            self._on_load(row.source, row.stream, batch, loaded_at)
        retry_time = row.loads.next_retry_time(now)
        if retry_time is not None:
            self._schedule_update(row, retry_time)
        state = None if row.listed else row.loads.state(now)
        if state is not None:
            row.listed = True
            self._new.append(row)
            self._schedule_expiry(row, state.attempted_at)

    def _schedule_expiry(self, row: _Row, attempted_at: datetime) -> None:
        self._events.schedule(attempted_at + RETENTION + _MICROSECOND, self._expire, row)

    def _expire(self, row: _Row, now: datetime) -> None:
        """Remove a stream from the list if its last load attempt is too old."""
        state = row.loads.state(now)
        if not row.listed:
            return
        if state is None or state.attempted_at < now - RETENTION:
            self._unlist(row)
        else:
            self._schedule_expiry(row, state.attempted_at)

    def _unlist(self, row: _Row) -> None:
        row.listed = False
        self._sorted = None

    # Sort order

    def _sorted_keys(self) -> list[_SortKey]:
        order = (self._quirks.loads_order, self._quirks.load_names)
        if self._sorted is None or self._sort_order != order:
            self._sort_order = order
            self._sorted = sorted(self._key(row) for row in self._rows.values() if row.listed)
        elif self._new:
            # Timsort merges the two sorted parts in linear time.
            self._sorted.extend(sorted(self._key(row) for row in self._new))
            self._sorted.sort()
        self._new.clear()
        return self._sorted

    def _key(self, row: _Row) -> _SortKey:
        stream_id = row.stream.stream_id
        if self._sort_order[0] == "stream_id":
            return (stream_id,)
        return (row.source.load_name(row.stream), row.source.name, stream_id)
