"""Test the rate limiter for clients in a user's own code."""

from __future__ import annotations

import asyncio
import logging

import pytest

from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    RateLimited,
    StitchConfigurationError,
)
from airflow_provider_stitch.replication.budget.client_limiter import ClientLimiter
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.budget.window import WINDOW
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from tests.support.budget_worker import Time


class Sleeper(Time):
    """A clock that advances only when `sleep` is called."""

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time():
    return Sleeper()


@pytest.fixture
def budget(time):
    return RequestBudget(3, monotonic=time)


@pytest.fixture
def client(waiter, time, budget):
    waiter.client.request_budget = ClientLimiter(
        waiter.client, budget=budget, sleep=time.sleep, monotonic=time
    )
    return waiter.client


def used(budget: RequestBudget) -> int:
    return sum(wait > 0 for wait in budget.window().available_in)


def test_client_acquires_each_extraction_page_load_page_and_log(stitch, client, budget):
    client.list_extractions()
    client.list_loads()
    with pytest.raises(ExtractionLogNotFound):
        client.get_extraction_log("104857.1.sync.00000000-0000-1000-8000-000000000000")

    assert used(budget) == 3
    assert len(stitch.limited_requests) == 3


def test_client_acquires_no_other_requests(stitch, client, budget):
    source_id = stitch.add_source("github", streams={"commits": 1})
    client.list_sources()
    client.list_streams(source_id)
    client.start_replication_job(source_id)

    assert used(budget) == 0


def test_call_waits_for_a_free_request_and_logs_it_once(client, time, budget, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(3):
        client.list_loads()

    client.list_loads()

    assert time.now == WINDOW
    lines = [each.getMessage() for each in caplog.records if "Waiting for a free" in each.getMessage()]
    assert len(lines) == 1
    assert "account 104857" in lines[0]
    assert "600 s" in lines[0]


def test_call_that_would_wait_too_long_raises_rate_limited(waiter, time, budget):
    client = waiter.client
    client.request_budget = ClientLimiter(client, budget=budget, timeout=60, sleep=time.sleep, monotonic=time)
    for _ in range(3):
        client.list_loads()
    time.now = 100

    with pytest.raises(RateLimited, match=r"next request is free in 500 s.*at most 60 s") as caught:
        client.list_loads()

    assert caught.value.retry_after == 500
    assert caught.value.maybe_received is False
    assert time.now == 100


def test_many_calls_stay_within_the_limit(stitch, client, time):
    for _ in range(12):
        client.list_extractions()

    assert len(stitch.limited_requests) == 12
    assert time.now == 3 * WINDOW


def test_rejection_with_429_blocks_the_budget(stitch, client, budget):
    stitch.fail("GET", "/loads", status=429, headers={"Retry-After": "90"})

    with pytest.raises(RateLimited):
        client.list_loads()

    assert budget.acquire() == 90


def test_each_attempt_of_a_retried_call_is_acquired(stitch, client, budget):
    stitch.fail("GET", "/loads", status=500, times=1)

    client._transport._sleep = lambda _: None
    client.with_retries(60).list_loads()

    assert used(budget) == 2


def test_request_of_a_waiting_task_is_acquired_once(client, time, budget):
    """The event loop counts the requests of a waiting task, so the client must not count them too."""
    caller = StitchCaller(client, budget=budget)

    asyncio.run(caller.call_limited(client.list_loads))

    assert used(budget) == 1


def test_negative_timeout_is_rejected(waiter):
    with pytest.raises(StitchConfigurationError, match="budget_timeout"):
        ClientLimiter(waiter.client, timeout=-1)
