"""Test that slow downloads of logs do not block other downloads."""

from __future__ import annotations

import asyncio
import itertools

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.queries import ANY_CACHED, LogQuery
from airflow_provider_stitch.replication.session import AccountSession
from tests.replication.conftest import EmulatedClock


def test_third_log_is_read_during_two_slow_downloads(stitch):
    """The slow clients' clocks advance to 100 seconds during the first four chunks, and then stop."""
    jobs = []
    for number in range(3):
        source_id = stitch.add_source(f"source_{number}", streams={"orders": 1})
        jobs.append(stitch.complete_job(source_id, seconds_ago=600).job_name)
    for job_name in jobs[:2]:
        stitch.fail(path_regex=job_name, host="log", drip=0.1, times=None)
    clock = EmulatedClock(stitch)
    budget = RequestBudget(30, monotonic=clock.time)

    def client(step: float) -> StitchClient:
        seconds = itertools.count(0, step)
        return StitchClient(
            stitch.access_token,
            base_url=stitch.url,
            client_id=stitch.client_id,
            monotonic=lambda: min(next(seconds), 100.0),
        )

    async def is_log_complete(job_name: str, step: float) -> bool:
        session = AccountSession(StitchCaller(client(step), clock=clock, budget=budget))
        result = await session.query(LogQuery(session.client, None, ANY_CACHED, job_name), expires_at=None)
        return result.value.complete

    async def read_logs():
        slow = [asyncio.ensure_future(is_log_complete(job_name, 31.0)) for job_name in jobs[:2]]
        while sum(each.path.startswith("/v4") for each in stitch.limited_requests) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        third_is_complete = await is_log_complete(jobs[2], 0.0)
        requested = [each.path.rpartition("/")[2] for each in stitch.limited_requests]
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return third_is_complete, requested

    third_is_complete, requested = asyncio.run(read_logs())

    assert third_is_complete
    assert requested.index(jobs[2]) <= 4  # at most one retry for each slow log
