"""Test that the waiters for an account share requests, cached pages and errors."""

from __future__ import annotations

import asyncio
import random

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    StitchUnauthorized,
    StitchUnavailable,
)
from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.replication.jobs import stop_job
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.account import SimulatedAccount
from simulated_stitch.large_account import (
    loads_by_stream_name,
)
from tests.replication.polling.accounts import failing, job_of
from tests.support.polled_account import SOURCES, PolledAccount, query_loads, query_log, scheduled_query


def test_poller_sends_one_request_for_all_waiters_of_one_page(account):
    async def scenario():
        return await asyncio.gather(*(account.scheduled_query(source_id) for source_id in SOURCES[:99] * 10))

    results = account.run(scenario)

    assert account.client.requests == [("extractions", 1)]
    assert [each.value.source_id for each in results] == SOURCES[:99] * 10


def test_query_after_the_latest_sequence_returns_a_newer_result(account):
    async def scenario():
        first = await account.scheduled_query()
        same = await account.scheduled_query(after_sequence=first.sequence - 1)
        newer = await account.scheduled_query(after_sequence=first.sequence)
        return same.sequence - first.sequence, newer.sequence - first.sequence

    assert account.run(scenario) == (0, 1)
    assert len(account.client.requests) == 2


def test_response_to_an_earlier_request_does_not_resolve_a_fresh_query(account):
    """Stitch may have created the earlier response before the second waiter's job ended."""

    async def scenario():
        first = asyncio.ensure_future(account.scheduled_query())
        await account.next_request(latency=30)
        second = await account.scheduled_query()
        return second.sequence - (await first).sequence

    assert account.run(scenario) == 1


def test_waiters_that_start_late_one_by_one_share_cached_pages():
    """Airflow starts mapped tasks one by one. Most of the tasks must find their jobs on cached pages."""
    account = PolledAccount()
    stitch = SimulatedAccount(account.loop, sources=60)

    async def wait(number: int) -> float:
        duration = 60.0 if number else 1000.0
        job = stitch.start_job(number, duration=duration, flush_offsets=[50] * 3, load_lags=[10] * 3)
        await asyncio.sleep(200 + 3 * number)
        wait_started = account.loop.time()
        source = stitch.sources[number]
        goal = Goal("extraction", source.id, source.name, stitch.client_id, job_name=job.name)
        outcome = await Waiter(account.session(stitch), goal).wait()
        assert outcome.error is None
        assert account.loop.time() >= job.ended_at
        return account.loop.time() - max(wait_started, job.ended_at)

    async def scenario():
        return await asyncio.gather(*(wait(number) for number in range(60)))

    delays = account.run(scenario)

    assert all(delay < 20 for delay in delays)
    requests_during_starts = [at for at in stitch.limited_request_times if at < 380]
    assert len(requests_during_starts) < 20  # only the waiter for the long job needs polls


def test_cancelled_waiter_does_not_cancel_a_shared_request(account):
    async def scenario():
        first = asyncio.ensure_future(account.scheduled_query())
        second = asyncio.ensure_future(account.scheduled_query())
        await account.next_request(latency=10)
        first.cancel()
        return (await second).value.source_id, first.cancelled()

    assert account.run(scenario) == (SOURCES[0], True)
    assert len(account.client.requests) == 1


def test_waiters_get_results_while_others_are_cancelled(account):
    """Some waiters are cancelled before the first request, and some while other waiters receive results."""
    rng = random.Random(5)

    async def scenario():
        waiting = [asyncio.ensure_future(account.scheduled_query(source_id)) for source_id in SOURCES]
        for each in waiting[::2]:
            account.loop.call_later(rng.uniform(0, 120), each.cancel)
        return await asyncio.gather(*waiting, return_exceptions=True)

    results = account.run(scenario)

    assert [each.value.source_id for each in results[1::2]] == SOURCES[1::2]


def test_waiter_cancelled_during_scheduling_does_not_affect_others(account, mocker):
    """A read of the budget can take seconds while other processes write to the budget file."""
    window = account.budget.window

    def slow_window():
        account.loop.latency = 2.0
        return window()

    mocker.patch.object(account.budget, "window", slow_window)

    async def scenario():
        cancelled = asyncio.ensure_future(account.session().query_extraction(SOURCES[0]))
        account.loop.call_later(1.0, cancelled.cancel)
        await asyncio.ensure_future(query_log(account.session(), job_of(310_001)))

    account.run(scenario)

    assert [kind for kind, _ in account.client.requests] == ["log"]


