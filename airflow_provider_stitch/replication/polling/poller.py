"""The poller of one account, shared by all waiters in an event loop.

The requests for all queries are scheduled together. One request for a page serves all waiters that need the
page, so the poller first sends the request that saves the most delay in total (see `scheduler`). The poller
runs while queries are pending.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    StitchBadRequest,
    StitchError,
)
from airflow_provider_stitch.connect.objects import Page
from airflow_provider_stitch.replication.budget.window import WINDOW
from airflow_provider_stitch.replication.polling.backoff import Backoff, may_be_outage
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.completion import ObservedDurations
from airflow_provider_stitch.replication.polling.limited_requests import (
    LeasedElsewhere,
    LimitedRequest,
    RequestKind,
    SharedPage,
    empty_page,
    is_missing_page,
)
from airflow_provider_stitch.replication.polling.page_cache import PageCache, extractions_cache, loads_cache
from airflow_provider_stitch.replication.polling.queries import (
    FRESH_ONLY,
    ExtractionQuery,
    LoadsQuery,
    Notice,
    Query,
    QueryResult,
    budget_notice,
    malformed_record_error,
    raise_if_every_query_needs_malformed,
)
from airflow_provider_stitch.replication.polling.responses import cached_page, newest_time
from airflow_provider_stitch.replication.polling.scheduler import Candidate, SecondsUntilBudget, next_request
from airflow_provider_stitch.replication.polling.sequence import next_sequence
from airflow_provider_stitch.replication.polling.sharing import PageSharing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Iterable, Iterator

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.replication.budget.window import Window
    from airflow_provider_stitch.replication.polling.shared_pages import Lease

T = TypeVar("T")

# Maximum number of concurrent requests of each kind. The download of a log may take minutes, and must not
# delay the requests for pages.
MAX_IN_FLIGHT = {RequestKind.EXTRACTIONS: 2, RequestKind.LOADS: 2, RequestKind.LOG: 2}

# Number of queries to resolve before other tasks of the event loop may run. Resolving thousands of queries at
# once would block the event loop.
BATCH_SIZE = 20


class AccountPoller:
    """Polls one account on behalf of all pending queries.

    :param caller: sends the requests, and provides the clock and the budget.
    """

    def __init__(self, caller: StitchCaller) -> None:
        self.outage_error: StitchError | None = None  #: error of the current outage, or None
        self.sharing = PageSharing()
        self.durations = ObservedDurations()
        self._caller = caller
        self._extractions: PageCache[Any] = extractions_cache()
        self._loads: PageCache[Any] = loads_cache()
        self._pending: dict[Query[Any], None] = {}  # queries in order of submission
        self._in_flight: dict[LimitedRequest, asyncio.Task[None]] = {}
        self._latest_sequence = next_sequence()  # no request has a higher sequence number
        self._requested_at: dict[LimitedRequest, float] = {}
        self._backoff = Backoff()
        self._wake_up = asyncio.Event()
        self._run_task: asyncio.Task[None] | None = None

    @property
    def latest_sequence(self) -> int:
        """An upper limit for the sequence numbers of all requests so far."""
        if redis_time := self.sharing.latest_time():  # with Redis, sequence numbers are the server's times
            self._latest_sequence = next_sequence(redis_time)
        return self._latest_sequence

    @property
    def load_page_count(self) -> int:
        """The number of pages in the list of loads, or 1 if unknown."""
        return self._loads.last_page or 1

    def submit(self, query: Query[T]) -> asyncio.Future[QueryResult[T] | Notice | None]:
        """Submit a query, and return a future for its result.

        The result is None if the query expires. If the result is a `Notice`, log it and submit the query
        again. The future raises a StitchError if the request fails. Call `cancel` after using the future.
        """
        query.future = asyncio.get_running_loop().create_future()
        if query.after_sequence == FRESH_ONLY:
            query.after_sequence = self.latest_sequence
        query.try_resolve(self._extractions, self._loads)
        if not query.future.done():
            self._pending[query] = None
            self._wake_up.set()
            if self._run_task is None or self._run_task.done():
                self._run_task = asyncio.ensure_future(self._run())
        return query.future

    def cancel(self, query: Query[Any]) -> None:
        """Remove a query after its waiter has received the result or was cancelled."""
        if query in self._pending:
            del self._pending[query]
            self._wake_up.set()

    # --- Requests ---------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Send requests as scheduled until no query is pending."""
        previous_time = float("-inf")
        try:
            while self._pending:
                self._wake_up.clear()
                now = self._caller.clock.time()
                clock_was_set_back, previous_time = now < previous_time, now
                if clock_was_set_back:
                    self._backoff.forget_times()
                if not await self._resolve_expired(now, clock_was_set_back=clock_was_set_back):
                    await self._send_or_pause(now)
        except Exception as error:
            for query in self._pending:
                query.fail(error)
            raise

    async def _resolve_expired(self, now: float, *, clock_was_set_back: bool) -> bool:
        """Resolve expired queries. If any query is resolved, let its waiter run and return True."""
        # If the clock was set back, all estimates are outdated. Immediate queries have no estimates.
        expired = [
            query
            for query in self._pending
            if query.expires_at <= now or (clock_was_set_back and not query.immediate)
        ]
        async for query in _in_batches(expired):
            query.resolve(None)
        if expired or any(query.future.done() for query in self._pending):
            await asyncio.sleep(0)
            return True
        return False

    async def _send_or_pause(self, now: float) -> None:
        if await self._use_shared_pages(now):
            return
        request_or_pause = await self._next_request_or_pause(now)
        if isinstance(request_or_pause, LimitedRequest):
            # The queries may have been cancelled while the request was planned.
            if (first_query := next(self._queries_for(request_or_pause), None)) is not None:
                self._start_request(request_or_pause, first_query.client, now)
            return
        pause = min([request_or_pause, *(query.expires_at - now for query in self._pending)])
        await self._caller.clock.pause(pause, self._wake_up, request_in_flight=bool(self._in_flight))

    async def _next_request_or_pause(self, now: float) -> LimitedRequest | float:
        """Return the request to send now, or the number of seconds to wait."""
        queries_by_request = self._queries_by_request()
        # During an outage, only one request at a time tests whether Stitch is available again.
        if not queries_by_request or (self.outage_error is not None and self._in_flight):
            return float("inf")
        waits = {
            each: max(
                self._backoff.seconds_until_retry(each, now), self.sharing.seconds_until_unleased(each, now)
            )
            for each in queries_by_request
        }
        if min(waits.values()) > 0:
            return min(waits.values())
        candidates = [
            Candidate(
                request,
                [query.estimate for query in queries if query.estimate is not None],
                immediate=any(query.immediate or query.estimate is None for query in queries),
                requested_at=self._requested_at.get(request, float("-inf")),
            )
            for request, queries in queries_by_request.items()
            if waits[request] <= 0
        ]
        budget = self._caller.budget

        def plan() -> tuple[LimitedRequest | float, Window]:
            window = budget.window()
            return next_request(candidates, window, now), window

        # Plan in a thread, because reading the budget's file and planning thousands of queries take time.
        request_or_pause, window = await asyncio.to_thread(plan)
        if isinstance(request_or_pause, SecondsUntilBudget):
            await self._report_budget_wait(window)
        return request_or_pause

    def _queries_by_request(self) -> dict[LimitedRequest, list[Query[Any]]]:
        """Return the requests that may be sent now, each with the queries that need it."""
        kinds_in_flight = [request.kind for request in self._in_flight]
        queries_by_request: dict[LimitedRequest, list[Query[Any]]] = {}
        for query in self._pending:
            for request in query.requests:
                at_limit = kinds_in_flight.count(request.kind) >= MAX_IN_FLIGHT[request.kind]
                if request not in self._in_flight and not at_limit:
                    queries_by_request.setdefault(request, []).append(query)
        return queries_by_request

    async def _report_budget_wait(self, window: Window) -> None:
        """Notify each waiter that no request is free, unless it has already logged the notice."""
        notice = budget_notice(window)
        async for query in _in_batches(query for query in self._pending if query.expects_budget_notice):
            query.resolve(notice)

    def _start_request(self, request: LimitedRequest, client: StitchClient, now: float) -> None:
        self._requested_at = {each: at for each, at in self._requested_at.items() if at > now - WINDOW}
        self._requested_at[request] = now
        self._in_flight[request] = asyncio.ensure_future(self._lease_and_send(request, client, now))

    async def _lease_and_send(self, request: LimitedRequest, client: StitchClient, now: float) -> None:
        """Send a request, unless another process is requesting the page or has just requested it."""
        try:
            lease = await self.sharing.lease(request, self._min_useful_sequence(request), now)
            if isinstance(lease, SharedPage):
                await self._handle_shared_page(request, client, lease, now)
            elif not isinstance(lease, LeasedElsewhere):  # if another process has the lease, plan again
                await self._send(request, client, lease, now)
        finally:
            del self._in_flight[request]
            self._wake_up.set()

    async def _send(
        self, request: LimitedRequest, client: StitchClient, lease: Lease | None, requested_at: float
    ) -> None:
        """Send a request, and then resolve the queries that need it or schedule a retry."""
        sequence = self._latest_sequence = next_sequence(self.sharing.latest_time())
        for query in self._queries_for(request):
            query.requests_sent += 1
        abort = threading.Event()
        try:
            response = await self.sharing.send(self._caller, client, request, lease, abort.is_set)
            if isinstance(response, Page):
                raise_if_every_query_needs_malformed(response, list(self._queries_for(request)))
            self.outage_error = None
            self._backoff.record_response(request)
            if isinstance(response, Page):
                await self._handle_page(request, client, response, sequence, requested_at)
            else:
                async for query in _in_batches(self._queries_for(request)):
                    query.resolve(QueryResult(response, client.stitch_time, requested_at, sequence))
        except Exception as error:  # noqa: BLE001 - the waiters receive the error
            final_error = await self._retry_or_error(request, error)
            if final_error is not None:
                await self._handle_final_error(request, client, final_error, sequence, requested_at)
        finally:
            abort.set()  # a long download would keep its thread and the event loop alive

    def _queries_for(self, request: LimitedRequest) -> Iterator[Query[Any]]:
        return (query for query in self._pending if request in query.requests)

    # --- Pages of other processes -----------------------------------------------------------------------

    async def _use_shared_pages(self, now: float) -> bool:
        """Resolve queries from pages that other processes requested, and return whether any page was used."""
        needed = {request: self._min_useful_sequence(request) for request in self._queries_by_request()}
        pages = await self.sharing.read_pages(needed, now)
        for request, shared in pages.items():
            if (query := next(self._queries_for(request), None)) is not None:
                self._requested_at[request] = now - shared.age
                await self._handle_shared_page(request, query.client, shared, now)
        return bool(pages)

    def _min_useful_sequence(self, request: LimitedRequest) -> int:
        """Return the sequence number that a page must exceed to be useful for any query that needs it."""
        after = min((query.after_sequence for query in self._queries_for(request)), default=0)
        if request.kind is RequestKind.LOG:
            return after
        cached = self._cache_of(request).pages.get(int(request.key))
        return after if cached is None else max(after, cached.sequence)

    async def _handle_shared_page(
        self, request: LimitedRequest, client: StitchClient, shared: SharedPage, now: float
    ) -> None:
        await self._handle_page(request, client, shared.page, shared.sequence, now - shared.age)

    # --- Responses --------------------------------------------------------------------------------------

    async def _handle_page(
        self,
        request: LimitedRequest,
        client: StitchClient,
        page: Page[Any],
        sequence: int,
        requested_at: float,
    ) -> None:
        if request.kind is RequestKind.EXTRACTIONS:
            wanted = {query.source_id for query in self._pending if isinstance(query, ExtractionQuery)}
            self.durations.record_jobs(each for each in page.records if each.source_id in wanted)
        # Stitch's clock has already passed all times in the records.
        client.record_past_time(newest_time(page))
        if page.responded_at is None:
            page = replace(page, responded_at=client.stitch_time)
        if page.number != request.key:  # the requested page no longer exists
            self._cache_page(request, empty_page(request, page.responded_at), sequence, requested_at)
        self._cache_page(request, page, sequence, requested_at)
        if request.kind is RequestKind.LOADS and self._loads.stream_id_index is not None:
            # If the stream ids cannot be loaded, polling continues, because they only save requests.
            names = {query.source_name for query in self._pending if isinstance(query, LoadsQuery)}
            await self._loads.stream_id_index.load(client, page.records, names)
            self._loads.check_stream_id_order()
        await self._try_resolve(request, page)

    def _cache_page(
        self, request: LimitedRequest, page: Page[Any], sequence: int, requested_at: float
    ) -> None:
        oldest_needed = min((query.after_sequence for query in self._pending), default=sequence)
        self._cache_of(request).add(cached_page(request, page, sequence, requested_at), oldest_needed)

    def _cache_of(self, request: LimitedRequest) -> PageCache[Any]:
        return self._extractions if request.kind is RequestKind.EXTRACTIONS else self._loads

    async def _try_resolve(self, request: LimitedRequest, page: Page[Any] | None = None) -> None:
        async for query in _in_batches(self._queries_for(request)):
            # A query that may need a malformed record stays pending, so that the page is requested again.
            if page is None or malformed_record_error(query, page) is None:
                query.try_resolve(self._extractions, self._loads)

    async def _handle_final_error(
        self,
        request: LimitedRequest,
        client: StitchClient,
        error: Exception,
        sequence: int,
        requested_at: float,
    ) -> None:
        if is_missing_page(request, error):
            self._cache_page(request, empty_page(request, client.stitch_time), sequence, requested_at)
            await self._try_resolve(request)
            return
        async for query in _in_batches(self._queries_for(request)):
            if query.client is client:  # the token of another connection may be valid
                query.fail(error)

    async def _retry_or_error(self, request: LimitedRequest, error: Exception) -> Exception | None:
        """Schedule a retry and return None, or return the error that the waiters receive."""
        if not isinstance(error, StitchError) or not may_be_outage(error) or is_missing_page(request, error):
            self.outage_error = None
            self._backoff.record_response(request)
            return error
        attempts, may_retry = self._backoff.record_failure(request, error, self._caller.clock.time())
        is_log = request.kind is RequestKind.LOG
        is_isolated_log_failure = is_log and self._backoff.is_isolated_failure(request)
        if may_retry and not is_isolated_log_failure:
            await self._record_outage(error, is_first_attempt=attempts == 1)
            return None
        self.outage_error = None
        self._backoff.reset(request)
        # Requests for the log have failed repeatedly, but waiters can continue without a log.
        if is_isolated_log_failure or (is_log and isinstance(error, StitchBadRequest)):
            return ExtractionLogUnavailable(str(error))
        return error

    async def _record_outage(self, error: StitchError, *, is_first_attempt: bool) -> None:
        """Store the error of an outage. After the first failure of an outage, notify all waiters."""
        previous_error, self.outage_error = self.outage_error, error
        if previous_error is None and is_first_attempt:
            notice = Notice(f"{error} Retrying until Stitch responds.")
            async for query in _in_batches(self._pending):
                query.resolve(notice)


async def _in_batches(queries: Iterable[Query[T]]) -> AsyncIterator[Query[T]]:
    """Yield queries, and let other tasks of the event loop run after each batch."""
    for number, query in enumerate(list(queries), 1):
        yield query
        if number % BATCH_SIZE == 0:
            await asyncio.sleep(0)


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, AccountPoller]] = WeakKeyDictionary()


def account_poller(caller: StitchCaller) -> AccountPoller:
    """Return the poller that all waiters of the caller's account share in the running event loop."""
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    if caller.account not in pollers:
        # The poller needs its own caller, because a session may replace the client of its caller.
        own_caller = StitchCaller(caller.client, clock=caller.clock, budget=caller.budget)
        pollers[caller.account] = AccountPoller(own_caller)
    pollers[caller.account].sharing.set_redis(caller.client.redis, caller.account)
    return pollers[caller.account]
