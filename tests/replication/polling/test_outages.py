"""Test the poller during an outage."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    PhaseTimedOut,
    RateLimited,
    StitchUnavailable,
)
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate
from airflow_provider_stitch.replication.session import AccountSession
from simulated_stitch.large_account import (
    LargeAccount,
    extraction_of,
)
from tests.replication.polling.accounts import failing, job_of
from tests.support.polled_account import SOURCES, PolledAccount, query_log, scheduled_query


def test_outage_delays_all_requests_and_each_waiter_logs_it_once():
    account = PolledAccount(failing(StitchUnavailable("Stitch is down."), times=8))
    warnings: Counter[int] = Counter()

    async def wait(number: int) -> Any:
        session = AccountSession(
            StitchCaller(account.client, clock=account.clock, budget=account.budget),
            on_warning=lambda line: warnings.update([number]),
        )
        now = account.clock.time()
        source_id = SOURCES[number]
        return await scheduled_query(session, source_id, estimate=CompletionEstimate(now, now))

    async def scenario():
        return await asyncio.gather(*(wait(number) for number in range(0, 250, 10)))

    results = account.run(scenario)

    assert [each.value.source_id for each in results] == SOURCES[::10]
    assert warnings == dict.fromkeys(range(0, 250, 10), 1)
    assert len(account.client.requests) <= 8 + 3, "one request at a time tests whether the outage has ended"


def failing_logs(error: Exception) -> LargeAccount:
    """Return a client that raises an error for every log request."""
    client = LargeAccount(extractions=[extraction_of(each) for each in SOURCES])

    def fail() -> None:
        if client.requests[-1][0] == "log":
            raise error

    client.before_each = fail
    return client


def test_unavailable_log_does_not_delay_other_queries():
    account = PolledAccount(failing_logs(StitchUnavailable("Stitch has a problem.")))

    async def scenario():
        log = asyncio.ensure_future(query_log(account.session(), job_of(SOURCES[0])))
        await asyncio.sleep(10)
        started_at = account.loop.time()
        for _ in range(10):
            await account.scheduled_query()
        seconds = account.loop.time() - started_at
        return seconds, *(await asyncio.gather(log, return_exceptions=True))

    seconds, error = account.run(scenario)

    assert seconds < 600
    assert isinstance(error, ExtractionLogUnavailable), "other requests succeed, so the log is unavailable"
    assert len(account.warnings) < 10, "other waiters do not log each failure of the log"


def test_failed_request_is_not_retried_after_its_waiter_is_cancelled():
    account = PolledAccount(failing_logs(StitchUnavailable("Stitch has a problem.")))

    async def scenario():
        log = asyncio.ensure_future(query_log(account.session(), job_of(SOURCES[0])))
        await asyncio.sleep(100)
        log.cancel()
        requests_before = len(account.client.requests)
        await asyncio.sleep(3600)
        return len(account.client.requests) - requests_before

    assert account.run(scenario) <= 1


@pytest.mark.parametrize("hours", [-2, 2])
def test_setting_the_clock_during_an_outage_does_not_prolong_the_wait(hours):
    account = PolledAccount(failing(StitchUnavailable("Stitch is down."), times=6))

    async def scenario():
        account.loop.call_later(20, setattr, account.clock, "offset", hours * 3600)
        started_at = account.loop.time()
        await account.scheduled_query(until=account.clock.time() + 24 * 3600)
        return account.loop.time() - started_at

    assert account.run(scenario) < 300


def test_retry_after_delays_all_requests_of_the_account():
    account = PolledAccount(failing(RateLimited("too many", retry_after=400.0), times=1))

    async def scenario():
        started_at = account.loop.time()
        results = await asyncio.gather(*(account.scheduled_query(source_id) for source_id in SOURCES[::50]))
        return results, account.loop.time() - started_at, account.client.requests

    results, seconds, requests = account.run(scenario)

    assert [each.value.source_id for each in results] == SOURCES[::50]
    assert seconds >= 400
    assert len(requests) <= 1 + 3


def test_waiter_that_starts_and_times_out_in_an_outage_reports_its_cause():
    account = PolledAccount(failing(StitchUnavailable("Stitch is down."), times=1000))

    async def scenario():
        first = asyncio.ensure_future(account.scheduled_query())
        await asyncio.sleep(300)
        with pytest.raises(StitchUnavailable, match="down"):
            await account.scheduled_query(timeout=60)
        first.cancel()

    account.run(scenario)


def test_timeout_reports_that_the_budget_was_used_up(account):
    for _ in range(30):
        account.budget.acquire()
        account.budget.release()

    async def scenario():
        with pytest.raises(PhaseTimedOut, match="requests for the last 10 minutes are used up"):
            await account.scheduled_query(timeout=60)

    account.run(scenario)
