"""Patterns for log lines, based on the section "Extraction log format" in the facts about Stitch."""

from __future__ import annotations

import re

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}Z (?:  main|   tap|target) - "
    r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) .+"
)
URL = r"https://\S+"
IMPORT_URL = rf"Using Stitch import URL {URL}"
PREFERENCES = (
    r"Using batch_size_prefernces of \{'batch_size_preference': None, .*'full_table_streams': \[.*\]\}"
)
TURBO = r"Using turbo_boost_factor of \d+"
SENDING_MESSAGES = rf"Sending batch with \d+ messages for table .+ to {URL}"
SERIALIZING = r"Serializing batch with \d+ messages for table .+"
SENDING_BYTES = rf"Sending batch of \d+ bytes to {URL}"
COUNTER = (
    r'METRIC: \{"type": "counter", "metric": "record_count", "value": \d+, '
    r'"tags": \{"endpoint": ".+", "num_bytes": \d+\}\}'
)
AVRO_MARKER = r"com\.stitchdata\.target-stitch-avro\.flush-pipeline - send-stream-record-count-impl"
STOPPING = "Requests complete, stopping loop"

PHASE = r"(?:Discovery|Tap|Target)"
CLAUSE = rf'{PHASE} (?:succeeded\.|failed with code -?\d+(?: and error message: ".*")?\.)'
EXIT_LINE = re.compile(rf"Exit status is: {CLAUSE}(?: {CLAUSE})*")


def info_texts(log: str, location: str = "target") -> list[str]:
    """Return the texts of all INFO lines that the given program has logged."""
    return re.findall(rf"(?m)^\S+ \S+Z +{location} - INFO (.*)$", log)


def times_of(log: str, body: str) -> list[str]:
    """Return the time of each log line that contains the given text."""
    return [line[11:23] for line in log.splitlines() if body in line]


def matched_forms(lines: list[str], *forms: str) -> list[str]:
    """Return the pattern that matches each log line, and raise an error if no pattern matches."""
    return [next(form for form in forms if re.fullmatch(form, line)) for line in lines]
