"""The one watch of an account in an event loop: who shares what, and what it costs."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable
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
from airflow_provider_stitch.replication.budget import Budget
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.replication.prospects import Prospect
from airflow_provider_stitch.replication.reader import AccountReader
from airflow_provider_stitch.replication.start import stop_job
from airflow_provider_stitch.replication.wants import (
    FROM_NOW_ON,
    LATEST_KNOWN,
    ExtractionWant,
    LoadsWant,
    LogWant,
)
from airflow_provider_stitch.replication.watch import Watch
from simulated_stitch.account import SimulatedAccount
from simulated_stitch.virtual_time import VirtualClock, VirtualLoop, run
from tests.replication.long_lists import (
    LongLists,
    extraction_of,
    loads_by_stream_id,
    loads_by_stream_name,
    sources_with,
)

SOURCES = list(range(310_000, 310_250))
"""250 sources, 3 pages of extractions."""


class Account:
    """An account in memory, and an event loop in which readers wait for it."""

    def __init__(self, client: Any = None, limit: int = 30) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.client = client or LongLists(extractions=[extraction_of(each) for each in SOURCES])
        self.budget = Budget(limit, monotonic=self.loop.time)
        self.warned: list[str] = []

    def reader(self, client: Any = None, *, patience: float | None = None) -> AccountReader:
        return AccountReader(
            client or self.client,
            clock=self.clock,
            deadline=None if patience is None else self.clock.time() + patience,
            budget=self.budget,
            warn=self.warned.append,
        )

    async def planned(self, source_id: int = SOURCES[0], client: Any = None, **options: Any) -> Any:
        """What a waiter is told that leaves it to the plan when to ask."""
        reader = self.reader(client, patience=options.pop("patience", None))
        return await planned(reader, source_id, **options)

    async def is_asked(self, *, taking: float) -> None:
        """Return while a request is under way that takes so many seconds."""
        asked = asyncio.Event()

        def answer_late() -> None:
            self.loop.latency = taking
            asked.set()

        self.client.before_each = answer_late
        await asked.wait()

    def run(self, story: Callable[[], Any]) -> Any:
        return run(self.loop, story())


async def planned(
    reader: AccountReader,
    source_id: int,
    *,
    prospect: Prospect | None = None,
    since: int = FROM_NOW_ON,
    until: float = math.inf,
) -> Any:
    now = reader.clock.time()
    await reader.open(source_id)
    prospect = prospect or Prospect(known_at=now, since=now)
    return await reader.told(ExtractionWant(reader.client, prospect, since, source_id), until)


async def loads_of(
    reader: AccountReader, source_name: str, streams: list[str] | None = None, *, anew: bool = False
) -> Any:
    """What is told at once of a source's loads, of some of its streams or all.

    :param anew: what is remembered does not count.
    """
    await reader.ask(lambda: reader.client.client_id)
    expected = None if streams is None else [((stream,), 1) for stream in streams]
    since = reader.watch.serial if anew else LATEST_KNOWN
    return await reader.told(LoadsWant(reader.client, None, since, source_name, expected), until=None)


async def log_of(reader: AccountReader, job_name: str) -> Any:
    """What is told at once of a job's log."""
    await reader.ask(lambda: reader.client.client_id)
    return await reader.told(LogWant(reader.client, None, LATEST_KNOWN, job_name), until=None)


@pytest.fixture
def account():
    return Account()


def failing(error: Exception, times: float = math.inf) -> LongLists:
    """A client to which Stitch answers with an error, so often."""
    client = LongLists(extractions=[extraction_of(each) for each in SOURCES])
    failures = 0

    def fail() -> None:
        nonlocal failures
        if failures < times:
            failures += 1
            raise error

    client.before_each = fail
    return client


