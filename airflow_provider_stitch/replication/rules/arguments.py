"""Parse arguments that templates may have rendered. Pure functions; DAG files import this module.

Jinja renders to a string unless the DAG has `render_template_as_native_obj`, so a list arrives as text.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from typing import Any

ACCOUNT_PROBLEMS = ("extraction", "load", "stale")
"""The problems of a source that a check of its account can find."""

# Strings that are treated as None, because `{{ params.streams }}` renders None as a word.
NONE_TEXTS = ("", "None", "null")


def is_template(value: object) -> bool:
    """Return whether Airflow replaces a value before the task runs: a template or another task's output."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, (list, tuple)):
        return any(is_template(element) for element in value)
    return hasattr(value, "iter_references")


def none_if_blank(value: Any) -> Any:
    """Return None for a string that stands for no value, and any other value unchanged."""
    return None if isinstance(value, str) and value.strip() in NONE_TEXTS else value


def parse_streams(value: object) -> tuple[str, ...] | None:
    """Return the names of streams, or None for all streams.

    :param value: a list of names; or a string: names that are separated by commas, or a list in JSON or
        Python notation. None, an empty string and the string "None" stand for all streams. Of a dict, such as
        `streams` of the run operator's XCom, the keys are used.
    :raises ValueError: if it is anything else.
    """
    return parse_names(value, "streams")


def parse_names(value: object, argument: str) -> tuple[str, ...] | None:
    """Return names in the notations of `parse_streams`.

    :param argument: name of the argument, which the error message contains.
    :raises ValueError: if it is anything else.
    """
    value = none_if_blank(value)
    names = _names_in(value.strip(), argument) if isinstance(value, str) else value
    if names is None:
        return None
    if isinstance(names, (bool, float)) or not isinstance(names, (int, Iterable)):
        raise _invalid_names(value, argument)
    # A native template renders the name "2024" as a number.
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
    """Return a value that is one of several words.

    :param name: name of the argument, which the error message contains.
    :param optional: None is valid, too, also as the string that a template renders for it.
    :raises ValueError: if the value is another one.
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
