"""Check whether a source can still reach a goal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_stitch.replication.estimates import next_scheduled_start
from airflow_provider_stitch.replication.rules.preconditions import (
    check_blocker,
    load_blocker,
    schedule_blocker,
    source_blocker,
)

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.replication.rules.goal import Goal


def find_blocker(
    client: StitchClient, goal: Goal, *, extraction_ended: bool
) -> tuple[StitchError | None, datetime | None]:
    """Return the reason why the goal can never be reached, and the scheduled start of the job.

    Either value may be None. This function sends requests, so call it in a thread.
    """
    source = client.get_source(goal.source_id)
    scheduled_start = next_scheduled_start(goal, source)
    # A connection check and its structure sync do not require that the source is fully configured.
    if goal.phase in ("connection_check", "structure_sync"):
        return check_blocker(source), scheduled_start
    if extraction_ended:
        return load_blocker(source, client.list_destinations()), scheduled_start
    if goal.started_after is not None:
        return schedule_blocker(source, client.list_destinations()), scheduled_start
    return source_blocker(source), scheduled_start
