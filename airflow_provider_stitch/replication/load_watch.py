"""Watch the loads of an account's sources continuously, on behalf of all watchers in an event loop.

For each watched source, one query is always pending in the account's poller (see `polling.poller`). Watchers
therefore also receive the pages that are polled for waiting tasks. Watchers themselves cause at most one poll
per poll interval, and the scheduler prefers polls for waiting tasks.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import StitchError, UnknownSource
from airflow_provider_stitch.connect.references import find_source
from airflow_provider_stitch.replication.estimates import EstimateContext, estimate_next_load
from airflow_provider_stitch.replication.polling.caller import GATHERING_SECONDS, SYSTEM_CLOCK
from airflow_provider_stitch.replication.polling.queries import FRESH_ONLY, LoadsQuery
from airflow_provider_stitch.replication.rules.streams import load_names

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping
    from datetime import datetime

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Load
    from airflow_provider_stitch.replication.load_queries import LoadNames
    from airflow_provider_stitch.replication.polling.caller import Clock
    from airflow_provider_stitch.replication.polling.queries import QueryResult
    from airflow_provider_stitch.replication.session import AccountSession

# Seconds between two attempts after a failure. The pause is doubled after each failure, up to the maximum.
FIRST_PAUSE = 30.0
MAX_PAUSE = 300.0

# During a pause, seconds between two checks whether the connection has a new client.
CONNECTION_INTERVAL = 30.0

# Polls for watchers use at most a third of the budget, even if watchers need many pages.
BUDGET_PART = 3

# Seconds between two requests for the streams of a source. Requests for streams are not rate-limited.
STREAMS_INTERVAL = 600.0


@dataclass(frozen=True, slots=True)
class LoadSnapshot:
    """The loads of a source's streams at one point in time."""

    source: str
    loads: tuple[Load, ...]
    stitch_time: datetime
    requested_at: float  #: time of the request, by this machine's clock


@dataclass(frozen=True, slots=True)
class LoadBatch:
    """The snapshots from one poll, as one object that up to a thousand watchers share."""

    snapshots: Mapping[str, LoadSnapshot]  #: snapshots by source name
    #: The announcements that watchers have made from the snapshots.
    announced: list[Any] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Interest:
    """The loads that one watcher needs.

    :param source: the source's `name`.
    :param stream: the stream's name. If None, the watcher needs all streams of the source.
    :param poll_interval: minimum number of seconds between two polls that are sent only for watchers.
    """

    source: str
    stream: str | None
    poll_interval: float


class Interests:
    """The interests of all watchers that use one connection in an event loop.

    The interests can change at any time.
    """

    def __init__(self) -> None:
        self._by_watcher: dict[Hashable, Interest] = {}
        self._listeners: set[asyncio.Event] = set()

    def add(self, watcher: Hashable, interest: Interest) -> None:
        self._by_watcher[watcher] = interest
        self._notify()

    def remove(self, watcher: Hashable) -> None:
        self._by_watcher.pop(watcher, None)
        self._notify()

    def of_source(self, source: str) -> list[Interest]:
        return [interest for interest in self._by_watcher.values() if interest.source == source]

    async def changes(self) -> AsyncIterator[set[str]]:
        """Yield the names of all watched sources, first immediately and then after each change."""
        changed = asyncio.Event()
        self._listeners.add(changed)
        try:
            while True:
                changed.clear()
                yield {interest.source for interest in self._by_watcher.values()}
                await changed.wait()
        finally:
            self._listeners.discard(changed)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener.set()


