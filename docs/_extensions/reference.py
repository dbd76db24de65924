"""Extend Sphinx with tables generated from the code, links by short names, and checks of completeness."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import public_names
import task_arguments
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

log = logging.getLogger(__name__)

# Full names of the names that annotations use without a module.
SHORT = {
    "Any": "typing.Any",
    "Callable": "collections.abc.Callable",
    "Literal": "typing.Literal",
    "Mapping": "collections.abc.Mapping",
    "Sequence": "collections.abc.Sequence",
    "Path": "pathlib.Path",
    "datetime": "datetime.datetime",
    "timedelta": "datetime.timedelta",
}


class Table(SphinxDirective, ABC):
    """A table that is generated from the code. Its cells are reStructuredText."""

    columns: ClassVar[tuple[str, ...]]

    @abstractmethod
    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each row."""

    def run(self) -> list[nodes.Node]:
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in (self.columns, *self.rows()):
            for number, cell in enumerate(row):
                lines.append(f"   {'* -' if number == 0 else '  -'} {cell}")
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source="generated"), self.content_offset, holder)
        return holder.children


class Endpoints(Table):
    """The endpoints of Stitch, and the methods of the clients that call them."""

    columns = ("endpoint", "method", "is rate-limited")

    def rows(self) -> Iterator[tuple[str, ...]]:
        from airflow_provider_stitch.connect.client import StitchClient
        from airflow_provider_stitch.connect.endpoints import ENDPOINTS

        owners = {True: "client.StitchClient", False: "partner.StitchPartner"}
        for name, endpoint in ENDPOINTS.items():
            owner = f"airflow_provider_stitch.connect.{owners[hasattr(StitchClient, name)]}"
            request = f"``{endpoint.method} {endpoint.path}``"
            limited = "{stitch_client_id}" in endpoint.path
            for method in _methods_of(name):
                yield request, f":py:meth:`~{owner}.{method}`", "yes" if limited else ""


# Methods by endpoint, for endpoints with methods of a different name.
_METHODS = {
    "update_custom_email": ("disable_custom_email", "enable_custom_email"),
    "update_post_load_hook": ("disable_post_load_hook", "enable_post_load_hook"),
}


def _methods_of(endpoint: str) -> tuple[str, ...]:
    return _METHODS.get(endpoint, (endpoint,))


class Errors(Table):
    """The error classes, and whether a retry of the task may succeed after such an error."""

    columns = ("error", "base class", "a retry may succeed")

    def rows(self) -> Iterator[tuple[str, ...]]:
        from airflow_provider_stitch.connect import errors

        for kind in errors.ERROR_CLASSES.values():
            base = kind.__bases__[0]
            of = f":py:class:`{base.__name__}`" if base.__module__ == kind.__module__ else ""
            yield f":py:class:`{kind.__name__}`", of, "yes" if kind.retryable else "no"


class ScenarioKeys(Table):
    """The keys of a class of scenario files, such as `ScenarioSource`."""

    columns = ("key", "value", "default", "meaning")
    required_arguments = 1

    def rows(self) -> Iterator[tuple[str, ...]]:
        from airflow_provider_stitch.emulator.scenario_schema import keys_of, scenario_classes
        from airflow_provider_stitch.emulator.scenarios import Scenario

        inherited: set[str] = set()
        kind = scenario_classes(Scenario)[self.arguments[0]]
        for base in kind.__bases__:
            inherited |= {key.name for key in keys_of(base)} if base is not object else set()
        for key in keys_of(kind):
            if key.name not in inherited:
                meaning = key.meaning[:1].upper() + key.meaning[1:]
                allowed = re.sub('"[^"]*"', r"``\g<0>``", key.allowed)
                yield f"``{key.name}``", allowed, key.shown_default, re.sub("`+", "``", meaning)


class EmulatorHelp(SphinxDirective):
    """The output of `stitch-emulator --help`."""

    def run(self) -> list[nodes.Node]:
        from airflow_provider_stitch.emulator.cli import _parser

        text = _parser().format_help()
        return [nodes.literal_block(text, text, language="text")]


