"""Read the arguments of operators and sensors from the code and its docstrings.

This module does not import Sphinx, so that tests can use it without Sphinx.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = "airflow_provider_stitch"

_TEMPLATED = "(templated)"
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Argument:
    """One argument of an operator or sensor."""

    name: str
    type: str  #: the annotation in the code; a `Literal` is replaced by its values
    default: str | None  #: the default as reStructuredText; None if the argument is required
    code: str | None  #: the default as Python code; None if the argument is required
    templated: bool  #: whether Airflow or the operator itself renders templates in the argument
    meaning: str  #: the description in the docstring, as reStructuredText


def arguments(kind: type) -> list[Argument]:
    """Return the arguments that a class adds to its Airflow base class, in the order of the docstring."""
    parameters = _parameters(kind)
    meanings = _meanings(kind)
    order = sorted(parameters, key=lambda name: _position(meanings, name))
    return [_argument(kind, *parameters[name], meanings.get(name, "")) for name in order]


def signature(kind: type) -> str:
    """Return the signature of a class, including the arguments of its base classes in this package."""
    required = [each.name for each in arguments(kind) if each.code is None]
    optional = [f"{each.name}={each.code}" for each in arguments(kind) if each.code is not None]
    return f"({', '.join(['*', *required, *optional, '**kwargs'])})"


def wrong_templated_marks(kinds: Iterable[type]) -> set[str]:
    """Return the arguments that are wrongly marked with "(templated)" in a docstring, or lack this mark.

    An argument must have the mark at the end of its description if, and only if, it is a template field.
    """
    return {
        f"{kind.__name__}({name})"
        for kind in kinds
        for name, text in _meanings(kind).items()
        if text.endswith(_TEMPLATED) != (name in _template_fields(kind))
    }


def summary_and_details(docstring: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the first paragraph of a docstring, and its other paragraphs without the list of parameters."""
    lines = list(docstring)
    start = next((number for number, line in enumerate(lines) if line.startswith(":param ")), len(lines))
    end = next((number for number in range(start, len(lines)) if not lines[number].strip()), len(lines))
    rest = [*lines[:start], *lines[end:]]
    first = next((number for number, line in enumerate(rest) if not line.strip()), len(rest))
    return rest[:first], rest[first:]


def _parameters(kind: type) -> dict[str, tuple[type, inspect.Parameter]]:
    """Return the parameters by name, each with the most derived class that defines it."""
    found: dict[str, tuple[type, inspect.Parameter]] = {}
    for base in kind.__mro__:
        if not base.__module__.startswith(PACKAGE) or "__init__" not in vars(base):
            continue
        function = inspect.unwrap(vars(base)["__init__"])
        for name, parameter in inspect.signature(function).parameters.items():
            if name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                # Autodoc replaces the default values in a signature with their source text.
                default = (function.__kwdefaults__ or {}).get(name, parameter.empty)
                found.setdefault(name, (base, parameter.replace(default=default)))
    return found


def _argument(kind: type, owner: type, parameter: inspect.Parameter, meaning: str) -> Argument:
    is_required = parameter.default is parameter.empty
    return Argument(
        name=parameter.name,
        type=_type(owner, parameter),
        default=None if is_required else _shown(parameter.default),
        code=None if is_required else _as_code(parameter.default),
        templated=parameter.name in (*_template_fields(kind), *getattr(kind, "secret_arguments", ())),
        meaning=meaning.removesuffix(_TEMPLATED).strip(),
    )


def _type(owner: type, parameter: inspect.Parameter) -> str:
    """Return the annotation in the code, with the name of a `Literal` replaced by its values."""
    module = vars(sys.modules[owner.__module__])

    def values(match: re.Match[str]) -> str:
        value = module.get(match.group())
        return " | ".join(map(_quoted, get_args(value))) if get_origin(value) is Literal else match.group()

    return re.sub(r"[A-Za-z_]\w*", values, str(parameter.annotation))


def _shown(value: Any) -> str:
    return _duration(value) if isinstance(value, timedelta) else f"``{_quoted(value)}``"


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    size, unit = next(each for each in _UNITS if seconds % each[0] == 0)
    # Whole hours are easier to compare with Stitch's limit of 24 hours than "1 day and 2 hours".
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def _as_code(value: Any) -> str:
    if not isinstance(value, timedelta):
        return _quoted(value)
    size, unit = next(each for each in _UNITS if int(value.total_seconds()) % each[0] == 0)
    return f"timedelta({unit}s={int(value.total_seconds()) // size})"


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _template_fields(kind: type) -> tuple[str, ...]:
    return tuple(getattr(kind, "template_fields", ()))


def _meanings(kind: type) -> dict[str, str]:
    """Return the descriptions of a class's arguments from the docstrings of the class and its bases."""
    parameters = _parameters(kind)
    found: dict[str, str] = {}
    for base in kind.__mro__:
        for name, text in _described(vars(base).get("__doc__") or ""):
            if name in parameters:
                found.setdefault(name, text)
    return found


def _described(docstring: str) -> Iterator[tuple[str, str]]:
    text = inspect.cleandoc(docstring)
    for name, meaning in re.findall(r"^:param (\w+):(.*(?:\n[ \t]+\S.*)*)", text, re.MULTILINE):
        yield name, " ".join(meaning.split())


def _position(meanings: dict[str, str], name: str) -> int:
    names = list(meanings)
    return names.index(name) if name in meanings else len(names)
