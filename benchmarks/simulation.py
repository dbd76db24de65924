"""How late does who waits know that a phase has ended? Days of an account, in virtual time.

The waiting is the real one, with its plan, lists and budget; only Stitch and the time are not. Its plan is
compared with fixed schedules, which take its place in the same code, for the same jobs.
"""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_right
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Literal, get_args
from unittest import mock

from rich.table import Table

from airflow_provider_stitch.replication import account as watching
from airflow_provider_stitch.replication.budget import DEFAULT_LIMIT, WINDOW, Budget
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.replication.loading import MAX_LOAD_LAG
from airflow_provider_stitch.replication.planner import next_step
from airflow_provider_stitch.replication.reader import AccountReader
from airflow_provider_stitch.replication.watch import Watch
from benchmarks.result import Result
from benchmarks.schedules import fixed_schedules
from benchmarks.simulated_account import LATENCY, STREAMS, SimulatedAccount
from benchmarks.virtual_time import VirtualClock, VirtualLoop
from benchmarks.virtual_time import run as run_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rich.console import Console

    from benchmarks.simulated_account import Job

DAY = 86_400.0
SHORTEST, LONGEST = 30.0, 6 * 3600.0  #: seconds that a job takes; all orders of magnitude alike
LAG = 180.0  #: seconds from a flush until it is loaded; half of them take longer
MOST_RATIO = 1.25  #: of our mean to that of the best fixed schedule
MOST_ALONE = 12.0  #: seconds of our mean, if one task waits

OURS = "ours"
Phase = Literal["extraction", "loading"]


@dataclass(frozen=True)
class Case:
    """An account whose sources' jobs are waited for, each by one task."""

    sources: int
    phase: Phase
    days: float
    every: float  #: hours from one job of a source to its next
    seed: int = 1


# The more sources, the rarer each one's jobs: the budget has to suffice for the log of each.
EVERY = {1: 1.0, 10: 3.0, 100: 12.0, 1000: 24.0}

# Days without `--days`, such that the whole takes some minutes. A thousand sources' week takes half an hour.
DAYS = {1: 7.0, 10: 3.0, 100: 1.0, 1000: 0.5}


@dataclass(frozen=True)
class Simulated:
    """What came of one case under one plan."""

    late: list[float]  #: seconds of each waiter, from the end of the phase until it knew; ascending
    busiest_window: int  #: limited requests in some 10 minutes

    @property
    def mean(self) -> float:
        return sum(self.late) / len(self.late)

    @property
    def p95(self) -> float:
        return self.late[math.ceil(0.95 * len(self.late)) - 1]


@dataclass(frozen=True)
class Row:
    """Our plan beside the best fixed schedule."""

    case: Case
    waits: int
    busiest_window: int
    mean: float
    p95: float
    best_mean: float
    best_p95: float
    best_name: str
    all_means: dict[str, float]

    @property
    def ratio(self) -> float:
        return self.mean / self.best_mean


def run(
    console: Console, days: float | None = None, sources: Collection[int] = EVERY.keys(), seed: int = 1
) -> Result:
    """Simulate, print a table, and return what was found, with the targets that were missed."""
    cases = cases_of(days, sources, seed)
    with console.status("Simulating: 0 %") as status:
        rows = compare(cases, lambda done: status.update(f"Simulating: {done:.0%}"))
    console.print(_table(rows))
    console.print(NOTE, style="dim", highlight=False)
    return Result(misses(rows), {"rows": [asdict(row) | {"ratio": row.ratio} for row in rows]})


def cases_of(days: float | None, sources: Collection[int], seed: int) -> list[Case]:
    """Return the accounts with so many sources, for each phase; without `days` for those in DAYS."""
    return [
        Case(number, phase, DAYS[number] if days is None else days, EVERY[number], seed)
        for phase in get_args(Phase)
        for number in sorted(sources)
    ]


def compare(cases: Sequence[Case], tell: Callable[[float], None] = lambda _: None) -> list[Row]:
    """Simulate each case under each plan, on all processors."""
    names = [OURS, *fixed_schedules()]
    tasks = [(case, name) for case in cases for name in names]
    longest_first = sorted(tasks, key=lambda task: -task[0].days * task[0].sources)
    found: dict[tuple[Case, str], Simulated] = {}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(simulate, *task): task for task in longest_first}
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            tell(len(found) / len(tasks))
    return [row_of(case, {name: found[case, name] for name in names}) for case in cases]


def row_of(case: Case, found: dict[str, Simulated]) -> Row:
    ours = found[OURS]
    best = min((name for name in found if name != OURS), key=lambda name: found[name].mean)
    return Row(
        case=case,
        waits=len(ours.late),
        busiest_window=ours.busiest_window,
        mean=ours.mean,
        p95=ours.p95,
        best_mean=found[best].mean,
        best_p95=found[best].p95,
        best_name=best,
        all_means={name: each.mean for name, each in found.items()},
    )


# --- One simulation -------------------------------------------------------------------------------------


