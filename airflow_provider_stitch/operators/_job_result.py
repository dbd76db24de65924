"""The XCom and the log lines of a task that runs a replication job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.hooks.stitch import source_url

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.replication.rules.goal import Goal


def start_result(goal: Goal, started_at: datetime | None) -> dict[str, Any]:
    """Return the XCom of a task that does not wait for its job."""
    return {
        "job_name": goal.job_name,
        "source_id": goal.source_id,
        "source_name": goal.source_name,
        "client_id": goal.client_id,
        "started_at": format_time(started_at) if started_at else None,
        "url": source_url(goal.client_id, goal.source_id),
    }


def summary(result: dict[str, Any], wait_for: str | None) -> str:
    """Return the final log message of a successful task."""
    source = f"source {result['source_name']} ({result['source_id']})"
    if wait_for != "loading":
        return f"Done: {wait_for} of {source} has succeeded (job {result['job_name']})"
    streams = result["streams"]
    if not streams:
        return f"Done: {source} had no new rows to load (job {result['job_name']})"
    rows = sum(stream["rows"] or 0 for stream in streams.values())
    at_least = "" if all(stream["rows"] is not None for stream in streams.values()) else "at least "
    count = "1 stream" if len(streams) == 1 else f"{len(streams)} streams"
    return f"Done: {at_least}{rows} rows in {count} of {source} are loaded (job {result['job_name']})"
