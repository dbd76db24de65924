"""Test that many waits detect their loads in time although deleted sources have the same names."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import Flush, JobPlan, Quirks
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.virtual_time import VirtualClock, VirtualLoop, run
from tests.support.in_process_stitch import InProcessStitch

WAITS = 20
TAP_SECONDS = 300


def add_recreated_sources(stitch: InProcessStitch) -> list[int]:
    """Add sources with the same names as deleted sources, and other sources.

    The loads of all sources fill eleven pages.
    """
    names = [f"recreated_{number:02}" for number in range(WAITS)]
    for name in names:
        deleted = stitch.add_source(name, streams={"commits": 1})
        stitch.complete_job(deleted, seconds_ago=86_400)
        stitch.delete_source(deleted)
    for number in range(100):
        other = stitch.add_source(f"other_{number}", streams={f"stream_{each}": 1 for each in range(10)})
        stitch.complete_job(other, seconds_ago=7200)
    return [stitch.add_source(name, streams={"commits": 1}) for name in names]


def delays_after_loading(loop: VirtualLoop, stitch: InProcessStitch, seconds_between: float, prepare: float):
    """For each wait, return the seconds from the load until the wait detects the load."""
    source_ids = add_recreated_sources(stitch)
    clock, budget = VirtualClock(loop), RequestBudget(30, monotonic=loop.time)
    flush = Flush(at=TAP_SECONDS, rows=1, prepare=prepare, load=0)

    async def replicate(number: int) -> float:
        await asyncio.sleep(number * seconds_between)
        source_id = source_ids[number]
        stitch.plan_jobs(source_id, JobPlan(tap_seconds=TAP_SECONDS, flushes={"commits": [flush]}))
        client = StitchClient(stitch.access_token, base_url=stitch.url)
        job = await asyncio.to_thread(client.start_replication_job, source_id)
        goal = Goal("loading", source_id, f"recreated_{number:02}", stitch.client_id, job_name=job.job_name)
        session = AccountSession(StitchCaller(client, clock=clock, budget=budget))
        outcome = await Waiter(session, goal).wait()
        assert outcome.error is None
        started_at = stitch.jobs(source_id)[0].start_time
        return (stitch.now() - started_at).total_seconds() - TAP_SECONDS - prepare

    async def replicate_all() -> list[float]:
        return await asyncio.gather(*(replicate(number) for number in range(WAITS)))

    return run(loop, replicate_all())


@pytest.mark.parametrize(
    ("order", "seconds_between", "prepare"),
    [
        pytest.param("stream_id", 0, 60, id="simultaneous"),
        pytest.param("stream_id", 30, 60, id="staggered"),
        pytest.param("stream_id", 30, 1500, id="staggered and loaded late"),
        pytest.param("stream_name", 30, 1500, id="sorted by name"),
    ],
)
def test_load_of_a_deleted_source_delays_no_wait(monkeypatch, order, seconds_between, prepare):
    loop = VirtualLoop()
    stitch = InProcessStitch(loop, Quirks(loads_order=order))
    stitch.patch_transport(monkeypatch)

    delays = delays_after_loading(loop, stitch, seconds_between, prepare)

    assert min(delays) >= 0
    assert max(delays) < 720, "without deleted sources, the last of the waits takes 525 seconds"
    assert stitch.busiest_window() <= 30
