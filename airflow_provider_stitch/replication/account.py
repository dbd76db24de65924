"""The one watch of an account in an event loop: whoever waits says what it wants to know, and is told.

All wants together are planned (see `planner`): a page of a list is asked for once for all whom it serves, and
when that shortens their waiting most. The watch begins with the first want and ends with the last.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    StitchUnavailable,
    UnexpectedAnswer,
    UnknownSource,
)
from airflow_provider_stitch.connect.objects import Page
from airflow_provider_stitch.replication import listing
from airflow_provider_stitch.replication.budget import WINDOW
from airflow_provider_stitch.replication.listing import Listing, Look
from airflow_provider_stitch.replication.planner import BudgetWait, Candidate, Request, next_step
from airflow_provider_stitch.replication.prospects import Experience
from airflow_provider_stitch.replication.setbacks import Setbacks, is_transient
from airflow_provider_stitch.replication.wants import (
    FROM_NOW_ON,
    LONG_AGO,
    ExtractionWant,
    LoadsWant,
    Notice,
    Told,
    Want,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import Extraction, Load, Stream
    from airflow_provider_stitch.replication.reader import AccountReader
    from airflow_provider_stitch.replication.stream_ids import StreamIds

T = TypeVar("T")

# Requests under way at a time. A log may take minutes to read, and must not keep pages waiting.
MOST_AT_ONCE = {"extractions": 2, "loads": 2, "log": 2}

# So many of a source's jobs, and of an account's loads, are remembered for what they took.
EXPERIENCES = 5

# So many of those who wait are seen to before the event loop goes round: of a thousand it would stand still.
AT_A_TIME = 20

NOTHING: Mapping[str, Any] = MappingProxyType({})

# A sensor that pokes has a watch for each poke, and goes on where the last has left off.
_serials = itertools.count(1)


class AccountWatch:
    """Asks Stitch for what is wanted, and tells all who want it.

    :param reader: asks for this watch, without a deadline of its own.
    """

    def __init__(self, reader: AccountReader) -> None:
        self.trouble: StitchError | None = None  #: why Stitch can't be asked at the moment
        self._reader = reader
        self._extractions: Listing[Any] = listing.extractions()
        self._loads: Listing[Any] = listing.loads()
        self._serial = next(_serials)
        self._wants: dict[Want[Any], None] = {}  # in the order in which they came
        self._under_way: dict[Request, asyncio.Task[None]] = {}
        self._asked_at: dict[Request, float] = {}
        self._source_ids: dict[str, int] = {}
        self._took: dict[int, tuple[tuple[str, float], ...]] = {}  # each source's latest jobs, and seconds
        self._lags: deque[float] = deque(maxlen=EXPERIENCES)
        self._setbacks = Setbacks()
        self._wakened = asyncio.Event()
        self._driver: asyncio.Task[None] | None = None

    @property
    def serial(self) -> int:
        """That of the latest request, which answers to later ones exceed."""
        return self._serial

    def begin(self, want: Want[T]) -> asyncio.Future[Told[T] | Notice | None]:
        """Return what a want's answer will be: a `Told`; a `Notice` when there is a line to log; None if
        nothing answers it before `want.until`; or a StitchError of what Stitch, or the way to it, has against
        it. Whoever begins it ends it, too."""
        want.future = asyncio.get_running_loop().create_future()
        if want.since == FROM_NOW_ON:
            want.since = self._serial
        want.look_up(self._extractions, self._loads)
        if not want.future.done():
            self._wants[want] = None
            self._wakened.set()
            if self._driver is None or self._driver.done():
                self._driver = asyncio.ensure_future(self._drive())
        return want.future

    def end(self, want: Want[Any]) -> None:
        """Take in that nobody waits for a want any more."""
        if want in self._wants:
            del self._wants[want]
            self._wakened.set()

    # --- What is learned on the way ---------------------------------------------------------------------

    def experience_of_jobs(self, source_id: int) -> Experience | None:
        """Return how long this source's jobs took, as far as anybody saw."""
        return Experience.of([seconds for _, seconds in self._took.get(source_id, ())])

    def experience_of_loads(self) -> Experience | None:
        """Return how long after its last flush a source was loaded, as far as anybody saw."""
        return Experience.of(self._lags)

    def learn_lag(self, seconds: float) -> None:
        """Take in how long after its last flush a source was loaded."""
        self._lags.append(seconds)

    def _learn_lengths(self, page: Page[Extraction]) -> None:
        wanted = {want.source_id for want in self._wants if isinstance(want, ExtractionWant)}
        for listed in page.records:
            if listed.source_id in wanted and listed.start_time and listed.completion_time:
                seconds = (listed.completion_time - listed.start_time).total_seconds()
                others = (each for each in self._took.get(listed.source_id, ()) if each[0] != listed.job_name)
                self._took[listed.source_id] = (*others, (listed.job_name, seconds))[-EXPERIENCES:]

    # --- Asking -----------------------------------------------------------------------------------------

    async def _drive(self) -> None:
        """Make requests as they are planned, until nobody wants anything."""
        latest = float("-inf")
        try:
            while self._wants:
                self._wakened.clear()
                now = self._reader.clock.time()
                # What was planned by a clock that was set back since has to be planned anew.
                was_set_back, latest = now < latest, now
                if was_set_back:
                    self._setbacks.clock_was_set_back()
                over = [
                    want for want in self._wants if want.until <= now or (was_set_back and not want.urgent)
                ]
                async for want in _few_at_a_time(over):
                    want.settle(None)
                if over or any(want.future.done() for want in self._wants):
                    await asyncio.sleep(0)  # for them to go
                    continue
                step = await self._next_step(now)
                if isinstance(step, Request):
                    # Who wanted it may have gone while the plan was made.
                    if (asker := next(self._wanting(step), None)) is not None:
                        self._begin(step, asker.client, now)
                    continue
                pause = min(step, *(want.until - now for want in self._wants))
                await self._reader.clock.pause(pause, self._wakened, busy=bool(self._under_way))
        except Exception as error:
            for want in self._wants:
                want.fail(error)
            raise

    async def _next_step(self, now: float) -> Request | float:
        under_way = [request.what for request in self._under_way]
        served: dict[Request, list[Want[Any]]] = {}
        for want in self._wants:
            for request in want.requests:
                busy = under_way.count(request.what) >= MOST_AT_ONCE[request.what]
                if request not in self._under_way and not busy:
                    served.setdefault(request, []).append(want)
        if not served or (self.trouble is not None and under_way):
            return float("inf")
        free_in = {request: self._setbacks.free_in(request, now) for request in served}
        if min(free_in.values()) > 0:
            return min(free_in.values())
        candidates = [
            Candidate(
                request,
                [want.prospect for want in wants if want.prospect is not None],
                urgent=any(want.urgent or want.prospect is None for want in wants),
                asked_at=self._asked_at.get(request, float("-inf")),
            )
            for request, wants in served.items()
            if free_in[request] <= 0
        ]
        budget = self._reader.budget

        def plan() -> tuple[Request | float, float]:
            window = budget.window()
            return next_step(candidates, window, now), window.free_in[0]

        # In a thread, since a file may tell how much is left, and a plan for thousands takes a while.
        step, free_in_budget = await asyncio.to_thread(plan)
        if isinstance(step, BudgetWait):
            await self._report_budget_wait(free_in_budget)
        return step

    async def _report_budget_wait(self, seconds: float) -> None:
        """Let each waiter log, once, that it waits for the budget."""
        notice = Notice(
            f"Waiting for a free status request: the account's requests of these 10 minutes are used up, or "
            f"Stitch asked for a pause. The next one is free in {seconds:.0f} s.",
            is_budget=True,
        )
        async for want in _few_at_a_time(want for want in self._wants if want.reports_budget):
            want.settle(notice)

    def _begin(self, request: Request, client: StitchClient, now: float) -> None:
        self._serial = next(_serials)
        self._asked_at = {each: at for each, at in self._asked_at.items() if at > now - WINDOW}
        self._asked_at[request] = now
        self._under_way[request] = asyncio.ensure_future(self._ask(request, client, self._serial, now))

    async def _ask(self, request: Request, client: StitchClient, serial: int, asked_at: float) -> None:
        over = threading.Event()
        try:
            answer = await self._reader.try_within_limit(partial(_call, client, request, over.is_set))
            if isinstance(answer, Page):
                _raise_if_useless(answer, list(self._wanting(request)))
            self.trouble = None
            self._setbacks.answered(request)
            if isinstance(answer, Page):
                await self._take_page(request, client, answer, serial, asked_at)
            else:
                async for want in _few_at_a_time(self._wanting(request)):
                    want.settle(Told(answer, client.stitch_time, asked_at, serial))
        except Exception as error:  # noqa: BLE001 - it is handed on to whoever wants the answer
            refusal = await self._take_failure(request, error)
            if refusal is not None:
                await self._take_refusal(request, client, refusal, serial, asked_at)
        finally:
            over.set()  # a long log would keep its thread, and that an event loop which is to end
            del self._under_way[request]
            self._wakened.set()

    def _wanting(self, request: Request) -> Iterator[Want[Any]]:
        return (want for want in self._wants if request in want.requests)

    async def _take_page(
        self, request: Request, client: StitchClient, page: Page[Any], serial: int, asked_at: float
    ) -> None:
        if request.what == "extractions":
            self._learn_lengths(page)
        client.learn_past(_newest_time(page))
        if page.answered_at is None:
            page = replace(page, answered_at=client.stitch_time)
        if page.number != request.key:
            self._note(request, _no_page(request, page.answered_at), serial, asked_at)
        self._note(request, page, serial, asked_at)
        if request.what == "loads" and self._loads.hidden_order is not None:
            await self._learn_ids(self._loads.hidden_order, client, page)
        await self._look_up(request, page)

    async def _learn_ids(self, ids: StreamIds, client: StitchClient, page: Page[Load]) -> None:
        """Request the stream ids that order a page of loads; these requests are not rate-limited.

        The ids only make a search cheaper, so no failure here fails a wait.
        """
        wanted = {want.source_name for want in self._wants if isinstance(want, LoadsWant)}
        while (source_name := ids.unknown(page.records, wanted)) is not None:
            try:
                streams = await self._streams_of(source_name, client)
            except (StitchNotFound, StitchBadRequest, UnknownSource):
                streams = []  # a source that is deleted, or whose rows are pushed to Stitch
            except StitchError:
                break  # the next page tries again
            ids.learn(source_name, streams)
        self._loads.learned()

    async def _streams_of(self, source_name: str, client: StitchClient) -> list[Stream]:
        if source_name not in self._source_ids:
            sources = await asyncio.to_thread(client.list_sources)
            sources.sort(key=lambda source: source.deleted_at is None)  # of namesakes the living one
            self._source_ids = {source.name: source.id for source in sources}
        source_id = self._source_ids.get(source_name)
        return [] if source_id is None else await asyncio.to_thread(client.list_streams, source_id)

    def _note(self, request: Request, page: Page[Any], serial: int, asked_at: float) -> None:
        records: dict[Hashable, tuple[Any, ...]] = {}
        # What the rules do not know of is let go: a thousand records may be remembered.
        page = replace(page, records=tuple(replace(record, raw=NOTHING) for record in page.records))
        for record in page.records:
            key = record.source_id if request.what == "extractions" else record.source_name
            records[key] = (*records.get(key, ()), record)
        listed = self._extractions if request.what == "extractions" else self._loads
        needed_since = min((want.since for want in self._wants), default=serial)
        listed.add(Look(page, serial, asked_at, records), needed_since)

    async def _look_up(self, request: Request, page: Page[Any] | None = None) -> None:
        async for want in _few_at_a_time(self._wanting(request)):
            # A record that cannot be read is not absent; the page is requested again for it.
            if page is None or _error_for(want, page) is None:
                want.look_up(self._extractions, self._loads)

    async def _take_refusal(
        self, request: Request, client: StitchClient, error: Exception, serial: int, asked_at: float
    ) -> None:
        if _is_no_page(request, error):
            self._note(request, _no_page(request, client.stitch_time), serial, asked_at)
            await self._look_up(request)
            return
        async for want in _few_at_a_time(self._wanting(request)):
            if want.client is client:  # another connection to the account may have a better token
                want.fail(error)

    async def _take_failure(self, request: Request, error: Exception) -> Exception | None:
        """Let a request be made again later if it may be answered then; if not, return what is against it.

        All who wait are told at once, at its first failure, if Stitch could be asked before.
        """
        # A log that another host does not deliver is requested again, too: from Stitch.
        may_pass = isinstance(error, StitchUnavailable) or (
            isinstance(error, StitchError) and is_transient(error)
        )
        if not isinstance(error, StitchError) or not may_pass or _is_no_page(request, error):
            self.trouble = None
            self._setbacks.answered(request)
            return error
        attempts, may_go_on = self._setbacks.failed(request, error, self._reader.clock.time())
        fails_alone = request.what == "log" and self._setbacks.fails_alone(request)
        if fails_alone or not may_go_on:
            self.trouble = None
            self._setbacks.give_up(request)
            is_no_log = request.what == "log" and isinstance(error, StitchBadRequest)
            return ExtractionLogUnavailable(str(error)) if fails_alone or is_no_log else error
        is_new, self.trouble = self.trouble is None and attempts == 1, error
        if is_new:
            outage = Notice(f"{error} Asking again until it answers.")
            async for want in _few_at_a_time(self._wants):
                want.settle(outage)
        return None


