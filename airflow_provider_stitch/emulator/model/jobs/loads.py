"""The loads of one stream.

A load belongs to a stream, not to a job. The state of a load depends on the batches of the stream from all
jobs, and on the destination's outages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.connections.load_outage import LoadOutage
from airflow_provider_stitch.emulator.model.times import format_optional_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.emulator.model.jobs.timeline import Batch

#: How long Stitch stores rows that cannot be loaded. See "Replication: prepare" in the Stitch documentation.
ROW_RETENTION = timedelta(days=30)
_NEVER = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class LoadState:
    """The latest load attempt of a stream, with its error if the attempt failed."""

    attempted_at: datetime
    last_batch_loaded_at: datetime | None
    error: str | None


class StreamLoads:
    """The batches of one stream, and the periods in which loads of the stream fail.

    :param disconnected_periods: periods without a connected destination, in which no load is attempted.
    """

    __slots__ = ("_batches", "_disconnected_periods", "_outages", "_unreported")

    def __init__(self, disconnected_periods: Sequence[LoadOutage] = ()) -> None:
        self._disconnected_periods = disconnected_periods
        self._batches: list[Batch] = []
        self._unreported: list[Batch] = []  # batches that `take_newly_loaded` has not returned yet
        self._outages: tuple[LoadOutage, ...] = ()

    def add(self, batch: Batch) -> None:
        """Add a batch that has been or will be flushed."""
        self._batches.append(batch)
        self._unreported.append(batch)

    def drop_unflushed(self, job_name: str, time: datetime) -> None:
        """Remove the batches that a job had not flushed when it was stopped."""
        self._batches = [b for b in self._batches if b.job_name != job_name or b.flushed_at <= time]
        self._unreported = [b for b in self._unreported if b.job_name != job_name or b.flushed_at <= time]

    def start_outage(self, since: datetime, message: str) -> None:
        """Make every load of the stream fail with the given message until :meth:`end_outages` is called."""
        self.end_outages(since)
        self._outages = (*self._outages, LoadOutage(since, message))

    def end_outages(self, now: datetime) -> None:
        """End the stream's current outage. Batches that could not be loaded are loaded immediately."""
        for outage in self._outages:
            if outage.until is None:
                outage.until = max(now, outage.since)

    def take_newly_loaded(self, now: datetime) -> list[tuple[datetime, Batch]]:
        """Return the newly loaded batches with their load times. Each batch is returned only once."""
        loaded = [(at, batch) for batch in self._unreported if (at := self._loaded_at(batch)) <= now]
        if loaded:
            taken = {id(batch) for _, batch in loaded}
            self._unreported = [batch for batch in self._unreported if id(batch) not in taken]
            self._drop_superseded(max(at for at, _ in loaded))
        return loaded

    def next_retry_time(self, now: datetime) -> datetime | None:
        """Return the time of the next successful retry, or None if no retry will succeed."""
        retries = (self._loaded_at(b) for b in self._unreported if b.load_at <= now)
        return min((at for at in retries if now < at < _NEVER), default=None)

    def state(self, now: datetime) -> LoadState | None:
        """Return the latest load attempt, if any."""
        loaded = [(self._loaded_at(batch), batch) for batch in self._batches]
        last_loaded = max((at for at, _ in loaded if at <= now), default=None)
        last_failed = max(
            (
                (batch.load_at, error)
                for at, batch in loaded
                if (error := self._error(batch)) and batch.load_at <= now < at
            ),
            key=lambda pair: pair[0],
            default=None,
        )
        self._drop_superseded(last_loaded)
        for outage in self._outages:
            if outage.covers(now):
                return LoadState(outage.since, None, outage.message)
        if last_failed and (last_loaded is None or last_failed[0] > last_loaded):
            return LoadState(last_failed[0], None, last_failed[1])
        # Stitch does not document how a Load object changes after an error is resolved, so the emulator
        # returns the last successful load.
        return None if last_loaded is None else LoadState(last_loaded, last_loaded, None)

    def _loaded_at(self, batch: Batch) -> datetime:
        """Return the time when a batch is loaded into the destination, or ``_NEVER``."""
        at = batch.load_at
        if batch.error:
            if batch.error.heals_after is None:
                return _NEVER
            at += timedelta(seconds=batch.error.heals_after)
        outages = self._outages
        if self._disconnected_periods:
            outages = tuple(sorted((*outages, *self._disconnected_periods), key=lambda each: each.since))
        for outage in outages:
            if outage.covers(at):
                at = _NEVER if outage.until is None else outage.until
        return at if at - batch.flushed_at <= ROW_RETENTION else _NEVER

    def _error(self, batch: Batch) -> str | None:
        if batch.error:
            return batch.error.message
        return next((o.message for o in self._outages if o.covers(batch.load_at)), None)

    def _drop_superseded(self, last_loaded: datetime | None) -> None:
        """Remove the batches before the last load, because they no longer affect the state of the load."""
        if last_loaded is not None:
            self._batches = [b for b in self._batches if self._loaded_at(b) >= last_loaded]


def load_body(client_id: int, source_name: str, stream_name: str, state: LoadState) -> dict[str, Any]:
    """Return the JSON representation of the load. See "Load object" in the Stitch Connect API."""
    return {
        "stitch_client_id": client_id,
        "source_name": source_name,
        "stream_name": stream_name,
        "last_batch_loaded_at": format_optional_time(state.last_batch_loaded_at),
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
