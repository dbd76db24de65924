"""Fuzz each function in `connect` that reads external bytes, with the fuzzer atheris (`make fuzz`)."""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_INPUT_SIZE = 4096  #: bytes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="total time for all entry points")
    parser.add_argument("--only", help="fuzz only this entry point")
    parser.add_argument("--input", help="with --only: reproduce a finding with this input, in base64")
    parser.add_argument(
        "--corpus", type=Path, help="with --only: fuzz in this process, with this folder of inputs"
    )
    options = parser.parse_args()
    if options.input:
        _entry_points()[options.only](base64.b64decode(options.input))
        return 0
    if options.corpus:
        _fuzz(options.only, options.seconds, options.corpus)
    names = list(_entry_points())
    seconds = max(1, options.seconds // len(names))
    return max(_fuzz_in_child(name, seconds) for name in names)


def _fuzz_in_child(name: str, seconds: int) -> int:
    """Fuzz one entry point, and return the fuzzer's exit code.

    The fuzzer runs in a child process, because the fuzzer always exits its own process.
    """
    print(f"{name}, {seconds} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="corpus-") as corpus:
        options = ["--only", name, "--seconds", str(seconds), "--corpus", corpus]
        completed = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", *options],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + 120,
        )
    lines = [line for line in completed.stdout.splitlines() if line and not line.startswith("#")]
    print("\n".join(lines[-40:] if completed.returncode else lines[-1:]), flush=True)
    if completed.returncode:
        print(f"Found an error. To reproduce it: {sys.executable} -m tests.fuzz --only {name} --input BASE64")
    return completed.returncode


def _fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz one entry point, and then exit this process."""
    import atheris

    with atheris.instrument_imports(include=["airflow_provider_stitch.connect"]):
        from tests.connect import fuzz_targets
    for number, seed in enumerate(fuzz_targets.seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_SIZE}", "-timeout=20"]
    arguments = [sys.argv[0], *limits, f"-artifact_prefix={corpus}/", str(corpus)]
    atheris.Setup(arguments, fuzz_targets.ENTRY_POINTS[name])
    atheris.Fuzz()


def _entry_points() -> dict:
    from tests.connect import fuzz_targets

    return fuzz_targets.ENTRY_POINTS


if __name__ == "__main__":
    sys.exit(main())
