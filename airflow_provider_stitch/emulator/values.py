"""Functions that validate user input, such as quirks and scenario files, against type annotations.

Each error message contains the key of the invalid value and the allowed values.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_NAMES = {bool: "true or false", str: "a string", datetime: "a time such as 2026-08-17T06:00:00Z"}
_MAX_SHOWN = 60  #: maximum number of characters that a message quotes from an invalid value


class ValueReader:
    """A converter from input values to annotated types.

    The converter collects all problems instead of raising an error.

    Only exit statuses may be negative numbers.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []  #: messages such as `sources[0].type: must be a string, not 5.`

    def read(self, value: Any, annotation: Any, key: str) -> Any:
        """Return a value converted to an annotated type, or None if the value is invalid."""
        origin = get_origin(annotation)
        if origin in (Union, types.UnionType):
            return self._read_union(value, annotation, key)
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            return self._read_object(value, annotation, key)
        if origin is Mapping and isinstance(value, Mapping):
            return self._read_mapping(value, get_args(annotation)[1], key)
        if origin in (Sequence, tuple) and isinstance(value, list | tuple):
            item = get_args(annotation)[0]
            return tuple(self.read(each, item, f"{key}[{number}]") for number, each in enumerate(value))
        if annotation is Any:
            return _plain(value)
        return self._read_scalar(value, annotation, key)

    def _read_union(self, value: Any, annotation: Any, key: str) -> Any:
        options = get_args(annotation)
        if value is None and type(None) in options:
            return None
        options = tuple(option for option in options if option is not type(None))
        objects = [option for option in options if dataclasses.is_dataclass(option)]
        if objects and isinstance(value, Mapping):
            return self.read(value, objects[0], key)
        if len(options) == 1 and isinstance(value, Mapping | list | tuple):
            return self.read(value, options[0], key)
        for option in options:
            attempt = ValueReader()
            result = attempt.read(value, option, key)
            if not attempt.problems:
                return result
        return self._problem(key, annotation, value)

    def _read_object(self, value: Any, kind: type, key: str) -> Any:
        if not isinstance(value, Mapping):
            return self._problem(key, kind, value)
        hints, before = hints_of(kind), len(self.problems)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        known = {name: given for name, given in value.items() if name in fields}
        self._check_names([name for name in value if name not in fields], list(fields), key)
        self.problems += [
            f"{_join(key, name)}: is missing. It must be {describe(hints[name])}."
            for name, field in fields.items()
            if name not in value and _is_required(field)
        ]
        arguments = {name: self.read(given, hints[name], _join(key, name)) for name, given in known.items()}
        if len(self.problems) > before:
            return None
        try:
            return kind(**arguments)
        except ValueError as error:
            self.problems.append(f"{key or 'the file'}: {error}")
            return None

    def _check_names(self, unknown: list[Any], allowed: list[str], key: str) -> None:
        for name in unknown:
            near = difflib.get_close_matches(str(name), allowed, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            listed = ", ".join(allowed)
            self.problems.append(f"{_join(key, str(name))}: is not a known key.{hint} Allowed: {listed}.")

    def _read_mapping(self, value: Mapping[Any, Any], annotation: Any, key: str) -> dict[str, Any]:
        for name in value:
            if not isinstance(name, str) or not name:
                self.problems.append(
                    f"{key or 'the file'}: the key {name!r} must be a string. Put it in quotes."
                )
        return {name: self.read(each, annotation, _join(key, str(name))) for name, each in value.items()}

    def _read_scalar(self, value: Any, annotation: Any, key: str) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if get_origin(annotation) is Literal:
            if any(value == choice and type(value) is type(choice) for choice in get_args(annotation)):
                return value
        elif annotation is float and is_number and math.isfinite(value) and value >= 0:
            return float(value)
        elif annotation is int and is_number and isinstance(value, int) and (value >= 0 or _is_signed(key)):
            return value
        elif annotation is datetime and isinstance(value, str | datetime):
            return self._read_time(value, key)
        elif annotation in (bool, str) and type(value) is annotation:
            return value
        return self._problem(key, annotation, value)

    def _read_time(self, value: str | datetime, key: str) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)
        try:
            # Python 3.10 cannot parse the suffix "Z".
            return self._read_time(datetime.fromisoformat(value.replace("Z", "+00:00")), key)
        except ValueError:
            return self._problem(key, datetime, value)

    def _problem(self, key: str, annotation: Any, value: Any) -> None:
        allowed = describe(annotation)
        if annotation is int and _is_signed(key):
            allowed = "an integer"
        self.problems.append(f"{key or 'the file'}: must be {allowed}, not {_shown(value)}.")


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields, including types that are imported only for type checkers."""
    return get_type_hints(kind, localns={"Mapping": Mapping, "Sequence": Sequence, "datetime": datetime})


def describe(annotation: Any) -> str:
    """Return a description of the values that an annotation allows."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        described = dict.fromkeys(describe(option) for option in options)
        null = ["null"] if type(None) in get_args(annotation) else []
        return " or ".join([*described, *null])
    if origin is Literal:
        *others, last = [
            f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in get_args(annotation)
        ]
        return f"{', '.join(others)} or {last}" if others else last
    if origin is Mapping or dataclasses.is_dataclass(annotation):
        return "a mapping"
    if origin in (Sequence, tuple):
        return "a list"
    numbers = {float: "a number of at least 0", int: "an integer of at least 0"}
    return {**_NAMES, **numbers}.get(annotation, "any value")


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _is_signed(key: str) -> bool:
    return key.endswith("_exit_status")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _plain(value: Any) -> Any:
    """Return a value in JSON-serializable form. Times from YAML and TOML files become strings."""
    if isinstance(value, datetime):
        moment = value.astimezone(timezone.utc) if value.tzinfo else value
        return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