@pytest.mark.parametrize("hours", [-2, 2])
def test_whoever_waits_while_the_clock_is_set_knows_soon_that_the_phase_has_ended(hours):
    """What was planned by a clock that is set back would lie in a far future."""
    account = Account()
    stitch = SimulatedAccount(account.loop, sources=1)

    async def story():
        job = stitch.start_job(0, duration=3600, flush_offsets=[3500] * 3, load_lags=[600] * 3)
        account.loop.call_later(1000, setattr, account.clock, "offset", hours * 3600)
        source = stitch.sources[0]
        goal = Goal("loading", source.id, source.name, stitch.client_id, job_name=job.name)
        outcome = await Watch(account.reader(stitch), goal).wait()
        return outcome.error, account.loop.time() - max(job.loaded_at)

    error, late = account.run(story)

    assert error is None
    assert 0 <= late < 300


def test_a_short_poll_interval_takes_no_more_than_a_fair_share():
    account = Account()
    stitch = SimulatedAccount(account.loop, sources=300)  # three pages of extractions

    async def wait_for(number: int, lasts: float, poll_interval: float | None = None) -> float:
        job = stitch.start_job(number, duration=lasts, flush_offsets=[lasts - 100] * 3, load_lags=[200] * 3)
        source = stitch.sources[number]
        goal = Goal("loading", source.id, source.name, stitch.client_id, job_name=job.name)
        outcome = await Watch(account.reader(stitch), goal, poll_interval=poll_interval).wait()
        assert outcome.error is None
        return account.loop.time() - max(job.loaded_at)

    async def story() -> list[float]:
        eager = wait_for(5, 3600, poll_interval=1)
        return await asyncio.gather(eager, *(wait_for(number, 700) for number in (110, 150, 220, 290)))

    eager, *others = account.run(story)

    # Without a poll interval the others are up to 121 s late.
    assert max(others) < 180
    assert eager < 180
    assert max(in_any_window(stitch.limited_request_times)) <= 30


def in_any_window(instants: list[float]) -> list[int]:
    return [sum(at - 600 < each <= at for each in instants) for at in instants]


def test_the_newest_of_two_records_of_a_source_on_one_page_counts(account):
    """The list may contain a stale record, before or after the current one."""
    stale = extraction_of(SOURCES[0], f"104857.{SOURCES[0]}.sync.{uuid_at(1)}")
    newest = extraction_of(SOURCES[0], f"104857.{SOURCES[0]}.sync.{uuid_at(2)}")
    others = [extraction_of(each) for each in SOURCES[1:]]
    for records in ([stale, newest, *others], [newest, stale, *others]):
        account = Account(LongLists(extractions=records))
        told = account.run(lambda account=account: account.reader().extraction_of(SOURCES[0]))
        assert told.value == newest


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("place", [99, 199])
@pytest.mark.parametrize("asks_again", [True, False])
def test_the_newest_of_two_records_across_a_page_boundary_counts(newest_first, place, asks_again):
    source_id = SOURCES[place]
    stale = extraction_of(source_id, f"104857.{source_id}.sync.{uuid_at(1)}")
    newest = extraction_of(source_id, f"104857.{source_id}.sync.{uuid_at(2)}")
    before, after = (
        [extraction_of(each) for each in part] for part in (SOURCES[:place], SOURCES[place + 1 :])
    )
    listed = [newest, stale] if newest_first else [stale, newest]
    client = LongLists(extractions=[*before, *listed, *after])
    account = Account(client)

    async def story():
        if asks_again:
            await account.reader().extraction_of(source_id)
            client.asked.clear()
        return await account.reader().extraction_of(source_id)

    assert account.run(story).value == newest
    assert len(client.asked) <= 3


def test_a_source_at_the_end_of_a_page_takes_two_requests_per_answer(account):
    """Its second record, if there is one, begins the next page."""

    async def story():
        for _ in range(5):
            told = await account.reader().extraction_of(SOURCES[99])
        return told.value.source_id

    assert account.run(story) == SOURCES[99]
    assert len(account.client.asked) <= 10


