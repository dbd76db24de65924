"""Test that every Python block in the documentation runs unchanged.

The tests in tests/airflow/ run the blocks that need Airflow.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import Quirks
from tools.doc_blocks import ROOT, Block, blocks

from .conftest import run_pytest

if TYPE_CHECKING:
    from pathlib import Path

# The recipes in use-client.md need an emulator, so tests/emulator/test_recipes.py runs the recipes.
RECIPES = "docs/how-to/use-client.md"
BLOCKS = [block for block in blocks("python") if not block.is_of_airflow and block.page != RECIPES]

# Languages of Markdown blocks that contain output or drawings instead of code.
OUTPUT = {"text"}


def test_every_block_has_a_tested_language() -> None:
    assert {block.language for block in blocks()} <= {"python", "sh", *OUTPUT}


def test_page_documents_every_quirk_with_its_default() -> None:
    page = (ROOT / "docs" / "how-to" / "emulator.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1] for row in re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", page, re.MULTILINE)}
    quirks = {field.name: field.default for field in dataclasses.fields(Quirks)}
    assert set(rows) == set(quirks)
    quoted = {name for name, default in quirks.items() if f'"{default}"' in rows[name]}
    assert quoted == {name for name, default in quirks.items() if isinstance(default, str)}


def test_documentation_pages_are_found() -> None:
    assert {"docs/how-to/emulator.md", "docs/reference/client.md"} <= {block.page for block in BLOCKS}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_code_block_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some code blocks write files
    if not block.is_test:
        exec(compile(block.code, str(block), "exec"), {"__name__": "block"})
        return
    script = tmp_path / "test_block.py"
    script.write_text(block.code, encoding="utf-8")
    result = run_pytest(script)
    assert result.returncode == 0, result.stdout + result.stderr
