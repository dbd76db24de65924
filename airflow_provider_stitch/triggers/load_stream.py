"""The part of StitchLoadTrigger that runs in the triggerer.

All watchers of a connection share one stream of polls, and each asset has one cursor. When the events from a
batch are in Airflow's database, Airflow calls `LoadStreamProducer.advance`, which stores the cursors. If the
triggerer is killed before the cursors are stored, the loads are announced twice, but no load is lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from airflow.triggers.shared_stream import SharedStreamProducer
from asgiref.sync import sync_to_async

from airflow_provider_stitch.hooks.stitch import airflow_home
from airflow_provider_stitch.replication.load_cursor import LoadCursor, whole_second
from airflow_provider_stitch.replication.load_watch import Interest, Interests, LoadWatch
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.triggers.clients import shared_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
    from datetime import datetime

    from airflow.triggers.shared_stream import AdvanceItem

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.replication.load_watch import LoadBatch, LoadSnapshot

log = logging.getLogger(__name__)

CURSOR_KEY = "stitch_loads"
"""Key under which an asset's state store contains the cursor."""


class Watcher(Protocol):
    """The attributes of StitchLoadTrigger that this module reads."""

    source: str
    stream: str | None
    stitch_conn_id: str
    poll_interval: float
    asset_uri: str | None
    asset_state_store: Any  #: Airflow sets this attribute


class CursorStore:
    """The cursor of one watched asset, in Airflow's asset state store.

    :param trigger: the watcher of the asset.
    """

    def __init__(self, trigger: Watcher) -> None:
        self._trigger = trigger

    async def read(self) -> LoadCursor | None:
        """Return the stored cursor, or None if the asset has no cursor.

        :raises Exception: if Airflow cannot read the store.
        """
        stored = await self._call("get", CURSOR_KEY)
        return LoadCursor.from_dict(stored) if isinstance(stored, dict) and "since" in stored else None

    async def first_start(self, now: float) -> float:
        """Return the time when this watcher first started, according to the triggerer's clock.

        The first call stores `now` in place of a cursor. If the asset already has a cursor, return `now`.

        :raises Exception: if Airflow cannot read or write the store.
        """
        stored = await self._call("get", CURSOR_KEY)
        if not isinstance(stored, dict):
            stored = {"started_at": now}
            await self._call("set", CURSOR_KEY, stored)
        return float(stored.get("started_at", now))

    async def write(self, cursor: LoadCursor) -> None:
        """Store a cursor.

        :raises Exception: if Airflow cannot store the cursor.
        """
        await self._call("set", CURSOR_KEY, cursor.to_dict())

    async def _call(self, method: str, *arguments: Any) -> Any:
        state = self._trigger.asset_state_store
        if state is None:
            raise RuntimeError("Airflow set no asset state store, because the watcher belongs to no asset.")
        if hasattr(state, f"a{method}"):
            return await getattr(state, f"a{method}")(*arguments)
        return await sync_to_async(getattr(state, method))(*arguments)  # required before Airflow 3.3.2


class Announcement(NamedTuple):
    """A cursor to store as soon as the events from a batch are in Airflow's database."""

    watcher: Hashable
    store: CursorStore
    cursor: LoadCursor


async def announce(trigger: Watcher, batches: AsyncIterator[LoadBatch]) -> AsyncIterator[dict[str, Any]]:
    """Yield the payload of an event for each batch with new loads of a trigger's streams."""
    watcher, interests = object(), interests_of(trigger.stitch_conn_id)
    interests.add(watcher, Interest(trigger.source, trigger.stream, trigger.poll_interval))
    announcer = Announcer(trigger, watcher)
    try:
        await announcer.start()
        async for batch in batches:
            new_loads = await announcer.new_loads(batch)
            if new_loads:
                yield payload(trigger, new_loads)
                # If this watcher is cancelled before Airflow has received the event, the next line does not
                # run.
                announcer.record(new_loads, batch)
    finally:
        interests.remove(watcher)


def payload(trigger: Watcher, new_loads: Mapping[str, datetime]) -> dict[str, Any]:
    """Return the payload of an event that announces new loads; see `StitchLoadTrigger`."""
    times = {stream: at.isoformat() for stream, at in sorted(new_loads.items())}
    streams = {"streams": times} if trigger.stream is None else {"stream": trigger.stream}
    return {"source": trigger.source, **streams, "loaded_at": max(new_loads.values()).isoformat()}


