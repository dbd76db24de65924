"""Test that the checks of `make docs` report omissions, and that the documentation has no omissions."""

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

from airflow_provider_stitch.emulator import StitchEmulator
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
    sys.modules[spec.name] = module  # required because dataclasses look up their module in `sys.modules`
    spec.loader.exec_module(module)
    return module


names = _load(DOCS / "_extensions" / "public_names.py")
tasks = _load(DOCS / "_extensions" / "task_arguments.py")

MODULE = '''
class Documented:
    """Documented."""

    def method(self): ...

    def _hidden(self): ...


class _Hidden: ...


class Child(Documented):
    """Documented."""

    @property
    def own(self): "Documented."
'''


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("airflow_provider_stitch.made")
    exec(MODULE, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_public_names_exclude_private_classes_and_methods(module: ModuleType) -> None:
    prefix = f"{module.__name__}."
    assert names.public_names([module.__name__]) == {
        prefix + "Documented",
        prefix + "Documented.method",
        prefix + "Child",
        prefix + "Child.own",
    }


def test_only_names_in_all_are_public(module: ModuleType) -> None:
    module.__all__ = ["Child"]  # type: ignore[attr-defined]
    prefix = f"{module.__name__}.Child"
    assert names.public_names([module.__name__]) == {prefix, f"{prefix}.own", f"{prefix}.method"}


def test_missing_docstring_is_found(module: ModuleType) -> None:
    assert names.without_docstring([module.__name__]) == {f"{module.__name__}.Documented.method"}


def test_undescribed_argument_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor

    monkeypatch.setattr(
        StitchLoadingSensor, "__doc__", "Describes :param quiet_period: and :param skip_if_no_rows: only."
    )
    path = "airflow_provider_stitch.sensors.stitch"
    assert names.undescribed_arguments([path]) == {
        f"{path}.StitchLoadingSensor({argument})" for argument in ("load_settle", "emit_assets")
    }


@pytest.mark.parametrize(
    ("text", "has_example"),
    [
        ("```python\nprint()\n```", True),
        (":::{literalinclude} ../../example_dags/stitch_one_source.py\n:::", True),
        ("```sh\nmake docs\n```", False),
        ("Only words, such as `python`.", False),
    ],
)
def test_page_without_example_is_found(text: str, has_example: bool) -> None:
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
def test_inventories_are_up_to_date(project: str) -> None:
    written = (DOCS / "inventories" / f"{project}.inv").read_bytes()
    assert _lines(written) == _lines(inventories.inventory(project, inventories.INVENTORIES[project]))


SECTION = """
## StitchLoadingSensor

```{eval-rst}
.. autoclass:: airflow_provider_stitch.sensors.stitch.StitchLoadingSensor
```

```python
StitchLoadingSensor(task_id="wait", source="github")
```

```{eval-rst}
.. stitch-task-details:: airflow_provider_stitch.sensors.stitch.StitchLoadingSensor
```

## Another section
"""


@pytest.mark.parametrize(
    ("removed", "is_complete"),
    [("", True), (".. autoclass", False), ("```python", False), (".. stitch-task-details", False)],
)
def test_task_without_example_is_found(removed: str, is_complete: bool) -> None:
    sensors = "airflow_provider_stitch.sensors.stitch"
    page = SECTION.replace(removed, "")
    missing = names.tasks_without_example({"page": page}, [sensors])
    assert (f"{sensors}.StitchLoadingSensor" in missing) is not is_complete


def test_every_task_has_a_section_with_an_example() -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")}
    assert names.tasks_without_example(pages, names.public_modules()) == set()


def _public_tasks() -> list[type]:
    values = [names.found(name) for name in names.public_names(names.public_modules())]
    return [value for value in values if names.is_task(value)]


def test_docstrings_mark_exactly_the_template_fields() -> None:
    assert len(_public_tasks()) >= 15
    assert tasks.wrong_templated_marks(_public_tasks()) == set()


def test_wrong_mark_of_a_template_field_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor

    monkeypatch.setattr(
        StitchExtractionSensor, "template_fields", ("source", "stitch_conn_id", "poll_interval")
    )
    assert tasks.wrong_templated_marks([StitchExtractionSensor]) == {
        "StitchExtractionSensor(job_name)",
        "StitchExtractionSensor(started_after)",
        "StitchExtractionSensor(poll_interval)",
    }


def test_table_of_arguments_follows_the_code() -> None:
    from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

    by_name = {each.name: each for each in tasks.arguments(StitchRunReplicationJobOperator)}
    source, wait_for, timeout = by_name["source"], by_name["wait_for"], by_name["timeout"]

    assert (source.type, source.default, source.templated) == ("int | str", None, True)
    assert source.meaning == "the source's id, its `name`, or its display name."
    assert wait_for.type.startswith('"structure_sync" | "extraction" | "preparation" | "loading"')
    assert (wait_for.default, wait_for.templated) == ('``"loading"``', True)
    assert (timeout.default, timeout.code) == ("26 hours", "timedelta(hours=26)")
    assert next(iter(by_name)) == "source"


def test_table_contains_inherited_and_secret_arguments() -> None:
    from airflow_provider_stitch.operators.stitch import StitchCreateSourceOperator

    by_name = {each.name: each for each in tasks.arguments(StitchCreateSourceOperator)}

    assert by_name["timeout"].code == "600"
    assert by_name["credentials"].templated
    assert "credentials=None" in tasks.signature(StitchCreateSourceOperator)


def test_details_are_the_docstring_without_summary_and_arguments() -> None:
    docstring = ["Wait.", "", "Details.", "", ":param a: one", "    line", ":param b: two", "", "More."]
    assert tasks.summary_and_details(docstring) == (["Wait."], ["", "Details.", "", "", "More."])


def _lines(inventory: bytes) -> bytes:
    *head, body = inventory.split(b"\n", 4)
    return b"\n".join([*head, zlib.decompress(body)])  # the compressed bytes would depend on the zlib version


def test_timeline_shows_the_current_responses_of_the_emulator() -> None:
    assert timeline.drawn(list(timeline.rows(*timeline.watch_a_job()))) == timeline.DRAWING.read_text("utf-8")


def test_readme_lists_the_tested_versions_of_airflow() -> None:
    root = DOCS.parent
    pinned = [(root / "requirements" / f"airflow{major}.txt").read_text(encoding="utf-8") for major in (3, 2)]
    versions = [re.findall(r"^apache-airflow==(\S+)", text, re.MULTILINE)[0] for text in pinned]
    assert f"| Airflow | {versions[0]} and {versions[1]}, " in (root / "README.md").read_text(
        encoding="utf-8"
    )


def test_local_stitch_has_every_source_of_the_pages_and_example_dags() -> None:
    from airflow_provider_stitch.emulator.cli import add_sample_sources

    examples = [path.read_text(encoding="utf-8") for path in (DOCS.parent / "example_dags").glob("*.py")]
    codes = [block.code for block in blocks("python")] + examples
    named = {name for code in codes for name in re.findall(r'\bsource="(\w+)"', code)}
    with StitchEmulator() as stitch:
        add_sample_sources(stitch)
        known = {source.name for source in stitch.sources}
    assert {"github", "shop_pg"} <= named
    assert named - known == set()


def test_relative_links_lead_to_files() -> None:
    root = DOCS.parent
    for page in (root / "README.md", root / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (root / link).exists(), f"{page.name}: {link}"


def test_reference_contains_every_public_name() -> None:
    """The reference pages must contain every public name.

    `make docs` performs the same check with Sphinx. This test reads the pages and does not require Sphinx.
    """
    entries = [entry for page in (DOCS / "reference").glob("*.md") for entry in _entries(page)]
    documented = {name for entry in entries for name in entry.names()}

    assert names.public_names(names.public_modules()) - documented == set()


@dataclass(frozen=True)
class _Entry:
    """An autodoc directive on a reference page."""

    kind: str
    path: str
    options: dict[str, str]

    def names(self) -> set[str]:
        if self.kind == "automodule":
            return self._module_names()
        members = self.options.get("members")
        if members is None:
            return {self.path}
        cls = names.found(self.path)
        bases = cls.__mro__ if "inherited-members" in self.options else (cls,)
        all_names = {name for base in bases for name in vars(base) if not name.startswith("_")}
        return {self.path, *(f"{self.path}.{name}" for name in _listed(members) or all_names)}

    def _module_names(self) -> set[str]:
        if "members" not in self.options:
            return set()
        excluded = _listed(self.options.get("exclude-members", ""))
        found = set()
        for path, value in names.offered(self.path):
            if path.rpartition(".")[2] in excluded:
                continue
            found |= {path, *(f"{path}.{name}" for name in set(vars(value)) - excluded if name[0] != "_")}
        return found


def _entries(page: Path) -> Iterator[_Entry]:
    directive = re.compile(r"^\.\. (auto\w+):: ([\w.]+).*\n((?:   :[\w-]+:.*\n)*)", re.MULTILINE)
    for kind, path, options in directive.findall(page.read_text(encoding="utf-8")):
        yield _Entry(kind, path, dict(re.findall(r":([\w-]+): ?(.*)", options)))


def _listed(option: str) -> set[str]:
    return {name.strip() for name in option.split(",")} - {""}


def test_examples_import_public_names_only() -> None:
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
