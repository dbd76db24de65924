"""`python -m tests.system.chaos --runs 100 --seed 0`: many runs, many blows, and what became of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.system.chaos.plan import waves
from tests.system.chaos.report import blows_table, runs_table
from tests.system.chaos.runner import Chaos, two_triggerers
from tests.system.chaos.stitch_process import running_stitch
from tests.system.harness import running_airflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.system.chaos.runner import Judged

#: Room for every task of a wave, and for a second try of some while the first is held up.
SETTINGS = {"CORE__PARALLELISM": "14"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the runs. 0: each had the jobs that were due and its true end; 1: one had not."""
    options = _parser().parse_args(arguments)
    console = Console(width=110, soft_wrap=True)
    console.print(f"{options.runs} runs, from number {options.seed} on. Starting Stitch and Airflow ...")
    judged: list[Judged] = []
    with (
        tempfile.TemporaryDirectory(prefix="stitch-") as folder,
        running_stitch(Path(folder) / "stitch") as stitch,
        running_airflow(stitch.connection, home=options.home, settings=SETTINGS) as airflow,
        two_triggerers(airflow),
    ):
        chaos = Chaos(airflow, stitch)
        for wave in waves(options.runs, options.seed):
            judged += chaos.play(wave)
            faulty = sum(bool(run.faults) for run in judged)
            first = wave.runs[0].number
            console.print(
                f"{len(judged)} runs have ended, {faulty} of them with faults. "
                f"(The last ones again: RUNS={len(wave.runs)} SEED={first})"
            )
    console.print(blows_table(judged))
    console.print(runs_table(judged))
    return 1 if any(run.faults for run in judged) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="the first run's number")
    parser.add_argument("--home", type=Path, help="an empty folder in which to leave what Airflow writes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
