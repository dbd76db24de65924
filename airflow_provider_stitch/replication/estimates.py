"""Estimate when each kind of poll will find a change.

All functions are pure. An `EstimateContext` converts Stitch's timestamps to seconds by this machine's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import parse_time
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate, DurationHistory
from airflow_provider_stitch.replication.rules.loading import (
    MIN_PERSISTENT_ERROR_DURATION,
    PERSISTENT_ERROR_POLLS,
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

# If a job started at least this many seconds before the first poll, it may already have ended.
LATE_START_SECONDS = 60.0

# A missing log, or an old load error in a rescheduled sensor, is polled again after this number of intervals
# between evenly spaced requests. With 30 requests in 10 minutes, three attempts take 5 minutes. After these
# attempts, the wait continues without the log, or fails because of the error.
RETRY_INTERVALS = 7.6

# Maximum seconds between two polls of one poke. An incomplete log or an old load error is conclusive after
# three polls in five minutes. Two seconds are added, because Stitch truncates times.
MAX_POKE_PAUSE = 152.0

# Number of requests that follow a poll: the log and the loads after an extraction, and the loads after a log.
REQUESTS_AFTER_EXTRACTION = 2
REQUESTS_AFTER_LOG = 1

# Watchers assume that the next load of a source follows within half an hour. A waiting task usually expects
# its phase to end much earlier, so the scheduler prefers requests for waiting tasks.
NEXT_LOAD = DurationHistory(scale=1800.0, shape=1.0, weight=9.0)


@dataclass(frozen=True, slots=True)
class EstimateContext:
    """The inputs to an estimate. All times are in seconds, by this machine's clock."""

    now: float
    last_checked_at: float | None  #: time of the previous poll of the same kind, or None
    even_interval: float  #: seconds between two requests if the budget is used evenly
    clock_offset: float = 0.0  #: Stitch's clock minus this machine's clock, in seconds

    def to_local(self, instant: datetime) -> float:
        """Convert a time by Stitch's clock to seconds by this machine's clock."""
        return instant.timestamp() - self.clock_offset

    def to_local_past(self, instant: datetime) -> float:
        """Convert the time of a past event like `to_local`, but return at most the current time.

        If the clock offset is inaccurate, the converted time of a past event may be in the future.
        """
        return min(self.now, self.to_local(instant))


