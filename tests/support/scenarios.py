"""Stories of an account: what runs in it, what comes in between, and who waits for what.

A story is plain data; `tell` lets it happen, in virtual time, and returns what became of each who waited.
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
from airflow_provider_stitch.replication.polling.caller import AccountSession
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.waiter import Waiter
from simulated_stitch.virtual_time import START, VirtualClock, VirtualLoop, run
from tests.support.in_process_stitch import InProcessStitch

if TYPE_CHECKING:
    import pytest

STREAMS = ("alpha", "beta", "gamma")
"""Every source has these. What a job flushes of each is in its plan."""

SIXTY_DAYS = 60 * 86_400.0


@dataclass(frozen=True)
class Job:
    """A job of a source. It begins so many seconds after the one before has ended."""

    after: float
    plan: JobPlan
    stopped_after: float | None = None  #: seconds after which another user stops it, if it still runs

    @property
    def whole(self) -> float:
        """For how many seconds it runs if nobody stops it."""
        whole = self.plan.discovery_seconds
        if not self.plan.discovery_exit_status or self.plan.terminated:
            whole += self.plan.tap_seconds + self.plan.target_seconds
        return whole

    @property
    def lasts(self) -> float:
        """For how many seconds it runs."""
        return self.whole if self.stopped_after is None else min(self.whole, self.stopped_after)

    @property
    def is_stopped(self) -> bool:
        return self.stopped_after is not None and self.stopped_after < self.whole


@dataclass(frozen=True)
class Waiting:
    """Somebody waits for a phase of a source's job."""

    source: int
    job: int
    phase: Any
    begins: float = 0.0  #: seconds after the job's beginning
    told_by: str = "name"  #: how the job is told: or by an `instant`, or as the one `running`
    poll_interval: float | None = None
    streams: tuple[str, ...] | None = None
    restarts: tuple[float, ...] = ()  #: each so many seconds later it is cancelled and begun anew
    token: int = 0


@dataclass(frozen=True)
class Event:
    """Something that comes in between."""

    at: float  #: seconds after the story's beginning
    what: str  #: see `_Teller.happen`
    lasts: float = 0.0
    number: float = 0.0
    source: int = 0


@dataclass(frozen=True)
class Story:
    sources: tuple[tuple[Job, ...], ...]
    waitings: tuple[Waiting, ...]
    events: tuple[Event, ...] = ()
    others: int = 0  #: sources that ran before, so that the lists are long
    quirks: Quirks = field(default_factory=Quirks)
    enforced: bool = False  #: Stitch refuses what is beyond the limit
    latency: float = 0.0  #: seconds that a request takes at most
    seed: int = 0


@dataclass
class TaskEndOptions:
    """What became of somebody who waited. Times are seconds after the story's beginning."""

    waiting: Waiting
    goal: Goal
    began: float
    ended: float
    outcome: Outcome | None  #: None: it still waits


@dataclass
class QueryResult:
    """A story that was told."""

    story: Story
    stitch: InProcessStitch
    ids: list[int]
    began: list[list[float]]  #: of each source's jobs
    endings: list[TaskEndOptions]


def tell(story: Story, monkeypatch: pytest.MonkeyPatch, *, patience: float) -> QueryResult:
    """Let a story happen, until nobody waits any more or, when all is over, for so many seconds."""
    loop = VirtualLoop()
    random.seed(story.seed)  # what waits pauses by chance
    teller = _Teller(story, loop, monkeypatch)
    run(loop, teller.tell(patience))
    return QueryResult(story, teller.stitch, teller.ids, teller.began, teller.endings)


