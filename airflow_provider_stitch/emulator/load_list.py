"""The list of an account's loads, kept in order so that a page of a hundred thousand costs little.

A stream is listed from its first load attempt until the last is 60 days old. Both are entered in the agenda,
so that a page needs no look at the streams that it does not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.loads import StreamLoads, load_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.emulator.agenda import Agenda
    from airflow_provider_stitch.emulator.jobs import Batch
    from airflow_provider_stitch.emulator.plans import Quirks
    from airflow_provider_stitch.emulator.sources import Source
    from airflow_provider_stitch.emulator.streams import Stream

#: How long the lists of extractions and loads, and the logs, reach back.
REACH = timedelta(days=60)
_INSTANT = timedelta(microseconds=1)
_Key = tuple[Any, ...]


@dataclass(slots=True)
class _Row:
    source: Source
    stream: Stream
    loads: StreamLoads
    listed: bool = False


class LoadList:
    """The loads of all streams of one account.

    :param on_load: called for each batch that is loaded, with the instant.
    """

    def __init__(
        self, agenda: Agenda, quirks: Quirks, on_load: Callable[[Source, Stream, Batch, datetime], None]
    ) -> None:
        self._agenda = agenda
        self._quirks = quirks
        self._on_load = on_load
        self._looks, self._expires = self._look, self._expire  # bound once, for there are many entries
        self._rows: dict[int, _Row] = {}  # by stream id
        self._sorted: list[_Key] | None = None  # of the listed rows; the last part is the stream id
        self._sorted_by = ("", "")
        self._new: list[_Row] = []  # listed, but not sorted in yet

    def add(self, source: Source, stream: Stream, batch: Batch) -> None:
        """A batch that is flushed, or is going to be."""
        row = self._row(source, stream)
        row.loads.add(batch)
        self._look_at(row, batch.load_at)

    def drop_unflushed(self, source: Source, stream: Stream, job_name: str, instant: datetime) -> None:
        """A job is stopped: what it had not flushed by this instant never comes."""
        self._row(source, stream).loads.drop_unflushed(job_name, instant)

    def begin_outage(self, source: Source, stream: Stream, since: datetime, message: str) -> None:
        """From then on the destination refuses the stream."""
        row = self._row(source, stream)
        row.loads.begin_outage(since, message)
        self._look_at(row, since)

    def end_outages(self, source: Source, stream: Stream, now: datetime) -> None:
        """The destination takes the stream again, and loads at once what it had refused."""
        row = self._row(source, stream)
        row.loads.end_outages(now)
        self._look_at(row, now)
        if row.listed and row.loads.state(now) is None:  # nothing was ever loaded
            self._unlist(row)

    def look_again(self, source_ids: set[int], now: datetime) -> None:
        """These sources have a destination again: what waited for it is loaded at once."""
        for row in self._rows.values() if source_ids else ():
            if row.source.id in source_ids:
                self._look_at(row, now)

    def reorder(self) -> None:
        """Names have changed."""
        self._sorted = None

    def page(self, client_id: int, now: datetime, first: int, count: int) -> tuple[list[Any], int]:
        """Some records of the list, and how many there are in all. The account has caught up with now."""
        keys = self._in_order()
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
            row = self._rows[stream.stream_id] = _Row(source, stream, StreamLoads(source.gaps))
        return row

    # What is listed

    def _look_at(self, row: _Row, instant: datetime) -> None:
        self._agenda.at(instant, self._looks, row)

    def _look(self, row: _Row, instant: datetime) -> None:
        """Something may have been loaded, or refused."""
        for loaded_at, batch in row.loads.take_loaded(instant):
            self._on_load(row.source, row.stream, batch, loaded_at)
        following = row.loads.next_load(instant)
        if following is not None:
            self._look_at(row, following)
        state = None if row.listed else row.loads.state(instant)
        if state is not None:
            row.listed = True
            self._new.append(row)
            self._agenda.at(state.attempted_at + REACH + _INSTANT, self._expires, row)

    def _expire(self, row: _Row, instant: datetime) -> None:
        state = row.loads.state(instant)
        if not row.listed:
            return
        if state is None or state.attempted_at < instant - REACH:
            self._unlist(row)
        else:
            self._agenda.at(state.attempted_at + REACH + _INSTANT, self._expires, row)

    def _unlist(self, row: _Row) -> None:
        row.listed = False
        self._sorted = None

    # In which order

    def _in_order(self) -> list[_Key]:
        order = (self._quirks.loads_order, self._quirks.load_names)
        if self._sorted is None or self._sorted_by != order:
            self._sorted_by = order
            self._sorted = sorted(self._key(row) for row in self._rows.values() if row.listed)
        elif self._new:
            # Two runs that are in order each: to merge them costs a comparison for each record.
            self._sorted.extend(sorted(self._key(row) for row in self._new))
            self._sorted.sort()
        self._new.clear()
        return self._sorted

    def _key(self, row: _Row) -> _Key:
        number = row.stream.stream_id
        if self._sorted_by[0] == "stream_id":
            return (number,)
        return (row.source.load_name(row.stream), row.source.name, number)
