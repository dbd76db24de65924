"""Simulate one account with one scheduler."""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.budget.window import DEFAULT_LIMIT, WINDOW
from airflow_provider_stitch.replication.polling import poller as polling
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.scheduler import next_request
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.rules.loading import MAX_LOAD_LAG
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from benchmarks.simulation.baseline_schedulers import fixed_schedules
from simulated_stitch.account import STREAMS, SimulatedAccount
from simulated_stitch.virtual_time import VirtualClock, VirtualLoop, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulated_stitch.account import Job

DAY = 86_400.0
MIN_JOB_SECONDS, MAX_JOB_SECONDS = 30.0, 6 * 3600.0  #: job durations are log-uniform between these limits
MEDIAN_LOAD_LAG = 180.0  #: median number of seconds from sending a batch until the batch is loaded

PROVIDER = "provider"  #: name of the provider's own scheduler; all other names are names of fixed schedules
Phase = Literal["extraction", "loading"]


@dataclass(frozen=True)
class Case:
    """An account, and the phase for which tasks wait. Each replication job has one waiting task."""

    sources: int
    phase: Phase
    days: float
    every: float  #: hours between the starts of consecutive jobs for a source
    seed: int = 1


@dataclass(frozen=True)
class CaseResult:
    """The result of one case with one scheduler."""

    #: Delays in seconds until waiting tasks detected the end of their phases, in ascending order.
    delays: list[float]
    busiest_window: int  #: highest number of rate-limited requests in any 10 minutes

    @property
    def mean(self) -> float:
        return sum(self.delays) / len(self.delays)

    @property
    def p95(self) -> float:
        return self.delays[math.ceil(0.95 * len(self.delays)) - 1]


def simulate(case: Case, scheduler: str) -> CaseResult:
    """Simulate one case with one scheduler.

    :param scheduler: `PROVIDER` or the name of a fixed schedule.
    """
    loop = VirtualLoop(max_seconds=math.inf)
    account = _Account(case, loop)
    step = next_request if scheduler == PROVIDER else fixed_schedules()[scheduler]
    with mock.patch.object(polling, "next_request", step):
        run(loop, account.run())
    return CaseResult(sorted(account.delays), busiest_window(account.stitch.limited_request_times))


def busiest_window(times: Sequence[float]) -> int:
    """Return the highest number of requests in any 10 minutes.

    :param times: the times of the requests in seconds, in ascending order.
    """
    return max(index + 1 - bisect_right(times, at - WINDOW) for index, at in enumerate(times))


class _Account:
    """An account that repeatedly starts jobs of all sources. A task waits for each job."""

    def __init__(self, case: Case, loop: VirtualLoop) -> None:
        self._case = case
        self._loop = loop
        self.stitch = SimulatedAccount(loop, case.sources)
        self._clock = VirtualClock(loop)
        self._budget = RequestBudget(DEFAULT_LIMIT, monotonic=loop.time)
        self.delays: list[float] = []

    async def run(self) -> None:
        """Run the account until the days of the case have passed and the last task has finished."""
        await asyncio.gather(*(self._replicate(number) for number in range(self._case.sources)))

    async def _replicate(self, number: int) -> None:
        # Use one random generator per source, so that all schedulers are compared on the same jobs.
        chance = random.Random(f"{self._case.seed} {number}")
        every = self._case.every * 3600
        await asyncio.sleep(chance.uniform(0, every))
        while (started_at := self._loop.time()) <= self._case.days * DAY:
            await self._wait_for(number, self._start_job(number, chance))
            next_start = started_at + every * chance.uniform(0.9, 1.1)
            # Do not start the next job until the previous job is loaded. Otherwise, a task could mistake a
            # load of the previous job for a load of the next job.
            await asyncio.sleep(max(MAX_LOAD_LAG.total_seconds(), next_start - self._loop.time()))

    def _start_job(self, number: int, chance: random.Random) -> Job:
        duration = math.exp(chance.uniform(math.log(MIN_JOB_SECONDS), math.log(MAX_JOB_SECONDS)))
        return self.stitch.start_job(
            number,
            duration=duration,
            flush_offsets=[duration * chance.uniform(0.8, 1) for _ in STREAMS],
            load_lags=[chance.lognormvariate(math.log(MEDIAN_LOAD_LAG), 0.5) for _ in STREAMS],
        )

    async def _wait_for(self, number: int, job: Job) -> None:
        source, phase = self.stitch.sources[number], self._case.phase
        goal = Goal(phase, source.id, source.name, self.stitch.client_id, job_name=job.name, load_settle=0)
        client: Any = self.stitch
        session = AccountSession(StitchCaller(client, clock=self._clock, budget=self._budget))
        outcome = await Waiter(session, goal).wait()
        outcome.raise_for_error()
        ended_at = job.ended_at if phase == "extraction" else max(job.ended_at, *job.loaded_at)
        delay = self._loop.time() - ended_at
        if delay < 0:
            raise AssertionError(f"The task finished {-delay:.1f} s before the end of {phase}: {job}")
        self.delays.append(delay)