async def _few_at_a_time(wants: Iterable[Want[T]]) -> AsyncIterator[Want[T]]:
    for number, want in enumerate(list(wants), 1):
        yield want
        if number % AT_A_TIME == 0:
            await asyncio.sleep(0)


def _call(
    client: StitchClient, request: Request, given_up: Callable[[], bool]
) -> Page[Extraction] | Page[Load] | ExtractionLog:
    if request.what == "extractions":
        return client.list_extractions(int(request.key))
    if request.what == "loads":
        return client.list_loads(int(request.key))
    return client.get_extraction_log(str(request.key), given_up=given_up)


def _error_for(want: Want[Any], page: Page[Any]) -> UnexpectedAnswer | None:
    """Return why a page does not contain what is wanted in a form that can be read; None if it may."""
    return next((each.error for each in page.malformed if want.concerns(each.source)), None)


def _raise_if_useless(page: Page[Any], wants: Sequence[Want[Any]]) -> None:
    """Raise if the records of all wants are malformed; other sources' malformed records do not matter."""
    errors = [_error_for(want, page) for want in wants] if page.malformed else []
    if errors and errors[0] is not None and None not in errors:
        raise errors[0]


def _is_no_page(request: Request, error: Exception) -> bool:
    """Return whether an error says that a remembered page is gone.

    The response to a page beyond the last is not documented.
    """
    is_missing = isinstance(error, (StitchNotFound, StitchBadRequest))
    return is_missing and request.what != "log" and request.key != 1


def _no_page(request: Request, at: datetime | None) -> Page[Any]:
    number = int(request.key)
    return Page(records=(), number=number, total=100 * (number - 1), answered_at=at, next_page=None)


def _newest_time(page: Page[Any]) -> datetime:
    """Return the newest time in a page's records; each of them has passed for Stitch."""
    names = ("start_time", "completion_time", "last_batch_loaded_at")
    times = (getattr(record, name, None) for record in page.records for name in names)
    return max(filter(None, times), default=LONG_AGO)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, AccountWatch]] = WeakKeyDictionary()


def account_watch(account: Hashable, reader: Callable[[], AccountReader]) -> AccountWatch:
    """Return what all who wait for `account` in the running event loop share.

    :param reader: makes the reader that asks for them all, if there is no watch yet.
    """
    watches = _watches.setdefault(asyncio.get_running_loop(), {})
    if account not in watches:
        watches[account] = AccountWatch(reader())
    return watches[account]
