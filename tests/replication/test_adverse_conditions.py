"""Test waits under conditions that Stitch does not document.

A wait must not succeed early, must not last forever, and must not exceed the rate limit.
"""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta

import pytest

from airflow_provider_stitch.emulator import Flush, JobPlan

SLOW_LOAD = JobPlan(flushes={"orders": [Flush(at=60, rows=5, prepare=2400, load=0)]})
LOADED_AFTER = timedelta(seconds=2460)


def add_source_among_many(stitch, order: str, *, deleted: int = 0, import_api: int = 0) -> int:
    """Add 70 sources with 8 pages of loads, and another source. Return the id of the other source.

    :param order: the sort order of the list of loads.
    :param deleted: how many of the 70 sources are deleted.
    :param import_api: how many of the 70 sources use the Import API.
    """
    stitch.quirks.loads_order = order
    others = []
    for number in range(70):
        source = stitch.add_source(
            f"other_{number:02}",
            type="import_api" if number < import_api else "platform.github",
            streams={f"s{index}": 1 for index in range(11)},
        )
        others.append(source)
        for index in range(11):
            stitch.record_load(source, f"s{index}", seconds_ago=3600)
    for source in others[import_api : import_api + deleted]:
        stitch.delete_source(source)
    return stitch.add_source("ours", streams={"orders": 5})


@pytest.mark.parametrize("order", ["stream_name", "stream_id"])
@pytest.mark.parametrize("kind", ["deleted", "import_api"])
def test_wait_among_many_sources_without_streams_finishes_in_time(stitch, waiter, order, kind):
    ours = add_source_among_many(stitch, order, **{kind: 30})
    stitch.plan_jobs(ours, SLOW_LOAD)

    outcome = waiter.replicate(ours)

    assert outcome.error is None
    loaded_at = stitch.jobs(ours)[0].start_time + LOADED_AFTER
    assert stitch.now() - loaded_at < timedelta(minutes=20)
    assert stitch.busiest_window() <= 30


@pytest.mark.parametrize("order", ["stream_name", "stream_id"])
def test_wait_succeeds_if_pages_shift_during_each_poll(stitch, waiter, order):
    """Before each rate-limited request, another source gets its first loads, so the pages shift."""
    ours = add_source_among_many(stitch, order)
    stitch.plan_jobs(ours, SLOW_LOAD)
    numbers = itertools.count()

    def shift():
        new = stitch.add_source(f"aa_{next(numbers)}", streams={"a1": 1, "a2": 1, "zz": 1})
        for stream in ("a1", "a2", "zz"):
            stitch.record_load(new, stream)

    job = waiter.start(ours)
    goal = waiter.goal(ours, job.job_name)
    waiter.client.on_limited_request = shift

    assert waiter.wait(goal, timeout=4 * 3600).error is None
    loaded_at = stitch.jobs(ours)[0].start_time + LOADED_AFTER
    assert stitch.now() - loaded_at < timedelta(minutes=40)


@pytest.mark.parametrize("status", [400, 404, 410, 418, 500, 503])
@pytest.mark.parametrize(
    "path", [r"/extractions\?", r"\.sync\.", r"/loads", r"/streams$", r"/sources/\d+$", "/destinations"]
)
def test_wait_survives_three_consecutive_error_responses(stitch, waiter, status, path):
    ours = stitch.add_source("ours", streams={"orders": 5})
    stitch.plan_jobs(ours, SLOW_LOAD)
    goal = waiter.goal(ours, waiter.start(ours).job_name)
    stitch.fail("GET", path, status=status, times=3)

    assert waiter.wait(goal, poll_interval=120).error is None
    assert stitch.busiest_window() <= 30


def test_wait_fails_if_the_source_is_deleted_during_loading(stitch, waiter):
    ours = stitch.add_source("ours", streams={"orders": 5})
    stitch.plan_jobs(ours, SLOW_LOAD)
    goal = waiter.goal(ours, waiter.start(ours).job_name)
    deleted_at = stitch.now() + timedelta(seconds=1200)
    delete = stitch.delete_source
    waiter.client.on_limited_request = lambda: delete(ours) if stitch.now() > deleted_at else None

    outcome = waiter.wait(goal)

    assert outcome.error["kind"] == "DeletedSource"
    assert stitch.now() - deleted_at < timedelta(minutes=15)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"data": [], "page": 1, "total": 0, "links": {}}, id="an empty page"),
        pytest.param({"data": []}, id="an empty page without other fields"),
    ],
)
def test_wait_survives_temporarily_empty_lists(stitch, waiter, body):
    ours = stitch.add_source("ours", streams={"orders": 5})
    stitch.plan_jobs(ours, SLOW_LOAD)
    goal = waiter.goal(ours, waiter.start(ours).job_name)
    stitch.fail("GET", r"/(extractions\?|loads)", status=200, body=body, times=4)

    outcome = waiter.wait(goal)

    assert outcome.error is None
    assert outcome.result["loaded_at"] is not None


@pytest.mark.parametrize("kind", ["extractions", "loads"])
def test_wait_finds_its_page_if_the_total_is_wrong(stitch, waiter, kind):
    ours = add_source_among_many(stitch, "stream_name")
    for number in range(150):
        other = stitch.add_source(f"many_{number}", streams={"t": 1})
        stitch.complete_job(other, seconds_ago=600)
    last = stitch.add_source("zz_last", streams={"zzz": 1})
    goal = waiter.goal(last, waiter.start(last).job_name)
    request = waiter.client._transport.request

    def request_with_wrong_total(*args, **options):
        response = request(*args, **options)
        if f"/{kind}" in response.request_line:
            response.body["total"] = 3
        return response

    waiter.client._transport.request = request_with_wrong_total

    assert waiter.wait(goal, timeout=6 * 3600).error is None
    pages = Counter(each.path for each in stitch.limited_requests)
    assert stitch.busiest_window() <= 30, pages
    assert ours
