"""Test that AccountCheck reads an account's extractions and loads within the request budget.

The tests run in virtual time.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from airflow_provider_stitch.connect.errors import PhaseTimedOut, UnexpectedResponse
from airflow_provider_stitch.connect.objects import Load, MalformedRecord, StreamUpdate
from airflow_provider_stitch.emulator import LoadError
from airflow_provider_stitch.replication.account_check import AccountCheck


def check(waiter, lines=None, *, max_age=None, timeout=None):
    """Check a task's account, and return the state of each source by source name."""
    session = waiter.session(timeout)
    sources = waiter.client.list_sources()
    account_check = AccountCheck(
        session,
        sources,
        log_info=(waiter.lines if lines is None else lines).append,
        log_warning=waiter.warnings.append,
    )
    return {state.source_name: state for state in asyncio.run(account_check.run(max_age=max_age))}


def test_report_contains_extraction_loads_and_pauses_of_each_source(stitch, waiter):
    healthy = stitch.add_source("healthy", streams={"commits": 120})
    failing = stitch.add_source("failing", streams={"commits": 120})
    rejected = stitch.add_source("rejected", streams={"orders": 5, "lines": 7})
    stitch.add_source("new", streams={"commits": 120})
    stopped = stitch.add_source("stopped", streams={"commits": 120}, paused=True)
    by_stitch = stitch.add_source("by_stitch", streams={"commits": 120})
    stitch.pause_source(by_stitch, by_stitch=True)
    job = stitch.complete_job(healthy, seconds_ago=7200)
    stitch.complete_job(failing, seconds_ago=7200, tap_exit_status=1, tap_description="401 Unauthorized")
    stitch.complete_job(rejected, seconds_ago=7200, load_errors={"orders": LoadError("permission denied")})
    running = stitch.start_job(stopped)
    stitch.stop_job(stopped)

    states = check(waiter)

    assert states["healthy"].last_extraction == "succeeded"
    assert states["healthy"].job_name == job.job_name
    assert states["healthy"].problems == []
    assert 1 < states["healthy"].hours_since_last_load < 2.1
    assert states["failing"].problems == ["extraction"]
    assert states["failing"].last_extraction == "failed"
    assert "401 Unauthorized" in states["failing"].extraction_error
    assert states["rejected"].problems == ["load"]
    assert list(states["rejected"].streams_in_error) == ["orders"]
    assert "permission denied" in states["rejected"].streams_in_error["orders"]
    assert states["rejected"].last_load_at is not None, "the other stream is loaded"
    assert (states["new"].last_extraction, states["new"].hours_since_last_load) == (None, None)
    assert states["stopped"].last_extraction == "terminated"
    assert states["stopped"].job_name == running.job_name
    assert (states["stopped"].paused_by, states["by_stitch"].paused_by) == ("user", "stitch")


def test_deleted_sources_and_deselected_streams_are_left_out(stitch, waiter):
    old = stitch.add_source("shop", streams={"orders": 5})
    stitch.complete_job(old, seconds_ago=7200, load_errors={"orders": LoadError("table is locked")})
    stitch.delete_source(old)
    new = stitch.add_source("shop", streams={"orders": 5})
    stitch.complete_job(new, seconds_ago=3600)
    pg = stitch.add_source("pg", streams={"orders": 5, "lines": 7})
    stitch.complete_job(pg, seconds_ago=7200, load_errors={"orders": LoadError("table is locked")})
    orders = next(each for each in waiter.client.list_streams(pg) if each.stream_name == "orders")
    waiter.client.update_streams(pg, [StreamUpdate(orders.tap_stream_id, selected=False)])

    states = check(waiter)

    assert states["shop"].source_id == new
    assert states["shop"].problems == []
    assert states["pg"].problems == []
    assert states["pg"].streams_in_error == {}


@pytest.mark.parametrize(("max_age", "problems"), [(None, []), (3 * 3600, []), (3600, ["stale"])])
def test_source_is_stale_if_its_last_load_is_older_than_max_age(stitch, waiter, max_age, problems):
    stitch.complete_job(stitch.add_source("github", streams={"commits": 120}), seconds_ago=2 * 3600)

    assert check(waiter, max_age=max_age)["github"].problems == problems


def test_new_source_without_loads_is_stale_only_after_max_age(stitch, waiter):
    waiter.client.create_source("platform.github", "GitHub")
    assert check(waiter, max_age=3600)["github"].problems == []

    stitch.advance(3700)

    state = check(waiter, max_age=3600)["github"]
    assert state.problems == ["stale"]
    assert "no load in the last 60 days" in state.description


def test_description_separates_the_problems_of_a_source(stitch, waiter):
    shop = stitch.add_source("pg", streams={"orders": 5})
    stitch.complete_job(shop, seconds_ago=7200, load_errors={"orders": LoadError("disk full")})

    description = check(waiter, max_age=3600)["pg"].description

    assert description.endswith("loading of 1 stream fails: orders: disk full; no load in the last 60 days")