def uuid_at(number: int) -> str:
    """Return a version-1 uuid that is the later the greater the number."""
    return f"{number * 1000:08x}-9a09-11f1-a2c4-06b1e2c4a85d"


# --- What is shared -------------------------------------------------------------------------------------


def test_all_who_want_the_same_page_cost_one_request(account):
    async def story():
        return await asyncio.gather(*(account.planned(source_id) for source_id in SOURCES[:99] * 10))

    told = account.run(story)

    assert account.client.asked == [("extractions", 1)]
    assert [each.value.source_id for each in told] == SOURCES[:99] * 10


def test_who_knows_the_latest_answer_is_told_a_newer_one(account):
    async def story():
        first = await account.planned()
        same = await account.planned(since=first.serial - 1)
        newer = await account.planned(since=first.serial)
        return same.serial - first.serial, newer.serial - first.serial

    assert account.run(story) == (0, 1)
    assert len(account.client.asked) == 2


def test_an_answer_to_a_request_that_was_under_way_when_the_wish_came_does_not_count(account):
    """Stitch may have answered it before the job of the newcomer ended."""

    async def story():
        first = asyncio.ensure_future(account.planned())
        await account.is_asked(taking=30)
        second = await account.planned()
        return second.serial - (await first).serial

    assert account.run(story) == 1


def test_those_who_come_late_one_after_the_other_share_what_is_listed_already():
    """As mapped tasks do, which Airflow starts one by one: each would use up a request of its own."""
    account = Account()
    stitch = SimulatedAccount(account.loop, sources=60)

    async def wait(number: int) -> float:
        lasts = 60.0 if number else 1000.0
        job = stitch.start_job(number, duration=lasts, flush_offsets=[50] * 3, load_lags=[10] * 3)
        await asyncio.sleep(200 + 3 * number)
        came = account.loop.time()
        source = stitch.sources[number]
        goal = Goal("extraction", source.id, source.name, stitch.client_id, job_name=job.name)
        outcome = await Watch(account.reader(stitch), goal).wait()
        assert outcome.error is None
        assert account.loop.time() >= job.ended_at
        return account.loop.time() - max(came, job.ended_at)

    async def story():
        return await asyncio.gather(*(wait(number) for number in range(60)))

    late = account.run(story)

    assert all(delay < 20 for delay in late)
    asked_while_they_came = [at for at in stitch.limited_request_times if at < 380]
    assert len(asked_while_they_came) < 20  # for the one whose job is long


def test_who_is_cancelled_leaves_the_answer_to_the_others(account):
    async def story():
        first = asyncio.ensure_future(account.planned())
        second = asyncio.ensure_future(account.planned())
        await account.is_asked(taking=10)
        first.cancel()
        return (await second).value.source_id, first.cancelled()

    assert account.run(story) == (SOURCES[0], True)
    assert len(account.client.asked) == 1


def test_whoever_is_cancelled_none_of_the_others_waits_for_ever(account):
    """Also not who is cancelled while another is told, or before anything was asked."""
    chance = random.Random(5)

    async def story():
        waiting = [asyncio.ensure_future(account.planned(source_id)) for source_id in SOURCES]
        for each in waiting[::2]:
            account.loop.call_later(chance.uniform(0, 120), each.cancel)
        return await asyncio.gather(*waiting, return_exceptions=True)

    told = account.run(story)

    assert [each.value.source_id for each in told[1::2]] == SOURCES[1::2]


def test_who_goes_while_the_plan_is_made_takes_nobody_along(account, mocker):
    """The count of requests may take its time: other processes write into its file."""
    window = account.budget.window

    def slow_window():
        account.loop.latency = 2.0
        return window()

    mocker.patch.object(account.budget, "window", slow_window)

    async def story():
        goes = asyncio.ensure_future(account.reader().extraction_of(SOURCES[0]))
        account.loop.call_later(1.0, goes.cancel)
        log = log_of(account.reader(), "104857.310001.sync.00000000-0000-1000-8000-000000000000")
        await asyncio.ensure_future(log)

    account.run(story)

    assert [what for what, _ in account.client.asked] == ["log"]