class _Teller:
    def __init__(self, story: Story, loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.story = story
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.stitch = InProcessStitch(loop, replace(story.quirks))
        self.stitch.patch_transport(monkeypatch)
        self.stitch.enforce_limit(story.enforced)
        self.stitch.add_token("ac_other")
        chance = random.Random(story.seed)
        self.stitch.latency = lambda: chance.uniform(0, story.latency)
        self.budget = RequestBudget(monotonic=loop.time)
        self.clients = [
            StitchClient(token, base_url=self.stitch.url, client_id=self.stitch.client_id)
            for token in (self.stitch.access_token, "ac_other")
        ]
        self.ids = [310_000 + 100 * number for number in range(len(story.sources))]
        self.began: list[list[float]] = [[] for _ in story.sources]
        self.endings: list[TaskEndOptions] = []
        self.restarted = asyncio.Event()

    async def tell(self, patience: float) -> None:
        self._add_others(self.story.others, seconds_ago=7200.0)
        for event in self.story.events:
            if event.what == "go":
                self._add_others(int(event.number), seconds_ago=SIXTY_DAYS - event.at)
        for number, source_id in enumerate(self.ids):
            self.stitch.add_source(
                f"shop_{number}", streams=dict.fromkeys(STREAMS, EmulatedStream(rows=1)), source_id=source_id
            )
        jobs = [self._run_jobs(number, jobs) for number, jobs in enumerate(self.story.sources)]
        events = [self._happens(event) for event in self.story.events]
        waiters = [asyncio.ensure_future(self._wait(each)) for each in self.story.waitings]
        await asyncio.gather(*jobs, *events)
        await asyncio.wait(waiters, timeout=patience)
        for waiter in waiters:
            if waiter.done():
                waiter.result()

    # --- The account ------------------------------------------------------------------------------------

    def _add_others(self, number: int, *, seconds_ago: float) -> None:
        """Add sources before, between and after those of the story."""
        known = len(self.stitch._account.sources)
        for index in range(known, known + number):
            source_id = (300_000 if index % 2 else 310_001 + index // 400 * 100) + index
            streams = dict.fromkeys(("aardvarks", *STREAMS)[index % 3 : index % 3 + 2], 1)
            self.stitch.add_source(f"other_{index * 7919 % 10_007}", streams=streams, source_id=source_id)
            self.stitch.complete_job(source_id, seconds_ago=seconds_ago)

    async def _run_jobs(self, number: int, jobs: tuple[Job, ...]) -> None:
        for job in jobs:
            await asyncio.sleep(job.after)
            self.stitch.start_job(self.ids[number], job.plan)
            self.began[number].append(self.loop.time())
            await asyncio.sleep(job.lasts)
            if job.is_stopped:
                self.stitch.stop_job(self.ids[number])

    async def _happens(self, event: Event) -> None:
        await asyncio.sleep(event.at)
        end = self.happen(event)
        if end is not None:
            await asyncio.sleep(event.lasts)
            end()

    def happen(self, event: Event) -> Callable[[], None] | None:
        """Let an event happen; return what ends it."""
        stitch, source_id = self.stitch, self.ids[event.source % len(self.ids)]
        if event.what in FAULTS:
            return stitch.fail(times=None, **FAULTS[event.what]).cancel
        if event.what == "too many":
            stitch.fail(path_regex=LIMITED, status=429, headers={"Retry-After": str(int(event.lasts))})
        elif event.what == "clock":
            self.clock.offset += event.number
        elif event.what == "come":
            self._add_others(int(event.number), seconds_ago=60.0)
        elif event.what == "restart":
            account_module._watches.pop(self.loop, None)
            self.restarted.set()
            self.restarted = asyncio.Event()
        elif event.what == "revoke":
            stitch.disable_token("ac_other")
        elif event.what == "pause":
            stitch.pause_source(source_id)
            return lambda: stitch.unpause_source(source_id)
        elif event.what == "load error":
            stream = STREAMS[int(event.number) % len(STREAMS)]
            stitch.set_load_error(source_id, stream)
            return lambda: stitch.clear_load_error(source_id, stream)
        return None

    # --- Who waits --------------------------------------------------------------------------------------

    async def _wait(self, waiting: Waiting) -> None:
        goal = await self._goal(waiting)
        ending = TaskEndOptions(waiting, goal, self.loop.time(), float("inf"), None)
        self.endings.append(ending)
        restarts = list(waiting.restarts)
        while ending.outcome is None:
            ending.outcome = await self._wait_once(waiting, goal, restarts.pop(0) if restarts else None)
        ending.ended = self.loop.time()

    async def _wait_once(self, waiting: Waiting, goal: Goal, restart_after: float | None) -> Outcome | None:
        """Wait as a task does; None: it was cancelled meanwhile."""
        reader = AccountSession(self.clients[waiting.token], clock=self.clock, budget=self.budget)
        watch = asyncio.ensure_future(Waiter(reader, goal, poll_interval=waiting.poll_interval).wait())
        restart = asyncio.ensure_future(self.restarted.wait())
        done, left = await asyncio.wait(
            {watch, restart}, timeout=restart_after, return_when=asyncio.FIRST_COMPLETED
        )
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return watch.result() if watch in done else None

    async def _goal(self, waiting: Waiting) -> Goal:
        """Return the goal of somebody who waits, once it is time to begin."""
        source_id = self.ids[waiting.source]
        if waiting.told_by == "instant":
            # It is told before its job begins, and after the one before has begun.
            while len(self.began[waiting.source]) < waiting.job:  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.5)
            await asyncio.sleep(0.25 if waiting.job else 0)
            which: dict[str, Any] = {"started_after": self._instant(self.loop.time())}
        else:
            while len(self.began[waiting.source]) <= waiting.job:  # noqa: ASYNC110 - the same
                await asyncio.sleep(1)
            which = {"job_name": self.stitch.jobs(source_id)[waiting.job].job_name}
            if waiting.told_by == "running":
                which = {"running_at": self._instant(self.began[waiting.source][waiting.job] + 1)}
        await asyncio.sleep(waiting.begins)
        return Goal(
            waiting.phase,
            source_id,
            f"shop_{waiting.source}",
            self.stitch.client_id,
            streams=waiting.streams,
            **which,
        )

    def _instant(self, seconds: float) -> datetime:
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
    "pages refused": {"path_regex": "page=([2-9]|1[0-9])", "status": 400, "body": "no such page"},
    "sources down": {"path_regex": "/v4/sources", "status": 500},
    "logs down": {"path_regex": r"extractions/\d", "status": 500},
    "logs gone": {"path_regex": r"extractions/\d", "status": 404},
    "log host down": {"host": "log", "status": 503},
    "log host cut off": {"host": "log", "cut": "mid-body"},
    "log address expired": {"host": "log", "status": 403},
}
"""What goes wrong as long as an event of this name lasts."""