class LoadWatch:
    """Watches the loads of an account's sources.

    :param interests: the interests of all watchers, which can change at any time.
    :param read_client: a function that returns the connection's current client.
    :param new_session: a function that creates a session without a deadline. Its arguments are a client and a
        function that logs a warning.
    :param log_warning: a function that is called with a message for each new failure and for each unknown
        source.
    :param log_info: a function that is called with a message when requests succeed again after a failure.
    """

    def __init__(
        self,
        interests: Interests,
        read_client: Callable[[], Awaitable[StitchClient]],
        new_session: Callable[[StitchClient, Callable[[str], None]], AccountSession],
        *,
        clock: Clock = SYSTEM_CLOCK,
        log_warning: Callable[[str], None] = lambda _: None,
        log_info: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.interests = interests
        self.clock = clock
        self._read_client = read_client
        self._new_session = new_session
        self._log_warning = log_warning
        self._log_info = log_info
        self._session: AccountSession | None = None
        self._failures: dict[str, str] = {}  # error message of each source's current failure, by source name
        self._warnings: set[str] = set()  # warnings that were logged since the last result
        # Page numbers of each source's last result, by source name.
        self._pages: dict[str, tuple[int, ...]] = {}
        self._snapshots: asyncio.Queue[LoadSnapshot] = asyncio.Queue()

    async def batches(self) -> AsyncGenerator[LoadBatch, None]:
        """Yield a batch of snapshots whenever pages of watched sources have been polled.

        The generator runs until it is closed. A failure does not end the generator, because Airflow would
        then restart the watchers every two seconds.
        """
        running = asyncio.ensure_future(self._watch_sources())
        try:
            while True:
                first = await self._snapshots.get()
                await self.clock.sleep(GATHERING_SECONDS)
                others = (self._snapshots.get_nowait() for _ in range(self._snapshots.qsize()))
                yield LoadBatch({each.source: each for each in (first, *others)})
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def _watch_sources(self) -> None:
        """Run one asyncio task for each watched source."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            async for sources in self.interests.changes():
                for source in tasks.keys() - sources:
                    tasks.pop(source).cancel()
                    self._pages.pop(source, None)
                    self._failures.pop(source, None)
                for source in sources - tasks.keys():
                    tasks[source] = asyncio.ensure_future(_SourceWatch(self, source).run())
        finally:
            for task in tasks.values():
                task.cancel()

    # --- Used by _SourceWatch -----------------------------------------------------------------------------

    async def session(self) -> AccountSession:
        """Return the session that all sources share, with the current client of the connection."""
        client = await self._read_client()
        if self._session is None:
            self._session = self._new_session(client, self.warn)
        elif self._session.client is not client:
            self._session.client = client
        if client.known_client_id is None:
            await self._session.call(lambda: client.client_id)
        return self._session

    def poll_interval(self, source: str, even_interval: float) -> float:
        """Return the minimum number of seconds between two polls of a source.

        :param even_interval: seconds between two requests if the whole budget is used evenly.
        """
        wanted = min((each.poll_interval for each in self.interests.of_source(source)), default=0.0)
        pages: set[int] = set().union(*self._pages.values())
        return max(wanted, len(pages) * even_interval * BUDGET_PART)

    def publish(self, snapshot: LoadSnapshot, pages: tuple[int, ...]) -> None:
        """Pass a snapshot to the watchers.

        :param pages: numbers of the pages that the snapshot is based on.
        """
        self._pages[snapshot.source] = pages
        self._warnings.clear()
        if self._failures.pop(snapshot.source, None) is not None and not self._failures:
            self._log_info("The watchers can read the loads of this account again.")
        self._snapshots.put_nowait(snapshot)

    def warn(self, message: str) -> None:
        """Log a warning unless it has been logged since the last result."""
        if message not in self._warnings:
            self._warnings.add(message)
            self._log_warning(message)

    async def pause_after(
        self, source: str, error: Exception, *, attempt: int, client: StitchClient | None
    ) -> None:
        """Wait until the next attempt is due, or until the connection has another client.

        :param attempt: number of consecutive failures.
        :param client: the client of the failed attempt, or None if the attempt failed without a client.
        """
        message = str(error) if isinstance(error, StitchError) else repr(error)
        if message not in self._failures.values():
            self._log_warning(
                f"Cannot read the loads of source {source!r}: {message} The watcher will retry, also if the "
                "connection gets a new token, and then announce the loads that it has missed."
            )
        self._failures[source] = message
        left = min(FIRST_PAUSE * 2 ** min(attempt - 1, 10), MAX_PAUSE)
        while left > 0:
            pause = min(left, CONNECTION_INTERVAL)
            await self.clock.sleep(pause)
            left -= pause
            if await self._has_client_other_than(client):
                return

    async def _has_client_other_than(self, client: StitchClient | None) -> bool:
        try:
            return await self._read_client() is not client
        except Exception:  # noqa: BLE001 - the next attempt reports the error
            return False


class _SourceWatch:
    """Watches the loads of one source."""

    def __init__(self, watch: LoadWatch, source: str) -> None:
        self._watch = watch
        self._source = source
        self._last: QueryResult[list[Load] | None] | None = None
        self._stream_names: list[LoadNames] | None = None
        self._streams_listed_at = float("-inf")
        self._name_warning = ""  # the last warning that no source has this name

    async def run(self) -> None:
        """Publish snapshots of the source until cancelled."""
        failures = 0
        while True:
            client = None
            try:
                session = await self._watch.session()
                client = session.client
                await self._poll(session)
                failures = 0
            except Exception as error:  # noqa: BLE001 - see `LoadWatch.batches`
                failures += 1
                await self._watch.pause_after(self._source, error, attempt=failures, client=client)

    async def _poll(self, session: AccountSession) -> None:
        """Wait for the next poll of the source's loads, and publish the result."""
        now = session.clock.time()
        is_current = 0 <= now - self._streams_listed_at < STREAMS_INTERVAL
        if not is_current or self._expected_loads() is None:
            await self._list_streams(session)
            self._streams_listed_at = now
        interval = self._watch.poll_interval(self._source, session.budget.even_interval)
        last_checked_at = self._last.requested_at if self._last else None
        context = EstimateContext(now, last_checked_at, session.budget.even_interval)
        query = LoadsQuery(
            session.client,
            estimate_next_load(context, interval),
            self._last.sequence if self._last else FRESH_ONLY,
            self._source,
            self._expected_loads(),
        )
        result = await session.query(query, expires_at=float("inf"))
        if result is None:
            return  # only possible if this machine's clock was set back
        self._last = result
        snapshot = LoadSnapshot(
            self._source, tuple(result.value or ()), session.stitch_time(result), result.requested_at
        )
        self._watch.publish(snapshot, result.pages)

    def _expected_loads(self) -> list[LoadNames] | None:
        streams = {interest.stream for interest in self._watch.interests.of_source(self._source)}
        if None in streams:
            return self._stream_names
        return [((stream,), 1) for stream in sorted(filter(None, streams))]

    async def _list_streams(self, session: AccountSession) -> None:
        """Request the source's streams if a watcher needs all streams. Warn if no source has this name."""
        client, sources = session.client, await session.list_sources()
        try:
            source = find_source(sources, self._source)
        except StitchError as error:
            hint = " A watcher needs the source's name." if isinstance(error, UnknownSource) else ""
            self._warn_about_name(f"{error}{hint}")
            return
        if source.name != self._source:
            self._warn_about_name(
                f"The watcher of source {self._source!r} finds no loads, because this is not the source's "
                f"name. Use the name {source.name!r}."
            )
        if any(interest.stream is None for interest in self._watch.interests.of_source(self._source)):
            streams = await session.call(lambda: client.list_streams(source.id))
            self._stream_names = [(load_names(stream), 1) for stream in streams if stream.selected]

    def _warn_about_name(self, message: str) -> None:
        if message != self._name_warning:
            self._watch.warn(message)
        self._name_warning = message
