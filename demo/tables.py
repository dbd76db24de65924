"""Format the return value of the task `replicate` as tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.table import Table


def phases_table(replicated: dict[str, Any]) -> Table:
    """Return a table with the duration of each phase, in the emulator's time."""
    started, extracted, loaded = (
        _instant(replicated[key]) for key in ("started_at", "extraction_completed_at", "loaded_at")
    )
    table = Table(
        title=f"Job {replicated['job_name']}, in Stitch's time", title_justify="left", show_footer=True
    )
    table.add_column("phase", footer="whole job")
    table.add_column("from", footer=_clock(started))
    table.add_column("to", footer=_clock(loaded))
    table.add_column("duration", justify="right", footer=_between(started, loaded))
    table.add_row(
        "structure sync and extraction", _clock(started), _clock(extracted), _between(started, extracted)
    )
    table.add_row("preparation and loading", _clock(extracted), _clock(loaded), _between(extracted, loaded))
    return table


def streams_table(replicated: dict[str, Any]) -> Table:
    """Return a table with the row counts and load times of the streams that had new rows."""
    started = _instant(replicated["started_at"])
    streams = replicated["streams"]
    total = sum(stream["rows"] or 0 for stream in streams.values())
    title = f"Streams of {replicated['source_name']} with new rows"
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("stream", footer=f"{len(streams)} streams")
    table.add_column("rows", justify="right", footer=str(total))
    table.add_column("loaded at")
    table.add_column("after the job's start", justify="right")
    for name, stream in streams.items():
        loaded = _instant(stream["loaded_at"])
        rows = "not counted" if stream["rows"] is None else str(stream["rows"])
        table.add_row(name, rows, _clock(loaded), _between(started, loaded))
    return table


def _instant(text: str | None) -> datetime | None:
    # Python 3.10 does not parse the suffix Z.
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def _clock(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%H:%M:%S} UTC"


def _between(begin: datetime | None, end: datetime | None) -> str:
    return "" if begin is None or end is None else f"{(end - begin).total_seconds():.0f} s"
