"""Evaluate the extraction of a job, including its structure sync.

All functions are pure. Stitch lists only the last *completed* job of each source. If a started job is not
listed, it is therefore still running, or a later job has replaced it in the list. Source of the rules: Stitch
Connect API, "Extraction object", "List last extraction jobs for an account".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from airflow_provider_stitch.connect.errors import (
    ExtractionFailed,
    JobOutcomeUnknown,
    JobTerminated,
    StitchError,
    StructureSyncFailed,
)
from airflow_provider_stitch.connect.log_parser.exit_line import PhaseExit, failure_cause
from airflow_provider_stitch.replication.rules.expected_loads import MAX_LOG_CLOCK_OFFSET
from airflow_provider_stitch.replication.rules.goal import job_start_time, whole_seconds

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import Extraction
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.observations import Observations

State = Literal["running", "finished", "failed"]

# Stitch does not document how soon the log of a finished job is available. A missing log is therefore
# requested again until both the number of attempts and the time since the first attempt have reached these
# limits.
LOG_ATTEMPTS = 3
LOG_TIMEOUT = timedelta(minutes=5)

# Stitch ends an extraction after 24 hours. One more hour allows for the delay until the job is listed.
MAX_JOB_DURATION = timedelta(hours=25)

# Maximum length of a message from Stitch that is quoted in an error, in characters. Stitch's messages can be
# long exception texts.
MAX_MESSAGE_LENGTH = 1_000

_PHASES = ("Discovery", "Tap", "Target")

# The phase Discovery is not required, because some taps have no discovery, and its exit status is then null.
_REQUIRED_PHASES = {"Tap", "Target"}


@dataclass(frozen=True, slots=True)
class ExtractionStatus:
    """The status of a goal's job, as far as it has been observed."""

    state: State = "running"
    job_name: str | None = None  #: name of the goal's job, or None until the job is identified
    started_at: datetime | None = None
    completed_at: datetime | None = None
    ended: bool = False  #: whether the extraction has ended, regardless of its result
    structure_synced: bool = False
    failure: StitchError | None = None
    needs_log: bool = False  #: whether the extraction's log is needed for the result or the error message


def evaluate_extraction(goal: Goal, observations: Observations) -> ExtractionStatus:
    """Return the status of a goal's job from the source's listed job and, if necessary, the job's log."""
    listed = observations.extraction
    if listed is not None:
        if matches_goal(goal, listed):
            return _evaluate_listed(goal, listed, observations)
        if goal.job_name is not None and _is_later_job(listed, goal):
            return _evaluate_superseded(goal, goal.job_name, listed, observations)
        if goal.running_at is not None and _started_after(listed, goal.running_at):
            return _ended_unidentified(goal, goal.running_at, listed)
    polled_at = observations.previous_job_polled_at
    if goal.job_name is not None and polled_at is not None and is_too_old_to_run(goal, polled_at):
        return _evaluate_superseded(goal, goal.job_name, None, observations)
    return ExtractionStatus(job_name=goal.job_name, started_at=goal.started_at)


def matches_goal(goal: Goal, listed: Extraction) -> bool:
    """Return whether the listed job is the goal's job."""
    if goal.job_name is not None:
        return listed.job_name == goal.job_name
    started_at, ended_at = exact_start_time(listed), listed.completion_time
    if goal.started_after is not None:
        return started_at is not None and started_at >= goal.started_after
    # Without a completion time, a listed job may be older than the goal's job, because the page may be
    # older than `running_at`.
    if goal.running_at is None or ended_at is None:
        return False
    # Compare whole seconds, because Stitch truncates times. A short job may end in the same second in which
    # Stitch reported it as running.
    seen_at = whole_seconds(goal.running_at)
    return ended_at >= seen_at and (started_at is None or whole_seconds(started_at) <= seen_at)


def exact_start_time(listed: Extraction) -> datetime | None:
    """Return a listed job's start time from its name or, less precisely, from its `start_time`."""
    return job_start_time(listed.job_name) or listed.start_time


def is_too_old_to_run(goal: Goal, now: datetime) -> bool:
    """Return whether the goal's job is too old to be running.

    :param now: the current time, by Stitch's clock.
    """
    return goal.started_at is not None and now - goal.started_at > MAX_JOB_DURATION


