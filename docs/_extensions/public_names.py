"""Find public names that the reference does not describe, and pages without an example.

The public names of a module are the names in its `__all__`. If it has no `__all__`, they are its public
classes. The public methods and properties of these classes are public names as well. Methods that override
Airflow's methods are excluded, because Airflow documents them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PACKAGE = "airflow_provider_stitch"
LIBRARY = (
    "assets",
    "connect.client",
    "connect.partner",
    "connect.objects.secret_text",
    "connect.objects",
    "connect.extraction_log",
    "connect.errors",
    "emulator",
)
# These methods build an object from a response. The docstring of `connect.objects` describes them.
NOT_FOR_USERS = frozenset({"from_json", "from_creation", "from_list", "within"})

# These pages of the reference describe facts and terms, so they need no example.
WITHOUT_CODE = frozenset({"failure-modes", "glossary"})

_EXAMPLE = re.compile(r"^(`{3,}python$|(`{3,}|:{3,})\{literalinclude\})", re.MULTILINE)


def public_modules() -> list[str]:
    """Return the modules that the provider registers with Airflow, and the modules of its library."""
    info = get_provider_info()
    parts = [info[kind] for kind in ("hooks", "operators", "sensors", "triggers")]
    return [
        *(module for part in parts for entry in part for module in entry["python-modules"]),
        *(f"{PACKAGE}.{name}" for name in LIBRARY),
    ]


def public_names(modules: Iterable[str]) -> set[str]:
    """Return the full names of the public classes, functions, methods and properties of these modules.

    A method that a class inherits from another public class is a name of the other class only.
    """
    by_path = dict(each for path in modules for each in offered(path))
    classes = {value for value in by_path.values() if inspect.isclass(value)}
    members = {
        f"{path}.{member}"
        for path, kind in by_path.items()
        if inspect.isclass(kind)
        for member in _members(kind, classes - {kind})
    }
    return by_path.keys() | members


def without_docstring(modules: Iterable[str]) -> set[str]:
    """Return the public names that have no docstring."""
    return {name for name in public_names(modules) if not inspect.getdoc(found(name))}


def offered(module: str) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the value of each public name of a module, without methods and properties."""
    of = importlib.import_module(module)
    names = getattr(of, "__all__", None)
    if names is not None:
        yield from ((f"{module}.{name}", getattr(of, name)) for name in names)
        return
    for name, value in vars(of).items():
        if inspect.isclass(value) and value.__module__ == module and not name.startswith("_"):
            yield f"{module}.{name}", value


def undescribed_arguments(modules: Iterable[str]) -> set[str]:
    """Return the arguments of operators and sensors that have no description in any docstring."""
    return {
        f"{path}.{kind.__name__}({argument})"
        for path in modules
        for _, kind in offered(path)
        if inspect.isclass(kind) and any(base.__module__.startswith("airflow.") for base in kind.__mro__)
        for argument in _arguments(kind) - _described(kind)
    }


def pages_without_example(pages: Mapping[str, str]) -> set[str]:
    """Return the names of the pages that contain neither Python code nor an included Python file.

    :param pages: the text of each page by name. A name may have a folder and a suffix.
    """
    return {
        name
        for name, text in pages.items()
        if Path(name).stem not in WITHOUT_CODE and not _EXAMPLE.search(text)
    }


def tasks_without_example(pages: Mapping[str, str], modules: Iterable[str]) -> set[str]:
    """Return the operators and sensors that have no section with signature, example and details.

    :param pages: the text of each page of the reference, by name.
    """
    return {
        path
        for path in public_names(modules)
        if is_task(found(path)) and not any(_describes(text, path) for text in pages.values())
    }


def is_task(value: object) -> bool:
    """Return whether a value is an operator or a sensor."""
    return inspect.isclass(value) and any(base.__name__ == "BaseOperator" for base in value.__mro__)


def _describes(page: str, path: str) -> bool:
    name = path.rpartition(".")[2]
    _, _, rest = page.partition(f"\n## {name}\n")
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    _, signature, rest = section.partition(f".. autoclass:: {path}\n")
    example, details, _ = rest.partition(f".. stitch-task-details:: {path}\n")
    return bool(signature and details and _EXAMPLE.search(example))


def _members(kind: type, others: set[type]) -> set[str]:
    # Airflow calls the methods of tasks and triggers, so they are not public names.
    if is_task(kind) or any(base.__name__ == "BaseTrigger" for base in kind.__mro__):
        return set()
    foreign = [base for base in kind.__mro__ if not base.__module__.startswith(PACKAGE)]
    elsewhere = [*foreign, *(other for other in others if issubclass(kind, other))]
    theirs = {name for base in elsewhere for name in dir(base)}
    return {
        name
        for base in kind.__mro__
        if base not in foreign
        for name, value in vars(base).items()
        if not name.startswith("_") and _is_method(value) and name not in theirs | NOT_FOR_USERS
    }


def _is_method(value: object) -> bool:
    kinds = (property, cached_property, classmethod, staticmethod)
    return isinstance(value, kinds) or inspect.isfunction(value)


def found(name: str) -> Any:
    """Return the object with this full name.

    :raises LookupError: if there is no such object.
    """
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            value = inspect.getattr_static(value, part) if inspect.isclass(value) else getattr(value, part)
        return value
    raise LookupError(name)


def _arguments(kind: type) -> set[str]:
    ours = [base for base in kind.__mro__ if base.__module__.startswith(PACKAGE) and "__init__" in vars(base)]
    parameters = [
        parameter
        for base in ours
        for parameter in inspect.signature(vars(base)["__init__"]).parameters.values()
    ]
    return {each.name for each in parameters if each.name != "self" and each.kind is not each.VAR_KEYWORD}


def _described(kind: type) -> set[str]:
    return {
        name
        for base in kind.__mro__
        for name in re.findall(r":param (\w+):", vars(base).get("__doc__") or "")
    }
