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
from airflow_provider_stitch.replication.budget import Budget
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.reader import AccountReader
from airflow_provider_stitch.replication.start import Occupied, Started, start_job, stop_job
from airflow_provider_stitch.replication.watch import Watch

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
class Waiter:
    """Starts and waits as a task does, and keeps what it was told."""

    stitch: StitchEmulator
    client: StitchClient
    told: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def reader(self, patience: float | None = 26 * 3600, *, time_limit: str = "timeout") -> AccountReader:
        clock = EmulatedClock(self.stitch)
        return AccountReader(
            self.client,
            deadline=None if patience is None else clock.time() + patience,
            clock=clock,
            budget=Budget(self.client.requests_per_10_minutes, monotonic=clock.time),
            time_limit=time_limit,
            warn=self.warned.append,
        )

    def start(self, source_id: int, **options: Any) -> Started | Occupied:
        reader = self.reader(**options)
        return asyncio.run(start_job(reader, self.client.get_source(source_id), warn=self.warned.append))

    def stop(self, goal: Goal) -> bool:
        return asyncio.run(stop_job(self.reader(), goal))

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
        reader = self.reader(patience, time_limit=time_limit)
        watch = Watch(reader, goal, tell=self.told.append, warn=self.warned.append, **options)
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
def waiter(stitch: StitchEmulator) -> Iterator[Waiter]:
    with StitchClient(stitch.access_token, base_url=stitch.url) as client:
        yield Waiter(stitch, client)
