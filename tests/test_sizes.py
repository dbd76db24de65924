"""Test that the modules and functions of the package are short enough to read at once."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "airflow_provider_stitch"

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40  # includes the signature and docstring, but not the decorators


def test_modules_and_functions_are_short() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))

    assert len(modules) > 100
    assert [each for module in modules for each in _too_long(module)] == []


def test_long_modules_and_functions_are_found(tmp_path: Path) -> None:
    module = tmp_path / "made.py"
    module.write_text("def read():\n" + "    pass\n" * MAX_FUNCTION_LINES + "\n" * MAX_MODULE_LINES)

    assert list(_too_long(module)) == [f"{module}: 441 lines", f"{module}, read: 41 lines"]


def _too_long(module: Path) -> Iterator[str]:
    code = module.read_text(encoding="utf-8")
    lines = len(code.splitlines())
    if lines > MAX_MODULE_LINES:
        yield f"{module}: {lines} lines"
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{module}, {node.name}: {lines} lines"
