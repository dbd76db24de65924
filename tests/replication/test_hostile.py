"""Waits against what Stitch leaves undocumented: no early pass, no wait without end, no starvation."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from airflow_provider_stitch.emulator import Flush, JobPlan

SLOW = JobPlan(flushes={"orders": [Flush(at=60, rows=5, prepare=2400, load=0)]})


def long_account(stitch, order: str, *, deleted: int = 0, pushed: int = 0) -> int:
    """Return a source whose loads are among 8 pages of others', some of deleted or Import API sources."""
    stitch.quirks.loads_order = order
    others = []
    for number in range(70):
        type_ = "import_api" if number < pushed else "platform.github"
        source = stitch.add_source(
            f"other_{number:02}", type=type_, streams={f"s{each}": 1 for each in range(11)}
        )
        others.append(source)
        for each in range(11):
            stitch.record_load(source, f"s{each}", seconds_ago=3600)
    for source in others[pushed : pushed + deleted]:
        stitch.delete_source(source)
    return stitch.add_source("ours", streams={"orders": 5})


@pytest.mark.parametrize("order", ["stream_name", "stream_id"])
@pytest.mark.parametrize("kind", ["deleted", "pushed"])
def test_wait_among_long_lists_starves_nobody(stitch, waiter, order, kind):
    ours = long_account(stitch, order, **{kind: 30})
    stitch.plan_jobs(ours, SLOW)

    outcome = waiter.replicate(ours)

    assert outcome.error is None
    loaded = stitch.jobs(ours)[0].start_time + timedelta(seconds=2460)
    assert stitch.now() - loaded < timedelta(minutes=20)
    assert stitch.busiest_window() <= 30


@pytest.mark.parametrize("order", ["stream_name", "stream_id"])
def test_pages_that_shift_during_each_poll(stitch, waiter, order):
    """Before each limited request, another source gets its first loads, so that records move."""
    ours = long_account(stitch, order)
    stitch.plan_jobs(ours, SLOW)
    count = iter(range(10_000))

    def shift():
        new = stitch.add_source(f"aa_{next(count)}", streams={"a1": 1, "a2": 1, "zz": 1})
        for stream in ("a1", "a2", "zz"):
            stitch.record_load(new, stream)

    job = waiter.start(ours)
    goal = waiter.goal(ours, job.job_name)
    waiter.client.on_limited_request = shift

    assert waiter.wait(goal, patience=4 * 3600).error is None
    loaded = stitch.jobs(ours)[0].start_time + timedelta(seconds=2460)
    assert stitch.now() - loaded < timedelta(minutes=40)


@pytest.mark.parametrize("status", [400, 404, 410, 418, 500, 503])
@pytest.mark.parametrize(
    "path", [r"/extractions\?", r"\.sync\.", r"/loads", r"/streams$", r"/sources/\d+$", "/destinations"]
)
def test_a_passing_refusal_of_ten_minutes(stitch, waiter, status, path):
    """It strikes three times, one after the other, and passes."""
    ours = stitch.add_source("ours", streams={"orders": 5})
    stitch.plan_jobs(ours, SLOW)
    goal = waiter.goal(ours, waiter.start(ours).job_name)
    stitch.fail("GET", path, status=status, times=3)

    assert waiter.wait(goal).error is None
    assert stitch.busiest_window() <= 30


def test_source_is_deleted_while_its_rows_are_loaded(stitch, waiter):
    ours = stitch.add_source("ours", streams={"orders": 5})
    stitch.plan_jobs(ours, SLOW)
    goal = waiter.goal(ours, waiter.start(ours).job_name)
    at = stitch.now() + timedelta(seconds=1200)
    waiter.client.on_limited_request = lambda: stitch.delete_source(ours) if stitch.now() > at else None

    outcome = waiter.wait(goal)

    assert outcome.error["kind"] == "DeletedSource"
    assert stitch.now() - at < timedelta(minutes=15)


@pytest.mark.parametrize("answer", [{"data": [], "page": 1, "total": 0, "links": {}}, {"data": []}])
def test_an_empty_list_for_a_while_is_no_evidence(stitch, waiter, answer):
    ours = stitch.add_source("ours", streams={"orders": 5})
    stitch.plan_jobs(ours, SLOW)
    goal = waiter.goal(ours, waiter.start(ours).job_name)
    stitch.fail("GET", r"/(extractions\?|loads)", status=200, body=answer, times=4)

    outcome = waiter.wait(goal)

    assert outcome.error is None
    assert outcome.result["loaded_at"] is not None


@pytest.mark.parametrize("what", ["extractions", "loads"])
def test_a_total_that_is_wrong_does_not_hide_our_page(stitch, waiter, what):
    ours = long_account(stitch, "stream_name")
    for source in range(150):
        other = stitch.add_source(f"many_{source}", streams={"t": 1})
        stitch.complete_job(other, seconds_ago=600)
    last = stitch.add_source("zz_last", streams={"zzz": 1})
    goal = waiter.goal(last, waiter.start(last).job_name)
    page_of = waiter.client._transport.request

    def with_wrong_total(*args, **options):
        answer = page_of(*args, **options)
        if f"/{what}" in answer.asked:
            answer.body["total"] = 3
        return answer

    waiter.client._transport.request = with_wrong_total

    assert waiter.wait(goal, patience=6 * 3600).error is None
    pages = Counter(each.path for each in stitch.limited_requests)
    assert stitch.busiest_window() <= 30, pages
    assert ours
