"""Run the tests on other versions of Python (`make test-pythons`).

Each version has a separate environment, `.venv-python<version>`. The tests run only on versions that are
installed, because this module does not download interpreters. For example, `python -m tools.pythons 3.10 3.13
-- tests/connect` runs the tests of one folder on two versions.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = ROOT / ".tools" / "bin" / "uv"


def main(arguments: list[str]) -> int:
    """Run the tests on each version.

    Return 0 if the tests passed, or if no other version of Python is installed.
    """
    separator = arguments.index("--")
    versions, tests = arguments[:separator], arguments[separator + 1 :]
    failed = []
    for version in versions:
        interpreter = find(version)
        if interpreter is None:
            print(f"Python {version}: not tested, because this machine has no such interpreter.", flush=True)
            continue
        print(f"Python {version}: {interpreter}", flush=True)
        if not run(version, interpreter, tests):
            failed.append(version)
    for version in failed:
        print(f"Python {version}: the tests failed.")
    return 1 if failed else 0


def find(version: str) -> str | None:
    """Return the path of an interpreter that uv or pyenv has installed, or None if there is none."""
    found = subprocess.run(  # noqa: S603 - the path of uv is inside the checkout
        [UV, "python", "find", "--no-python-downloads", "--system", "--no-project", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        return found.stdout.strip()
    # uv finds only the pyenv versions that are activated.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    paths = sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    return str(paths[-1]) if paths else None


def run(version: str, interpreter: str, tests: list[str]) -> bool:
    """Create the environment of a version, run tests in it, and return whether the tests passed."""
    folder = ROOT / f".venv-python{version}"
    python = folder / "bin" / "python"
    install = ["pip", "install", "--quiet", "--python", python, "-c", "requirements/airflow3.txt"]
    # Install the same packages as `make test`.
    groups = ["--group", "test", "--group", "lint", "--group", "docs"]
    commands: list[list[str | Path]] = [
        [UV, "venv", "--quiet", "--clear", "--python", interpreter, folder],
        [UV, *install, "-e", ".[emulator]", *groups],
        [python, "-m", "pytest", "-n", "4", "--dist", "worksteal", *tests],
    ]
    return all(subprocess.run(command, cwd=ROOT, check=False).returncode == 0 for command in commands)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
