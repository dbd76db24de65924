"""Fixtures for tests against an emulated Stitch account.

Virtual time advances only while a task waits. A test can therefore simulate a wait of several hours in a
moment. The result of a test does not depend on the speed of the machine.
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
    """A clock that advances the emulator's time instead of sleeping.

    :param seconds_ahead: number of seconds by which this machine's clock is ahead of Stitch's clock.
    """

    def __init__(self, stitch: StitchEmulator, seconds_ahead: float = 0.0) -> None:
        self.stitch = stitch
        self._seconds_ahead = seconds_ahead
        self._pauses: dict[asyncio.Event, float] = {}  #: end time of each pause during a request

    def time(self) -> float:
        return self.stitch.now().timestamp() + self._seconds_ahead

    async def sleep(self, seconds: float) -> None:
        self.stitch.advance(max(seconds, 0.001))  # a shorter sleep could be rounded to zero
        for wake_up, ends_at in self._pauses.items():
            if ends_at <= self.time():
                wake_up.set()

    async def pause(self, seconds: float, wake_up: asyncio.Event, *, request_in_flight: bool) -> None:
        if not request_in_flight:
            await self.sleep(seconds)
            return
        # During a request, only a retry advances the time. The event `wake_up` is set when the request ends.
        self._pauses[wake_up] = self.time() + seconds
        try:
            await wake_up.wait()
        finally:
            del self._pauses[wake_up]


@dataclass
class WaitingTask:
    """A simplified Airflow task that starts jobs, stops jobs, waits for jobs and records log lines."""

    stitch: StitchEmulator
    client: StitchClient
    clock_ahead: float = 0.0  #: seconds by which this machine's clock is ahead of Stitch's clock
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def session(self, timeout: float | None = 26 * 3600, *, time_limit: str = "timeout") -> AccountSession:
        clock = EmulatedClock(self.stitch, self.clock_ahead)
        return AccountSession(
            StitchCaller(
                self.client,
                clock=clock,
                budget=RequestBudget(self.client.requests_per_10_minutes, monotonic=clock.time),
            ),
            deadline=None if timeout is None else clock.time() + timeout,
            time_limit=time_limit,
            on_warning=self.warnings.append,
        )

    def start(self, source_id: int, **options: Any) -> Started | SourceBusy:
        session = self.session(**options)
        return asyncio.run(
            start_job(session, self.client.get_source(source_id), log_warning=self.warnings.append)
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
        timeout: float | None = 26 * 3600,
        time_limit: str = "timeout",
        **options: Any,
    ) -> Outcome:
        session = self.session(timeout, time_limit=time_limit)
        waiter = Waiter(
            session, goal, log_info=self.lines.append, log_warning=self.warnings.append, **options
        )
        return asyncio.run(waiter.wait())

    def replicate(self, source_id: int, *, poll_interval: float | None = None, **options: Any) -> Outcome:
        """Start a job and wait for one of its phases (loading by default)."""
        started = self.start(source_id)
        assert isinstance(started, Started)
        return self.wait(self.goal(source_id, started.job_name, **options), poll_interval=poll_interval)


@pytest.fixture
def stitch() -> Iterator[StitchEmulator]:
    with StitchEmulator(speed=1e-6) as stitch:
        yield stitch


@pytest.fixture
def waiter(stitch: StitchEmulator) -> Iterator[WaitingTask]:
    clock = EmulatedClock(stitch)
    with StitchClient(stitch.access_token, base_url=stitch.url, monotonic=clock.time) as client:
        yield WaitingTask(stitch, client)