def test_a_refusal_is_the_same_for_all_who_share_a_token():
    account = Account(failing(StitchUnauthorized("no")))

    async def story():
        waiting = [account.planned(source_id) for source_id in SOURCES[:100]]
        return await asyncio.gather(*waiting, return_exceptions=True)

    told = account.run(story)

    assert {type(each) for each in told} == {StitchUnauthorized}
    assert len(account.client.asked) == 1


def test_who_has_another_connection_to_the_account_goes_on_with_its_own_token(account):
    revoked = failing(StitchUnauthorized("no"))

    async def story():
        with_revoked = [asyncio.ensure_future(account.planned(client=revoked)) for _ in range(3)]
        others = [asyncio.ensure_future(account.planned()) for _ in range(3)]
        return await asyncio.gather(*with_revoked, *others, return_exceptions=True)

    told = account.run(story)

    assert [type(each) for each in told[:3]] == [StitchUnauthorized] * 3
    assert [each.value.source_id for each in told[3:]] == [SOURCES[0]] * 3
    assert (len(revoked.asked), len(account.client.asked)) == (1, 1)


def test_who_has_more_time_goes_on_when_another_s_time_is_over():
    account = Account(failing(StitchUnavailable("502"), times=12))

    async def story():
        hasty = asyncio.ensure_future(account.planned(patience=60))
        patient = asyncio.ensure_future(account.planned(patience=3600))
        return await asyncio.gather(hasty, patient, return_exceptions=True)

    hasty, patient = account.run(story)

    assert isinstance(hasty, StitchUnavailable)
    assert patient.value.source_id == SOURCES[0]


def test_who_wants_it_at_once_is_served_before_all_who_wait(account):
    account.client.loads = loads_by_stream_name(["github"], ["commits"])

    async def story():
        waiting = [asyncio.ensure_future(account.planned(source_id)) for source_id in SOURCES]
        await asyncio.sleep(1)
        asked = len(account.client.asked)
        await loads_of(account.reader(), "github")
        for each in waiting:
            each.cancel()
        return account.client.asked[asked:]

    assert account.run(story)[0] == ("loads", 1)


def test_who_stops_a_job_goes_by_no_older_answer():
    """A trigger's `on_kill` shares its event loop with all who wait, whose answers are some seconds old."""
    with StitchEmulator(speed=1e-6) as stitch:
        github = stitch.add_source("github", streams={"commits": 1})
        client = StitchClient(stitch.access_token, base_url=stitch.url, client_id=stitch.client_id)
        ours = stitch.start_job(github)
        goal = Goal("end", github, "github", stitch.client_id, job_name=ours.job_name)

        async def story():
            await AccountReader(client).extraction_of(github)
            stitch.advance(600)
            stitch.start_job(github, tap_seconds=9999)
            return await stop_job(AccountReader(client), goal)

        assert asyncio.run(story()) is False
        assert not stitch.jobs(github)[-1].stopped


def test_250_who_wait_in_one_event_loop_stay_within_the_limit_of_one_account():
    with StitchEmulator(speed=600) as stitch:
        ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(250)]
        jobs = {source_id: stitch.start_job(source_id).job_name for source_id in ids}
        # 30 in ten real minutes: all is over long before.
        client = StitchClient(stitch.access_token, base_url=stitch.url, client_id=stitch.client_id)

        async def wait(source_id):
            goal = Goal(
                "extraction", source_id, f"source_{source_id}", stitch.client_id, job_name=jobs[source_id]
            )
            return await Watch(AccountReader(client), goal).wait()

        async def wait_for_all():
            return await asyncio.gather(*(wait(source_id) for source_id in ids))

        outcomes = asyncio.run(wait_for_all())

    assert {outcome.result["job_name"] for outcome in outcomes if outcome.error is None} == set(jobs.values())
    assert len(stitch.limited_requests) <= 30


