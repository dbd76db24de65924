"""Test loads that have the same name as the loads of a deleted source or a deselected stream."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError
from airflow_provider_stitch.replication.waiter import Waiter


@pytest.fixture(params=["stream_name", "stream_id"])
def recreated(stitch, request):
    """Return a source that has the same name as a deleted source.

    The loads of the two sources are on different pages.
    """
    stitch.quirks.loads_order = request.param
    old = stitch.add_source("github", streams={"commits": 1})
    stitch.complete_job(old, seconds_ago=86_400)
    stitch.delete_source(old)
    for number in range(150):
        other = stitch.add_source(f"other_{number}", streams={"commits": 1})
        stitch.complete_job(other, seconds_ago=600)
    return stitch.add_source("github", streams={"commits": 1})


def test_load_of_a_deleted_source_does_not_hide_ours_on_another_page(stitch, waiter, recreated):
    outcome = waiter.replicate(recreated)

    assert outcome.error is None
    record = stitch.jobs(recreated)[0]
    assert (stitch.now() - record.completion_time).total_seconds() < 3600
    assert stitch.busiest_window() <= 30


def test_second_wait_in_an_event_loop_polls_both_pages_directly(stitch, waiter, recreated):
    """The first wait has found both pages that contain loads with the source's name."""

    async def replicate_twice():
        delays = []
        for _ in range(2):
            job = waiter.client.start_replication_job(recreated)
            outcome = await Waiter(waiter.session(), waiter.goal(recreated, job.job_name)).wait()
            assert outcome.error is None
            delays.append((stitch.now() - stitch.jobs(recreated)[-1].completion_time).total_seconds())
        return delays

    _, second_delay = asyncio.run(replicate_twice())

    assert second_delay < 900


def test_error_of_a_deleted_source_on_another_page_does_not_fail_ours(stitch, waiter):
    old = stitch.add_source("github", streams={"commits": 1})
    stitch.complete_job(old, seconds_ago=86_400)
    stitch.set_load_error(old, "commits")
    stitch.delete_source(old)
    for number in range(150):
        other = stitch.add_source(f"other_{number}", streams={"commits": 1})
        stitch.complete_job(other, seconds_ago=600)
    ours = stitch.add_source("github", streams={"commits": 1})

    assert waiter.replicate(ours).error is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(None, None, id="ours loads half an hour later"),
        pytest.param(LoadError("disk full"), "LoadingFailed", id="ours fails half an hour later"),
    ],
)
def test_error_of_a_deleted_source_does_not_fail_the_first_load_of_ours(stitch, waiter, error, kind):
    old = stitch.add_source("github", streams={"commits": 1})
    stitch.complete_job(old, JobPlan(load_errors={"commits": LoadError("dropped")}), seconds_ago=86_400)
    stitch.delete_source(old)
    ours = stitch.add_source("github", streams={"commits": 1})
    flush = Flush(at=60, rows=1, prepare=1800, load=0, error=error)
    stitch.plan_jobs(ours, JobPlan(flushes={"commits": [flush]}))

    outcome = waiter.replicate(ours)

    assert (outcome.error or {}).get("kind") == kind
    assert 1860 <= (stitch.now() - stitch.jobs(ours)[0].start_time).total_seconds() < 5400


def test_error_of_a_deleted_source_does_not_fail_ours_after_a_long_job(stitch, waiter):
    old = stitch.add_source("github", streams={"commits": 1})
    stitch.complete_job(old, JobPlan(load_errors={"commits": LoadError("dropped")}), seconds_ago=86_400)
    stitch.delete_source(old)
    ours = stitch.add_source("github", streams={"commits": 1})
    flush = Flush(at=7100, rows=1, prepare=600, load=0)
    stitch.plan_jobs(ours, JobPlan(tap_seconds=7200, flushes={"commits": [flush]}))

    assert waiter.replicate(ours).error is None
    assert (stitch.now() - stitch.jobs(ours)[0].start_time).total_seconds() >= 7700


def test_namesake_without_loads_does_not_make_polls_read_the_whole_list(stitch, waiter):
    """A deselected table in another schema may have the same name as a selected table but no load."""
    stitch.quirks.loads_order = "stream_id"
    streams = {
        "public-orders": EmulatedStream(1, "shop-public-orders", "orders", schema_name="public"),
        "old-orders": EmulatedStream(1, "shop-old-orders", "orders", schema_name="old", selected=False),
    }
    ours = stitch.add_source("warehouse", type="platform.hp-postgres", streams=streams)
    for number in range(90):
        other = stitch.add_source(f"other_{number}", streams={f"s_{number}_{each}": 1 for each in range(10)})
        stitch.complete_job(other, seconds_ago=600)
    stitch.complete_job(ours, seconds_ago=7200)

    stitch.plan_jobs(ours, JobPlan(load_seconds=3600))
    assert waiter.replicate(ours).error is None

    polls = [request for request in stitch.limited_requests if "/loads" in request.path]
    pages = Counter(request.path.rpartition("=")[2] for request in polls)
    assert len(polls) - max(pages.values()) <= 2 * len(pages)
