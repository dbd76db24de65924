"""Tests of polling one account for all waiters of an event loop: what they share, and what it costs."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from typing import Any

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    PhaseTimedOut,
    RateLimited,
    StitchUnauthorized,
    StitchUnavailable,
)
from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.replication.jobs import stop_job
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.account import SimulatedAccount
from simulated_stitch.large_account import (
    LargeAccount,
    extraction_of,
    loads_by_stream_id,
    loads_by_stream_name,
    sources_with,
)
from tests.support.polled_account import SOURCES, PolledAccount, query_loads, query_log, scheduled_query


@pytest.fixture
def account():
    return PolledAccount()


def failing(error: Exception, times: float = math.inf) -> LargeAccount:
    """Return a client that raises an error at its first requests.

    :param times: number of requests that fail.
    """
    client = LargeAccount(extractions=[extraction_of(each) for each in SOURCES])
    failures = 0

    def fail() -> None:
        nonlocal failures
        if failures < times:
            failures += 1
            raise error

    client.before_each = fail
    return client


@pytest.mark.parametrize("hours", [-2, 2])
def test_waiter_detects_the_end_of_its_phase_if_the_clock_was_set(hours):
    """A request that was scheduled before the clock was set back would be sent hours late."""
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
    stitch = SimulatedAccount(account.loop, sources=300)  # three pages of extractions

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

    # If the eager waiter has no poll interval, the others are up to 121 s late.
    assert max(others) < 180
    assert eager < 180
    assert busiest_window(stitch.limited_request_times) <= 30


def busiest_window(times: list[float]) -> int:
    """Return the maximum number of requests in any 10 minutes."""
    return max(sum(at - 600 < each <= at for each in times) for at in times)


def test_newest_record_counts_if_a_source_has_two_on_one_page(account):
    """The list may contain a stale record, before or after the current one."""
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
    """The source's second record, if it has one, is the first of the next page."""

    async def scenario():
        for _ in range(5):
            result = await account.session().query_extraction(SOURCES[99])
        return result.value.source_id

    assert account.run(scenario) == SOURCES[99]
    assert len(account.client.requests) <= 10


def job_of(source_id: int) -> str:
    return f"104857.{source_id}.sync.00000000-0000-1000-8000-000000000000"


def uuid_at(number: int) -> str:
    """Return a version-1 UUID; a greater number means a later time."""
    return f"{number * 1000:08x}-9a09-11f1-a2c4-06b1e2c4a85d"


# --- Shared requests and results ------------------------------------------------------------------------


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
    """Stitch may have created the response before the second waiter's job ended."""

    async def scenario():
        first = asyncio.ensure_future(account.scheduled_query())
        await account.next_request(latency=30)
        second = await account.scheduled_query()
        return second.sequence - (await first).sequence

    assert account.run(scenario) == 1


def test_waiters_that_start_late_one_by_one_share_cached_pages():
    """Airflow starts mapped tasks one by one; each task must not use up a request."""
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
    assert len(requests_during_starts) < 20  # for the waiter with the long job


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
    """Some are cancelled while others get their results, and some before any request is sent."""
    rng = random.Random(5)

    async def scenario():
        waiting = [asyncio.ensure_future(account.scheduled_query(source_id)) for source_id in SOURCES]
        for each in waiting[::2]:
            account.loop.call_later(rng.uniform(0, 120), each.cancel)
        return await asyncio.gather(*waiting, return_exceptions=True)

    results = account.run(scenario)

    assert [each.value.source_id for each in results[1::2]] == SOURCES[1::2]


def test_waiter_cancelled_during_scheduling_does_not_affect_others(account, mocker):
    """Reading the budget may take seconds, because other processes write to its file."""
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
    """An error of the poller's task would appear in the triggerer's log, without a cause."""
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
    """A trigger's `on_kill` shares the pages that the waiters of its event loop have cached."""
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
        # The limit is 30 requests in 10 real minutes, and the test takes less time.
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


# --- The poller's own task ------------------------------------------------------------------------------


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
    """The page cache raises an error if the records of a page cannot be sorted."""
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
    """A page is polled within 5 minutes unless the job has certainly not ended."""

    async def scenario():
        now = account.clock.time()
        never = CompletionEstimate(last_checked_at=now, since=now + 86_400)
        result = await account.scheduled_query(estimate=never, until=now + 300)
        return result, account.clock.time() - now

    result, seconds = account.run(scenario)

    assert result is None
    assert seconds == pytest.approx(300, abs=1)
    assert account.client.requests == []


# --- Outages --------------------------------------------------------------------------------------------


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
    """Return a client that raises an error at each request for a log."""
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
        with pytest.raises(PhaseTimedOut, match="requests of these 10 minutes are used up"):
            await account.scheduled_query(timeout=60)

    account.run(scenario)