# --- The watch itself -----------------------------------------------------------------------------------


def test_the_watch_ends_with_the_last_waiter(account):
    async def story():
        before = asyncio.all_tasks()
        waiting = [asyncio.ensure_future(account.planned(source_id)) for source_id in SOURCES[:3]]
        await asyncio.sleep(0.01)
        during = asyncio.all_tasks() - before - set(waiting)
        await asyncio.gather(*waiting)
        await asyncio.sleep(60)
        after = asyncio.all_tasks() - before
        asked = len(account.client.asked)
        await asyncio.sleep(3600)
        return len(during) > 0, len(after), len(account.client.asked) - asked

    assert account.run(story) == (True, 0, 0)


def test_a_watch_that_has_ended_begins_again_with_the_next_waiter(account):
    async def story():
        first = await account.planned()
        await asyncio.sleep(3600)
        second = await account.planned(since=first.serial)
        return second.serial - first.serial

    assert account.run(story) == 1


def test_an_error_in_the_plan_fails_everybody_rather_than_hanging(account, mocker):
    mocker.patch(
        "airflow_provider_stitch.replication.account.next_step", side_effect=ZeroDivisionError("plan")
    )

    async def story():
        waiting = [account.planned(source_id) for source_id in SOURCES[:5]]
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in account.run(story)] == [ZeroDivisionError] * 5


def test_an_error_in_taking_an_answer_fails_everybody_rather_than_hanging(account, mocker):
    """Such as a page whose records can't be put in order."""
    mocker.patch(
        "airflow_provider_stitch.replication.listing.Listing.add", side_effect=TypeError("unorderable")
    )

    async def story():
        waiting = [account.planned(source_id) for source_id in SOURCES[:5]]
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in account.run(story)] == [TypeError] * 5


def test_after_an_error_the_next_waiter_is_served_again(account, mocker):
    patched = mocker.patch(
        "airflow_provider_stitch.replication.account.next_step", side_effect=ZeroDivisionError("plan")
    )

    async def story():
        with pytest.raises(ZeroDivisionError):
            await account.planned()
        mocker.stop(patched)
        return (await account.planned()).value.source_id

    assert account.run(story) == SOURCES[0]


def test_who_is_not_told_in_time_is_told_nothing(account):
    """Only what is sure not to have ended is not looked at within 5 minutes."""

    async def story():
        now = account.clock.time()
        never = Prospect(known_at=now, since=now + 86_400)
        told = await account.planned(prospect=never, until=now + 300)
        return told, account.clock.time() - now

    told, took = account.run(story)

    assert told is None
    assert took == pytest.approx(300, abs=1)
    assert account.client.asked == []


# --- Outages --------------------------------------------------------------------------------------------


def test_an_outage_pushes_the_whole_watch_back_and_each_waiter_is_told_of_it_once():
    account = Account(failing(StitchUnavailable("Stitch is down."), times=8))
    warned: Counter[int] = Counter()

    async def wait(number: int) -> Any:
        reader = AccountReader(
            account.client,
            clock=account.clock,
            budget=account.budget,
            warn=lambda line: warned.update([number]),
        )
        now = account.clock.time()
        source_id = SOURCES[number]
        return await planned(reader, source_id, prospect=Prospect(now, now))

    async def story():
        return await asyncio.gather(*(wait(number) for number in range(0, 250, 10)))

    told = account.run(story)

    assert [each.value.source_id for each in told] == SOURCES[::10]
    assert warned == dict.fromkeys(range(0, 250, 10), 1)
    assert len(account.client.asked) <= 8 + 3, "one request at a time asks whether it is over"


