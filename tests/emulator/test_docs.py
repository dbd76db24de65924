"""Every Python block of the emulator's page works as it stands; tests/airflow/ runs the one with a DAG."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from airflow_provider_stitch.emulator import Quirks

from .conftest import run_pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")
BLOCKS = [
    block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "dag.test()\n\n" not in block
]


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 5


def test_the_page_tells_of_every_quirk_with_its_default() -> None:
    rows = {row[0]: row[1] for row in re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", PAGE, re.MULTILINE)}
    quirks = {field.name: field.default for field in dataclasses.fields(Quirks)}
    assert set(rows) == set(quirks)
    quoted = {name for name, default in quirks.items() if f'"{default}"' in rows[name]}
    assert quoted == {name for name, default in quirks.items() if isinstance(default, str)}


@pytest.mark.parametrize("code", [pytest.param(code, id=f"block {n}") for n, code in enumerate(BLOCKS, 1)])
def test_a_block_of_the_page_works(code: str, tmp_path: Path) -> None:
    if "def test_" not in code:
        exec(compile(code, "docs/emulator.md", "exec"), {"__name__": "block"})
        return
    script = tmp_path / "test_block.py"
    script.write_text(code, encoding="utf-8")
    done = run_pytest(script)
    assert done.returncode == 0, done.stdout + done.stderr
