"""Parse the record counters of an extraction log.

The formats are known from Stitch's extraction logs and the Singer metrics format. The runner rewrites some
counters as sentences. Other counters appear as JSON, or as the repr of a metric point. A counter of a tap or
a target may have any of these formats.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, NamedTuple

COUNTER_STARTS = (b"METRIC", b"replicated ")  #: the possible prefixes of a message that contains a counter

_SENTENCE = re.compile(rb'replicated (\d{1,18}) records from "(.{1,4096})" endpoint')
_JSON = b"METRIC: {"
_POINT = b"METRIC Point("
_POINT_VALUE = re.compile(r"\bvalue=(\d{1,18})\b")
_MAX_VALUE = 10**18

# Counters of API sources have the tag `endpoint`. Counters of databases have the tag `table`.
_NAME_TAGS = ("endpoint", "table")


class RecordCount(NamedTuple):
    """The number of rows that a counter reports for a stream, endpoint or table."""

    name: bytes
    rows: int


def parse_record_count(body: bytes) -> RecordCount | None:
    """Return the record counter that a message contains, or None.

    The result is None if the message contains no counter, if the counter does not count records, or if the
    counter has no name. The taps for PostgreSQL and Oracle write counters without names.
    """
    if body.startswith(b"replicated "):
        sentence = _SENTENCE.match(body)
        return RecordCount(sentence[2].strip(), int(sentence[1])) if sentence else None
    if body.startswith(_JSON) and b'"tags"' in body:
        return _from_json(body[len(_JSON) - 1 :])
    if body.startswith(_POINT):
        return _from_point(body[len(_POINT) :].decode("utf-8", errors="replace"))
    return None


def _from_json(text: bytes) -> RecordCount | None:
    try:
        metric = json.loads(text)
    except (ValueError, RecursionError):  # the line is truncated, or it is the output of another program
        return None
    if metric.get("type") != "counter" or metric.get("metric") != "record_count":
        return None
    return _named(metric.get("tags"), metric.get("value"))


def _from_point(text: str) -> RecordCount | None:
    value = _POINT_VALUE.search(text)
    start, end = text.find("tags={"), text.rfind("}")
    if value is None or end < start or start < 0 or value.start() > start:
        return None
    if "metric='record_count'" not in text[:start] or "metric_type='counter'" not in text[:start]:
        return None
    try:
        tags = ast.literal_eval(text[start + len("tags=") : end + 1])
    # A dict with an unhashable key raises TypeError. Text that is too deeply nested may raise MemoryError.
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return _named(tags, int(value[1]))


def _named(tags: Any, value: Any) -> RecordCount | None:
    if not isinstance(tags, dict) or type(value) is not int or not 0 <= value < _MAX_VALUE:
        return None
    name = next((tags[tag] for tag in _NAME_TAGS if isinstance(tags.get(tag), str)), "").strip()
    return RecordCount(name.encode(errors="replace"), value) if name else None