def simulate(case: Case, plan: str) -> Simulated:
    """Let an account's days pass, with tasks that wait by a plan: ours, or a fixed schedule's name."""
    loop = VirtualLoop(longest=math.inf)
    account = _Account(case, loop)
    with mock.patch.object(watching, "next_step", next_step if plan == OURS else fixed_schedules()[plan]):
        run_in(loop, account.live())
    return Simulated(sorted(account.late), busiest_window(account.stitch.limited_at))


def busiest_window(instants: Sequence[float]) -> int:
    """Return how many of so many ascending instants are within the same 10 minutes at most."""
    return max(index + 1 - bisect_right(instants, at - WINDOW) for index, at in enumerate(instants))


class _Account:
    """Sources whose jobs are started again and again, each with a task that waits for it."""

    def __init__(self, case: Case, loop: VirtualLoop) -> None:
        self._case = case
        self._loop = loop
        self.stitch = SimulatedAccount(loop, case.sources)
        self._clock = VirtualClock(loop)
        self._budget = Budget(DEFAULT_LIMIT, monotonic=loop.time)
        self.late: list[float] = []

    async def live(self) -> None:
        """Return when the days are over and the last job is waited for no more."""
        await asyncio.gather(*(self._replicate(number) for number in range(self._case.sources)))

    async def _replicate(self, number: int) -> None:
        # The same jobs under each plan.
        chance = random.Random(f"{self._case.seed} {number}")
        every = self._case.every * 3600
        await asyncio.sleep(chance.uniform(0, every))
        while (began := self._loop.time()) <= self._case.days * DAY:
            await self._wait_for(number, self._start(number, chance))
            next_at = began + every * chance.uniform(0.9, 1.1)
            # Until then all is loaded: otherwise a load could be that of the job before.
            await asyncio.sleep(max(MAX_LOAD_LAG.total_seconds(), next_at - self._loop.time()))

    def _start(self, number: int, chance: random.Random) -> Job:
        lasts = math.exp(chance.uniform(math.log(SHORTEST), math.log(LONGEST)))
        return self.stitch.start(
            number,
            lasts=lasts,
            flushed=[lasts * chance.uniform(0.8, 1) for _ in STREAMS],
            lags=[chance.lognormvariate(math.log(LAG), 0.5) for _ in STREAMS],
        )

    async def _wait_for(self, number: int, job: Job) -> None:
        source, phase = self.stitch.sources[number], self._case.phase
        goal = Goal(phase, source.id, source.name, self.stitch.client_id, job_name=job.name, load_settle=0)
        client: Any = self.stitch
        reader = AccountReader(client, clock=self._clock, budget=self._budget)
        outcome = await Watch(reader, goal).wait()
        outcome.raise_for_error()
        ended = job.ended if phase == "extraction" else max(job.ended, *job.loaded)
        late = self._loop.time() - ended
        if late < 0:
            raise AssertionError(f"Passed {-late:.1f} s before the end of {phase}: {job}")
        self.late.append(late)


# --- What was found -------------------------------------------------------------------------------------

NOTE = (
    "From the end of the phase until the task that waits for it knows, in virtual seconds; the best fixed "
    "schedule is the one with the least mean of: "
    + "; ".join(fixed_schedules())
    + f". Jobs take {SHORTEST:.0f} s to {LONGEST / 3600:.0f} h, all orders of magnitude alike; each of "
    f"{len(STREAMS)} streams is loaded some {LAG:.0f} s after its flush. An answer takes {LATENCY:g} s."
)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="How late a waiting task knows that its phase has ended", title_justify="left")
    for heading in ("Sources", "Phase"):
        table.add_column(heading)
    for heading in ("Days", "Waits", "Busiest 10 min", "Mean", "95 %", "Best fixed: mean", "95 %", "Ratio"):
        table.add_column(heading, justify="right")
    table.add_column("Best fixed schedule")
    for row in rows:
        table.add_row(
            f"{row.case.sources}, every {row.case.every:g} h",
            row.case.phase,
            f"{row.case.days:g}",
            str(row.waits),
            str(row.busiest_window),
            f"{row.mean:.1f} s",
            f"{row.p95:.1f} s",
            f"{row.best_mean:.1f} s",
            f"{row.best_p95:.1f} s",
            f"{row.ratio:.2f}",
            row.best_name,
        )
    return table


def misses(rows: Sequence[Row]) -> list[str]:
    missed = []
    for row in rows:
        name = f"{row.case.sources} sources, {row.case.phase}"
        if row.busiest_window > DEFAULT_LIMIT:
            missed.append(f"{name}: {row.busiest_window} requests in 10 minutes; at most {DEFAULT_LIMIT}")
        if row.ratio > MOST_RATIO:
            missed.append(f"{name}: {row.ratio:.2f} times as late as the best; at most {MOST_RATIO} times")
        if row.case.sources == 1 and row.mean > MOST_ALONE:
            missed.append(f"{name}: {row.mean:.1f} s late; at most {MOST_ALONE:.0f} s")
    return missed
