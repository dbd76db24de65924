"""Reads one Stitch account: each request in a thread, within the budget, retried as long as there is time."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    PhaseTimedOut,
    RateLimited,
    StitchBadRequest,
    StitchNotFound,
    StitchUnavailable,
    UnexpectedAnswer,
)
from airflow_provider_stitch.connect.transport import pause_before_retry
from airflow_provider_stitch.replication.budget import Budget, shared_budget
from airflow_provider_stitch.replication.pages import PageSeen, next_page
from airflow_provider_stitch.replication.shared import shared_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Extraction, Load, Page

T = TypeVar("T")


class Clock(Protocol):
    """This machine's time, for pauses and deadlines only: Stitch's own is what its answers tell."""

    def time(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


# An answer that is not what it should be may be one that was cut; one that stays so is an error.
GARBAGE_ATTEMPTS = 5


class AccountReader:
    """Asks Stitch about one account.

    :param client: a client that does not retry by itself; pausing is done here, where it blocks nobody.
    :param deadline: seconds since the epoch up to which an unavailable Stitch is asked again; None is for
        ever.
    :param fresh: take no answer that was asked for before this reader wanted it, not even one some seconds
        old.
    :param warn: told once of each outage.
    """

    def __init__(
        self,
        client: StitchClient,
        *,
        deadline: float | None = None,
        clock: Clock | None = None,
        budget: Budget | None = None,
        fresh: bool = False,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.client = client
        self.clock = clock or SystemClock()
        self.deadline = deadline
        self.requests = 0  #: limited requests made so far
        self._budget = budget
        self._fresh = fresh
        self._warn = warn
        self._account_key: tuple[str, int] | None = None
        self._extraction_page = 1
        self._load_pages: tuple[int, ...] = ()
        self._known_at: dict[tuple[str, int], float] = {}  # of each page, when the answer was asked for

    def seconds_left(self) -> float:
        """Return the seconds until the deadline, or infinity without one."""
        return float("inf") if self.deadline is None else self.deadline - self.clock.time()

    async def ask(self, call: Callable[[], T], *, limited: bool = False) -> T:
        """Return the answer of one call of the client, made in a thread.

        :raises StitchError: what the client raised; an unavailable Stitch only when the deadline has passed.
        """
        retrying = AsyncRetrying(
            sleep=self.clock.sleep,
            retry=retry_if_exception(_is_passing),
            wait=_pause,
            stop=self._has_no_time_left,
            before_sleep=self._warn_of_outage,
            reraise=True,
        )
        return await retrying(self._ask_once, call, limited)

    async def _ask_once(self, call: Callable[[], T], limited: bool) -> T:  # noqa: FBT001 - passed on by tenacity
        if not limited:
            return await asyncio.to_thread(call)
        budget = await self.budget()
        while wait := budget.take():
            if wait > self.seconds_left():
                raise _out_of_requests(wait)
            await self.clock.sleep(wait)
        self.requests += 1
        try:
            return await asyncio.to_thread(call)
        except RateLimited as error:
            budget.block(error.retry_after or budget.spacing)
            raise
        finally:
            budget.give_back()

    async def budget(self) -> Budget:
        """Return the budget of this account, shared by all its readers in this process."""
        if self._budget is None:
            self._budget = shared_budget(await self._account(), self.client.requests_per_10_minutes)
        return self._budget

    async def _account(self) -> tuple[str, int]:
        if self._account_key is None:
            self._account_key = (self.client.base_url, await self.ask(lambda: self.client.client_id))
        return self._account_key

    async def _page(self, what: str, number: int, call: Callable[[int], Page[T]]) -> Page[T]:
        """Return a page that is news to this reader, be it asked for by this or by another reader."""
        shared = shared_answers(await self._account())
        oldest = 0.0 if self._fresh else (await self.budget()).spacing
        known_at = self._known_at.get((what, number), asyncio.get_running_loop().time() - oldest)
        answer = await shared.newer_than(
            known_at, (what, number), lambda: self.ask(lambda: call(number), limited=True)
        )
        self._known_at[what, number] = answer.asked_at
        return answer.value

    # --- The lists that come in pages -------------------------------------------------------------------

    async def extraction_of(self, source_id: int) -> tuple[Extraction | None, datetime]:
        """Return the source's listed extraction, its last completed one, and Stitch's time of the answer."""
        seen: dict[int, PageSeen] = {}
        number: int | None = self._extraction_page
        ascending = True
        last_page: int | None = None
        at = _now(None)
        while number is not None:
            page = await self._extractions(number)
            at = _now(page.answered_at)
            self._extraction_page = page.number
            for extraction in page.records:
                if extraction.source_id == source_id:
                    return extraction, at
            ids = [extraction.source_id for extraction in page.records]
            ascending = ascending and ids == sorted(ids)
            if page.number in seen:
                break  # asked for another page, Stitch gave this one again
            seen[page.number] = PageSeen(min(ids, default=None), max(ids, default=None))
            # `total` is what tells how many pages there are, but nothing says that it is exact.
            last_page = max(page.last_page, page.next_page or 1)
            number = next_page(source_id, seen, last_page, hint=number)
            if not ascending:
                number = next((page for page in range(1, last_page + 1) if page not in seen), None)
        return None, at

    async def _extractions(self, number: int) -> Page[Extraction]:
        try:
            return await self._page("extractions", number, self.client.list_extractions)
        except (StitchNotFound, StitchBadRequest):
            if number == 1:
                raise
        # A remembered page may be gone. What is said to a page beyond the last is not documented.
        return await self._page("extractions", 1, self.client.list_extractions)

    async def loads_of(
        self, source_name: str, expected: Iterable[Collection[str]] = ()
    ) -> tuple[list[Load], datetime]:
        """Return the loads of a source's streams, and Stitch's time of the oldest answer among them.

        Loads are listed by stream name (or by an id that they do not show), so a source's are spread over
        pages. All are read once; then those that held some, as long as they still hold all that is
        `expected`: of each stream a load by any of its names.
        """
        try:
            pages = [await self._loads(number) for number in self._load_pages]
        except (StitchNotFound, StitchBadRequest):
            pages = []  # a remembered page is gone
        found = _loads_in(pages, source_name)
        listed = {load.stream_name for load in found}
        if not pages or any(listed.isdisjoint(names) for names in expected):
            pages = await self._all_loads()
            found = _loads_in(pages, source_name)
        self._load_pages = tuple(page.number for page in pages if _loads_in([page], source_name)) or (1,)
        return found, min(_now(page.answered_at) for page in pages)

    async def _all_loads(self) -> list[Page[Load]]:
        pages = [await self._loads(1)]
        while (number := pages[-1].next_page) is not None and number > pages[-1].number:
            pages.append(await self._loads(number))
        return pages

    async def _loads(self, number: int) -> Page[Load]:
        return await self._page("loads", number, self.client.list_loads)

    # --- Retries ----------------------------------------------------------------------------------------

    def _has_no_time_left(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, UnexpectedAnswer) and state.attempt_number >= GARBAGE_ATTEMPTS:
            return True
        return _pause(state) > self.seconds_left()

    def _warn_of_outage(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number == 1:
            self._warn(f"{error} Asking again until it answers.")


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, ExtractionLogUnavailable):
        return False  # a log's place is good for a while only: who wants the log asks Stitch anew
    return isinstance(error, (StitchUnavailable, UnexpectedAnswer))


def _out_of_requests(wait: float) -> PhaseTimedOut:
    return PhaseTimedOut(
        "The time to wait is over before Stitch may be asked again: all requests of these 10 minutes are "
        f"used, and the next is free in {wait:.0f} s. Raise the task's timeout, or let fewer tasks wait."
    )


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return pause_before_retry(state.attempt_number, getattr(error, "retry_after", None))


def _loads_in(pages: Iterable[Page[Load]], source_name: str) -> list[Load]:
    found: list[Load] = []
    for page in pages:
        # A record that moved to the next page between two requests comes twice; two on one page are two.
        ours = [load for load in page.records if load.source_name == source_name]
        found.extend([load for load in ours if load not in found])
    return found


def _now(answered_at: datetime | None) -> datetime:
    """Return Stitch's time of an answer; without a usable `Date` only this machine's clock is left."""
    return answered_at or datetime.now(timezone.utc)
