"""Test that the recipes in the documentation run in order and print the documented output."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import load_scenario
from tools.doc_blocks import blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/how-to/use-client.md"


def test_recipes_print_the_documented_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect, scenario, *recipes = [block for block in blocks() if block.page == PAGE]
    monkeypatch.chdir(tmp_path)
    content = re.search(r"<<'END'\n(.*)^END$", scenario.code, re.DOTALL | re.MULTILINE)
    assert content is not None
    assert "stitch-emulator --scenario recipes.yaml --speed 1\n" in scenario.code
    (tmp_path / "recipes.yaml").write_text(content[1], encoding="utf-8")
    names: dict[str, Any] = {"__name__": "recipes"}

    with load_scenario("recipes.yaml", speed=0.001) as stitch:
        monkeypatch.setenv("STITCH_URL", stitch.url)
        monkeypatch.setenv("STITCH_ACCESS_TOKEN", stitch.access_token)
        monkeypatch.setattr(time, "sleep", stitch.advance)
        stitch.advance(600)  # a user runs the recipes some minutes after starting the emulator
        for block in [connect, *recipes]:
            if block.language == "python":
                exec(compile(block.code, str(block), "exec"), names)
            else:
                assert capsys.readouterr().out == block.code, str(block)
        names["client"].close()

    assert [block.language for block in recipes] == ["python", "text"] * 10
    assert stitch.busiest_window() <= 30
    assert "Exit status is" in (tmp_path / "salesforce.log").read_text(encoding="utf-8")