def test_last_waiter_cancelled_during_scheduling_leaves_no_error(account, mocker):
    """An error in the poller's task would appear in the triggerer's log without any explanation."""
    window = account.budget.window

    def slow_window():
        account.loop.latency = 2.0
        return window()

    mocker.patch.object(account.budget, "window", slow_window)

    async def scenario():
        while not account.budget.acquire():
            pass
        session = account.session()
        cancelled = asyncio.ensure_future(scheduled_query(session, SOURCES[0]))
        await asyncio.sleep(1.0)
        cancelled.cancel()
        await asyncio.sleep(5.0)
        return session.poller._run_task

    assert account.run(scenario).exception() is None


def test_rejected_token_fails_all_its_waiters_with_one_request():
    account = PolledAccount(failing(StitchUnauthorized("no")))

    async def scenario():
        waiting = [account.scheduled_query(source_id) for source_id in SOURCES[:100]]
        return await asyncio.gather(*waiting, return_exceptions=True)

    results = account.run(scenario)

    assert {type(each) for each in results} == {StitchUnauthorized}
    assert len(account.client.requests) == 1


def test_rejected_token_does_not_fail_waiters_with_another_token(account):
    revoked = failing(StitchUnauthorized("no"))

    async def scenario():
        with_revoked = [asyncio.ensure_future(account.scheduled_query(client=revoked)) for _ in range(3)]
        others = [asyncio.ensure_future(account.scheduled_query()) for _ in range(3)]
        return await asyncio.gather(*with_revoked, *others, return_exceptions=True)

    results = account.run(scenario)

    assert [type(each) for each in results[:3]] == [StitchUnauthorized] * 3
    assert [each.value.source_id for each in results[3:]] == [SOURCES[0]] * 3
    assert (len(revoked.requests), len(account.client.requests)) == (1, 1)


def test_waiter_with_a_later_deadline_outlasts_an_outage():
    account = PolledAccount(failing(StitchUnavailable("502"), times=12))

    async def scenario():
        short = asyncio.ensure_future(account.scheduled_query(timeout=60))
        long = asyncio.ensure_future(account.scheduled_query(timeout=3600))
        return await asyncio.gather(short, long, return_exceptions=True)

    short, long = account.run(scenario)

    assert isinstance(short, StitchUnavailable)
    assert str(short) == "502 Retries ended at the task's timeout."
    assert long.value.source_id == SOURCES[0]


def test_immediate_query_is_sent_before_scheduled_ones(account):
    account.client.loads = loads_by_stream_name(["github"], ["commits"])

    async def scenario():
        waiting = [asyncio.ensure_future(account.scheduled_query(source_id)) for source_id in SOURCES]
        await asyncio.sleep(1)
        requests_before = len(account.client.requests)
        await query_loads(account.session(), "github")
        for each in waiting:
            each.cancel()
        return account.client.requests[requests_before:]

    assert account.run(scenario)[0] == ("loads", 1)


def test_stop_does_not_rely_on_a_cached_extraction():
    """A trigger's `on_kill` can read the pages that waiters in the same event loop have cached."""
    with StitchEmulator(speed=1e-6) as stitch:
        github = stitch.add_source("github", streams={"commits": 1})
        client = StitchClient(stitch.access_token, base_url=stitch.url, client_id=stitch.client_id)
        ours = stitch.start_job(github)
        goal = Goal("extraction_end", github, "github", stitch.client_id, job_name=ours.job_name)

        async def scenario():
            await AccountSession(StitchCaller(client)).query_extraction(github)
            stitch.advance(600)
            stitch.start_job(github, tap_seconds=9999)
            return await stop_job(AccountSession(StitchCaller(client)), goal)

        assert asyncio.run(scenario()) is False
        assert not stitch.jobs(github)[-1].stopped


def test_250_waiters_in_one_event_loop_keep_the_rate_limit():
    with StitchEmulator(speed=600) as stitch:
        ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(250)]
        jobs = {source_id: stitch.start_job(source_id).job_name for source_id in ids}
        # The limit of 30 requests in 10 minutes refers to real time. The test takes less than 10 minutes.
        client = StitchClient(stitch.access_token, base_url=stitch.url, client_id=stitch.client_id)

        async def wait(source_id):
            goal = Goal(
                "extraction", source_id, f"source_{source_id}", stitch.client_id, job_name=jobs[source_id]
            )
            return await Waiter(AccountSession(StitchCaller(client)), goal).wait()

        async def wait_for_all():
            return await asyncio.gather(*(wait(source_id) for source_id in ids))

        outcomes = asyncio.run(wait_for_all())

    assert {outcome.result["job_name"] for outcome in outcomes if outcome.error is None} == set(jobs.values())
    assert len(stitch.limited_requests) <= 30
