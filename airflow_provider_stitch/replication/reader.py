"""Asks one Stitch account for one task: each request in a thread, retried as long as the task has time."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_stitch.connect.errors import (
    PhaseTimedOut,
    RateLimited,
    StitchError,
)
from airflow_provider_stitch.connect.transport import pause_before_retry
from airflow_provider_stitch.replication.account import AccountWatch, account_watch
from airflow_provider_stitch.replication.budget import Budget, shared_budget
from airflow_provider_stitch.replication.budget_gate import with_request_acquired
from airflow_provider_stitch.replication.places import places
from airflow_provider_stitch.replication.setbacks import Attempts
from airflow_provider_stitch.replication.shared_call import SharedCall
from airflow_provider_stitch.replication.turns import NEWS
from airflow_provider_stitch.replication.wants import FROM_NOW_ON, ExtractionWant, Notice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Extraction, Source
    from airflow_provider_stitch.replication.wants import Told, Want

T = TypeVar("T")

# Seconds for which a plan waits for others who begin to wait at the same time.
GATHERING = 0.05


class Clock(Protocol):
    """This machine's time, for pauses and deadlines only: Stitch's own is what its answers tell."""

    def time(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def pause(self, seconds: float, wakened: asyncio.Event, *, busy: bool) -> None:
        """Sleep, but not beyond `wakened`. It is `busy` while a request is under way, whose end wakens."""


class SystemClock:
    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def pause(self, seconds: float, wakened: asyncio.Event, *, busy: bool) -> None:  # noqa: ARG002
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wakened.wait(), seconds if seconds < float("inf") else None)
        await asyncio.sleep(GATHERING)


SYSTEM_CLOCK = SystemClock()


class AccountReader:
    """Asks Stitch about one account.

    :param client: a client that does not retry by itself; pausing is done here, where it blocks nobody.
    :param deadline: seconds since the epoch up to which an unavailable Stitch is asked again; None is for
        ever.
    :param budget: counts the requests that Stitch limits; None is that of the account.
    :param budget_folder: where the processes of this host share the account's budget; None does not share it.
    :param time_limit: which of the task's limits sets the deadline, as error messages name it.
    :param warn: given one line per outage, and one line when the first wait for the budget begins.
    """

    # A thousand of these may be there.
    __slots__ = (
        *("_budget", "_budget_client", "_budget_folder", "_warn", "_was_told"),
        *("client", "clock", "deadline", "time_limit", "_waited_for_budget"),
    )

    def __init__(
        self,
        client: StitchClient,
        *,
        deadline: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
        budget: Budget | None = None,
        budget_folder: Path | None = None,
        time_limit: str = "timeout",
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.client = client
        self.clock = clock
        self.deadline = deadline
        self.time_limit = time_limit
        self._waited_for_budget = False
        self._budget = budget
        self._budget_client: StitchClient | None = None  # None: the budget was given
        self._budget_folder = budget_folder
        self._warn = warn
        self._was_told = False

    def seconds_left(self) -> float:
        """Return the seconds until the deadline, or infinity without one."""
        return float("inf") if self.deadline is None else self.deadline - self.clock.time()

    def stitch_time(self, told: Told[Any] | None = None) -> datetime:
        """Return Stitch's time: that of an answer, or if there is none, now.

        If the answer has no time, it is as old as this machine measured. Stitch's time comes from the
        responses (see `StitchClient.stitch_time`). This machine's clock is used only if none has shown any
        time, neither in a `Date` header nor in a record.
        """
        if told is not None and told.at is not None:
            return told.at
        now = self.client.stitch_time or datetime.fromtimestamp(self.clock.time(), timezone.utc)
        age = 0.0 if told is None else self.clock.time() - told.asked_at
        return now - timedelta(seconds=age if 0 < age < float("inf") else 0.0)

    async def open(self, source_id: int) -> None:
        """Find out, by way of a source, which account it is: for all that needs its budget, or its watch."""
        if self.client.known_client_id is None:
            await self.ask(lambda: self.client.client_id_by_way_of(source_id))

    @property
    def account(self) -> tuple[str, int]:
        """Which account it is, once this is open."""
        client_id = self.client.known_client_id
        if client_id is None:
            raise RuntimeError("This reader was not opened: which account it reads is not known yet.")
        return self.client.base_url, client_id

    @property
    def budget(self) -> Budget:
        """The budget of this account, shared by all its readers, once this is open."""
        # A client with a new token may have another number of requests, too.
        if self._budget is None or self._budget_client not in (None, self.client):
            self._budget = shared_budget(
                self.account,
                self.client.requests_per_10_minutes,
                self._budget_folder,
                connection_id=self.client.connection_id,
            )
            self._budget_client = self.client
        return self._budget

    # --- One request ------------------------------------------------------------------------------------

    # Nobody stands between the one who asks and `_insist`: a thousand may, and each coroutine takes memory.

    def ask(self, call: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """Return the answer of one call of the client, made in a thread.

        :raises StitchError: what the client raised; an unavailable Stitch only when the deadline has passed.
        """
        return self._insist(partial(asyncio.to_thread, call), takes_place=True)

    def ask_within_limit(self, call: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """Return the answer of one call that counts against Stitch's limit, as `ask` does."""
        return self._insist(partial(self.try_within_limit, call))

    async def sources(self) -> list[Source]:
        """Return the account's sources, asked for once for all in this event loop who want them now.

        A thousand tasks may begin at once, and a list may hold thousands of sources.

        :raises StitchError: as with `ask`.
        """
        lists = _source_lists.setdefault(asyncio.get_running_loop(), {})
        if self.client not in lists:
            lists[self.client] = SharedCall(partial(asyncio.to_thread, self.client.list_sources))
        return await self._insist(lists[self.client].answer)

    async def _insist(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        takes_place: bool = False,
    ) -> T:
        """Return what an attempt returns that is made again as long as Stitch does not answer.

        :param takes_place: each attempt waits for one of a few places.
        """
        attempts = Attempts()
        taken = places() if takes_place else None
        while True:
            if taken is not None:
                await taken.acquire()
            try:
                return await attempt()
            except StitchError as error:
                may_go_on = attempts.may_go_on(error)
                pause = pause_before_retry(attempts.number, getattr(error, "retry_after", None))
                if not may_go_on or pause > self.seconds_left():
                    raise
                if attempts.number == 1:
                    await self._warn_in_turn(f"{error} Asking again until it answers.")
            finally:
                if taken is not None:
                    taken.release()
            await self.clock.sleep(pause)

    async def _warn_in_turn(self, line: str) -> None:
        await self.clock.sleep(NEWS.take())
        self._warn(line)

    async def try_within_limit(self, call: Callable[[], T]) -> T:
        """Return the answer of one call that counts against Stitch's limit, or raise what it raised."""
        budget = self.budget
        while wait := await asyncio.to_thread(budget.take):
            await self.clock.sleep(wait)
        try:
            return await asyncio.to_thread(with_request_acquired, call)
        except RateLimited as error:
            await asyncio.to_thread(budget.block, error.retry_after or budget.spacing)
            raise
        finally:
            await asyncio.to_thread(budget.give_back)

    # --- What is planned for all who wait ---------------------------------------------------------------

    @property
    def watch(self) -> AccountWatch:
        """The account's watch in this event loop, once this is open."""
        return account_watch(
            self.account, lambda: AccountReader(self.client, clock=self.clock, budget=self.budget)
        )

    async def extraction_of(self, source_id: int) -> Told[Extraction | None] | None:
        """Return the source's listed extraction, its last completed one, asked for at once: see `told`."""
        await self.open(source_id)
        return await self.told(ExtractionWant(self.client, None, FROM_NOW_ON, source_id), None)

    async def told(self, want: Want[T], until: float | None) -> Told[T] | None:
        """Return what answers a want; or None if nothing did in time.

        :param until: seconds since the epoch up to which it may be planned; None wants it at once.
        :raises StitchError: what Stitch, or the way to it, has against it.
        """
        want.urgent = until is None
        want.reports_budget = not self._waited_for_budget
        want.until = min(float("inf") if at is None else at for at in (until, self.deadline))
        watch = self.watch
        while True:
            try:
                told = await watch.begin(want)
            finally:
                watch.end(want)
            if not isinstance(told, Notice):
                break
            if told.is_budget:
                want.reports_budget, self._waited_for_budget = False, True
            await self._warn_in_turn(told.line)
        if told is None and self.seconds_left() <= 0:
            if watch.trouble is not None:
                raise watch.trouble
            wait = (await asyncio.to_thread(self.budget.window)).free_in[0]
            if wait > 0 and not self._was_told:
                raise _out_of_requests(wait, self.time_limit)
        self._was_told = self._was_told or told is not None
        return told


_source_lists: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[StitchClient, SharedCall[list[Source]]]]
_source_lists = WeakKeyDictionary()


def _out_of_requests(wait: float, time_limit: str) -> PhaseTimedOut:
    return PhaseTimedOut(
        f"The task's {time_limit} has passed, and no status request of the task was answered: the account's "
        "requests of these 10 minutes are used up, or Stitch asked for a pause, and the next one is free in "
        f"{wait:.0f} s. Raise the {time_limit}, or let fewer tasks wait at once."
    )