def is_terminated(listed: Extraction) -> bool:
    """Return whether Stitch or a user terminated the listed job before its phases had ended."""
    exits = _phase_exits(listed)
    return listed.completion_time is not None and failure_cause(exits) is None and not _is_complete(exits)


def is_log_final(log: ExtractionLog | None) -> bool:
    """Return whether a log is final, so that no further request is needed.

    A log is final if it contains its exit line or all lines of the target.
    """
    return log is not None and (log.complete or log.exit_line is not None)


def is_log_conclusive(goal: Goal, observations: Observations, log: ExtractionLog | None) -> bool:
    """Return whether a log that was just received makes further requests unnecessary.

    If Stitch no longer lists the goal's job, the log must also contain the outcome of the job.

    :param observations: the observations, including the log.
    """
    return is_log_final(log) and not evaluate_extraction(goal, observations).needs_log


def is_log_unavailable(observations: Observations) -> bool:
    """Return whether so many requests for the log have failed that the wait continues without the log."""
    attempts = observations.incomplete_log_times
    return len(attempts) >= LOG_ATTEMPTS and attempts[-1] - attempts[0] >= LOG_TIMEOUT


def _is_later_job(listed: Extraction, goal: Goal) -> bool:
    """Return whether the listed job started after the goal's job.

    A later listed job proves that the goal's job has ended.
    """
    listed_start, goal_start = exact_start_time(listed), goal.started_at
    if listed_start is None or goal_start is None:
        return False
    if job_start_time(listed.job_name) and job_start_time(goal.job_name or ""):
        return listed_start > goal_start
    return whole_seconds(listed_start) > whole_seconds(goal_start)


def _started_after(listed: Extraction, seen_running_at: datetime) -> bool:
    started_at = exact_start_time(listed)
    return started_at is not None and whole_seconds(started_at) > whole_seconds(seen_running_at)


def _evaluate_listed(goal: Goal, listed: Extraction, observations: Observations) -> ExtractionStatus:
    """Evaluate a listed job by the exit statuses of its phases."""
    status = ExtractionStatus(
        job_name=listed.job_name,
        started_at=exact_start_time(listed),
        completed_at=listed.completion_time,
        ended=listed.completion_time is not None,
        structure_synced=listed.discovery_exit_status == 0,
    )
    if not status.ended:
        return status
    exits = _phase_exits(listed)
    if _is_complete(exits) and failure_cause(exits) is None:
        return replace(status, state="finished", structure_synced=True)
    # The log is needed only for the error message. If one request for the log has failed, report the error
    # without the log.
    if observations.log is None and not observations.incomplete_log_times:
        return replace(status, needs_log=True)
    failure = _failure(goal, listed.job_name, failure_cause(exits), observations.log)
    return replace(status, state="failed", failure=failure)


def _phase_exits(listed: Extraction) -> tuple[PhaseExit, ...]:
    """Return the outcome of each phase that has ended, based on its exit status."""
    statuses = (listed.discovery_exit_status, listed.tap_exit_status, listed.target_exit_status)
    descriptions = (listed.discovery_description, listed.tap_description, listed.target_description)
    return tuple(
        PhaseExit(phase, code, description if code else None)
        for phase, code, description in zip(_PHASES, statuses, descriptions, strict=True)
        if code is not None
    )


def _is_complete(exits: tuple[PhaseExit, ...]) -> bool:
    return {each.phase for each in exits} >= _REQUIRED_PHASES


def _evaluate_superseded(
    goal: Goal, job_name: str, later: Extraction | None, observations: Observations
) -> ExtractionStatus:
    """Evaluate a job that has ended and is no longer listed.

    The result of the job is taken from its log, because the list no longer contains the job.

    :param later: the later job that is listed instead. If None, no later job is listed, but the goal's job is
        too old to be running.
    """
    log = observations.log
    status = ExtractionStatus(job_name=job_name, started_at=goal.started_at, ended=True)
    if log is None or log.succeeded is None:
        if not is_log_unavailable(observations):
            return replace(status, needs_log=True)
        return replace(status, state="failed", failure=_unknown_outcome(goal, job_name, later))
    status = replace(
        status,
        completed_at=_logged_end(goal, log, later) or _latest_end(goal, later),
        structure_synced=any(each.phase == "Discovery" and not each.failed for each in log.exits),
    )
    if log.succeeded:
        return replace(status, state="finished", structure_synced=True)
    return replace(status, state="failed", failure=_failure(goal, job_name, log.cause, log))


