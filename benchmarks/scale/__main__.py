"""Measure each case in a separate process, and print one line of JSON per case.

Usage: `python -m benchmarks.scale [CASE ...]`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.scale.cases import CASES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.cases or CASES:
        if options.in_this_process:
            _measure(name)
        else:
            command = [sys.executable, "-m", "benchmarks.scale", "--in-this-process", name]
            subprocess.run(command, check=True)


def _measure(name: str) -> None:
    memory_before, started_at = _memory("VmRSS"), time.process_time()
    figures = CASES[name]()
    used = {
        "cpu_seconds": time.process_time() - started_at,
        "megabytes": (_memory("VmHWM") - memory_before) / 1e6,
    }
    print(json.dumps({"case": name, **used, **figures}))


def _memory(field: str) -> int:
    """Return the memory of this process in bytes, on Linux.

    :param field: `VmRSS` for the current memory, `VmHWM` for its peak.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) * 1024


if __name__ == "__main__":
    main()
