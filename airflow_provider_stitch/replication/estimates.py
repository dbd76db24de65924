"""What a waiter may expect, and when: goal, knowledge and experience -> a prospect. Pure functions.

Instants of Stitch's are turned into seconds of this machine's clock by `clock`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import parse_time
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate
from airflow_provider_stitch.replication.rules.loading import (
    STALE_ERROR_POLLS,
    STALE_ERROR_TIMEOUT,
    LoadRules,
    error_history_of,
    settle_period,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.polling.completion import DurationHistory
    from airflow_provider_stitch.replication.rules.evaluate import Evaluation
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.loading import LoadStatus
    from airflow_provider_stitch.replication.rules.observations import Observations

# A job that began so long ago may have ended before anybody looked.
LATE_START_SECONDS = 60.0

# A log that was refused is asked for again after so many times the pause between two requests: with 30 in
# 10 minutes, three looks take the 5 minutes after which it is given up.
LOG_RETRY_INTERVALS = 7.6

# Once an extraction has ended, its log is asked for, and then the loads.
REQUESTS_AFTER_EXTRACTION = 2
REQUESTS_AFTER_LOG = 1


@dataclass(frozen=True, slots=True)
class EstimateContext:
    """When a question is asked, in seconds of this machine's clock."""

    now: float
    known_at: float | None  #: when the same was asked last; None: never
    even_interval: float  #: seconds between two requests if they were spread evenly
    clock_offset: float = 0.0

    def clock(self, instant: datetime) -> float:
        return instant.timestamp() - self.clock_offset

    def past(self, instant: datetime) -> float:
        """Return the same of what has happened for certain, however the clocks differ."""
        return min(self.now, self.clock(instant))


def estimate_extraction_end(
    goal: Goal,
    moment: EstimateContext,
    experience: DurationHistory | None,
    scheduled_start: datetime | None = None,
) -> CompletionEstimate:
    """Say when the list may show the goal's job.

    :param begins_at: when Stitch's schedule starts it, if it does.
    """
    began = goal.started_at or goal.running_at
    since = moment.now if began is None else moment.past(began)
    if goal.started_after is not None:
        since = moment.clock(goal.started_after)
    expected = (
        moment.clock(scheduled_start) if scheduled_start is not None and goal.started_at is None else since
    )
    # Who comes late passes at its first look.
    is_late = moment.known_at is None and moment.now - since >= LATE_START_SECONDS
    return CompletionEstimate(
        known_at=max(since, moment.known_at) if moment.known_at is not None else min(since, moment.now),
        since=since,
        scheduled_start=expected,
        # When a job began that is not known to run is not known either.
        experience=experience if goal.running_at is None else None,
        done_by=moment.now if is_late else float("inf"),
        then=REQUESTS_AFTER_EXTRACTION if goal.phase in ("preparation", "loading") else 0,
    )


def estimate_log_ready(known: Observations, moment: EstimateContext) -> CompletionEstimate:
    """Say when the log of a job that is over can be had: now, or some minutes after a refusal."""
    since = moment.now + (LOG_RETRY_INTERVALS * moment.even_interval if known.log_missing_at else 0.0)
    return CompletionEstimate(known_at=moment.now, since=since, done_by=since, then=REQUESTS_AFTER_LOG)


def estimate_baseline(moment: EstimateContext) -> CompletionEstimate:
    """Say how soon a look at the loads is wanted that tells old load errors from new ones."""
    return CompletionEstimate(known_at=moment.now, since=moment.now)


def estimate_loads_done(
    goal: Goal,
    known: Observations,
    assessment: Evaluation,
    moment: EstimateContext,
    experience: DurationHistory | None,
) -> CompletionEstimate:
    """Say when the streams that are waited for may be loaded."""
    waiting = [status for status in assessment.streams if status.state == "waiting"]
    since = moment.past(max(status.expected.last_batch_at for status in waiting)) if waiting else moment.now
    certain = [_next_decisive_poll(status, goal, known) for status in waiting]
    all_certain = max((each for each in certain if each is not None), default=None)
    return CompletionEstimate(
        known_at=since if moment.known_at is None else max(since, moment.known_at),
        since=since,
        experience=experience,
        done_by=float("inf") if None in certain or all_certain is None else moment.clock(all_certain),
    )


def _next_decisive_poll(status: LoadStatus, goal: Goal, known: Observations) -> datetime | None:
    """Return when the next poll of a stream's load will be conclusive, or None if nothing shows it."""
    rules = LoadRules(timedelta(seconds=goal.load_settle), timedelta(seconds=goal.quiet_period))
    if status.has_error:
        history = error_history_of(status.expected, known)
        if history is None:
            return None
        polls = min(history.repeats + 1, STALE_ERROR_POLLS)
        return history.first_seen_at + STALE_ERROR_TIMEOUT * polls / STALE_ERROR_POLLS
    if status.loaded_at is not None:
        return status.loaded_at + settle_period(status.expected, rules)
    is_exact = status.expected.rows_confirmed and status.expected.earliest_batch_at is None
    if not is_exact and known.loads is not None:
        loaded = [row.last_batch_loaded_at for rows in known.loads.values() for row in rows]
        latest = max((at for at in loaded if at is not None), default=None)
        return latest + rules.quiet_period if latest is not None else None
    return None


def next_scheduled_start(goal: Goal, source: Source) -> datetime | None:
    """Return when Stitch's schedule starts the job that a goal waits for, or has started it; None if nothing
    tells."""
    schedule = source.schedule or {}
    if goal.started_after is None or not isinstance(schedule.get("next_fire_time"), str):
        return None
    try:
        fires_at = parse_time(schedule["next_fire_time"])
    except InvalidArgument:  # it is of no use then, and nothing depends on it
        return None
    interval = schedule.get("interval")
    # Stitch's shortest is a minute, its longest a day.
    if schedule.get("unit") == "minute" and isinstance(interval, (int, float)) and 1 <= interval <= 100_000:
        # The first of the schedule's starts that is not before the instant that the goal names.
        every = timedelta(minutes=interval)
        return fires_at - every * ((fires_at - goal.started_after) // every)
    return fires_at
