"""Test that the diagram of the layers matches the code, and that all names on maintainer pages exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import layers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = layers.ROOT
MODULES = {
    path.relative_to(layers.PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(layers.PACKAGE.rglob("*.py"))
}

ARCHITECTURE = "docs/explanation/architecture.md"
PAGES = (
    ARCHITECTURE,
    "CONTRIBUTING.md",
    "docs/reference/glossary.md",
    "docs/how-to/add-endpoint.md",
    "docs/how-to/add-airflow-version.md",
)

# The folders to which paths on documentation pages are relative: the repository and the package.
FOLDERS = (ROOT, layers.PACKAGE)

Definition = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


# --- The picture of the layers --------------------------------------------------------------------------


def test_picture_shows_the_current_layers() -> None:
    """If this test fails, run `make diagrams` to update the diagram."""
    assert layers.drawn(layers.layers()) == layers.DRAWING.read_text(encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A sample package with two modules and a subpackage."""
    package = tmp_path / "made"
    (package / "folder").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "top.py": "from made.folder import name",
        "beside.py": "import made.folder.low",
        "folder/__init__.py": "",
        "folder/high.py": "def read():\n    from made.folder.low import name",
        "folder/low.py": "import ast",
    }
    for name, code in files.items():
        (package / name).write_text(code)
    return package


def test_layers_follow_the_imports(package: Path) -> None:
    (top, bottom) = layers.layers(package, expanded=["folder"])

    assert [layer.name for layer in top] == ["beside", "top"]
    (folder,) = bottom
    assert folder.is_folder
    assert [[layer.name for layer in row] for row in folder.rows] == [["high"], ["low"]]


def test_layers_of_modules_that_import_each_other_are_an_error(package: Path) -> None:
    (package / "folder" / "low.py").write_text("from made.top import name")

    with pytest.raises(layers.ImportCycleError, match=r"folder, top"):
        layers.layers(package)


def test_import_from_a_package_counts_for_what_it_imports(package: Path) -> None:
    (package / "__init__.py").write_text("from made.beside import name")
    (package / "top.py").write_text("from made import name")

    assert [[layer.name for layer in row] for row in layers.layers(package)] == [
        ["top"],
        ["beside"],
        ["folder"],
    ]


def test_module_that_moves_changes_the_picture(package: Path) -> None:
    before = layers.drawn(layers.layers(package))
    (package / "top.py").write_text("import made.beside")

    assert layers.drawn(layers.layers(package)) != before


def test_each_folder_has_at_most_six_levels_of_imports() -> None:
    levels = layers.levels()

    assert len(levels) > 15
    assert {folder: number for folder, number in levels.items() if number > 6} == {}


# --- Names on pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_paths_on_a_page_exist(page: str) -> None:
    assert sorted(_missing_paths(_text(page))) == []


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_on_a_page_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"`make ([\w-]+)", _text(page))) - targets == set()


def test_names_on_the_architecture_page_exist() -> None:
    defined = {name for tree in MODULES.values() for name in _defined(tree)}
    defined |= {
        f"{argument.arg}="
        for tree in MODULES.values()
        for argument in ast.walk(tree)
        if isinstance(argument, ast.arg)
    }
    names = {
        re.sub(r"=.*", "=", code)
        for code in _code(_text(ARCHITECTURE))
        if not _is_path(code) and not code.startswith("make ")
    }

    assert len(names) > 30
    assert names - defined == set()


def test_names_in_a_row_of_the_architecture_page_are_in_its_module() -> None:
    rows = re.findall(r"^\| `([\w/]+\.py)` \| ([^|]+) \|", _text(ARCHITECTURE), re.MULTILINE)
    misplaced = {
        f"{module}: {name}"
        for module, names in rows
        for name in _code(names)
        if name not in set(_defined(MODULES[module]))
    }

    assert len(rows) > 15
    assert misplaced == set()


def test_names_on_the_page_about_endpoints_exist() -> None:
    nodes = [node for tree in MODULES.values() for node in ast.walk(tree)]
    known = {getattr(node, field, None) for node in nodes for field in ("name", "id", "attr", "arg")}
    codes = [code for code in _code(_text("docs/how-to/add-endpoint.md")) if not _is_path(code)]
    names = {name for code in codes for name in re.findall(r"[a-zA-Z_]\w+", code)} - {"True"}

    assert len(names) > 8
    assert names - known == set()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        pytest.param("`hooks/stitch.py`, `replication/` and `make lint`", [], id="they exist"),
        pytest.param("`replication/rules/goal.py`, `evaluate.py`", [], id="in the folder before"),
        pytest.param("`connect/objects/<group>.py`", [], id="placeholder"),
        pytest.param("`hooks/gone.py`", ["hooks/gone.py"], id="file"),
        pytest.param("`gone/`", ["gone/"], id="folder"),
        pytest.param("```text\n`gone/`\n```", [], id="code block"),
    ],
)
def test_missing_paths_are_found(text: str, missing: list[str]) -> None:
    assert list(_missing_paths(_without_blocks(text))) == missing


def _text(page: str) -> str:
    return _without_blocks((ROOT / page).read_text(encoding="utf-8"))


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def _is_path(code: str) -> bool:
    return bool(re.fullmatch(r"[\w.<>/-]+/|[\w.<>/-]+\.(py|md|toml|svg|in|txt)|[\w.]+(/[\w<>.-]+)+", code))


def _missing_paths(text: str) -> Iterator[str]:
    for line in text.splitlines():
        folders = FOLDERS
        for path in filter(_is_path, _code(line)):
            if path.startswith("docs/_build/"):
                continue
            pattern = re.sub(r"<\w+>", "*", path.rstrip("/"))
            found = next((match for folder in folders for match in folder.glob(pattern)), None)
            if found is None:
                yield path
            elif "/" in path:
                folders = (*FOLDERS, found.parent)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module defines.

    Examples are `function`, `CONSTANT`, `Class`, `Class.method` and `Class.field`.
    """
    for node in tree.body:
        yield from _names_of(node)
        if isinstance(node, ast.ClassDef):
            for member in (*node.body, *_assignments_in_init(node)):
                yield from (f"{node.name}.{name}" for name in _names_of(member))


def _assignments_in_init(node: ast.ClassDef) -> Iterator[ast.stmt]:
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            yield from method.body


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, Definition):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id
        elif isinstance(target, ast.Attribute):
            yield target.attr
