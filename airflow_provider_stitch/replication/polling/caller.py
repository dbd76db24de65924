"""Call Stitch on behalf of one account.

Each call runs in a thread. All methods except `call_limited` retry a call after a transient failure.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_stitch.connect.errors import RateLimited, StitchError
from airflow_provider_stitch.replication.budget.accounts import account_budget
from airflow_provider_stitch.replication.budget.client_limiter import run_with_acquired_request
from airflow_provider_stitch.replication.polling.backoff import Attempts
from airflow_provider_stitch.replication.polling.concurrency import SingleFlight, request_slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.budget.limiter import RequestBudget

T = TypeVar("T")

# Seconds by which the choice of a request is delayed, so that all tasks that start at the same time are
# considered.
GATHERING_SECONDS = 0.05


class Clock(Protocol):
    """This machine's clock, which is used for pauses and deadlines.

    Stitch's own time is taken from responses.
    """

    def time(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def pause(self, seconds: float, wake_up: asyncio.Event, *, request_in_flight: bool) -> None:
        """Sleep until `wake_up` is set, but for at most `seconds`.

        :param request_in_flight: whether a request is in flight. A request in flight sets `wake_up` when it
            ends.
        """


class SystemClock:
    """The clock of this machine."""

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def pause(self, seconds: float, wake_up: asyncio.Event, *, request_in_flight: bool) -> None:  # noqa: ARG002
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wake_up.wait(), seconds if seconds < float("inf") else None)
        await asyncio.sleep(GATHERING_SECONDS)


SYSTEM_CLOCK = SystemClock()


class StitchCaller:
    """Calls the client of one account from an event loop.

    :param client: a client that does not retry failed calls. The caller retries failed calls without blocking
        a thread.
    :param budget: the budget of the rate-limited requests. By default, the caller uses the shared budget of
        the account.
    :param budget_folder: the folder through which the processes on this host share the account's budget. If
        None, the budget is not shared.
    """

    def __init__(
        self,
        client: StitchClient,
        *,
        clock: Clock = SYSTEM_CLOCK,
        budget: RequestBudget | None = None,
        budget_folder: Path | None = None,
    ) -> None:
        self.client = client
        self.clock = clock
        self._budget = budget
        self._budget_client: StitchClient | None = None  # None if the budget was passed as an argument
        self._budget_folder = budget_folder

    @property
    def account(self) -> tuple[str, int]:
        """The base URL and client ID of the account.

        :raises RuntimeError: if the client ID is not resolved yet.
        """
        client_id = self.client.known_client_id
        if client_id is None:
            raise RuntimeError("The client ID of this account is not resolved yet.")
        return self.client.base_url, client_id

    @property
    def budget(self) -> RequestBudget:
        """The account's request budget. The client ID must be resolved before the budget is used."""
        # A new client, for example with another token, may have a different limit.
        if self._budget is None or self._budget_client not in (None, self.client):
            self._budget = account_budget(
                self.account,
                self.client.requests_per_10_minutes,
                self._budget_folder,
                connection_id=self.client.connection_id,
                redis=self.client.redis,
            )
            self._budget_client = self.client
        return self._budget

    def seconds_until(self, deadline: float | None) -> float:
        """Return the number of seconds until a deadline, or infinity if the deadline is None."""
        return float("inf") if deadline is None else deadline - self.clock.time()

    def call(
        self,
        function: Callable[[], T],
        *,
        deadline: float | None = None,
        time_limit: str = "timeout",
        on_outage: Callable[[str], Awaitable[None]],
    ) -> Coroutine[Any, Any, T]:
        """Run a function in a thread, and retry it after transient failures. See `retry` for the parameters.

        This method is not a coroutine, which saves memory if a thousand tasks wait for a slot.
        """

        async def call_in_slot() -> T:
            async with request_slots():
                return await asyncio.to_thread(function)

        return self.retry(call_in_slot, deadline=deadline, time_limit=time_limit, on_outage=on_outage)

    async def call_limited(self, function: Callable[[], T]) -> T:
        """Run a function that sends one rate-limited request.

        The function runs in a thread as soon as the budget has a free request. Failures are not retried.
        """
        budget = self.budget
        while wait := await asyncio.to_thread(budget.acquire):
            await self.clock.sleep(wait)
        try:
            return await asyncio.to_thread(run_with_acquired_request, function)
        except RateLimited as error:
            await asyncio.to_thread(budget.block, error.retry_after or budget.even_interval)
            raise
        finally:
            await asyncio.to_thread(budget.release)

    async def list_sources(
        self,
        *,
        deadline: float | None = None,
        time_limit: str = "timeout",
        on_outage: Callable[[str], Awaitable[None]],
    ) -> list[Source]:
        """Return the account's sources.

        Concurrent callers in this event loop share one request, because a thousand tasks may start at once
        and a list may contain thousands of sources.
        """
        lists = _source_lists.setdefault(asyncio.get_running_loop(), {})
        if self.client not in lists:
            lists[self.client] = SingleFlight(partial(asyncio.to_thread, self.client.list_sources))
        result = lists[self.client].result
        return await self.retry(result, deadline=deadline, time_limit=time_limit, on_outage=on_outage)

    async def retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        deadline: float | None,
        time_limit: str,
        on_outage: Callable[[str], Awaitable[None]],
    ) -> T:
        """Return the result of the first attempt that does not fail with a transient error.

        :param deadline: when to give up, in seconds since the epoch. If None, there is no deadline.
        :param time_limit: name of the task's time limit that determines the deadline, for error messages.
        :param on_outage: a function that receives a message for the log after the first failure.
        :raises StitchError: if the last attempt fails.
        """
        attempts = Attempts()
        while True:
            try:
                return await attempt()
            except StitchError as error:
                pause = attempts.next_pause(error, self.seconds_until(deadline))
                if pause is None:
                    raise attempts.last_error(error, time_limit) from None
                if attempts.number == 1:
                    await on_outage(f"{error} Retrying until Stitch responds.")
            await self.clock.sleep(pause)


_source_lists: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[StitchClient, SingleFlight[list[Source]]]]
_source_lists = WeakKeyDictionary()
