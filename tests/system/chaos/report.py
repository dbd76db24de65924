"""Summarize the results of all DAG runs in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tests.system.chaos.plan import COMPONENT_FAULT_KINDS, REDIS_FAULT_KIND, TASK_FAULT_WEIGHTS
from tests.system.chaos.runner import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.system.chaos.runner import RunResult


def faults_table(results: Sequence[RunResult]) -> Table:
    """Return a table with one row per kind of fault.

    Each row contains the number of disturbed DAG runs and their outcomes.
    """
    table = Table(title="Results by injected fault", title_justify="left", show_footer=True)
    table.add_column("fault", footer="all runs")
    for title, count in _counts(results).items():
        table.add_column(title, justify="right", footer=str(count))
    rows = {"none": [result for result in results if not result.hit_by]}
    for kind in (*TASK_FAULT_WEIGHTS, *COMPONENT_FAULT_KINDS, REDIS_FAULT_KIND):
        rows.setdefault(kind, [result for result in results if kind in result.hit_by])
    for kind, hit in rows.items():
        table.add_row(kind, *map(str, _counts(hit).values()))
    return table


def _counts(results: Sequence[RunResult]) -> dict[str, int]:
    surplus = [result.jobs - result.plan.expected.jobs for result in results]
    return {
        "runs": len(results),
        "jobs as expected": surplus.count(0),
        "too many": sum(number > 0 for number in surplus),
        "too few": sum(number < 0 for number in surplus),
        "unfinished": sum(result.state == UNFINISHED for result in results),
        "other errors": sum(
            bool(result.errors) and number == 0 and result.state != UNFINISHED
            for result, number in zip(results, surplus, strict=True)
        ),
    }


def runs_table(results: Sequence[RunResult]) -> Table:
    """Return a table with one row per DAG run with errors.

    If no run has an error, the table contains only the longest run.
    """
    wrong = [result for result in results if result.errors]
    shown = wrong or sorted(results, key=lambda result: result.seconds)[-1:]
    title = "Runs with errors" if wrong else "No run has an error. The longest:"
    table = Table(title=title, title_justify="left")
    for column in ("run", "DAG", "expected", "id", "hit by", "state", "jobs", "seconds", "errors"):
        table.add_column(column)
    for result in shown:
        table.add_row(
            str(result.plan.number),
            result.plan.dag_id,
            result.plan.outcome_name,
            result.run_id,
            ", ".join(result.hit_by),
            result.state,
            str(result.jobs),
            f"{result.seconds:.0f}",
            "; ".join(result.errors),
        )
    return table
