"""Estimate when each kind of poll will find a change. Pure functions.

An `EstimateContext` converts Stitch's timestamps to seconds of this machine's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import parse_time
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate, DurationHistory
from airflow_provider_stitch.replication.rules.loading import (
    PERSISTENT_ERROR_POLLS,
    PERSISTENT_ERROR_TIMEOUT,
    LoadRules,
    error_history_of,
    settle_period,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.rules.evaluate import Evaluation
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.loading import LoadStatus
    from airflow_provider_stitch.replication.rules.observations import Observations

# A job that started this long before the first poll may have ended by then.
LATE_START_SECONDS = 60.0

# A missing log is requested again after 7.6 even intervals. At 30 requests in 10 minutes, three attempts take
# 5 minutes, after which the log is given up.
LOG_RETRY_INTERVALS = 7.6

# After the extraction, the log and then the loads are requested.
REQUESTS_AFTER_EXTRACTION = 2
REQUESTS_AFTER_LOG = 1

# A watcher expects the next load of a source within half an hour, much later than a waiting task expects the
# end of its phase. So the scheduler prefers the requests that serve waiting tasks.
NEXT_LOAD = DurationHistory(scale=1800.0, shape=1.0, weight=9.0)


@dataclass(frozen=True, slots=True)
class EstimateContext:
    """The inputs of an estimate. All times are seconds of this machine's clock."""

    now: float
    last_checked_at: float | None  #: time of the previous poll of the same kind, if any
    even_interval: float  #: seconds between two requests that are spread evenly
    clock_offset: float = 0.0  #: Stitch's clock minus this machine's

    def to_local(self, instant: datetime) -> float:
        """Convert a time of Stitch's clock to seconds of this machine's clock."""
        return instant.timestamp() - self.clock_offset

    def to_local_past(self, instant: datetime) -> float:
        """Return the local time of a past event, which is never later than now.

        The clock offset may be wrong.
        """
        return min(self.now, self.to_local(instant))


def estimate_extraction_end(
    goal: Goal,
    context: EstimateContext,
    history: DurationHistory | None,
    scheduled_start: datetime | None = None,
) -> CompletionEstimate:
    """Estimate when the list will show the goal's job.

    :param history: durations of the source's earlier jobs.
    :param scheduled_start: when Stitch's schedule starts the job, if it does.
    """
    started_at = goal.started_at or goal.running_at
    since = context.now if started_at is None else context.to_local_past(started_at)
    if goal.started_after is not None:
        since = context.to_local(goal.started_after)
    activity_start = since
    if scheduled_start is not None and goal.started_at is None:
        activity_start = context.to_local(scheduled_start)
    # A task that starts late usually finishes on its first poll.
    is_late = context.last_checked_at is None and context.now - since >= LATE_START_SECONDS
    if context.last_checked_at is None:
        last_checked_at = min(since, context.now)
    else:
        last_checked_at = max(since, context.last_checked_at)
    return CompletionEstimate(
        last_checked_at=last_checked_at,
        since=since,
        activity_start=activity_start,
        # If the start time is unknown, earlier durations do not help.
        history=history if goal.running_at is None else None,
        done_by=context.now if is_late else float("inf"),
        follow_ups=REQUESTS_AFTER_EXTRACTION if goal.phase in ("preparation", "loading") else 0,
    )


def estimate_log_ready(observations: Observations, context: EstimateContext) -> CompletionEstimate:
    """Estimate when the log of a finished job is available: now, or some minutes after a failed request."""
    wait = LOG_RETRY_INTERVALS * context.even_interval if observations.log_missing_at else 0.0
    since = context.now + wait
    return CompletionEstimate(
        last_checked_at=context.now, since=since, done_by=since, follow_ups=REQUESTS_AFTER_LOG
    )


def estimate_baseline(context: EstimateContext) -> CompletionEstimate:
    """Return the estimate for the baseline poll of the loads, which reveals old load errors."""
    return CompletionEstimate(last_checked_at=context.now, since=context.now)


def estimate_loads_done(
    goal: Goal,
    observations: Observations,
    evaluation: Evaluation,
    context: EstimateContext,
    history: DurationHistory | None,
) -> CompletionEstimate:
    """Estimate when all expected loads are done.

    :param history: times between the last flush and the last load of earlier jobs.
    """
    waiting = [status for status in evaluation.streams if status.state == "waiting"]
    since = context.now
    if waiting:
        since = context.to_local_past(max(status.expected.last_batch_at for status in waiting))
    decisive = [_next_decisive_poll(status, goal, observations) for status in waiting]
    known = [at for at in decisive if at is not None]
    is_certain = bool(known) and len(known) == len(decisive)
    return CompletionEstimate(
        last_checked_at=since if context.last_checked_at is None else max(since, context.last_checked_at),
        since=since,
        history=history,
        done_by=context.to_local(max(known)) if is_certain else float("inf"),
    )


def estimate_next_load(context: EstimateContext, interval: float) -> CompletionEstimate:
    """Estimate when the next poll of a source's loads finds a new load, for a watcher.

    :param interval: minimum seconds between two polls. A poll for a waiting task may be earlier.
    """
    if context.last_checked_at is None:
        return CompletionEstimate(last_checked_at=context.now, since=context.now, done_by=context.now)
    checked_at = min(context.now, context.last_checked_at)
    return CompletionEstimate(last_checked_at=checked_at, since=checked_at + interval, history=NEXT_LOAD)


def _next_decisive_poll(status: LoadStatus, goal: Goal, observations: Observations) -> datetime | None:
    """Return when the next poll of a stream's load will be conclusive, or None if that is unknown."""
    rules = LoadRules(timedelta(seconds=goal.load_settle), timedelta(seconds=goal.quiet_period))
    if status.has_error:
        history = error_history_of(status.expected, observations)
        if history is None:
            return None
        polls = min(history.repeats + 1, PERSISTENT_ERROR_POLLS)
        return history.first_seen_at + PERSISTENT_ERROR_TIMEOUT * polls / PERSISTENT_ERROR_POLLS
    if status.loaded_at is not None:
        return status.loaded_at + settle_period(status.expected, rules)
    is_exact = status.expected.rows_confirmed and status.expected.earliest_last_batch_at is None
    if not is_exact and observations.loads is not None:
        # The load counts once the source has had no load for the quiet period.
        loaded = [load.last_batch_loaded_at for loads in observations.loads.values() for load in loads]
        latest = max((at for at in loaded if at is not None), default=None)
        return latest + rules.quiet_period if latest is not None else None
    return None


def next_scheduled_start(goal: Goal, source: Source) -> datetime | None:
    """Return when Stitch's schedule starts the job that a goal waits for; it may be in the past.

    Return None if the source has no usable schedule.
    """
    schedule = source.schedule or {}
    if goal.started_after is None or not isinstance(schedule.get("next_fire_time"), str):
        return None
    try:
        next_start = parse_time(schedule["next_fire_time"])
    except InvalidArgument:  # the schedule only makes polling cheaper, so ignore it
        return None
    interval = schedule.get("interval")
    # Intervals range from a minute to a day.
    if schedule.get("unit") == "minute" and isinstance(interval, (int, float)) and 1 <= interval <= 100_000:
        # Find the first scheduled start at or after the time from which the goal accepts jobs.
        every = timedelta(minutes=interval)
        return next_start - every * ((next_start - goal.started_after) // every)
    return next_start