def estimate_extraction_end(
    goal: Goal,
    context: EstimateContext,
    history: DurationHistory | None,
    scheduled_start: datetime | None = None,
) -> CompletionEstimate:
    """Estimate when the list of extractions will contain the goal's job.

    :param history: durations of the source's earlier jobs.
    :param scheduled_start: when Stitch's schedule starts the job, or None if the job is not scheduled.
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
        # Without a start time, the durations of earlier jobs do not help.
        history=history if goal.running_at is None else None,
        done_by=context.now if is_late else float("inf"),
        follow_ups=REQUESTS_AFTER_EXTRACTION if goal.phase in ("preparation", "loading") else 0,
    )


def estimate_log_ready(observations: Observations, context: EstimateContext) -> CompletionEstimate:
    """Estimate when the log of a finished job is available.

    The log is assumed to be available now or, after a failed request, some minutes later.
    """
    wait = RETRY_INTERVALS * context.even_interval if observations.incomplete_log_times else 0.0
    since = context.now + wait
    return CompletionEstimate(
        last_checked_at=context.now, since=since, done_by=since, follow_ups=REQUESTS_AFTER_LOG
    )


def estimate_baseline(context: EstimateContext) -> CompletionEstimate:
    """Return the estimate for the baseline poll, which finds existing load errors before the job ends."""
    return CompletionEstimate(last_checked_at=context.now, since=context.now)


def poke_pause(even_interval: float) -> float:
    """Return the number of seconds between two polls of one poke if a single poll is not conclusive.

    Three polls in five minutes are enough. More polls would use up the budget.

    :param even_interval: seconds between evenly spaced requests.
    """
    return min(RETRY_INTERVALS * even_interval, MAX_POKE_PAUSE)


def estimate_loads_done(
    goal: Goal,
    observations: Observations,
    evaluation: Evaluation,
    context: EstimateContext,
    history: DurationHistory | None,
) -> CompletionEstimate:
    """Estimate when all expected loads are done.

    :param history: for earlier jobs, the time from the last batch to the last load.
    """
    waiting = [status for status in evaluation.streams if status.state == "waiting"]
    since = context.now
    if waiting:
        since = context.to_local_past(max(status.expected.last_batch_at for status in waiting))
    ended_at = evaluation.extraction.completed_at
    decisive = [_next_decisive_poll(status, goal, observations, ended_at) for status in waiting]
    known = [at for at in decisive if at is not None]
    is_certain = bool(known) and len(known) == len(decisive)
    return CompletionEstimate(
        last_checked_at=since if context.last_checked_at is None else max(since, context.last_checked_at),
        since=since,
        history=history,
        done_by=context.to_local(max(known)) if is_certain else float("inf"),
    )


def estimate_next_load(context: EstimateContext, interval: float) -> CompletionEstimate:
    """Estimate when a watcher's next poll of a source's loads will return a new load.

    :param interval: minimum number of seconds between two polls for watchers. Polls for waiting tasks can be
        sent earlier.
    """
    if context.last_checked_at is None:
        return CompletionEstimate(last_checked_at=context.now, since=context.now, done_by=context.now)
    checked_at = min(context.now, context.last_checked_at)
    return CompletionEstimate(last_checked_at=checked_at, since=checked_at + interval, history=NEXT_LOAD)


def _next_decisive_poll(
    status: LoadStatus, goal: Goal, observations: Observations, ended_at: datetime | None
) -> datetime | None:
    """Return the time after which a poll of a stream's load is conclusive, or None if the time is unknown.

    :param ended_at: the end of the job's extraction, or None if it is unknown.
    """
    if status.has_error:
        history = error_history_of(status.expected, observations)
        if history is None:
            return None
        polls = min(history.repeats + 1, PERSISTENT_ERROR_POLLS)
        return history.first_seen_at + MIN_PERSISTENT_ERROR_DURATION * polls / PERSISTENT_ERROR_POLLS
    rules = LoadRules(timedelta(seconds=goal.load_settle), timedelta(seconds=goal.quiet_period))
    decisive: datetime | None = None
    if status.loaded_at is not None:
        decisive = status.loaded_at + settle_period(status.expected, rules)
    elif not status.expected.is_exact and observations.loads is not None and ended_at is not None:
        # The status may be conclusive once the source has had no load during the quiet period.
        loaded = [load.last_batch_loaded_at for loads in observations.loads.values() for load in loads]
        decisive = max([ended_at, *(at for at in loaded if at is not None)]) + rules.quiet_period
    # If a poll after this time was not conclusive, the next poll may not be conclusive either. A poll that is
    # due is sent every few seconds, and would use up the budget.
    was_polled = (
        decisive is not None and observations.loads_at is not None and observations.loads_at >= decisive
    )
    return None if was_polled else decisive


def next_scheduled_start(goal: Goal, source: Source) -> datetime | None:
    """Return when Stitch's schedule starts the goal's job.

    The scheduled start may be in the past. Return None if the goal has no `started_after` or the source has
    no usable schedule.
    """
    schedule = source.schedule or {}
    if goal.started_after is None or not isinstance(schedule.get("next_fire_time"), str):
        return None
    try:
        next_start = parse_time(schedule["next_fire_time"])
    except InvalidArgument:  # ignore the schedule, because it only reduces the number of polls
        return None
    interval = schedule.get("interval")
    # Stitch's intervals range from one minute to one day.
    if schedule.get("unit") == "minute" and isinstance(interval, (int, float)) and 1 <= interval <= 100_000:
        # Find the first scheduled start at or after `started_after`.
        every = timedelta(minutes=interval)
        return next_start - every * ((next_start - goal.started_after) // every)
    return next_start
