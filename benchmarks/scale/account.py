"""An account in memory with jobs that end at given times, and functions that wait for these jobs."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects import Source
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.budget.window import WINDOW
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.large_account import AT, LargeAccount, extraction_of
from simulated_stitch.virtual_time import START, VirtualClock, VirtualLoop, run
from tests.support.builders import job_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Extraction, Page
    from airflow_provider_stitch.replication.outcome import Outcome

DAY = 86_400.0


class MeasuredLoop(VirtualLoop):
    """An event loop that measures its longest iteration, including calls that asyncio runs in threads."""

    longest_iteration = 0.0  #: CPU seconds

    def _run_once(self) -> None:
        started_at = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # a private method of asyncio, which type stubs do not contain
        # Ignore the first iteration, in which all tasks start. A triggerer never starts all tasks in one
        # iteration.
        if self.time() > 0:
            self.longest_iteration = max(self.longest_iteration, time.thread_time() - started_at)


@dataclass
class VirtualAccount:
    """A client in memory, with the event loop, clock and request budget of its tasks."""

    client: Any
    loop: MeasuredLoop = field(default_factory=lambda: MeasuredLoop(30 * DAY))

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.loop)
        self.budget = RequestBudget(30, monotonic=self.loop.time)

    def session(self, *, deadline: float | None = None) -> AccountSession:
        return AccountSession(
            StitchCaller(self.client, clock=self.clock, budget=self.budget), deadline=deadline
        )

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return run(self.loop, main())


class TimedJobs(LargeAccount):
    """An account with one job per source. The list of extractions contains a job after it has ended.

    :param ends: the end of each job in seconds from the start of the event loop, by source id.
    """

    def __init__(self, ends: dict[int, float]) -> None:
        super().__init__()
        self.ends = ends
        self.now: Callable[[], float] = lambda: 0.0
        self.source_requests = 0
        self.request_times: list[float] = []  #: times of the requests that count against the rate limit

    @property
    def latest_response_at(self) -> datetime:  # type: ignore[override]
        return START + timedelta(seconds=self.now())

    def list_extractions(self, page: int = 1) -> Page[Extraction]:
        now = self.now()
        self.request_times.append(now)
        self.extractions = _LazyExtractions(self.ends, now)
        return replace(super().list_extractions(page), responded_at=self.latest_response_at)

    def get_source(self, source_id: int) -> Source:
        self.source_requests += 1
        return Source.from_json({"id": source_id, "name": f"source_{source_id}", "display_name": "Source"})


class _LazyExtractions:
    """The list of extractions, which contains the last completed job of each source."""

    def __init__(self, ends: dict[int, float], now: float) -> None:
        self._source_ids, self._ends, self._now = list(ends), ends, now

    def __len__(self) -> int:
        return len(self._source_ids)

    def __getitem__(self, part: slice) -> list[Extraction]:
        return [self._extraction(source_id) for source_id in self._source_ids[part]]

    def _extraction(self, source_id: int) -> Extraction:
        end = self._ends[source_id]
        if end > self._now:
            return extraction_of(source_id, ended=AT)
        return extraction_of(source_id, _job_name(source_id), START + timedelta(seconds=end))


def _job_name(source_id: int) -> str:
    return job_name(START, source_id)


def extraction_goal(source_id: int) -> Goal:
    """Return the goal of a task that waits for the extraction of a source."""
    return Goal("extraction", source_id, f"source_{source_id}", 104857, job_name=_job_name(source_id))


def wait_for_all(ends: dict[int, float]) -> dict[str, Any]:
    """Wait for one job of each source in a single event loop, and return the figures.

    :param ends: the end of each job in seconds from the start of the event loop, by source id.
    """
    account = VirtualAccount(TimedJobs(ends))
    account.client.now = account.loop.time
    delays: list[float] = []

    async def wait(source_id: int) -> Outcome:
        outcome = await Waiter(account.session(), extraction_goal(source_id)).wait()
        delays.append(account.loop.time() - ends[source_id])
        return outcome

    async def wait_for_each() -> list[Outcome]:
        return await asyncio.gather(*map(wait, ends))

    outcomes = account.run(wait_for_each)
    request_times = account.client.request_times
    return {
        "finished": sum(outcome.error is None for outcome in outcomes),
        "limited_requests": len(request_times),
        "in_10_minutes": max(
            bisect_left(request_times, at + WINDOW) - number for number, at in enumerate(request_times)
        ),
        "other_requests": account.client.source_requests,
        "hours": account.loop.time() / 3600,
        "mean_delay": sum(delays) / len(delays),
        "longest_delay": max(delays),
        "longest_iteration": account.loop.longest_iteration,
    }
