"""Loads: what the destination has of each stream, and what it said when it refused.

A load belongs to a stream, not to a job. Its state at an instant follows from the stream's batches, whatever
jobs they came from, and from the destination's troubles with that stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.clock import stamp_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.emulator.jobs import Batch

#: How long rows wait for a destination that does not take them; then they are deleted.
#: Source: Stitch documentation, "Replication: prepare".
KEPT = timedelta(days=30)
_NEVER = datetime.max.replace(tzinfo=timezone.utc)


@dataclass
class Outage:
    """The destination refuses a stream from one instant on, until another (None: no end in sight)."""

    since: datetime
    message: str
    until: datetime | None = None

    def covers(self, instant: datetime) -> bool:
        """Whether a load that is tried at this instant fails."""
        return self.since <= instant and (self.until is None or instant < self.until)


@dataclass(frozen=True)
class LoadState:
    """The latest load attempt of a stream: when it was, and the error if it failed."""

    attempted_at: datetime
    last_batch_loaded_at: datetime | None
    error: str | None


class StreamLoads:
    """All batches of one stream of one source.

    :param gaps: when the source has no destination. Its batches wait meanwhile, and no load is tried.
    """

    __slots__ = ("_awaited", "_batches", "_gaps", "_outages")

    def __init__(self, gaps: Sequence[Outage] = ()) -> None:
        self._gaps = gaps
        self._batches: list[Batch] = []
        self._awaited: list[Batch] = []  # nobody has been told of their load
        self._outages: tuple[Outage, ...] = ()

    def add(self, batch: Batch) -> None:
        """A batch that is flushed, or is going to be."""
        self._batches.append(batch)
        self._awaited.append(batch)

    def drop_unflushed(self, job_name: str, instant: datetime) -> None:
        """A job is stopped: what it had not flushed by this instant never comes."""
        self._batches = [b for b in self._batches if b.job_name != job_name or b.flushed_at <= instant]
        self._awaited = [b for b in self._awaited if b.job_name != job_name or b.flushed_at <= instant]

    def begin_outage(self, since: datetime, message: str) -> None:
        """From now on the destination refuses the stream."""
        self.end_outages(since)
        self._outages = (*self._outages, Outage(since, message))

    def end_outages(self, now: datetime) -> None:
        """The destination takes the stream again, and loads at once what it had refused."""
        for outage in self._outages:
            if outage.until is None:
                outage.until = max(now, outage.since)

    def take_loaded(self, now: datetime) -> list[tuple[datetime, Batch]]:
        """The batches loaded by now that were not taken before, with the instants of their loads."""
        loaded = [(at, batch) for batch in self._awaited if (at := self._loaded_at(batch)) <= now]
        if loaded:
            taken = {id(batch) for _, batch in loaded}
            self._awaited = [batch for batch in self._awaited if id(batch) not in taken]
            self._forget(max(at for at, _ in loaded))
        return loaded

    def next_load(self, now: datetime) -> datetime | None:
        """When the next batch that was refused is going to be loaded."""
        healing = (self._loaded_at(b) for b in self._awaited if b.load_at <= now)
        return min((at for at in healing if now < at < _NEVER), default=None)

    def state(self, now: datetime) -> LoadState | None:
        """The load at an instant; None if none was ever tried."""
        loaded = [(self._loaded_at(batch), batch) for batch in self._batches]
        last_loaded = max((at for at, _ in loaded if at <= now), default=None)
        refused = max(
            (
                (batch.load_at, error)
                for at, batch in loaded
                if (error := self._error(batch)) and batch.load_at <= now < at
            ),
            key=lambda pair: pair[0],
            default=None,
        )
        self._forget(last_loaded)
        for outage in self._outages:
            if outage.covers(now):
                return LoadState(outage.since, None, outage.message)
        if refused and (last_loaded is None or refused[0] > last_loaded):
            return LoadState(refused[0], None, refused[1])
        # It is not documented what a load shows once an error is over: here the time of the last good one.
        return None if last_loaded is None else LoadState(last_loaded, last_loaded, None)

    def _loaded_at(self, batch: Batch) -> datetime:
        """When a batch gets into the destination, if ever."""
        at = batch.load_at
        if batch.error:
            if batch.error.heals_after is None:
                return _NEVER
            at += timedelta(seconds=batch.error.heals_after)
        troubles = self._outages
        if self._gaps:
            troubles = tuple(sorted((*troubles, *self._gaps), key=lambda trouble: trouble.since))
        for outage in troubles:
            if outage.covers(at):
                at = _NEVER if outage.until is None else outage.until
        return at if at - batch.flushed_at <= KEPT else _NEVER

    def _error(self, batch: Batch) -> str | None:
        if batch.error:
            return batch.error.message
        return next((o.message for o in self._outages if o.covers(batch.load_at)), None)

    def _forget(self, last_loaded: datetime | None) -> None:
        """Drop the batches that a later load has made invisible, so that a long history costs nothing."""
        if last_loaded is not None:
            self._batches = [b for b in self._batches if self._loaded_at(b) >= last_loaded]


def load_body(client_id: int, source_name: str, stream_name: str, state: LoadState) -> dict[str, Any]:
    """The Load object. Source: Stitch Connect API, "Load object"."""
    return {
        "stitch_client_id": client_id,
        "source_name": source_name,
        "stream_name": stream_name,
        "last_batch_loaded_at": stamp_or_none(state.last_batch_loaded_at),
        "error_state": None if state.error is None else _error_state(state.error),
    }


def _error_state(message: str) -> dict[str, Any]:
    return {
        "notification_data": {
            "message": message,
            "exception_message": message,
            "warehouse_error_code": 500151,
            "error": "LOADER_WAREHOUSE_ERROR",
            "new_column": None,
            "status": "ERROR",
            "warehouse_sql_state": "HY000",
            "action": "get-connection",
            "warehouse_message": message,
            "column": None,
        },
        "exception_chain": [
            {
                "class": "clojure.lang.ExceptionInfo",
                "message": message,
                "chain_sequence_num": 0,
                "action": "get-connection",
            }
        ],
    }
