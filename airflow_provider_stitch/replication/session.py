"""One task's access to its Stitch account, within the task's deadline."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.connect.errors import PhaseTimedOut
from airflow_provider_stitch.replication.budget.window import WINDOW
from airflow_provider_stitch.replication.polling.backoff import with_time_limit
from airflow_provider_stitch.replication.polling.log_throttle import PROGRESS_LOG
from airflow_provider_stitch.replication.polling.poller import AccountPoller, account_poller
from airflow_provider_stitch.replication.polling.queries import FRESH_ONLY, ExtractionQuery, Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Extraction, Source
    from airflow_provider_stitch.replication.budget.limiter import RequestBudget
    from airflow_provider_stitch.replication.polling.caller import Clock, StitchCaller
    from airflow_provider_stitch.replication.polling.queries import Query, QueryResult

T = TypeVar("T")


class AccountSession:
    """Sends requests to one account on behalf of one task.

    :param deadline: when to stop retrying requests during an outage, in seconds since the epoch. If None,
        requests are retried forever.
    :param time_limit: name of the time limit that determines the deadline, for error messages.
    :param on_warning: a function that is called with one line per outage, and with one line when the task
        first waits for the budget.
    """

    def __init__(
        self,
        caller: StitchCaller,
        *,
        deadline: float | None = None,
        time_limit: str = "timeout",
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.caller = caller
        self.deadline = deadline
        self.time_limit = time_limit
        self._on_warning = on_warning
        self.requests_sent = 0  #: number of status requests that were sent for the session
        self._has_waited_for_budget = False
        self._has_result = False

    @property
    def client(self) -> StitchClient:
        """The client of the connection. Assign a new client when the connection's token has changed."""
        return self.caller.client

    @client.setter
    def client(self, client: StitchClient) -> None:
        self.caller.client = client

    @property
    def clock(self) -> Clock:
        return self.caller.clock

    @property
    def account(self) -> tuple[str, int]:
        """The base URL and client ID of the account. Call `resolve_account` first."""
        return self.caller.account

    @property
    def budget(self) -> RequestBudget:
        """The request budget that all sessions of the account share. Call `resolve_account` first."""
        return self.caller.budget

    @property
    def poller(self) -> AccountPoller:
        """The poller for all sessions of the account in this event loop. Call `resolve_account` first."""
        return account_poller(self.caller)

    def seconds_left(self) -> float:
        """Return the number of seconds until the deadline, or infinity if there is no deadline."""
        return self.caller.seconds_until(self.deadline)

    def pause_after(self, requests: int) -> float:
        """Return the number of seconds to pause after a number of requests.

        The pause prevents the process from exceeding its share of the budget. If the account's processes
        share responses through Redis, a request serves all processes, so the share is the whole budget. This
        method may read the budget's file.
        """
        if self.client.known_client_id is None:
            return 0.0
        if self.client.redis is not None:
            return self.budget.even_interval * requests
        return WINDOW / self.budget.window().share * requests

    def stitch_time(self, result: QueryResult[Any] | None = None) -> datetime:
        """Return the time of a result, or the current time if there is no result, by Stitch's clock.

        If a result contains no time, the age of the result is subtracted from the current time. The current
        time is derived from Stitch's responses (see `StitchClient.stitch_time`). This machine's clock is used
        only if no response has contained a time, either in its `Date` header or in a record.
        """
        if result is not None and result.stitch_time is not None:
            return result.stitch_time
        now = self.client.stitch_time or datetime.fromtimestamp(self.clock.time(), timezone.utc)
        age = 0.0 if result is None else self.clock.time() - result.requested_at
        return now - timedelta(seconds=age if 0 < age < float("inf") else 0.0)

    async def resolve_account(self, source_id: int) -> None:
        """Determine the account's client ID from one of its sources, unless the client ID is known.

        The budget and the poller require the client ID.
        """
        if self.client.known_client_id is None:
            await self.call(lambda: self.client.client_id_from_source(source_id))

    def call(self, function: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """Run a function in a thread and return its result. The function may send requests.

        :raises StitchError: if a request fails. Transient errors are retried until the deadline.
        """
        return self.caller.call(
            function, deadline=self.deadline, time_limit=self.time_limit, on_outage=self._log_warning
        )

    async def list_sources(self) -> list[Source]:
        """Return the account's sources. Concurrent sessions in this event loop share one request.

        :raises StitchError: see `call`.
        """
        return await self.caller.list_sources(
            deadline=self.deadline, time_limit=self.time_limit, on_outage=self._log_warning
        )

    async def query_extraction(self, source_id: int) -> QueryResult[Extraction | None] | None:
        """Poll the source's last completed extraction as soon as the budget allows. See `query`."""
        await self.resolve_account(source_id)
        return await self.query(ExtractionQuery(self.client, None, FRESH_ONLY, source_id), None)

    async def query(self, query: Query[T], expires_at: float | None) -> QueryResult[T] | None:
        """Return the result of a query, or None if the query expires.

        :param expires_at: the latest time for which the poller may schedule the request, in seconds since the
            epoch. If None, the request is sent as soon as the budget allows.
        :raises StitchError: if the request fails, or if the deadline passes without any result.
        """
        query.immediate = expires_at is None
        query.expects_budget_notice = not self._has_waited_for_budget
        query.expires_at = min(float("inf") if at is None else at for at in (expires_at, self.deadline))
        poller = self.poller
        while True:
            try:
                result = await poller.submit(query)
            finally:
                poller.cancel(query)
                self.requests_sent, query.requests_sent = self.requests_sent + query.requests_sent, 0
            if not isinstance(result, Notice):
                break
            if result.is_budget_wait:
                query.expects_budget_notice, self._has_waited_for_budget = False, True
            await self._log_warning(result.message)
        if result is not None:
            self._has_result = True
        elif self.seconds_left() <= 0:
            await self._raise_if_unanswered()
        return result

    async def _raise_if_unanswered(self) -> None:
        outage_error = self.poller.outage_error
        if outage_error is not None:
            raise with_time_limit(outage_error, self.time_limit)
        wait = (await asyncio.to_thread(self.budget.window)).available_in[0]
        if wait > 0 and not self._has_result:
            raise _out_of_requests(wait, self.time_limit, self.requests_sent)

    async def _log_warning(self, line: str) -> None:
        await self.clock.sleep(PROGRESS_LOG.reserve_slot())
        self._on_warning(line)


def _out_of_requests(wait: float, time_limit: str, requests_sent: int) -> PhaseTimedOut:
    return PhaseTimedOut(
        f"The task's {time_limit} has passed before the task received a response to a status request. The "
        "account's requests for the last 10 minutes are used up, or Stitch requested a pause. The next "
        f"request is free in {wait:.0f} s. Status requests sent: {requests_sent}. Raise the {time_limit}, or "
        "let fewer tasks wait at the same time."
    )
