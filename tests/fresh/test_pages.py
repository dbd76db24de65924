"""Every page's commands succeed as printed, with a real pip, in a new clone without Airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.doc_blocks import ROOT, pages_with_commands, script
from tools.sample_output import missing_lines, sample_output

TUTORIAL = "docs/tutorial/getting-started.md"
# The tutorial creates the environment that the other pages then use.
PAGES = sorted(pages_with_commands(), key=lambda page: (page != TUTORIAL, page))
#: Seconds for one page. Generous, because pip downloads Airflow and the machine may be busy.
TIMEOUT = 1800


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the last commit."""
    folder = tmp_path_factory.mktemp("fresh") / "airflow-provider-stitch"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """A new user's environment: no Airflow on the path, no settings of Airflow, an empty home folder.

    `make` only prints its commands, because other targets and `.ci/run` run them.
    """
    home, commands = clone.parent / "home", clone.parent / "commands"
    home.mkdir()
    commands.mkdir()
    (commands / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} --dry-run "$@"\n')
    (commands / "make").chmod(0o755)
    # The Python that this environment was made of, which has no packages of the checkout.
    (commands / "python3").symlink_to(Path(sys.executable).resolve())
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PYTEST", "PYTHON", "VIRTUAL_ENV"))
    }
    path = os.pathsep.join([str(commands), "/usr/local/bin", "/usr/bin", "/bin"])
    return {**kept, "HOME": str(home), "PATH": path}


@pytest.mark.parametrize("page", PAGES)
def test_page_works_as_printed(page: str, clone: Path, environment: dict[str, str]) -> None:
    code = script(page)
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
