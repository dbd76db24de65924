"""Reading what JSON holds: each value is what it should be, or UnexpectedAnswer says what it is."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from airflow_provider_stitch.connect.errors import UnexpectedAnswer

EXCERPT_LENGTH = 200  #: characters of a body that a message shows

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def record(data: object, what: str) -> Mapping[str, Any]:
    """Return the data if it is a JSON object."""
    if not isinstance(data, Mapping):
        raise UnexpectedAnswer(f"A {what} should be a JSON object: {excerpt(data)}")
    return data


def required_integer(data: Mapping[str, Any], key: str) -> int:
    value = integer(data, key)
    if value is None:
        raise UnexpectedAnswer(f"`{key}` is missing: {excerpt(data)}")
    return value


def required_text(data: Mapping[str, Any], key: str) -> str:
    value = text(data, key)
    if not value:
        raise UnexpectedAnswer(f"`{key}` is missing: {excerpt(data)}")
    return value


def integer(data: Mapping[str, Any], key: str) -> int | None:
    value = data.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise UnexpectedAnswer(f"`{key}` should be an integer: {excerpt(value)}")


def flag(data: Mapping[str, Any], key: str) -> bool | None:
    value = data.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise UnexpectedAnswer(f"`{key}` should be true or false: {excerpt(value)}")


def text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return encodable(value)
    raise UnexpectedAnswer(f"`{key}` should be text: {excerpt(value)}")


def free_text(data: Mapping[str, Any], key: str) -> str | None:
    """Return a text that people read. Nothing hangs on its form, so another type is shown as JSON."""
    value = data.get(key)
    return None if value is None else encodable(value if isinstance(value, str) else compact(value))


def mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    value = data.get(key)
    if value is None or isinstance(value, Mapping):
        return value
    raise UnexpectedAnswer(f"`{key}` should be a JSON object: {excerpt(value)}")


def items(data: Mapping[str, Any], key: str) -> list[Any]:
    """Return the array under a key, empty if there is none."""
    value = data.get(key)
    if value is None or isinstance(value, list):
        return value or []
    raise UnexpectedAnswer(f"`{key}` should be an array: {excerpt(value)}")


def each_text(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the texts of the array under a key."""
    values = items(data, key)
    if all(isinstance(value, str) for value in values):
        return tuple(encodable(value) for value in values)
    raise UnexpectedAnswer(f"`{key}` should be an array of texts: {excerpt(values)}")


def message_within(value: object) -> str:
    """Return the first text under a key `message`, however deep, or else the whole as compact JSON."""
    waiting = deque([value])
    while waiting:
        current = waiting.popleft()
        if isinstance(current, Mapping):
            message = current.get("message")
            if isinstance(message, str) and message.strip():
                return message
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
    return value if isinstance(value, str) and value.strip() else compact(value)


def readable(value: str, limit: int) -> str:
    """Return a text on one line, of at most `limit` characters."""
    line = encodable(_UNPRINTABLE.sub(" ", value[: limit * 2])).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"


def excerpt(value: object) -> str:
    """Return the beginning of a body, escaped, so that it is one line whatever it holds."""
    shown = value if isinstance(value, str) else compact(value)
    return repr(shown[:EXCERPT_LENGTH])


def compact(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (RecursionError, ValueError):  # nested deeper, or a number longer, than Python writes
        return f"<a {type(value).__name__} that cannot be shown>"


def encodable(value: str) -> str:
    """Replace lone surrogates: JSON can spell them, but no log, database or terminal takes them."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