class Announcer:
    """Decides which loads one watcher announces."""

    def __init__(self, trigger: Watcher, watcher: Hashable) -> None:
        self._trigger = trigger
        self._watcher = watcher
        self._store = CursorStore(trigger)
        self._started_at = time.time()
        self._cursor: LoadCursor | None = None
        self._has_failed = False

    async def start(self) -> None:
        """Store the time when this watcher first started.

        The first cursor is created after Stitch's first response. The triggerer may be restarted before that
        response, for example while the token is wrong.
        """
        try:
            self._started_at = min(self._started_at, await self._store.first_start(self._started_at))
        except Exception as error:  # noqa: BLE001 - if a watcher failed, Airflow would restart it every 2 s
            self._warn(error)

    async def new_loads(self, batch: LoadBatch) -> dict[str, datetime]:
        """For each stream with a new load, return the time of the stream's last load."""
        snapshot = batch.snapshots.get(self._trigger.source)
        if snapshot is None:
            return {}
        self._cursor = self._cursor or await self._read_cursor(snapshot)
        return {} if self._cursor is None else self._cursor.new_loads(snapshot.loads, self._trigger.stream)

    def record(self, new_loads: Mapping[str, datetime], batch: LoadBatch) -> None:
        """Record that Airflow has received the event that announces `new_loads`.

        Airflow may not have stored the event in its database yet.
        """
        if self._cursor is not None:
            self._cursor = self._cursor.after(new_loads)
            batch.announced.append(Announcement(self._watcher, self._store, self._cursor))

    async def _read_cursor(self, snapshot: LoadSnapshot) -> LoadCursor | None:
        """Return the stored cursor. If no cursor is stored, store the start time of the watcher as a cursor.

        Return None if Airflow's state store fails. The store is read again with the next snapshot. No load is
        missed, because the list of loads still contains the last load of each stream.
        """
        try:
            cursor = await self._store.read()
            if cursor is None:
                cursor = LoadCursor(self._start_in_stitch_time(snapshot))
                await self._store.write(cursor)
        except Exception as error:  # noqa: BLE001 - if a watcher failed, Airflow would restart it every 2 s
            self._warn(error)
            return None
        return cursor

    def _warn(self, error: Exception) -> None:
        if not self._has_failed:
            log.warning(
                "The watcher of %s cannot read its position in Airflow's asset state store, and tries "
                "again: %r. If two assets have equal watchers, pass a different `asset_uri` to each.",
                self._trigger.asset_uri or self._trigger.source,
                error,
            )
        self._has_failed = True

    def _start_in_stitch_time(self, snapshot: LoadSnapshot) -> datetime:
        """Return the time when this watcher started, in whole seconds by Stitch's clock."""
        elapsed = max(0.0, snapshot.requested_at - self._started_at)
        return whole_second(snapshot.stitch_time - timedelta(seconds=elapsed))


class LoadStreamProducer(SharedStreamProducer):
    """Polls an account on behalf of all watchers that use the same connection in this triggerer.

    :param stitch_conn_id: id of the Airflow connection.
    """

    def __init__(self, stitch_conn_id: str) -> None:
        self._stitch_conn_id = stitch_conn_id
        self._unsaved: dict[Hashable, Announcement] = {}
        self._saving = asyncio.Lock()
        self._has_failed = False

    async def open_stream(self) -> AsyncIterator[tuple[LoadBatch, LoadBatch]]:
        """Yield batches of snapshots until the stream is closed."""
        watch = LoadWatch(
            interests_of(self._stitch_conn_id),
            lambda: shared_client(self._stitch_conn_id),
            _new_session,
            log_warning=log.warning,
            log_info=log.info,
        )
        async with aclosing(watch.batches()) as batches:
            async for each in batches:
                await self._save()
                yield each, each

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Store the cursors of the assets whose events are in Airflow's database.

        If Airflow could not store an event from a batch, no cursor from the batch is stored. The failed
        watcher starts again with its old cursor.
        """
        for item in batch:
            if item.outcome.failed == 0:
                self._unsaved.update((each.watcher, each) for each in item.broker_payload.announced)
        await self._save()

    async def _save(self) -> None:
        """Store all unsaved cursors.

        If Airflow cannot store a cursor, the producer tries again with the next snapshot.
        """
        async with self._saving:
            for watcher, announcement in list(self._unsaved.items()):
                try:
                    await announcement.store.write(announcement.cursor)
                except Exception as error:  # noqa: BLE001 - an error would end all watchers of the connection
                    if not self._has_failed:
                        log.warning(
                            "Airflow could not store the position of a watcher in its asset state store: %r. "
                            "Trying again. If the triggerer stops now, some loads are announced twice.",
                            error,
                        )
                    self._has_failed = True
                    return
                self._has_failed = False
                if self._unsaved.get(watcher) is announcement:
                    del self._unsaved[watcher]


def _new_session(client: StitchClient, log_warning: Callable[[str], None]) -> AccountSession:
    return AccountSession(StitchCaller(client, budget_folder=airflow_home()), on_warning=log_warning)


def interests_of(stitch_conn_id: str) -> Interests:
    """Return the interests of all watchers that use a connection in the running event loop."""
    by_connection = _interests.setdefault(asyncio.get_running_loop(), {})
    return by_connection.setdefault(stitch_conn_id, Interests())


_interests: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Interests]] = WeakKeyDictionary()
