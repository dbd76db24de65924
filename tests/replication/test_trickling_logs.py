"""Two logs that trickle do not keep a third one from being read."""

from __future__ import annotations

import asyncio
import itertools

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.replication.budget import Budget
from airflow_provider_stitch.replication.reader import AccountReader
from airflow_provider_stitch.replication.wants import LATEST_KNOWN, LogWant
from tests.replication.conftest import EmulatedClock


def test_third_log_is_read_while_two_downloads_trickle(stitch):
    """The clocks of the clients that read them show 100 seconds after four pieces, and no more after that."""
    jobs = []
    for number in range(3):
        source_id = stitch.add_source(f"source_{number}", streams={"orders": 1})
        jobs.append(stitch.complete_job(source_id, seconds_ago=600).job_name)
    for job_name in jobs[:2]:
        stitch.fail(path_regex=job_name, host="log", drip=0.1, times=None)
    clock = EmulatedClock(stitch)
    budget = Budget(30, monotonic=clock.time)

    def client(step: float) -> StitchClient:
        seconds = itertools.count(0, step)
        return StitchClient(
            stitch.access_token,
            base_url=stitch.url,
            client_id=stitch.client_id,
            monotonic=lambda: min(next(seconds), 100.0),
        )

    async def log_of(job_name: str, step: float) -> bool:
        reader = AccountReader(client(step), clock=clock, budget=budget)
        told = await reader.told(LogWant(reader.client, None, LATEST_KNOWN, job_name), until=None)
        return told.value.complete

    async def story():
        trickling = [asyncio.ensure_future(log_of(job_name, 31.0)) for job_name in jobs[:2]]
        while sum(each.path.startswith("/v4") for each in stitch.limited_requests) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        third = await log_of(jobs[2], 0.0)
        asked = [each.path.rpartition("/")[2] for each in stitch.limited_requests]
        for each in trickling:
            each.cancel()
        await asyncio.gather(*trickling, return_exceptions=True)
        return third, asked

    third, asked = asyncio.run(story())

    assert third
    assert asked.index(jobs[2]) <= 4  # at most one retry of each log that trickles