def job_of(source_id: int) -> str:
    return f"104857.{source_id}.sync.00000000-0000-1000-8000-000000000000"


def failing_logs(error: Exception) -> LongLists:
    """A client to which Stitch answers lists, but no log."""
    client = LongLists(extractions=[extraction_of(each) for each in SOURCES])

    def fail() -> None:
        if client.asked[-1][0] == "log":
            raise error

    client.before_each = fail
    return client


def test_a_log_that_always_fails_holds_nobody_up_who_wants_something_else():
    account = Account(failing_logs(StitchUnavailable("Stitch has a problem.")))

    async def story():
        log = asyncio.ensure_future(log_of(account.reader(), job_of(SOURCES[0])))
        await asyncio.sleep(10)
        began = account.loop.time()
        for _ in range(10):
            await account.planned()
        took = account.loop.time() - began
        return took, *(await asyncio.gather(log, return_exceptions=True))

    took, refusal = account.run(story)

    assert took < 600
    assert isinstance(refusal, ExtractionLogUnavailable), "others were answered: the log can't be had"
    assert len(account.warned) < 10, "who waits for something else is not told of each failure"


def test_what_fails_is_not_asked_for_any_more_once_nobody_wants_it():
    account = Account(failing_logs(StitchUnavailable("Stitch has a problem.")))

    async def story():
        log = asyncio.ensure_future(log_of(account.reader(), job_of(SOURCES[0])))
        await asyncio.sleep(100)
        log.cancel()
        asked = len(account.client.asked)
        await asyncio.sleep(3600)
        return len(account.client.asked) - asked

    assert account.run(story) <= 1


@pytest.mark.parametrize("hours", [-2, 2])
def test_an_outage_in_which_the_clock_is_set_is_waited_for_no_longer(hours):
    account = Account(failing(StitchUnavailable("Stitch is down."), times=6))

    async def story():
        account.loop.call_later(20, setattr, account.clock, "offset", hours * 3600)
        began = account.loop.time()
        await account.planned(until=account.clock.time() + 24 * 3600)
        return account.loop.time() - began

    assert account.run(story) < 300


def test_a_retry_after_pushes_the_whole_watch_back():
    account = Account(failing(RateLimited("too many", retry_after=400.0), times=1))

    async def story():
        began = account.loop.time()
        told = await asyncio.gather(*(account.planned(source_id) for source_id in SOURCES[::50]))
        return told, account.loop.time() - began, account.client.asked

    told, took, asked = account.run(story)

    assert [each.value.source_id for each in told] == SOURCES[::50]
    assert took >= 400
    assert len(asked) <= 1 + 3


def test_who_comes_in_the_middle_of_an_outage_whose_time_ends_in_it_is_told_why():
    account = Account(failing(StitchUnavailable("Stitch is down."), times=1000))

    async def story():
        patient = asyncio.ensure_future(account.planned())
        await asyncio.sleep(300)
        with pytest.raises(StitchUnavailable, match="down"):
            await account.planned(patience=60)
        patient.cancel()

    account.run(story)


def test_who_gets_no_request_in_its_time_is_told_so(account):
    for _ in range(30):
        account.budget.take()
        account.budget.give_back()

    async def story():
        with pytest.raises(PhaseTimedOut, match="requests of these 10 minutes are used up"):
            await account.planned(patience=60)

    account.run(story)


# --- Accounts of any size -------------------------------------------------------------------------------

MANY = list(range(300_000, 310_000))
"""10,000 sources: 100 pages of extractions, 1,000 of loads."""

STREAMS = [f"stream_{number}" for number in range(10)]


def name_of(source_id: int) -> str:
    return f"source_{source_id * 7919 % 1_000_003}"  # names are in another order than ids


@pytest.fixture(scope="module")
def many_extractions():
    return [extraction_of(each) for each in MANY]


