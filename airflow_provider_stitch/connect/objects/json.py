"""Read typed values from decoded JSON. A value of an unexpected type raises UnexpectedResponse."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from airflow_provider_stitch.connect.errors import UnexpectedResponse

MAX_EXCERPT_LENGTH = 200  #: maximum length of a response body in an error message, in characters

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def json_object(data: object, label: str) -> Mapping[str, Any]:
    """Return `data` if it is a JSON object."""
    if not isinstance(data, Mapping):
        raise UnexpectedResponse(f"The {label} should be a JSON object: {excerpt(data)}")
    return data


def required_integer(data: Mapping[str, Any], key: str) -> int:
    value = optional_integer(data, key)
    if value is None:
        raise UnexpectedResponse(f"`{key}` is missing: {excerpt(data)}")
    return value


def required_string(data: Mapping[str, Any], key: str) -> str:
    value = optional_string(data, key)
    if not value:
        raise UnexpectedResponse(f"`{key}` is missing: {excerpt(data)}")
    return value


def optional_integer(data: Mapping[str, Any], key: str) -> int | None:
    value = data.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise UnexpectedResponse(f"`{key}` should be an integer: {excerpt(value)}")


def optional_boolean(data: Mapping[str, Any], key: str) -> bool | None:
    value = data.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise UnexpectedResponse(f"`{key}` should be true or false: {excerpt(value)}")


def optional_string(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return replace_surrogates(value)
    raise UnexpectedResponse(f"`{key}` should be a string: {excerpt(value)}")


def display_string(data: Mapping[str, Any], key: str) -> str | None:
    """Return a string that is only shown to users. Convert values of other types to JSON."""
    value = data.get(key)
    return (
        None
        if value is None
        else replace_surrogates(value if isinstance(value, str) else compact_json(value))
    )


def optional_object(data: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    value = data.get(key)
    if value is None or isinstance(value, Mapping):
        return value
    raise UnexpectedResponse(f"`{key}` should be a JSON object: {excerpt(value)}")


def array(data: Mapping[str, Any], key: str) -> list[Any]:
    """Return the array under a key, or an empty list if the key is missing."""
    value = data.get(key)
    if value is None or isinstance(value, list):
        return value or []
    raise UnexpectedResponse(f"`{key}` should be an array: {excerpt(value)}")


def string_array(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the array of strings under a key, or an empty tuple if the key is missing."""
    values = array(data, key)
    if all(isinstance(value, str) for value in values):
        return tuple(replace_surrogates(value) for value in values)
    raise UnexpectedResponse(f"`{key}` should be an array of strings: {excerpt(values)}")


def find_message(value: object) -> str:
    """Return the first string with the key `message`, at any depth.

    If the value contains no such string, return the whole value as compact JSON.
    """
    pending = deque([value])
    while pending:
        current = pending.popleft()
        if isinstance(current, Mapping):
            message = current.get("message")
            if isinstance(message, str) and message.strip():
                return message
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)
    return value if isinstance(value, str) and value.strip() else compact_json(value)


def one_line(value: str, limit: int) -> str:
    """Replace line breaks with spaces, and truncate the string to `limit` characters."""
    line = replace_surrogates(_UNPRINTABLE.sub(" ", value[: limit * 2])).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"


def excerpt(value: object) -> str:
    """Return the first 200 characters of a value on one line, with special characters escaped."""
    shown = value if isinstance(value, str) else compact_json(value)
    return repr(shown[:MAX_EXCERPT_LENGTH])


def compact_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    # The value is too deeply nested, or it contains an integer with too many digits.
    except (RecursionError, ValueError):
        return f"<a {type(value).__name__} that cannot be shown>"


def replace_surrogates(value: str) -> str:
    """Replace lone surrogates, because logs, databases and terminals cannot encode them."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
