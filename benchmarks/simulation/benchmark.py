"""Compare the provider's scheduler with fixed schedules in accounts of several sizes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, get_args

from rich.table import Table

from airflow_provider_stitch.replication.budget.window import DEFAULT_LIMIT
from benchmarks.results import Result
from benchmarks.simulation.baseline_schedulers import fixed_schedules
from benchmarks.simulation.run_case import (
    MAX_JOB_SECONDS,
    MEDIAN_LOAD_LAG,
    MIN_JOB_SECONDS,
    PROVIDER,
    Case,
    Phase,
    simulate,
)
from simulated_stitch.account import LATENCY, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rich.console import Console

    from benchmarks.simulation.run_case import CaseResult

MAX_RATIO = 1.25  #: maximum ratio of the provider's mean delay to the mean delay of the best fixed schedule
MAX_DELAY_OF_ONE_TASK = 12.0  #: maximum mean delay in an account with one source, in seconds

# Hours between the starts of consecutive jobs for a source, by number of sources. In larger accounts, jobs
# start less often, because the request budget must allow the tasks to read the log of every job.
EVERY = {1: 1.0, 10: 3.0, 100: 12.0, 1000: 24.0}

# Default of `--days` by number of sources. Simulating a week with a thousand sources takes half an hour.
DAYS = {1: 7.0, 10: 3.0, 100: 1.0, 1000: 0.5}

NOTE = (
    "Delay: virtual seconds from the end of the phase until the waiting task detects it. The best fixed "
    "schedule is the one with the lowest mean delay among: "
    + "; ".join(fixed_schedules())
    + f". Jobs take {MIN_JOB_SECONDS:.0f} s to {MAX_JOB_SECONDS / 3600:.0f} h (log-uniform). Each of "
    f"{len(STREAMS)} streams is loaded about {MEDIAN_LOAD_LAG:.0f} s after its batch was sent. A response "
    f"takes {LATENCY:g} s."
)


@dataclass(frozen=True)
class Comparison:
    """The delays under the provider's scheduler and under the best fixed schedule in one case, in seconds."""

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
    """Run the simulations, print a table, and return the figures and the missed targets."""
    cases = select_cases(days, sources, seed)
    with console.status("Simulating: 0 %") as status:
        rows = compare(cases, lambda done: status.update(f"Simulating: {done:.0%}"))
    console.print(_table(rows))
    console.print(NOTE, style="dim", highlight=False)
    return Result(find_misses(rows), {"rows": [asdict(row) | {"ratio": row.ratio} for row in rows]})


def select_cases(days: float | None, sources: Collection[int], seed: int) -> list[Case]:
    """Return one case for each phase and number of sources. If `days` is None, use the durations in DAYS."""
    return [
        Case(number, phase, DAYS[number] if days is None else days, EVERY[number], seed)
        for phase in get_args(Phase)
        for number in sorted(sources)
    ]


def compare(
    cases: Sequence[Case], report_progress: Callable[[float], None] = lambda _: None
) -> list[Comparison]:
    """Simulate each case with each scheduler. The simulations run in parallel on all processors."""
    names = [PROVIDER, *fixed_schedules()]
    tasks = [(case, name) for case in cases for name in names]
    longest_first = sorted(tasks, key=lambda task: -task[0].days * task[0].sources)
    results: dict[tuple[Case, str], CaseResult] = {}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(simulate, *task): task for task in longest_first}
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            report_progress(len(results) / len(tasks))
    return [compare_results(case, {name: results[case, name] for name in names}) for case in cases]


def compare_results(case: Case, results: dict[str, CaseResult]) -> Comparison:
    """Compare the result of the provider's scheduler with the result of the best fixed schedule."""
    ours = results[PROVIDER]
    best = min((name for name in results if name != PROVIDER), key=lambda name: results[name].mean)
    return Comparison(
        case=case,
        waits=len(ours.delays),
        busiest_window=ours.busiest_window,
        mean=ours.mean,
        p95=ours.p95,
        best_mean=results[best].mean,
        best_p95=results[best].p95,
        best_name=best,
        all_means={name: each.mean for name, each in results.items()},
    )


def _table(rows: Sequence[Comparison]) -> Table:
    table = Table(title="Delay until a waiting task detects the end of its phase", title_justify="left")
    for heading in ("Sources", "Phase"):
        table.add_column(heading)
    for heading in (
        "Days",
        "Waits",
        "Max requests in 10 min",
        "Mean",
        "95 %",
        "Best fixed: mean",
        "95 %",
        "Ratio",
    ):
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


def find_misses(rows: Sequence[Comparison]) -> list[str]:
    """Return a message for each missed target."""
    misses = []
    for row in rows:
        name = f"{row.case.sources} sources, {row.case.phase}"
        if row.busiest_window > DEFAULT_LIMIT:
            misses.append(f"{name}: {row.busiest_window} requests in 10 minutes; at most {DEFAULT_LIMIT}")
        if row.ratio > MAX_RATIO:
            misses.append(
                f"{name}: the mean delay is {row.ratio:.2f} times the best; at most {MAX_RATIO} times"
            )
        if row.case.sources == 1 and row.mean > MAX_DELAY_OF_ONE_TASK:
            misses.append(f"{name}: mean delay {row.mean:.1f} s; at most {MAX_DELAY_OF_ONE_TASK:.0f} s")
    return misses
