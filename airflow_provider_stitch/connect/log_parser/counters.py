"""Parse record counters in an extraction log, in the three formats of the runner.

Source: Stitch's extraction logs and the Singer metrics format. The runner rewrites some metrics as sentences;
the others appear as JSON or as the repr of a metric point. Taps and targets use the same formats.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, NamedTuple

COUNTER_STARTS = (b"METRIC", b"replicated ")  #: the prefixes of the message body of counter lines

_SENTENCE = re.compile(rb'replicated (\d{1,18}) records from "(.{1,4096})" endpoint')
_JSON = b"METRIC: {"
_POINT = b"METRIC Point("
_POINT_VALUE = re.compile(r"\bvalue=(\d{1,18})\b")
_MAX_VALUE = 10**18

# Counters of APIs have the tag endpoint, counters of databases the tag table.
_NAME_TAGS = ("endpoint", "table")


class RecordCount(NamedTuple):
    """A number of rows of a stream, endpoint or table."""

    name: bytes
    rows: int


def parse_record_count(body: bytes) -> RecordCount | None:
    """Return the record counter in a message body.

    Return None for any other text, for other counters, and for counters without a name (from PostgreSQL and
    Oracle).
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
    except (ValueError, RecursionError):  # a truncated line, or another program's text
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
    # TypeError: an unhashable key; MemoryError: too deeply nested to parse.
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return _named(tags, int(value[1]))


def _named(tags: Any, value: Any) -> RecordCount | None:
    if not isinstance(tags, dict) or type(value) is not int or not 0 <= value < _MAX_VALUE:
        return None
    name = next((tags[tag] for tag in _NAME_TAGS if isinstance(tags.get(tag), str)), "").strip()
    return RecordCount(name.encode(errors="replace"), value) if name else None
