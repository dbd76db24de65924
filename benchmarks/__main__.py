"""Run all benchmarks, or the named ones. The exit code is 1 if a target is missed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks import machine
from benchmarks.extraction_log import benchmark as extraction_log
from benchmarks.parse_cost import benchmark as parse_cost
from benchmarks.several_hosts import benchmark as several_hosts
from benchmarks.simulation import benchmark as simulation
from benchmarks.waiting import benchmark as waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.results import Result

BENCHMARKS: dict[str, Callable[[Console], Result]] = {
    "parse_cost": parse_cost.run,
    "extraction_log": extraction_log.run,
    "simulation": simulation.run,
    "waiting": waiting.run,
    "several_hosts": several_hosts.run,
}


def main() -> int:
    options = _parse_arguments()
    # The handler of SIGTERM raises an exception, so that a benchmark stops the processes that it has started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    console = Console(width=None if sys.stdout.isatty() else 120)
    simulate = partial(simulation.run, days=options.days, sources=options.sources, seed=options.seed)
    benchmarks = BENCHMARKS | {"simulation": simulate}
    results = {}
    for name in options.names or BENCHMARKS:
        started_at = time.monotonic()
        results[name] = benchmarks[name](console)
        console.print(f"{name} took {time.monotonic() - started_at:.0f} s", style="dim", highlight=False)
    misses = [miss for result in results.values() for miss in result.misses]
    console.print(f"\n{machine.describe()}\n{machine.versions()}", style="dim", highlight=False)
    figures: dict[str, Any] = {name: result.figures for name, result in results.items()}
    figures |= {"machine": machine.describe(), "versions": machine.versions(), "misses": misses}
    _write(console, figures, options)
    for miss in misses:
        console.print(f"Missed: {miss}", style="bold red", highlight=False)
    if not misses:
        console.print("All targets met.", style="bold green")
    return 1 if misses else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw the figures in this folder")
    simulation_options = parser.add_argument_group("simulation")
    simulation_options.add_argument("--days", type=float, help="virtual days of each case; 7 is a week")
    simulation_options.add_argument(
        "--sources",
        type=int,
        nargs="+",
        choices=simulation.EVERY,
        default=simulation.EVERY.keys(),
        help="simulate only accounts with these numbers of sources",
    )
    simulation_options.add_argument("--seed", type=int, default=1, help="seed of the random jobs")
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; choose from {', '.join(BENCHMARKS)}")
    return options


def _write(console: Console, figures: Mapping[str, Any], options: argparse.Namespace) -> None:
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.plots is not None:
        from benchmarks import plots  # noqa: PLC0415 - matplotlib is only needed to draw plots

        for drawing in plots.draw(figures, options.plots):
            console.print(f"Drew {drawing}", style="dim", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
