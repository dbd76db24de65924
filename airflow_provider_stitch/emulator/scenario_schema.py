"""The JSON Schema for scenario files, generated from the classes that define the keys."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from airflow_provider_stitch.emulator.values import describe, hints_of

_COMMENT = re.compile(r"^\s*#: ?(?P<text>.*)$")
_FIELD = re.compile(r"^    (?P<name>\w+): [^#]*?(?:#(?:: ?(?P<text>.*)| .*))?$")
_SCALARS: Mapping[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    str: {"type": "string"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number", "minimum": 0},
    type(None): {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
}


@dataclasses.dataclass(frozen=True)
class Key:
    """A key in a scenario file, with its description."""

    name: str
    allowed: str  #: description of the allowed values
    #: Default value, or `dataclasses.MISSING` if the key is required.
    default: Any
    meaning: str  #: description of the key

    @property
    def shown_default(self) -> str:
        """The default value as text, for the table of keys in the documentation."""
        if self.default is dataclasses.MISSING:
            return "required"
        if dataclasses.is_dataclass(self.default) or self.default in ((), {}):
            return "none"
        if self.default is None or isinstance(self.default, bool):
            return {None: "null", True: "true", False: "false"}[self.default]
        return f"{self.default:g}" if isinstance(self.default, float) else f"``{self.default}``"


def scenario_schema(scenario: type) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of scenario files.

    :param scenario: the class that defines the top-level keys of the file.
    """
    definitions: dict[str, Any] = {}
    root = _schema(scenario, "", definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario of stitch-emulator",
        "$ref": root["$ref"],
        "$defs": definitions,
    }


def scenario_classes(scenario: type) -> dict[str, type]:
    """Return all classes that define keys of scenario files, by class name.

    :param scenario: the class that defines the top-level keys of the file.
    """
    found: dict[str, type] = {}
    pending: list[Any] = [scenario]
    while pending:
        annotation = pending.pop()
        if not dataclasses.is_dataclass(annotation):
            pending += get_args(annotation)
        elif isinstance(annotation, type) and annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            pending += hints_of(annotation).values()
    return found


def keys_of(kind: type) -> list[Key]:
    """Return the keys that a class of a scenario file defines."""
    hints, meanings = hints_of(kind), _meanings(kind)
    return [
        Key(field.name, describe(hints[field.name]), _default(field), meanings.get(field.name, ""))
        for field in dataclasses.fields(kind)
    ]


def _schema(annotation: Any, key: str, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        if annotation.__name__ not in definitions:
            definitions[annotation.__name__] = {}  # stops the recursion if a class contains itself
            definitions[annotation.__name__] = _object(annotation, definitions)
        return {"$ref": f"#/$defs/{annotation.__name__}"}
    if annotation is int and key.endswith("_exit_status"):
        return {"type": "integer"}
    if origin is Literal:
        return {"enum": list(arguments)}
    inner = [{} if option is ... else _schema(option, key, definitions) for option in arguments]
    if origin in (Union, types.UnionType):
        return {"anyOf": inner}
    if origin in (Mapping, Sequence, tuple):
        return {"type": "object", "additionalProperties": inner[1]} if origin is Mapping else _array(inner[0])
    return dict(_SCALARS.get(annotation, {}))


def _array(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = hints_of(kind)
    properties = {
        key.name: {"description": key.meaning, **_schema(hints[key.name], key.name, definitions)}
        for key in keys_of(kind)
    }
    return {
        "type": "object",
        "description": " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split()),
        "properties": properties,
        "required": [key.name for key in keys_of(kind) if key.default is dataclasses.MISSING],
        "additionalProperties": False,
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@cache
def _meanings(kind: type) -> dict[str, str]:
    """Return the `#:` comments on the fields of a class, by field name."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        above: list[str] = []
        for line in inspect.getsource(each).splitlines():
            comment, field = _COMMENT.match(line), _FIELD.match(line)
            if comment:
                above.append(comment["text"])
            elif field:
                found[field["name"]] = " ".join([*above, field["text"] or ""]).strip()
                above = []
    return {name: _one_style(text) for name, text in found.items()}


def _one_style(text: str) -> str:
    return text.replace("``", "`")