@pytest.fixture(scope="module")
def many_loads():
    return loads_by_stream_name(map(name_of, MANY), STREAMS)


def test_one_of_10_000_sources_is_found_with_a_logarithm_of_requests(many_extractions):
    account = Account(LongLists(extractions=many_extractions), limit=1_500)

    async def story():
        costs = []
        for source_id in (MANY[7_777], MANY[7_850], MANY[7_777], MANY[0], MANY[-1]):
            before = len(account.client.asked)
            told = await account.reader().extraction_of(source_id)
            assert told.value.source_id == source_id
            costs.append(len(account.client.asked) - before)
        return costs

    first, neighbour, again, *others = account.run(story)

    assert first <= 8
    assert (neighbour, again) == (1, 1)
    assert max(others) <= 8


class Costs:
    """How many requests it takes to find a source's loads, one search after the other."""

    def __init__(self, **lists: Any) -> None:
        self.client = LongLists(**lists)
        self.account = Account(self.client, limit=1_500)

    def of(self, *searches: tuple[str, list[str]]) -> list[int]:
        async def story():
            costs = []
            for source_name, streams in searches:
                before = len(self.client.asked)
                told = await loads_of(self.account.reader(), source_name, streams, anew=True)
                assert {load.stream_name for load in told.value} >= set(streams)
                costs.append(len(self.client.asked) - before)
            return costs

        return self.account.run(story)


ONE, ANOTHER = name_of(MANY[123]), name_of(MANY[9_876])


def test_a_load_is_found_with_a_logarithm_of_requests_if_they_are_by_stream_name(many_loads):
    first, again, another, all_streams, all_again = Costs(loads=many_loads).of(
        (ONE, STREAMS[:1]), (ONE, STREAMS[:1]), (ANOTHER, STREAMS[:1]), (ONE, STREAMS), (ONE, STREAMS)
    )

    assert first <= 12
    assert another <= 12
    assert again == 1
    # Of 1,000 pages its 10 streams are on 10 that have nothing to do with each other.
    assert all_streams <= 10 * 8
    assert all_again == 10


def test_a_load_is_found_with_a_logarithm_of_requests_if_they_are_by_stream_id():
    """A load shows no id; but a source's streams do, and to ask for them costs nothing."""
    sources = sources_with(STREAMS, map(name_of, MANY))
    costs = Costs(loads=loads_by_stream_id(sources), sources=sources)

    first, again, another, all_streams, all_again = costs.of(
        (ONE, STREAMS[:1]), (ONE, STREAMS[:1]), (ANOTHER, STREAMS[:1]), (ONE, STREAMS), (ONE, STREAMS)
    )

    assert first <= 14
    assert another <= 12
    assert again == 1
    assert all_streams <= 2
    assert all_again <= 2
    assert costs.client.streams_asked_for <= 4 * len(costs.client.asked)


def test_a_source_that_is_one_of_10_000_waits_for_its_loads_for_minutes_and_not_for_hours(many_loads):
    """With Stitch's own limit."""
    account = Account(LongLists(loads=many_loads))

    async def story():
        began = account.loop.time()
        await loads_of(account.reader(), ONE, STREAMS)
        return account.loop.time() - began

    assert account.run(story) <= 3 * 600


def test_a_search_keeps_all_its_pages_until_it_ends_however_many_they_are():
    """In a list that is in no order what is not there is found missing after a look at each page."""
    loads = loads_by_stream_name((f"source_{number}" for number in range(100)), [f"t{n}" for n in range(40)])
    random.Random(3).shuffle(loads)
    account = Account(LongLists(loads=loads))

    def still_ends() -> None:
        assert len(account.client.asked) < 100

    account.client.before_each = still_ends

    told = account.run(lambda: loads_of(account.reader(), "source_7", ["no such stream"]))

    assert {load.source_name for load in told.value} == {"source_7"}
    assert len(account.client.asked) == 40
