"""Lines and row counters of an extraction log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.plans import CounterForm


class Line(NamedTuple):
    """One line of a log."""

    at: datetime
    location: str
    text: str  #: level and message; a line of a traceback has no level


def counter(form: CounterForm, rows: int, tags: Mapping[str, Any]) -> str:
    """Return the text of a row counter, in one of the formats of the runner."""
    if form == "json":
        point = {"type": "counter", "metric": "record_count", "value": rows, "tags": dict(tags)}
        return f"INFO METRIC: {json.dumps(point)}"
    if form == "sentence" and "endpoint" in tags:
        return f'INFO replicated {rows} records from "{tags["endpoint"]}" endpoint'
    return f"INFO METRIC Point(metric_type='counter', metric='record_count', value={rows}, tags={dict(tags)})"
