"""A Stitch whose time passes only while somebody waits.

Hours of waiting take no time and nothing is left to chance: the waiting's own clock moves the emulator's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.jobs import SourceBusy, Started, start_job, stop_job
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Iterator


class EmulatedClock:
    """Sleeping moves the emulator's time on."""

    def __init__(self, stitch: StitchEmulator) -> None:
        self.stitch = stitch

    def time(self) -> float:
        return self.stitch.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        self.stitch.advance(max(seconds, 0.001))  # its time has microseconds, and no less

    async def pause(self, seconds: float, wakened: asyncio.Event, *, busy: bool) -> None:
        ends_at = self.time() + seconds
        while busy and not wakened.is_set() and self.time() < ends_at:  # noqa: ASYNC110 - only retries move it
            await asyncio.sleep(0.001)
        if not busy:
            await self.sleep(seconds)


@dataclass
class WaitingTask:
    """Starts and waits as a task does, and keeps what it was told."""

    stitch: StitchEmulator
    client: StitchClient
    told: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def session(self, patience: float | None = 26 * 3600, *, time_limit: str = "timeout") -> AccountSession:
        clock = EmulatedClock(self.stitch)
        return AccountSession(
            StitchCaller(
                self.client,
                clock=clock,
                budget=RequestBudget(self.client.requests_per_10_minutes, monotonic=clock.time),
            ),
            deadline=None if patience is None else clock.time() + patience,
            time_limit=time_limit,
            on_warning=self.warned.append,
        )

    def start(self, source_id: int, **options: Any) -> Started | SourceBusy:
        session = self.session(**options)
        return asyncio.run(
            start_job(session, self.client.get_source(source_id), log_warning=self.warned.append)
        )

    def stop(self, goal: Goal) -> bool:
        return asyncio.run(stop_job(self.session(), goal))

    def goal(
        self, source_id: int, job_name: str | None = None, phase: Any = "loading", **options: Any
    ) -> Goal:
        name = self.client.get_source(source_id).name
        return Goal(phase, source_id, name, self.client.client_id, job_name=job_name, **options)

    def wait(
        self,
        goal: Goal,
        *,
        patience: float | None = 26 * 3600,
        time_limit: str = "timeout",
        **options: Any,
    ) -> Outcome:
        session = self.session(patience, time_limit=time_limit)
        watch = Waiter(session, goal, log_info=self.told.append, log_warning=self.warned.append, **options)
        return asyncio.run(watch.wait())

    def replicate(self, source_id: int, *, poll_interval: float | None = None, **options: Any) -> Outcome:
        """Start a job and wait until it is loaded."""
        started = self.start(source_id)
        assert isinstance(started, Started)
        return self.wait(self.goal(source_id, started.job_name, **options), poll_interval=poll_interval)


@pytest.fixture
def stitch() -> Iterator[StitchEmulator]:
    with StitchEmulator(speed=1e-6) as stitch:
        yield stitch


@pytest.fixture
def waiter(stitch: StitchEmulator) -> Iterator[WaitingTask]:
    with StitchClient(stitch.access_token, base_url=stitch.url) as client:
        yield WaitingTask(stitch, client)
