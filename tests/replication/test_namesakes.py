"""Loads of a deleted source of the same name are listed on other pages than ours."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from airflow_provider_stitch.emulator import EmulatedStream, JobPlan
from airflow_provider_stitch.replication.watch import Watch


@pytest.fixture(params=["stream_name", "stream_id"])
def reborn(stitch, request):
    """A source whose name a deleted source had, whose loads are on another page than ours."""
    stitch.quirks.loads_order = request.param
    old = stitch.add_source("github", streams={"commits": 1})
    stitch.complete_job(old, seconds_ago=86_400)
    stitch.delete_source(old)
    for number in range(150):
        other = stitch.add_source(f"other_{number}", streams={"commits": 1})
        stitch.complete_job(other, seconds_ago=600)
    return stitch.add_source("github", streams={"commits": 1})


def test_load_of_a_deleted_source_does_not_hide_ours_on_another_page(stitch, waiter, reborn):
    outcome = waiter.replicate(reborn)

    assert outcome.error is None
    record = stitch.jobs(reborn)[0]
    assert (stitch.now() - record.completion_time).total_seconds() < 3600
    assert stitch.busiest_window() <= 30


def test_next_wait_in_the_same_event_loop_reads_both_pages_at_once(stitch, waiter, reborn):
    """The pages on which loads of that name are listed are known from the first wait."""

    async def replicate_twice():
        late = []
        for _ in range(2):
            job = waiter.client.start_replication_job(reborn)
            outcome = await Watch(waiter.reader(), waiter.goal(reborn, job.job_name)).wait()
            assert outcome.error is None
            late.append((stitch.now() - stitch.jobs(reborn)[-1].completion_time).total_seconds())
        return late

    _, late = asyncio.run(replicate_twice())

    assert late < 900


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


def test_unloaded_namesake_does_not_make_each_poll_read_the_whole_list(stitch, waiter):
    """A deselected table of the same name in another schema may have no load."""
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

    loads = [each for each in stitch.limited_requests if "/loads" in each.path]
    pages = Counter(each.path.rpartition("=")[2] for each in loads)
    assert len(loads) - max(pages.values()) <= 2 * len(pages)
