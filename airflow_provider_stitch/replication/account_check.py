"""Read all extractions and loads of an account within its request budget.

In a large account, reading all pages requires more requests than the budget allows in 10 minutes. During the
check, part of the budget is reserved for tasks that wait for jobs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.connect.errors import PhaseTimedOut, UnexpectedResponse
from airflow_provider_stitch.replication.budget.window import WINDOW
from airflow_provider_stitch.replication.rules.account_report import (
    ListedLoad,
    SourceState,
    account_report,
    remove_deselected,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_stitch.connect.objects import Page, Source
    from airflow_provider_stitch.replication.session import AccountSession

T = TypeVar("T")

RESERVED_PART = 6
"""One in six requests (5 of 30) is reserved for tasks that wait for jobs."""

MAX_PAGES = 1000  #: maximum number of pages in a list; a longer list raises an error


class AccountCheck:
    """A check of all sources in an account.

    :param sources: all sources in the account.
    :param log_info: a function that is called with progress messages, which include an estimate of the
        remaining time.
    :param log_warning: a function that is called with a message for each outage and for each record that
        cannot be parsed.
    """

    def __init__(
        self,
        session: AccountSession,
        sources: Sequence[Source],
        *,
        log_info: Callable[[str], None],
        log_warning: Callable[[str], None],
    ) -> None:
        self._session = session
        self._sources = sources
        self._log_info = log_info
        self._log_warning = log_warning
        #: Times of the responses to this check's requests in the last 10 minutes.
        self._responded_at: deque[float] = deque()
        self._pages_read = 0
        self._last_pages = {"extractions": 1, "loads": 1}
        self._pages_left = 2

    async def run(self, *, max_age: float | None = None) -> list[SourceState]:
        """Read all extractions and loads, and return the state of each source that is not deleted.

        :param max_age: maximum age of a source's last load, in seconds. A source is stale if its last load
            exceeds the maximum age. If None, no source is stale.
        :raises PhaseTimedOut: if the pages cannot all be read before the session's deadline.
        :raises StitchError: if a request fails permanently.
        """
        if not self._sources:
            return []
        session = self._session
        await session.resolve_account(self._sources[0].id)
        extractions = {
            extraction.source_id: extraction
            for page in await self._read("extractions")
            for extraction in page.records
        }
        loads = [
            ListedLoad(load, page.responded_at or session.stitch_time())
            for page in await self._read("loads")
            for load in page.records
        ]
        states = account_report(
            self._sources,
            extractions.values(),
            loads,
            now=session.stitch_time(),
            max_age=max_age,
        )
        for state in states:
            if state.streams_in_error:
                await self._remove_deselected(state)
        return states

    async def _remove_deselected(self, state: SourceState) -> None:
        client = self._session.client
        streams = await self._session.call(lambda: client.list_streams(state.source_id))
        names = [(stream, {stream.stream_name, stream.tap_stream_id}) for stream in streams]
        remove_deselected(
            state,
            {name for stream, each in names if stream.selected for name in each},
            {name for _, each in names for name in each},
        )

    # --- Reading a list -------------------------------------------------------------------------------------

    async def _read(self, kind: str) -> list[Page[Any]]:
        """Read all pages of a list.

        If the list becomes shorter between two requests, a record may move to the previous page, which has
        already been read. The previous page is therefore read again if the list has become shorter.
        """
        pages: list[Page[Any]] = []
        number, total = 1, 0
        while number <= MAX_PAGES:
            page = await self._page(kind, number)
            pages.append(page)
            if page.total < total:
                pages.append(await self._page(kind, number - 1))
            if page.next_page is None:
                return pages
            number, total = number + 1, page.total
        raise UnexpectedResponse(f"The list of {kind} has more than {MAX_PAGES} pages, so it was not read.")

    async def _page(self, kind: str, number: int) -> Page[Any]:
        client = self._session.client
        list_page: Callable[[int], Page[Any]] = (
            client.list_extractions if kind == "extractions" else client.list_loads
        )
        page = await self._limited(lambda: list_page(number))
        self._pages_read += 1
        self._last_pages[kind] = page.last_page
        loads_left = self._last_pages["loads"] if kind == "extractions" else 0
        self._pages_left = max(page.last_page - number, 0) + loads_left
        for malformed in page.malformed:
            self._log_warning(f"Ignoring a record that cannot be parsed: {malformed.error}")
        return page

    # --- The request budget ---------------------------------------------------------------------------------

    async def _limited(self, function: Callable[[], T]) -> T:
        """Send one rate-limited request as soon as the budget allows, and return its result."""
        caller = self._session.caller
        await self._wait_until_allowed()

        async def attempt() -> T:
            try:
                return await caller.call_limited(function)
            finally:
                self._responded_at.append(caller.clock.time())

        return await caller.retry(
            attempt,
            deadline=self._session.deadline,
            time_limit=self._session.time_limit,
            on_outage=self._warn,
        )

    async def _wait_until_allowed(self) -> None:
        has_logged = False
        while wait := await self._seconds_until_allowed():
            if wait > self._session.seconds_left():
                raise self._timed_out(wait)
            if not has_logged:
                has_logged = True
                self._log_info(self._progress(wait))
            await self._session.clock.sleep(wait)

    async def _seconds_until_allowed(self) -> float:
        window = await asyncio.to_thread(self._session.budget.window)
        now = self._session.clock.time()
        while self._responded_at and self._responded_at[0] <= now - WINDOW:
            self._responded_at.popleft()
        allowed = self._allowed(window.share)
        if len(self._responded_at) < allowed:
            return window.available_in[0]
        return max(window.available_in[0], self._responded_at[-allowed] + WINDOW - now)

    def _allowed(self, share: float) -> int:
        """Return how many requests this check may send in 10 minutes."""
        limit = self._session.budget.limit
        return max(1, min(int(share), limit - limit // RESERVED_PART))

    # --- Messages -------------------------------------------------------------------------------------------

    def _seconds_left(self, wait: float) -> float:
        """Estimate the number of seconds until all pages are read, if other tasks use no unreserved ones."""
        allowed = self._allowed(float(self._session.budget.limit))
        return wait + (self._pages_left - 1) // allowed * WINDOW

    def _progress(self, wait: float) -> str:
        return (
            f"{self._state(wait)} Tasks that wait for jobs also send such requests. The next request is free "
            f"in {wait:.0f} s."
        )

    def _timed_out(self, wait: float) -> PhaseTimedOut:
        limit, account = self._session.time_limit, self._session.client.known_client_id
        return PhaseTimedOut(
            f"The check of Stitch account {account} has not finished before its {limit}. {self._state(wait)} "
            f"Raise the {limit}, or run the check when fewer tasks wait for jobs."
        )

    def _state(self, wait: float) -> str:
        left = "last page" if self._pages_left == 1 else f"{self._pages_left} other pages"
        minutes, limit = _minutes(self._seconds_left(wait)), self._session.budget.limit
        return (
            f"Read {self._pages_read} pages of extractions and loads. The {left} will take about {minutes}, "
            f"because Stitch allows {limit} such requests in 10 minutes."
        )

    async def _warn(self, line: str) -> None:
        self._log_warning(line)


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
