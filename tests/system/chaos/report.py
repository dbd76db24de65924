"""What became of the runs, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tests.system.chaos.plan import TO_A_TASK, TO_ALL
from tests.system.chaos.runner import HANGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.system.chaos.runner import Judged


def blows_table(judged: Sequence[Judged]) -> Table:
    """For each kind of blow: how many runs it struck, and what became of them."""
    table = Table(title="What struck the runs", title_justify="left", show_footer=True)
    table.add_column("blow", footer="all runs")
    for title, count in _counts(judged).items():
        table.add_column(title, justify="right", footer=str(count))
    table.add_row(
        "none", *(str(count) for count in _counts([run for run in judged if not run.struck]).values())
    )
    for kind in (*TO_A_TASK, *TO_ALL):
        struck = [run for run in judged if kind in run.struck]
        if kind != "nothing":
            table.add_row(kind, *(str(count) for count in _counts(struck).values()))
    return table


def _counts(runs: Sequence[Judged]) -> dict[str, int]:
    more_or_less = [run.jobs - run.plan.fate.jobs for run in runs]
    return {
        "runs": len(runs),
        "jobs as due": more_or_less.count(0),
        "more": sum(number > 0 for number in more_or_less),
        "fewer": sum(number < 0 for number in more_or_less),
        "hang": sum(run.state == HANGS for run in runs),
        "other faults": sum(
            bool(run.faults) and number == 0 and run.state != HANGS
            for run, number in zip(runs, more_or_less, strict=True)
        ),
    }


def runs_table(judged: Sequence[Judged]) -> Table:
    """Each run with a fault; or, if there is none, the one that took longest."""
    faulty = [run for run in judged if run.faults]
    shown = faulty or sorted(judged, key=lambda run: run.seconds)[-1:]
    title = "Runs with faults" if faulty else "No run has a fault. The longest:"
    table = Table(title=title, title_justify="left")
    for column in ("run", "DAG", "fate", "id", "struck by", "end", "jobs", "seconds", "faults"):
        table.add_column(column)
    for run in shown:
        number, struck, faults = str(run.plan.number), ", ".join(run.struck), "; ".join(run.faults)
        end = (run.state, str(run.jobs), f"{run.seconds:.0f}", faults)
        table.add_row(number, run.plan.dag_id, run.plan.fate_name, run.run_id, struck, *end)
    return table
