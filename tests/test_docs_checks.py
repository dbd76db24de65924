"""The checks of `make docs` see what is missing, and nothing is."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tools import inventories, timeline
from tools.doc_blocks import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[1] / "docs"


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    return module


names = _load(DOCS / "_extensions" / "public_names.py")

MODULE = '''
class Documented:
    """It is."""

    def method(self): ...

    def _hidden(self): ...


class _Hidden: ...


class Child(Documented):
    """It is, too."""

    @property
    def own(self): "It is."
'''


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("airflow_provider_stitch.made")
    exec(MODULE, vars(made))
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_public_names_are_those_that_a_user_can_type(module: ModuleType) -> None:
    prefix = f"{module.__name__}."
    assert names.public_names([module.__name__]) == {
        prefix + "Documented",
        prefix + "Documented.method",
        prefix + "Child",
        prefix + "Child.own",
    }


def test_only_what_all_names_is_public(module: ModuleType) -> None:
    module.__all__ = ["Child"]  # type: ignore[attr-defined]
    prefix = f"{module.__name__}.Child"
    assert names.public_names([module.__name__]) == {prefix, f"{prefix}.own", f"{prefix}.method"}


def test_a_missing_docstring_is_seen(module: ModuleType) -> None:
    assert names.without_docstring([module.__name__]) == {f"{module.__name__}.Documented.method"}


def test_an_argument_that_no_docstring_describes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor

    monkeypatch.setattr(StitchLoadingSensor, "__doc__", "Describes :param quiet_period: only.")
    path = "airflow_provider_stitch.sensors.stitch"
    assert names.undescribed_arguments([path]) == {f"{path}.StitchLoadingSensor(load_settle)"}


@pytest.mark.parametrize(
    ("text", "has_example"),
    [
        ("```python\nprint()\n```", True),
        (":::{literalinclude} ../../example_dags/stitch_one_source.py\n:::", True),
        ("```sh\nmake docs\n```", False),
        ("Only words, such as `python`.", False),
    ],
)
def test_a_page_without_example_is_seen(text: str, has_example: bool) -> None:
    assert names.pages_without_example({"page": text}) == (set() if has_example else {"page"})


def test_every_public_name_has_a_docstring() -> None:
    assert names.without_docstring(names.public_modules()) == set()


def test_every_argument_of_a_task_is_described() -> None:
    assert names.undescribed_arguments(names.public_modules()) == set()


def test_every_page_of_the_reference_has_an_example() -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")}
    assert len(pages) >= 9
    assert names.pages_without_example(pages) == set()


@pytest.mark.parametrize("project", inventories.INVENTORIES)
def test_the_inventories_are_what_their_script_writes(project: str) -> None:
    written = (DOCS / "inventories" / f"{project}.inv").read_bytes()
    assert _lines(written) == _lines(inventories.inventory(project, inventories.INVENTORIES[project]))


def _lines(inventory: bytes) -> bytes:
    *head, body = inventory.split(b"\n", 4)
    return b"\n".join([*head, zlib.decompress(body)])  # another zlib may compress it otherwise


def test_the_timeline_shows_what_the_emulator_answers_now() -> None:
    assert timeline.drawn(list(timeline.rows(*timeline.watch_a_job()))) == timeline.DRAWING.read_text("utf-8")


def test_links_within_the_checkout_lead_to_files() -> None:
    root = DOCS.parent
    for page in (root / "README.md", root / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (root / link).exists(), f"{page.name}: {link}"


def test_the_reference_has_every_public_name() -> None:
    """The build asks Sphinx the same; this asks the pages, also where there is no Sphinx."""
    entries = [entry for page in (DOCS / "reference").glob("*.md") for entry in _entries(page)]
    documented = {name for entry in entries for name in entry.names()}

    assert names.public_names(names.public_modules()) - documented == set()


@dataclass(frozen=True)
class _Entry:
    """A directive of autodoc: what it documents, with its options."""

    kind: str
    path: str
    options: dict[str, str]

    def names(self) -> set[str]:
        if self.kind == "automodule":
            return self._names_of_module()
        members = self.options.get("members")
        if members is None:
            return {self.path}
        kind = names.found(self.path)
        bases = kind.__mro__ if "inherited-members" in self.options else (kind,)
        every = {name for base in bases for name in vars(base) if not name.startswith("_")}
        return {self.path, *(f"{self.path}.{name}" for name in _listed(members) or every)}

    def _names_of_module(self) -> set[str]:
        if "members" not in self.options:
            return set()
        left_out = _listed(self.options.get("exclude-members", ""))
        found = set()
        for path, value in names.offered(self.path):
            if path.rpartition(".")[2] in left_out:
                continue
            found |= {path, *(f"{path}.{name}" for name in set(vars(value)) - left_out if name[0] != "_")}
        return found


def _entries(page: Path) -> Iterator[_Entry]:
    directive = re.compile(r"^\.\. (auto\w+):: ([\w.]+).*\n((?:   :[\w-]+:.*\n)*)", re.MULTILINE)
    for kind, path, options in directive.findall(page.read_text(encoding="utf-8")):
        yield _Entry(kind, path, dict(re.findall(r":([\w-]+): ?(.*)", options)))


def _listed(option: str) -> set[str]:
    return {name.strip() for name in option.split(",")} - {""}


def test_what_the_documentation_imports_is_public() -> None:
    public = names.public_names(names.public_modules())
    examples = [path.read_text(encoding="utf-8") for path in (DOCS.parent / "example_dags").glob("*.py")]
    imported = {
        f"{node.module}.{each.name}"
        for code in [*examples, *(block.code for block in blocks("python"))]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_stitch")
        for each in node.names
    }

    assert len(imported) > 10
    assert imported - public == set()