class TaskDetails(SphinxDirective):
    """The docstring of an operator or sensor, without its summary and its arguments."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        docstring = inspect.getdoc(public_names.found(self.arguments[0])) or ""
        _, details = task_arguments.summary_and_details(docstring.splitlines())
        holder = nodes.container()
        self.state.nested_parse(StringList(details, source=self.arguments[0]), self.content_offset, holder)
        return holder.children


def show_arguments(
    _app: Sphinx, what: str, _name: str, kind: object, _options: object, lines: list[str]
) -> None:
    """Replace the docstring of an operator or sensor with its summary and a table of its arguments.

    The directive `stitch-task-details` shows the rest of the docstring, so that the example comes first.
    """
    if what != "class" or not isinstance(kind, type) or not public_names.is_task(kind):
        return
    summary, _ = task_arguments.summary_and_details(lines)
    lines[:] = [*summary, "", *_table_of_arguments(kind), ""]


def _table_of_arguments(kind: type) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "   :class: arguments", "   :widths: auto", "")
    yield from _row("argument", "type", "default", "templated", "meaning")
    for each in task_arguments.arguments(kind):
        default = "required" if each.default is None else each.default
        templated = "yes" if each.templated else ""
        yield from _row(f"``{each.name}``", f"``{each.type}``", default, templated, each.meaning)


def _row(*cells: str) -> Iterator[str]:
    for number, cell in enumerate(cells):
        yield f"   {'* -' if number == 0 else '  -'} {cell}"


def name_in_full(app: Sphinx, env: BuildEnvironment, node: nodes.Element, contnode: nodes.Node) -> Any:
    """Replace a short name of an annotation with its full name, so that Sphinx can create a link."""
    if node.get("refdomain") != "py":
        return None
    target = str(node.get("reftarget", ""))
    last = target.rpartition(".")[2]
    node["reftarget"] = SHORT.get(last, target)
    domain = env.domains.python_domain
    found = [name for name in domain.objects if name.rpartition(".")[2] == last]
    if len(found) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, contnode)


def show_signature(
    _app: Sphinx,
    what: str,
    _name: str,
    kind: object,
    _options: object,
    signature: str | None,
    result: str | None,
) -> tuple[str | None, str | None]:
    """Add the arguments of the base classes to a task's signature, and show `<factory>` as Python code."""
    if what == "class" and isinstance(kind, type) and public_names.is_task(kind):
        return (task_arguments.signature(kind), None)
    return (signature and signature.replace("<factory>", "..."), result)


def check(_: Sphinx, env: BuildEnvironment) -> None:
    """Warn if the reference is incomplete. A warning fails the build."""
    modules = public_names.public_modules()
    documented = set(env.domains.python_domain.objects)
    names = public_names.public_names(modules)
    for name in sorted(names - documented):
        log.warning("The reference does not describe %s. Add it to a page of docs/reference/.", name)
    for name in sorted(public_names.undescribed_arguments(modules)):
        log.warning("No docstring describes the argument %s. Add a `:param`.", name)
    pages = {
        name: Path(env.doc2path(name)).read_text(encoding="utf-8")
        for name in env.found_docs
        if name.startswith("reference/") and name != "reference/index"
    }
    for name in sorted(public_names.pages_without_example(pages)):
        log.warning("The page has no example. Add a block of Python code.", location=name)
    for name in sorted(public_names.tasks_without_example(pages, modules)):
        log.warning(
            "No section of the reference has signature, example and details of %s. Add a section.", name
        )
    tasks = [each for each in map(public_names.found, documented & names) if public_names.is_task(each)]
    for name in sorted(task_arguments.wrong_templated_marks(tasks)):
        log.warning('The mark "(templated)" of %s contradicts the template fields. Fix the docstring.', name)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("stitch-endpoints", Endpoints)
    app.add_directive("stitch-errors", Errors)
    app.add_directive("stitch-emulator-help", EmulatorHelp)
    app.add_directive("stitch-scenario-keys", ScenarioKeys)
    app.add_directive("stitch-task-details", TaskDetails)
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-process-docstring", show_arguments)
    app.connect("missing-reference", name_in_full, priority=400)
    app.connect("env-check-consistency", check)
    return {"version": "1", "parallel_read_safe": True}
