"""Execute many DAG runs, inject faults, and report the results.

Usage: `python -m tests.system.chaos --runs 100 --seed 0`
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.system.chaos.plan import plan_batches
from tests.system.chaos.report import faults_table, runs_table
from tests.system.chaos.runner import ChaosRunner, two_triggerers
from tests.system.chaos.stitch_process import running_stitch
from tests.system.harness import running_airflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.system.chaos.runner import RunResult

#: Airflow needs a slot for every task in a batch, and for the second try of each task with a suspended first
#: try.
SETTINGS = {"CORE__PARALLELISM": "14"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the DAG runs.

    Return 0 if all runs ended as expected, and 1 otherwise.
    """
    options = _parser().parse_args(arguments)
    console = Console(width=110, soft_wrap=True)
    console.print(f"{options.runs} runs, starting at number {options.seed}. Starting Stitch and Airflow ...")
    results: list[RunResult] = []
    with (
        tempfile.TemporaryDirectory(prefix="stitch-") as folder,
        running_stitch(Path(folder) / "stitch") as stitch,
        running_airflow(stitch.connection, home=options.home, settings=SETTINGS) as airflow,
        two_triggerers(airflow),
    ):
        runner = ChaosRunner(airflow, stitch)
        for batch in plan_batches(options.runs, options.seed, kills_redis=airflow.redis is not None):
            results += runner.execute(batch)
            wrong = sum(bool(result.errors) for result in results)
            console.print(
                f"{len(results)} runs finished, {wrong} of them with errors. "
                f"(To repeat the last batch: RUNS={len(batch.runs)} SEED={batch.runs[0].number})"
            )
        busiest = stitch.busiest_window()
    console.print(faults_table(results))
    console.print(runs_table(results))
    console.print(f"At most {busiest} of 30 status requests in any 10 minutes of Stitch's time.")
    return 1 if busiest > 30 or any(result.errors for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="number of the first run")
    parser.add_argument("--home", type=Path, help="an empty folder for Airflow's files, which is kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
