"""Test the poller's asyncio task, clock changes during a wait, and sources with several records."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.replication.polling.completion import CompletionEstimate
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.account import SimulatedAccount
from simulated_stitch.large_account import (
    LargeAccount,
    extraction_of,
)
from tests.support.polled_account import SOURCES, PolledAccount


@pytest.mark.parametrize("hours", [-2, 2])
def test_waiter_detects_the_end_of_its_phase_if_the_clock_was_set(hours):
    """After the clock is set back by hours, a scheduled request must not be sent hours late."""
    account = PolledAccount()
    stitch = SimulatedAccount(account.loop, sources=1)

    async def scenario():
        job = stitch.start_job(0, duration=3600, flush_offsets=[3500] * 3, load_lags=[600] * 3)
        account.loop.call_later(1000, setattr, account.clock, "offset", hours * 3600)
        source = stitch.sources[0]
        goal = Goal("loading", source.id, source.name, stitch.client_id, job_name=job.name)
        outcome = await Waiter(account.session(stitch), goal).wait()
        return outcome.error, account.loop.time() - max(job.loaded_at)

    error, delay = account.run(scenario)

    assert error is None
    assert 0 <= delay < 300


def test_short_poll_interval_does_not_delay_other_waiters():
    account = PolledAccount()
    stitch = SimulatedAccount(account.loop, sources=300)  # the account has three pages of extractions

    async def wait_for(number: int, duration: float, poll_interval: float | None = None) -> float:
        job = stitch.start_job(
            number, duration=duration, flush_offsets=[duration - 100] * 3, load_lags=[200] * 3
        )
        source = stitch.sources[number]
        goal = Goal("loading", source.id, source.name, stitch.client_id, job_name=job.name)
        outcome = await Waiter(account.session(stitch), goal, poll_interval=poll_interval).wait()
        assert outcome.error is None
        return account.loop.time() - max(job.loaded_at)

    async def scenario() -> list[float]:
        eager = wait_for(5, 3600, poll_interval=1)
        return await asyncio.gather(eager, *(wait_for(number, 700) for number in (110, 150, 220, 290)))

    eager, *others = account.run(scenario)

    # Without the eager waiter's poll interval, the other waiters would be up to 121 s late.
    assert max(others) < 180
    assert eager < 180
    assert busiest_window(stitch.limited_request_times) <= 30


def busiest_window(times: list[float]) -> int:
    """Return the maximum number of requests in any period of 10 minutes."""
    return max(sum(at - 600 < each <= at for each in times) for at in times)


def test_newest_record_counts_if_a_source_has_two_on_one_page(account):
    """The list may contain an outdated record of a source before or after its current record."""
    stale = extraction_of(SOURCES[0], f"104857.{SOURCES[0]}.sync.{uuid_at(1)}")
    newest = extraction_of(SOURCES[0], f"104857.{SOURCES[0]}.sync.{uuid_at(2)}")
    others = [extraction_of(each) for each in SOURCES[1:]]
    for records in ([stale, newest, *others], [newest, stale, *others]):
        account = PolledAccount(LargeAccount(extractions=records))
        result = account.run(lambda account=account: account.session().query_extraction(SOURCES[0]))
        assert result.value == newest


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("index", [99, 199])
@pytest.mark.parametrize("page_is_cached", [True, False])
def test_newest_record_counts_if_a_source_has_two_on_adjacent_pages(newest_first, index, page_is_cached):
    source_id = SOURCES[index]
    stale = extraction_of(source_id, f"104857.{source_id}.sync.{uuid_at(1)}")
    newest = extraction_of(source_id, f"104857.{source_id}.sync.{uuid_at(2)}")
    before, after = (
        [extraction_of(each) for each in part] for part in (SOURCES[:index], SOURCES[index + 1 :])
    )
    listed = [newest, stale] if newest_first else [stale, newest]
    client = LargeAccount(extractions=[*before, *listed, *after])
    account = PolledAccount(client)

    async def scenario():
        if page_is_cached:
            await account.session().query_extraction(source_id)
            client.requests.clear()
        return await account.session().query_extraction(source_id)

    assert account.run(scenario).value == newest
    assert len(client.requests) <= 3


def test_source_at_the_end_of_a_page_costs_two_requests_per_query(account):
    """If the source has a second record, that record is the first record on the next page."""

    async def scenario():
        for _ in range(5):
            result = await account.session().query_extraction(SOURCES[99])
        return result.value.source_id

    assert account.run(scenario) == SOURCES[99]
    assert len(account.client.requests) <= 10


def uuid_at(number: int) -> str:
    """Return a version 1 UUID. A higher number produces a UUID with a later time."""
    return f"{number * 1000:08x}-9a09-11f1-a2c4-06b1e2c4a85d"


def test_poller_stops_after_its_last_waiter(account):
    async def scenario():
        before = asyncio.all_tasks()
        waiting = [asyncio.ensure_future(account.scheduled_query(source_id)) for source_id in SOURCES[:3]]
        await asyncio.sleep(0.01)
        during = asyncio.all_tasks() - before - set(waiting)
        await asyncio.gather(*waiting)
        await asyncio.sleep(60)
        after = asyncio.all_tasks() - before
        requests_before = len(account.client.requests)
        await asyncio.sleep(3600)
        return len(during) > 0, len(after), len(account.client.requests) - requests_before

    assert account.run(scenario) == (True, 0, 0)


def test_poller_restarts_for_the_next_waiter(account):
    async def scenario():
        first = await account.scheduled_query()
        await asyncio.sleep(3600)
        second = await account.scheduled_query(after_sequence=first.sequence)
        return second.sequence - first.sequence

    assert account.run(scenario) == 1


def test_error_in_the_scheduler_fails_all_waiters(account, mocker):
    mocker.patch(
        "airflow_provider_stitch.replication.polling.poller.next_request",
        side_effect=ZeroDivisionError("plan"),
    )

    async def scenario():
        waiting = [account.scheduled_query(source_id) for source_id in SOURCES[:5]]
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in account.run(scenario)] == [ZeroDivisionError] * 5


def test_error_in_handling_a_page_fails_all_waiters(account, mocker):
    """The page cache raises an error if it cannot sort the records on a page."""
    mocker.patch(
        "airflow_provider_stitch.replication.polling.page_cache.PageCache.add",
        side_effect=TypeError("unorderable"),
    )

    async def scenario():
        waiting = [account.scheduled_query(source_id) for source_id in SOURCES[:5]]
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in account.run(scenario)] == [TypeError] * 5


def test_poller_serves_the_next_waiter_after_an_error(account, mocker):
    patched = mocker.patch(
        "airflow_provider_stitch.replication.polling.poller.next_request",
        side_effect=ZeroDivisionError("plan"),
    )

    async def scenario():
        with pytest.raises(ZeroDivisionError):
            await account.scheduled_query()
        mocker.stop(patched)
        return (await account.scheduled_query()).value.source_id

    assert account.run(scenario) == SOURCES[0]


def test_query_that_expires_returns_none(account):
    """If the job may have ended, the poller polls the page within 5 minutes."""

    async def scenario():
        now = account.clock.time()
        never = CompletionEstimate(last_checked_at=now, since=now + 86_400)
        result = await account.scheduled_query(estimate=never, until=now + 300)
        return result, account.clock.time() - now

    result, seconds = account.run(scenario)

    assert result is None
    assert seconds == pytest.approx(300, abs=1)
    assert account.client.requests == []
