"""Run all benchmarks, or those that are named. The exit code is 1 if one misses its target."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks import extraction_log, machine, parse_cost

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: dict[str, Callable[[Console], list[str]]] = {
    "parse_cost": parse_cost.run,
    "extraction_log": extraction_log.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    names = parser.parse_args().names or list(BENCHMARKS)
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}, only {', '.join(BENCHMARKS)}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    misses = [miss for name in names for miss in BENCHMARKS[name](console)]
    console.print(f"\n{machine.describe()}\n{machine.versions()}", style="dim", highlight=False)
    for miss in misses:
        console.print(f"Missed: {miss}", style="bold red", highlight=False)
    if not misses:
        console.print("All targets met.", style="bold green")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
