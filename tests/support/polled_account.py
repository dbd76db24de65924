"""Simulate an account that tasks poll in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate
from airflow_provider_stitch.replication.polling.queries import (
    ANY_CACHED,
    FRESH_ONLY,
    ExtractionQuery,
    LoadsQuery,
    LogQuery,
)
from airflow_provider_stitch.replication.session import AccountSession
from simulated_stitch.large_account import LargeAccount, extraction_of
from simulated_stitch.virtual_time import VirtualClock, VirtualLoop, run

SOURCES = list(range(310_000, 310_250))
"""The ids of 250 sources. The list of their extractions has 3 pages."""


class PolledAccount:
    """A simulated account, and the event loop in which tasks poll the account."""

    def __init__(self, client: Any = None, limit: int = 30) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.client = client or LargeAccount(extractions=[extraction_of(each) for each in SOURCES])
        self.budget = RequestBudget(limit, monotonic=self.loop.time)
        self.warnings: list[str] = []

    def session(self, client: Any = None, *, timeout: float | None = None) -> AccountSession:
        return AccountSession(
            StitchCaller(client or self.client, clock=self.clock, budget=self.budget),
            deadline=None if timeout is None else self.clock.time() + timeout,
            on_warning=self.warnings.append,
        )

    async def scheduled_query(self, source_id: int = SOURCES[0], client: Any = None, **options: Any) -> Any:
        """Query the extractions of a source. The scheduler decides when to send the request."""
        session = self.session(client, timeout=options.pop("timeout", None))
        return await scheduled_query(session, source_id, **options)

    async def next_request(self, *, latency: float) -> None:
        """Wait until the next request is in flight.

        :param latency: number of seconds until the response to this request arrives.
        """
        sent = asyncio.Event()

        def respond_late() -> None:
            self.loop.latency = latency
            sent.set()

        self.client.before_each = respond_late
        await sent.wait()

    def run(self, scenario: Callable[[], Any]) -> Any:
        return run(self.loop, scenario())


async def scheduled_query(
    session: AccountSession,
    source_id: int,
    *,
    estimate: CompletionEstimate | None = None,
    after_sequence: int = FRESH_ONLY,
    until: float = math.inf,
) -> Any:
    now = session.clock.time()
    await session.resolve_account(source_id)
    estimate = estimate or CompletionEstimate(last_checked_at=now, since=now)
    return await session.query(ExtractionQuery(session.client, estimate, after_sequence, source_id), until)


async def query_loads(
    session: AccountSession, source_name: str, streams: list[str] | None = None, *, fresh: bool = False
) -> Any:
    """Query the loads of a source. The scheduler does not delay the query.

    :param streams: query only the loads of these streams.

    :param fresh: whether to ignore cached pages.
    """
    await session.call(lambda: session.client.client_id)
    expected = None if streams is None else [((stream,), 1) for stream in streams]
    after_sequence = session.poller.latest_sequence if fresh else ANY_CACHED
    query = LoadsQuery(session.client, None, after_sequence, source_name, expected)
    return await session.query(query, expires_at=None)


async def query_log(session: AccountSession, job_name: str) -> Any:
    """Query the extraction log of a job. The scheduler does not delay the query."""
    await session.call(lambda: session.client.client_id)
    return await session.query(LogQuery(session.client, None, ANY_CACHED, job_name), expires_at=None)
