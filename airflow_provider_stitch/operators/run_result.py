"""What a run of a replication job waits for, and what it returns and logs at its end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_stitch.tasks import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.outcome import Outcome


class Awaited(NamedTuple):
    """What a task waits for next."""

    goal: Goal
    #: "ours", "picked up", "joining" (a job of unknown name), "joined", "turn" (of a job in our way), "lost"
    #: (the response to our start)
    what: str
    first_try_at: str | None = None  #: Stitch's time of the start whose response was lost

    @classmethod
    def of(cls, outcome: Outcome, what: str, first_try_at: str | None) -> Awaited:
        """Return what a wait in the triggerer was for."""
        from airflow_provider_stitch.replication.goals import Goal

        return cls(Goal.from_dict(outcome.goal), what, first_try_at)


@contextmanager
def naming(source: int | str) -> Iterator[None]:
    """Let an error at the start of a job name the source, as far as it does not by itself."""
    from airflow_provider_stitch.connect.errors import StitchError

    try:
        yield
    except StitchError as error:
        if not any(f"ource {name}" in str(error) for name in (source, repr(source))):
            error.args = (f"{error}\nThis was while starting a job of source {source!r}.",)
        raise


def brief(goal: Goal, began_at: datetime | None) -> dict[str, Any]:
    """Return the XCom of a task that does not wait."""
    from airflow_provider_stitch.connect.objects import format_time

    return {
        "job_name": goal.job_name,
        "source_id": goal.source_id,
        "source_name": goal.source_name,
        "client_id": goal.client_id,
        "started_at": format_time(began_at) if began_at else None,
        "url": url_of(goal.client_id, goal.source_id),
    }


def closing_line(result: dict[str, Any], wait_for: str | None) -> str:
    source = f"source {result['source_name']} ({result['source_id']})"
    if wait_for != "loading":
        return f"Done: {wait_for} of {source}, job {result['job_name']}"
    streams = result["streams"]
    if not streams:
        return f"Done: {source} had no new rows to wait for, job {result['job_name']}"
    rows = sum(stream["rows"] or 0 for stream in streams.values())
    counted = "" if all(stream["rows"] is not None for stream in streams.values()) else "at least "
    number = "1 stream" if len(streams) == 1 else f"{len(streams)} streams"
    return f"Done: {counted}{rows} rows in {number} of {source} are loaded, job {result['job_name']}"
