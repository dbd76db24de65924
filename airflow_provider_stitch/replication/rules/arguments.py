"""Parse arguments after their templates have been rendered.

All functions are pure. Jinja renders every template as a string unless the DAG sets
`render_template_as_native_obj`. A list argument may therefore arrive as a string.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from typing import Any

ACCOUNT_PROBLEMS = ("extraction", "load", "stale")
"""The problems of a source that an account check can find."""

# Strings that are treated as None. A template such as `{{ params.streams }}` renders None as a string.
NONE_TEXTS = ("", "None", "null")


def is_template(value: object) -> bool:
    """Return whether a value is a template or another task's output, which Airflow replaces at run time."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, (list, tuple)):
        return any(is_template(element) for element in value)
    return hasattr(value, "iter_references")


def none_if_blank(value: Any) -> Any:
    """Return None if the value is a string in `NONE_TEXTS`. Return any other value unchanged."""
    return None if isinstance(value, str) and value.strip() in NONE_TEXTS else value


def parse_streams(value: object) -> tuple[str, ...] | None:
    """Return stream names, or None if the value stands for all streams.

    :param value: a list of names, or a string that contains names separated by commas or a list in JSON or
        Python notation. None, an empty string and the strings "None" and "null" stand for all streams. If the
        value is a dict, such as `streams` in the run operator's XCom, its keys are used.
    :raises ValueError: if the value has any other form.
    """
    return parse_names(value, "streams")


def parse_names(value: object, argument: str) -> tuple[str, ...] | None:
    """Return names from a value in any form that `parse_streams` accepts.

    :param argument: name of the argument, for the error message.
    :raises ValueError: if the value has any other form.
    """
    value = none_if_blank(value)
    names = _names_in(value.strip(), argument) if isinstance(value, str) else value
    if names is None:
        return None
    if isinstance(names, (bool, float)) or not isinstance(names, (int, Iterable)):
        raise _invalid_names(value, argument)
    # With `render_template_as_native_obj`, the name "2024" is rendered as a number.
    elements: list[Any] = [names] if isinstance(names, int) else list(names)
    texts = [str(each).strip() if isinstance(each, int) else each for each in elements]
    if not all(isinstance(each, str) and each.strip() for each in texts):
        raise _invalid_names(value, argument)
    return tuple(texts)


def _names_in(text: str, argument: str) -> object:
    if text[0] not in "[({":
        return [name.strip() for name in text.split(",")]
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed: object = parse(text)
        except (ValueError, SyntaxError, RecursionError):
            continue
        return parsed
    raise _invalid_names(text, argument)


def _invalid_names(value: object, argument: str) -> ValueError:
    noun = {"streams": "stream names", "sources": "ids or names of sources"}.get(argument, "words")
    return ValueError(
        f"{argument} must be a list of {noun}, or a string that contains such a list in JSON or separates "
        f"its elements by commas; it was {value!r}."
    )


def parse_choice(value: object, name: str, choices: Iterable[str], *, optional: bool = False) -> Any:
    """Return a value if it is one of the allowed words.

    :param name: name of the argument, for the error message.
    :param optional: whether None, or a string that a template renders for None, is allowed as well.
    :raises ValueError: if the value is not allowed.
    """
    text = value.strip() if isinstance(value, str) else value
    if optional and none_if_blank(text) is None:
        return None
    words = tuple(choices)
    if text in words:
        return text
    raise ValueError(
        f"{name} must be one of {', '.join(words)}{', or None' if optional else ''}; it was {value!r}."
    )