def test_account_without_sources_needs_no_status_request(stitch, waiter):
    assert check(waiter) == {}
    assert stitch.limited_requests == []


def test_load_that_moves_to_an_earlier_page_is_not_lost(stitch, waiter, monkeypatch):
    """After page 1 is read, one of its loads disappears, so the first load on page 2 moves to page 1."""
    streams = {f"stream_{number:03}": 1 for number in range(150)}
    stitch.complete_job(stitch.add_source("large", streams=streams), seconds_ago=3600)
    list_loads = waiter.client.list_loads
    pages = [replace(list_loads(number), total=150) for number in (1, 2)]
    moved = pages[1].records[0]
    error = Load("large", moved.stream_name, 104857, None, {"message": "disk full"}, {})
    later = [
        replace(pages[0], records=(*pages[0].records[1:], error), total=149),
        replace(pages[1], records=pages[1].records[1:], total=149),
    ]
    responses = iter([pages[0], later[1], later[0]])
    monkeypatch.setattr(waiter.client, "list_loads", lambda page: next(responses))

    state = check(waiter)["large"]

    assert list(state.streams_in_error) == [moved.stream_name]
    assert next(responses, None) is None


def test_1000_sources_with_12000_loads_stay_within_the_budget(stitch, waiter):
    streams = {f"stream_{number:02}": 1 for number in range(12)}
    ids = [stitch.add_source(f"source_{number:04}", streams=streams) for number in range(1000)]
    for number, source in enumerate(ids):
        stitch.complete_job(source, seconds_ago=3600, tap_exit_status=int(number == 500))
    started_at = stitch.now()

    states = check(waiter)

    took = stitch.now() - started_at
    assert stitch.busiest_window() <= 30
    assert len(stitch.limited_requests) == 130, "10 pages of extractions and 120 of loads"
    assert len(states) == 1000
    assert [name for name, state in states.items() if state.problems] == ["source_0500"]
    assert timedelta(minutes=45) < took < timedelta(minutes=60)
    first, *_, last = waiter.lines
    assert first.startswith(
        "Read 25 pages of extractions and loads. The 105 other pages will take about 50 minutes"
    )
    # The page numbers in the log lines vary, because requests run in several threads.
    assert re.match(
        r"Read 12\d pages of extractions and loads. The (\d other pages|last page) will take about ", last
    )


def test_check_that_cannot_end_in_time_says_how_long_it_takes(stitch, waiter):
    source = stitch.add_source("large", streams={f"stream_{number:04}": 1 for number in range(2600)})
    stitch.complete_job(source, seconds_ago=3600)

    with pytest.raises(PhaseTimedOut) as error:
        check(waiter, timeout=300)

    message = str(error.value)
    assert (
        "account 104857 has not finished before its timeout. Read 25 pages of extractions and loads"
        in message
    )
    assert "The 2 other pages will take about 10 minutes" in message
    assert "Raise the timeout" in message


def test_requests_of_other_tasks_slow_the_check_down(stitch, waiter):
    source = stitch.add_source("large", streams={f"stream_{number:04}": 1 for number in range(2600)})
    stitch.complete_job(source, seconds_ago=3600)
    session = waiter.session(None)
    lines = []

    async def check_beside_other_tasks():
        await session.resolve_account(source)
        for _ in range(28):
            session.budget.acquire()
            session.budget.release()
        account_check = AccountCheck(
            session, waiter.client.list_sources(), log_info=lines.append, log_warning=lines.append
        )
        return await account_check.run()

    asyncio.run(check_beside_other_tasks())

    assert lines[0].startswith("Read 2 pages")
    assert len(stitch.limited_requests) == 27


def test_malformed_record_is_reported_and_ignored(stitch, waiter, monkeypatch):
    source = stitch.add_source("github", streams={"commits": 120})
    stitch.complete_job(source)
    list_loads = waiter.client.list_loads

    def list_loads_with_malformed_record(page):
        malformed = MalformedRecord("x", UnexpectedResponse("no stream_name"))
        return replace(list_loads(page), malformed=(malformed,))

    monkeypatch.setattr(waiter.client, "list_loads", list_loads_with_malformed_record)

    assert check(waiter)["github"].problems == []
    assert waiter.warnings == ["Ignoring a record that cannot be parsed: no stream_name"]


def test_unavailable_page_is_read_again(stitch, waiter):
    stitch.complete_job(stitch.add_source("github", streams={"commits": 120}))
    stitch.fail("GET", "/loads", 2, status=503)

    assert check(waiter)["github"].last_load_at is not None
    assert len(waiter.warnings) == 1
    assert "503" in waiter.warnings[0]
