"""Query the loads of a source's streams."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.replication.polling.queries import LoadsQuery
from airflow_provider_stitch.replication.rules.loading import MAX_LOAD_LAG

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Load
    from airflow_provider_stitch.replication.polling.completion import CompletionEstimate
    from airflow_provider_stitch.replication.polling.queries import QueryResult
    from airflow_provider_stitch.replication.rules.evaluate import Evaluation
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.loading import LoadStatus
    from airflow_provider_stitch.replication.rules.observations import Observations
    from airflow_provider_stitch.replication.session import AccountSession

    # The possible names of one stream's load, and the number of loads that may have one of these names.
    LoadNames = tuple[tuple[str, ...], int]


async def query_loads(
    session: AccountSession,
    source_name: str,
    estimate: CompletionEstimate,
    *,
    after_sequence: int,
    expected_loads: list[LoadNames] | None,
    expires_at: float | None,
) -> QueryResult[list[Load] | None] | None:
    """Query the loads of a source, and return the result. See `LoadsQuery` and `AccountSession.query`."""
    latest_sequence = session.poller.latest_sequence
    query = LoadsQuery(session.client, estimate, after_sequence, source_name, expected_loads)
    result = await session.query(query, expires_at)
    # An error on a cached page may have cleared, so poll again if the result is cached and contains an error.
    if result is not None and result.sequence <= latest_sequence and _has_error(result.value):
        query = LoadsQuery(session.client, estimate, latest_sequence, source_name, expected_loads)
        result = await session.query(query, expires_at)
    return result


def expected_load_names(
    goal: Goal,
    evaluation: Evaluation,
    observations: Observations,
    now: datetime,
    seconds_to_read_all: float,
) -> tuple[list[LoadNames], bool]:
    """Return the possible load names of each stream to search for, and whether the search is full.

    The search always includes the streams that are not loaded yet. If a stream waits for the quiet period,
    later loads of the other streams prolong the quiet period. The names of the other streams are therefore
    included if the quiet period may end soon. A search is full if it includes all loads that can prolong the
    quiet period.

    :param now: the current time, by Stitch's clock.
    :param seconds_to_read_all: seconds that are needed to read all pages of loads within the budget.
    """
    # The loads of deselected streams remain listed, and may have the same names as loads of selected streams.
    streams = (stream for stream in observations.streams or () if stream.selected is not None)
    name_counts = Counter(stream.stream_name for stream in streams)
    waiting = [status for status in evaluation.streams if status.state == "waiting"]
    overdue_after = min(MAX_LOAD_LAG, timedelta(seconds=seconds_to_read_all))
    names = [_load_names(status, name_counts, observations, overdue_after) for status in waiting]
    others = [status.expected for status in evaluation.streams if status.state != "waiting"]
    others += evaluation.other_loads
    # A stream with a recent load settles, and does not wait for the quiet period.
    needs_quiet_period = any(not status.expected.is_exact and status.loaded_at is None for status in waiting)
    ended_at = evaluation.extraction.completed_at
    is_quiet_soon = ended_at is not None and now - ended_at >= timedelta(seconds=goal.quiet_period) / 2
    if needs_quiet_period and is_quiet_soon:
        return [*names, *((each.load_names, 1) for each in others)], True
    return names, not others


def _load_names(
    status: LoadStatus, name_counts: Counter[str], observations: Observations, overdue_after: timedelta
) -> LoadNames:
    """Return the possible load names of one stream, and the number of loads to search for.

    A listed load may belong to a deleted source with the same name. If the stream is not loaded within
    `overdue_after`, the search therefore includes one more load, which may be on another page.
    """
    names = status.expected.load_names
    number = max(1, *(name_counts[name] for name in names))
    listed = sum(len((observations.loads or {}).get(name, ())) for name in set(names))
    loads_at, last_batch_at = observations.loads_at, status.expected.last_batch_at
    is_overdue = listed > 0 and loads_at is not None and loads_at - last_batch_at >= overdue_after
    return names, max(number, listed + 1) if is_overdue else number


def _has_error(loads: Sequence[Load] | None) -> bool:
    return any(load.error_state is not None for load in loads or ())