# --- Large accounts -------------------------------------------------------------------------------------

MANY = list(range(300_000, 310_000))
"""10,000 sources: 100 pages of extractions and 1,000 pages of loads."""

STREAMS = [f"stream_{number}" for number in range(10)]


def name_of(source_id: int) -> str:
    return f"source_{source_id * 7919 % 1_000_003}"  # so that names and ids are in different orders


@pytest.fixture(scope="module")
def many_extractions():
    return [extraction_of(each) for each in MANY]


@pytest.fixture(scope="module")
def many_loads():
    return loads_by_stream_name(map(name_of, MANY), STREAMS)


def test_source_among_10000_is_found_in_logarithmically_many_requests(many_extractions):
    account = PolledAccount(LargeAccount(extractions=many_extractions), limit=1_500)

    async def scenario():
        costs = []
        for source_id in (MANY[7_777], MANY[7_850], MANY[7_777], MANY[0], MANY[-1]):
            before = len(account.client.requests)
            result = await account.session().query_extraction(source_id)
            assert result.value.source_id == source_id
            costs.append(len(account.client.requests) - before)
        return costs

    first, neighbour, repeated, *others = account.run(scenario)

    assert first <= 8
    assert (neighbour, repeated) == (1, 1)
    assert max(others) <= 8


class LoadSearches:
    """Successive searches for loads in an account with long lists."""

    def __init__(self, **lists: Any) -> None:
        self.client = LargeAccount(**lists)
        self.account = PolledAccount(self.client, limit=1_500)

    def costs(self, *searches: tuple[str, list[str]]) -> list[int]:
        """Return the number of limited requests of each search for streams of a source."""

        async def scenario():
            costs = []
            for source_name, streams in searches:
                before = len(self.client.requests)
                result = await query_loads(self.account.session(), source_name, streams, fresh=True)
                assert {load.stream_name for load in result.value} >= set(streams)
                costs.append(len(self.client.requests) - before)
            return costs

        return self.account.run(scenario)


SHOP, OTHER_SHOP = name_of(MANY[123]), name_of(MANY[9_876])


def test_load_is_found_in_logarithmically_many_requests_by_stream_name(many_loads):
    first, repeated, other, all_streams, all_repeated = LoadSearches(loads=many_loads).costs(
        (SHOP, STREAMS[:1]), (SHOP, STREAMS[:1]), (OTHER_SHOP, STREAMS[:1]), (SHOP, STREAMS), (SHOP, STREAMS)
    )

    assert first <= 12
    assert other <= 12
    assert repeated == 1
    # The 10 streams of the source are on 10 of the 1,000 pages, and each page is searched separately.
    assert all_streams <= 10 * 8
    assert all_repeated == 10


def test_load_is_found_in_logarithmically_many_requests_by_stream_id():
    """A load does not contain the id, but the source's streams do. Requests for streams are not limited."""
    sources = sources_with(STREAMS, map(name_of, MANY))
    searches = LoadSearches(loads=loads_by_stream_id(sources), sources=sources)

    first, repeated, other, all_streams, all_repeated = searches.costs(
        (SHOP, STREAMS[:1]), (SHOP, STREAMS[:1]), (OTHER_SHOP, STREAMS[:1]), (SHOP, STREAMS), (SHOP, STREAMS)
    )

    assert first <= 14
    assert other <= 12
    assert repeated == 1
    assert all_streams <= 2
    assert all_repeated <= 2
    assert searches.client.stream_requests <= 4 * len(searches.client.requests)


def test_loads_of_one_of_10000_sources_are_found_within_30_minutes(many_loads):
    account = PolledAccount(LargeAccount(loads=many_loads))

    async def scenario():
        started_at = account.loop.time()
        await query_loads(account.session(), SHOP, STREAMS)
        return account.loop.time() - started_at

    assert account.run(scenario) <= 3 * 600


def test_search_keeps_all_its_pages_until_it_ends():
    """In a list without an order, every page must be read to find that a stream is not listed."""
    loads = loads_by_stream_name((f"source_{number}" for number in range(100)), [f"t{n}" for n in range(40)])
    random.Random(3).shuffle(loads)
    account = PolledAccount(LargeAccount(loads=loads))

    def stop_an_endless_search() -> None:
        assert len(account.client.requests) < 100

    account.client.before_each = stop_an_endless_search

    result = account.run(lambda: query_loads(account.session(), "source_7", ["no such stream"]))

    assert {load.source_name for load in result.value} == {"source_7"}
    assert len(account.client.requests) == 40