def _logged_end(goal: Goal, log: ExtractionLog, later: Extraction | None) -> datetime | None:
    """Return the end time of a job from its log, or None if the log contains no usable time.

    If the log begins or ends before the start of the job, or ends after the latest possible end of the job,
    the log's clock is wrong.
    """
    ended_at, latest_end = log.exited_at, _latest_end(goal, later)
    if ended_at is None:
        return None
    first_at = min(ended_at, log.started_at or ended_at)
    is_before_start = goal.started_at is not None and goal.started_at - first_at > MAX_LOG_CLOCK_OFFSET
    is_too_late = latest_end is not None and ended_at - latest_end > MAX_LOG_CLOCK_OFFSET
    return None if is_before_start or is_too_late else ended_at


def _latest_end(goal: Goal, later: Extraction | None) -> datetime | None:
    """Return the latest possible end time of a job if its log does not contain the end."""
    if later is not None:
        return exact_start_time(later)
    return None if goal.started_at is None else goal.started_at + MAX_JOB_DURATION


def _unknown_outcome(goal: Goal, job_name: str, later: Extraction | None) -> JobOutcomeUnknown:
    reason = "Stitch no longer lists it"
    if later is not None:
        reason = f"Stitch now lists a later job of the source ({later.job_name})"
    return JobOutcomeUnknown(
        f"Extraction of source {goal.source_name} ({goal.source_id}): the outcome of job {job_name} is "
        f"unknown. The job has ended, but {reason}, and "
        "has no complete log of this one. Check the job in Stitch, or run the task again.",
        source_id=goal.source_id,
        job_name=job_name,
    )


def _ended_unidentified(goal: Goal, running_at: datetime, later: Extraction) -> ExtractionStatus:
    """Return the status of a job that ended before its name was known.

    The log of such a job cannot be requested.
    """
    failure = JobOutcomeUnknown(
        f"Extraction of source {goal.source_name} ({goal.source_id}): the outcome of the job that was "
        f"running at {running_at:%Y-%m-%d %H:%M:%S} UTC is unknown. It has ended, but Stitch lists only a "
        f"later job of the source ({later.job_name}). Check the source's extractions in Stitch, or run the "
        "task again.",
        source_id=goal.source_id,
    )
    return ExtractionStatus(state="failed", ended=True, failure=failure)


_ADVICE = {
    "discovery": "Check the source's connection settings and permissions in Stitch, then run the task again.",
    "tap": "Stitch could not read the source. Fix the cause above, then run the task again.",
    "target": "Stitch could not receive the records. Check the job's log in Stitch, then run the task again.",
    "job": "Stitch does not resume a terminated job, so run the task again. If the job takes over 24 hours, "
    "divide its streams among several sources.",
}


def _failure(goal: Goal, job_name: str, cause: PhaseExit | None, log: ExtractionLog | None) -> StitchError:
    """Return the error for a failed extraction.

    :param cause: the phase that failed. If None, the job was terminated.
    """
    kind: type[StitchError]
    phase = cause.phase.lower() if cause else "job"
    if cause is None:
        kind = JobTerminated
        reason = "the job ended with a missing exit status, so it was terminated by a user or after 24 hours"
    else:
        kind = StructureSyncFailed if phase == "discovery" else ExtractionFailed
        subject = phase if phase == "discovery" else f"the {phase}"
        reason = f"{subject} ended with exit status {cause.code}"
        reason += f": {_shorten(cause.message)}" if cause.message else ""
    label = "Structure sync" if kind is StructureSyncFailed else "Extraction"
    return kind(
        f"{label} of source {goal.source_name} ({goal.source_id}) failed (job {job_name}): {reason}"
        f"{_log_excerpt(log)}\n{_ADVICE[phase]}",
        source_id=goal.source_id,
        job_name=job_name,
    )


def _log_excerpt(log: ExtractionLog | None) -> str:
    lines = [] if log is None else [*log.problems, *([log.exit_line] if log.exit_line else [])]
    if not lines:
        return ""
    return "\nFrom the extraction's log:\n" + "\n".join(f"  {_shorten(line)}" for line in lines)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_LENGTH else text[:MAX_MESSAGE_LENGTH] + " [truncated]"
