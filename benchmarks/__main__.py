"""Run all benchmarks, or those that are named. The exit code is 1 if one misses its target."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks import extraction_log, machine, parse_cost, waiting
from benchmarks.simulation import benchmark as simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.result import Result

BENCHMARKS: dict[str, Callable[[Console], Result]] = {
    "parse_cost": parse_cost.run,
    "extraction_log": extraction_log.run,
    "simulation": simulation.run,
    "waiting": waiting.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file, too")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw figures in this folder, too")
    of_simulation = parser.add_argument_group("simulation")
    of_simulation.add_argument("--days", type=float, help="virtual days of each case; 7 is a week")
    of_simulation.add_argument(
        "--sources",
        type=int,
        nargs="+",
        choices=simulation.EVERY,
        default=simulation.EVERY.keys(),
        help="only accounts with so many sources",
    )
    of_simulation.add_argument("--seed", type=int, default=1, help="other jobs, just as likely")
    options = parser.parse_args()
    names = options.names or list(BENCHMARKS)
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}, only {', '.join(BENCHMARKS)}")
    # As an exception, so that whatever a benchmark has started is ended.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    console = Console(width=None if sys.stdout.isatty() else 120)
    simulated = partial(simulation.run, days=options.days, sources=options.sources, seed=options.seed)
    benchmarks = BENCHMARKS | {"simulation": simulated}
    results = {name: benchmarks[name](console) for name in names}
    misses = [miss for result in results.values() for miss in result.misses]
    console.print(f"\n{machine.describe()}\n{machine.versions()}", style="dim", highlight=False)
    figures: dict[str, Any] = {name: result.figures for name, result in results.items()}
    figures |= {"machine": machine.describe(), "versions": machine.versions(), "misses": misses}
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.plots is not None:
        from benchmarks import plots  # noqa: PLC0415 - only this needs matplotlib

        for drawing in plots.draw(figures, options.plots):
            console.print(f"Drew {drawing}", style="dim", highlight=False)
    for miss in misses:
        console.print(f"Missed: {miss}", style="bold red", highlight=False)
    if not misses:
        console.print("All targets met.", style="bold green")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
