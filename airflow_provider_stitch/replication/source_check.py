"""Check whether a source can still reach a goal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.replication.estimates import next_scheduled_start
from airflow_provider_stitch.replication.rules.preconditions import (
    check_blocker,
    load_blocker,
    schedule_blocker,
    source_blocker,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.rules.goal import Goal


# Stitch lists a load for 60 days after the last attempt to load the stream. After a source is deleted, Stitch
# retries to load its rows for up to 30 days.
LOAD_RETENTION = timedelta(days=90)


class SourceCheck(NamedTuple):
    """The result of a source check."""

    blocker: StitchError | None  #: the reason why the goal can never be reached
    scheduled_start: datetime | None = None  #: the scheduled start of the job, if known
    #: Whether the blocker only prevents new jobs. The goal's job may have ended before the blocker arose.
    blocks_only_new_jobs: bool = False


def check_source(client: StitchClient, goal: Goal, *, extraction_ended: bool) -> SourceCheck:
    """Check whether a source can still reach a goal.

    This function sends requests, so call it in a thread.
    """
    source = client.get_source(goal.source_id)
    scheduled_start = next_scheduled_start(goal, source)
    # A connection check and its structure sync do not require that the source is fully configured.
    if goal.phase in ("connection_check", "structure_sync"):
        return SourceCheck(check_blocker(source), scheduled_start)
    blocker = source_blocker(source)
    if blocker is None and goal.started_after is not None and not extraction_ended:
        blocker = schedule_blocker(source, client.list_destinations())
        return SourceCheck(blocker, scheduled_start, blocks_only_new_jobs=True)
    if blocker is None and goal.phase in ("preparation", "loading"):
        blocker = load_blocker(source, client.list_destinations())
    return SourceCheck(blocker, scheduled_start)


def count_deleted_namesakes(sources: Iterable[Source], goal: Goal, now: datetime) -> int:
    """Return the number of deleted sources with the goal's source name whose loads may still be listed.

    :param now: the current time, by Stitch's clock.
    """
    deleted_at = [
        source.deleted_at
        for source in sources
        if source.name == goal.source_name and source.id != goal.source_id
    ]
    return sum(at is not None and now - at < LOAD_RETENTION for at in deleted_at)
