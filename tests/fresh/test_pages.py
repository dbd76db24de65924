"""Test that the commands on each page succeed in a new clone, with a real pip and without Airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.doc_blocks import ROOT, pages_with_commands
from tools.sample_output import missing_lines, sample_output

TUTORIAL = "docs/tutorial/getting-started.md"
# The tutorial comes first, because it creates the environment that the other pages use.
PAGES = sorted(pages_with_commands(), key=lambda page: (page != TUTORIAL, page))
#: Maximum number of seconds for one page. The limit is high, because pip downloads Airflow and the machine
#: may be busy.
TIMEOUT = 1800


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the repository at the last commit."""
    folder = tmp_path_factory.mktemp("fresh") / "airflow-provider-stitch"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """The environment variables of a new user, with an empty home folder and without Airflow or its settings.

    In this environment, `make` prints its commands but does not run them. The script `.ci/run` and other
    Makefile targets run the same commands.
    """
    home, commands = clone.parent / "home", clone.parent / "commands"
    home.mkdir()
    commands.mkdir()
    (commands / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} --dry-run "$@"\n')
    (commands / "make").chmod(0o755)
    # The command `python3` starts the base interpreter, which does not contain the checkout's packages.
    (commands / "python3").symlink_to(Path(sys.executable).resolve())
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PYTEST", "PYTHON", "VIRTUAL_ENV"))
    }
    path = os.pathsep.join([str(commands), "/usr/local/bin", "/usr/bin", "/bin"])
    return {**kept, "HOME": str(home), "PATH": path}


def _script_of(clone: Path, page: str) -> str:
    """Return the commands on a page as one script.

    The page is read from the clone, because the checkout may contain uncommitted changes.
    """
    code = "import sys; from tools.doc_blocks import script; print(script(sys.argv[1]))"
    command = [sys.executable, "-c", code, page]
    return subprocess.run(command, cwd=clone, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("page", PAGES)
def test_page_works_as_printed(page: str, clone: Path, environment: dict[str, str]) -> None:
    code = _script_of(clone, page)
    if page != TUTORIAL:
        assert (clone / "try-stitch" / "bin" / "airflow").exists(), "The tutorial has installed no Airflow."
        code = f". try-stitch/bin/activate\n{code}"

    completed = subprocess.run(
        ["bash", "-c", code],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    output = completed.stdout + completed.stderr
    assert completed.returncode == 0, output
    if page == TUTORIAL:
        assert missing_lines(sample_output(page), output, with_prefix=True) == [], output
    if "pytest tests" in code:
        assert "2 passed" in output
