"""The whole test of a DAG that docs/emulator.md prints, as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"

# The page shows it for Airflow 3, which asks more of a test than Airflow 2.
if not version("apache-airflow").startswith("2."):

    @pytest.mark.usefixtures("_database")
    def test_the_dag_test_of_the_emulators_page(tmp_path: Path) -> None:
        (block,) = (
            block
            for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
            if "import DAG\n" in block
        )
        (tmp_path / "test_my_dag.py").write_text(block)

        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert "1 passed" in done.stdout, done.stdout + done.stderr
