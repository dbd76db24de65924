"""Test that the DAGs and the other Python blocks in the documentation work unchanged.

tests/system/test_pages.py runs the commands and the example tests that the documentation contains.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.support.dag_runs import load_dag
from tools.doc_blocks import PAGES as PAGES_OF_DOCUMENTATION
from tools.doc_blocks import ROOT, Block, blocks
from tools.sample_output import missing_lines, sample_output

TUTORIAL = "docs/tutorial/getting-started.md"
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
# Watchers require Airflow 3.3 or later.
BLOCKS = [
    block
    for block in blocks("python")
    if block.is_of_airflow and not (IS_AIRFLOW_2 and "watch=True" in block.code)
]


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.is_dag], ids=str)
def test_documented_dag_succeeds(airflow, account, block: Block, tmp_path: Path) -> None:
    path = tmp_path / "dag.py"
    path.write_text(block.code)

    with patch.dict(os.environ):  # restores environment variables that the DAG has changed
        dag_run = airflow.run(load_dag(path))

    assert dag_run.state == "success"
    assert set(dag_run.states.values()) <= {"success"}


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("block", [each for each in BLOCKS if not each.is_dag and not each.is_test], ids=str)
def test_documented_python_block_runs(block: Block) -> None:
    exec(compile(block.code, str(block), "exec"), {"__name__": "block"})


def test_sample_output_with_another_text_is_found() -> None:
    sample = sample_output(TUTORIAL)
    assert len(sample) >= 6
    assert missing_lines(sample, "\n".join(sample), with_prefix=True) == []
    changed = "\n".join(sample).replace("412 rows", "411 rows")
    assert missing_lines(sample, changed, with_prefix=True) != []


def test_commands_inside_of_sentences_exist() -> None:
    """Check that each command in backquotes runs an existing Makefile target or an existing module."""
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = "\n".join(page.read_text("utf-8") for page in PAGES_OF_DOCUMENTATION)
    used_targets = set(re.findall(r"`make ([a-z][\w-]*)", text))
    used_modules = set(re.findall(r"`[^`\n]*python -m ([a-z][\w.]*)", text)) - {"pytest", "venv"}

    assert len(used_targets) > 10
    assert used_targets - targets == set()
    assert used_modules
    for module in used_modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
