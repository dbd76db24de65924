"""Scenarios of an account, with jobs, with waiters, and with events that disturb the jobs or waiters.

A scenario contains only data. The function `run_scenario` executes a scenario in virtual time and returns the
result of each waiter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import EmulatedStream, JobPlan, Quirks
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.polling import poller as account_module
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.virtual_time import START, VirtualClock, VirtualLoop, run
from tests.support.in_process_stitch import InProcessStitch

if TYPE_CHECKING:
    import pytest

STREAMS = ("alpha", "beta", "gamma")
"""The streams of every source in a scenario.

The plan of a job determines when the target flushes batches of each stream.
"""

SIXTY_DAYS = 60 * 86_400.0


@dataclass(frozen=True)
class Job:
    """A job that starts `delay` seconds after the previous job of its source has ended."""

    delay: float
    plan: JobPlan
    stopped_after: float | None = None  #: seconds after which a user stops the job, if at all

    @property
    def full_duration(self) -> float:
        """Duration of the job in seconds, if no user stops it."""
        seconds = self.plan.discovery_seconds
        if not self.plan.discovery_exit_status or self.plan.terminated:
            seconds += self.plan.tap_seconds + self.plan.target_seconds
        return seconds

    @property
    def duration(self) -> float:
        """Duration of the job in seconds, until it ends or is stopped."""
        if self.stopped_after is None:
            return self.full_duration
        return min(self.full_duration, self.stopped_after)

    @property
    def is_stopped(self) -> bool:
        return self.stopped_after is not None and self.stopped_after < self.full_duration


@dataclass(frozen=True)
class WaiterPlan:
    """A task that waits for one phase of a job."""

    source: int
    job: int
    phase: Any
    delay: float = 0.0  #: seconds from the start of the job until the waiter starts
    identified_by: str = "name"  #: how the goal identifies the job: `name`, `instant` or `running`
    poll_interval: float | None = None
    streams: tuple[str, ...] | None = None
    restarts: tuple[float, ...] = ()  #: number of seconds after which each wait is cancelled and restarted
    token: int = 0


@dataclass(frozen=True)
class Event:
    """An event that disturbs jobs or waiters.

    `_ScenarioRunner.apply` handles all kinds of events.
    """

    at: float  #: when the event occurs, in seconds from the start of the scenario
    kind: str
    duration: float = 0.0
    value: float = 0.0
    source: int = 0


@dataclass(frozen=True)
class Scenario:
    sources: tuple[tuple[Job, ...], ...]
    waiters: tuple[WaiterPlan, ...]
    events: tuple[Event, ...] = ()
    other_sources: int = 0  #: number of additional sources in the account
    quirks: Quirks = field(default_factory=Quirks)
    enforce_limit: bool = False  #: whether Stitch rejects requests beyond the rate limit
    max_latency: float = 0.0  #: seconds
    seed: int = 0


@dataclass
class WaiterResult:
    """The result of one waiter. All times are in seconds from the start of the scenario."""

    plan: WaiterPlan
    goal: Goal
    started_at: float
    ended_at: float
    outcome: Outcome | None  #: None until the waiter has finished


@dataclass
class ScenarioResult:
    """The results of all waiters in a scenario."""

    scenario: Scenario
    stitch: InProcessStitch
    source_ids: list[int]
    job_starts: list[list[float]]  #: the start time of each job, in one list per source
    waiters: list[WaiterResult]


def run_scenario(scenario: Scenario, monkeypatch: pytest.MonkeyPatch, *, timeout: float) -> ScenarioResult:
    """Execute a scenario until all waiters have finished.

    :param timeout: maximum number of seconds to wait after the last job has ended and the last event has
        occurred.
    """
    loop = VirtualLoop()
    random.seed(scenario.seed)  # makes the random delays before retries reproducible
    runner = _ScenarioRunner(scenario, loop, monkeypatch)
    run(loop, runner.run(timeout))
    return ScenarioResult(scenario, runner.stitch, runner.source_ids, runner.job_starts, runner.results)


class _ScenarioRunner:
    def __init__(self, scenario: Scenario, loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scenario = scenario
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.stitch = InProcessStitch(loop, replace(scenario.quirks))
        self.stitch.patch_transport(monkeypatch)
        self.stitch.enforce_limit(scenario.enforce_limit)
        self.stitch.add_token("ac_other")
        rng = random.Random(scenario.seed)
        self.stitch.latency = lambda: rng.uniform(0, scenario.max_latency)
        self.budget = RequestBudget(monotonic=loop.time)
        self.clients = [
            StitchClient(token, base_url=self.stitch.url, client_id=self.stitch.client_id)
            for token in (self.stitch.access_token, "ac_other")
        ]
        self.source_ids = [310_000 + 100 * number for number in range(len(scenario.sources))]
        self.job_starts: list[list[float]] = [[] for _ in scenario.sources]
        self.results: list[WaiterResult] = []
        self.restarted = asyncio.Event()

    async def run(self, timeout: float) -> None:
        self._add_other_sources(self.scenario.other_sources, seconds_ago=7200.0)
        for event in self.scenario.events:
            if event.kind == "records expire":
                self._add_other_sources(int(event.value), seconds_ago=SIXTY_DAYS - event.at)
        for number, source_id in enumerate(self.source_ids):
            self.stitch.add_source(
                f"shop_{number}", streams=dict.fromkeys(STREAMS, EmulatedStream(rows=1)), source_id=source_id
            )
        jobs = [self._run_jobs(number, jobs) for number, jobs in enumerate(self.scenario.sources)]
        events = [self._run_event(event) for event in self.scenario.events]
        waiters = [asyncio.ensure_future(self._wait(plan)) for plan in self.scenario.waiters]
        await asyncio.gather(*jobs, *events)
        await asyncio.wait(waiters, timeout=timeout)
        for waiter in waiters:
            if waiter.done():
                waiter.result()

    # --- The account ------------------------------------------------------------------------------------

    def _add_other_sources(self, number: int, *, seconds_ago: float) -> None:
        """Add sources with ids below, between and above the ids in the scenario."""
        existing = len(self.stitch._account.sources)
        for index in range(existing, existing + number):
            source_id = (300_000 if index % 2 else 310_001 + index // 400 * 100) + index
            streams = dict.fromkeys(("aardvarks", *STREAMS)[index % 3 : index % 3 + 2], 1)
            self.stitch.add_source(f"other_{index * 7919 % 10_007}", streams=streams, source_id=source_id)
            self.stitch.complete_job(source_id, seconds_ago=seconds_ago)

    async def _run_jobs(self, number: int, jobs: tuple[Job, ...]) -> None:
        for job in jobs:
            await asyncio.sleep(job.delay)
            self.stitch.start_job(self.source_ids[number], job.plan)
            self.job_starts[number].append(self.loop.time())
            await asyncio.sleep(job.duration)
            if job.is_stopped:
                self.stitch.stop_job(self.source_ids[number])

    async def _run_event(self, event: Event) -> None:
        await asyncio.sleep(event.at)
        undo = self.apply(event)
        if undo is not None:
            await asyncio.sleep(event.duration)
            undo()

    def apply(self, event: Event) -> Callable[[], None] | None:
        """Apply an event.

        Return a function that undoes the event, or None for an event that cannot be undone.
        """
        stitch, source_id = self.stitch, self.source_ids[event.source % len(self.source_ids)]
        if event.kind in FAULTS:
            return stitch.fail(times=None, **FAULTS[event.kind]).cancel
        if event.kind == "rate limit":
            stitch.fail(path_regex=LIMITED, status=429, headers={"Retry-After": str(int(event.duration))})
        elif event.kind == "set clock":
            self.clock.offset += event.value
        elif event.kind == "add sources":
            self._add_other_sources(int(event.value), seconds_ago=60.0)
        elif event.kind == "restart process":
            account_module._pollers.pop(self.loop, None)
            self.restarted.set()
            self.restarted = asyncio.Event()
        elif event.kind == "revoke token":
            stitch.disable_token("ac_other")
        elif event.kind == "pause source":
            stitch.pause_source(source_id)
            return lambda: stitch.unpause_source(source_id)
        elif event.kind == "load error":
            stream = STREAMS[int(event.value) % len(STREAMS)]
            stitch.set_load_error(source_id, stream)
            return lambda: stitch.clear_load_error(source_id, stream)
        return None

    # --- The waiters ------------------------------------------------------------------------------------

    async def _wait(self, plan: WaiterPlan) -> None:
        goal = await self._goal(plan)
        result = WaiterResult(plan, goal, self.loop.time(), float("inf"), None)
        self.results.append(result)
        restarts = list(plan.restarts)
        while result.outcome is None:
            result.outcome = await self._wait_once(plan, goal, restarts.pop(0) if restarts else None)
        result.ended_at = self.loop.time()

    async def _wait_once(self, plan: WaiterPlan, goal: Goal, restart_after: float | None) -> Outcome | None:
        """Wait the way a task does, and return the outcome.

        Return None if the wait was cancelled.
        """
        session = AccountSession(StitchCaller(self.clients[plan.token], clock=self.clock, budget=self.budget))
        wait = asyncio.ensure_future(Waiter(session, goal, poll_interval=plan.poll_interval).wait())
        restart = asyncio.ensure_future(self.restarted.wait())
        done, pending = await asyncio.wait(
            {wait, restart}, timeout=restart_after, return_when=asyncio.FIRST_COMPLETED
        )
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return wait.result() if wait in done else None

    async def _goal(self, plan: WaiterPlan) -> Goal:
        """Wait until a planned waiter should start, and return its goal."""
        source_id, starts = self.source_ids[plan.source], self.job_starts[plan.source]
        if plan.identified_by == "instant":
            # The instant must be after the previous job has started and before the planned job starts.
            while len(starts) < plan.job:  # noqa: ASYNC110 - the event loop runs in virtual time
                await asyncio.sleep(0.5)
            await asyncio.sleep(0.25 if plan.job else 0)
            identity: dict[str, Any] = {"started_after": _instant(self.loop.time())}
        else:
            while len(starts) <= plan.job:  # noqa: ASYNC110 - the event loop runs in virtual time
                await asyncio.sleep(1)
            identity = {"job_name": self.stitch.jobs(source_id)[plan.job].job_name}
            if plan.identified_by == "running":
                identity = {"running_at": _instant(starts[plan.job] + 1)}
        await asyncio.sleep(plan.delay)
        return Goal(
            plan.phase,
            source_id,
            f"shop_{plan.source}",
            self.stitch.client_id,
            streams=plan.streams,
            **identity,
        )


def _instant(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


LIMITED = "extractions|loads"

FAULTS: dict[str, dict[str, Any]] = {
    "down": {"status": 502, "garbage": True},
    "down with a body": {"status": 503, "body": {"error": "maintenance"}},
    "cut off": {"cut": True},
    "lists down": {"path_regex": LIMITED, "status": 500},
    "lists cut off": {"path_regex": LIMITED, "cut": "mid-body"},
    "lists garbled": {"path_regex": LIMITED, "garbage": True},
    "lists not JSON": {"path_regex": r"loads|extractions\?", "garbage": '{"data": [{"source_id": '},
    "pages gone": {"path_regex": "page=([2-9]|1[0-9])", "status": 404},
    "pages rejected": {"path_regex": "page=([2-9]|1[0-9])", "status": 400, "body": "no such page"},
    "sources down": {"path_regex": "/v4/sources", "status": 500},
    "logs down": {"path_regex": r"extractions/\d", "status": 500},
    "logs gone": {"path_regex": r"extractions/\d", "status": 404},
    "log host down": {"host": "log", "status": 503},
    "log host cut off": {"host": "log", "cut": "mid-body"},
    "log address expired": {"host": "log", "status": 403},
}
"""Arguments for `StitchEmulator.fail`, by the kind of event."""
