"""Decide whether a goal is reached and, if it is not, which responses are needed next. Pure functions.

A goal is one phase of one job of a source (see `goal.Goal`). Stitch's messages call the structure sync
"discovery".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import InvalidArgument, StitchError, UnknownStream
from airflow_provider_stitch.connect.objects import ConnectionCheck, JobName
from airflow_provider_stitch.replication.rules import messages
from airflow_provider_stitch.replication.rules.expected_loads import JobTimes, expected_loads
from airflow_provider_stitch.replication.rules.extraction import (
    ExtractionStatus,
    State,
    evaluate_extraction,
    is_log_final,
    is_log_unavailable,
)
from airflow_provider_stitch.replication.rules.goal import job_start_time
from airflow_provider_stitch.replication.rules.loading import (
    LoadRules,
    LoadStatus,
    evaluate_loads,
    may_overlap_previous_job,
)
from airflow_provider_stitch.replication.rules.streams import select_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.observations import Observations


class Need(Enum):
    """A response that an evaluation needs to make progress. The first three count against the rate limit."""

    EXTRACTION = "the source's last completed extraction"
    LOG = "the log of the job's extraction"
    LOADS = "the source's loads"
    STREAMS = "the source's streams"
    CHECK = "the source's last connection check"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of a goal or, while it is running, the responses that it needs next."""

    state: State
    needs: tuple[Need, ...] = ()
    failure: StitchError | None = None
    extraction: ExtractionStatus = field(default_factory=ExtractionStatus)
    streams: tuple[LoadStatus, ...] = ()
    log_lines: tuple[str, ...] = ()  #: for the task's log, in the order of the events
    warnings: tuple[str, ...] = ()

    def needs_several_polls(self, observations: Observations) -> bool:
        """Return whether one poke must poll again, because an error may be old or a log may appear."""
        has_doubtful_error = any(status.state == "waiting" and status.has_error for status in self.streams)
        return has_doubtful_error or (Need.LOG in self.needs and bool(observations.log_missing_at))


def evaluate(goal: Goal, observations: Observations) -> Evaluation:
    """Return the state of a goal and, while it is running, the needs for the next evaluation."""
    if goal.phase == "connection_check":
        return _evaluate_check(goal, observations.check)
    return _evaluate_prerequisites(goal, observations) or _evaluate_job(goal, observations)


def _evaluate_prerequisites(goal: Goal, observations: Observations) -> Evaluation | None:
    """Return the evaluation of what the job's evaluation requires, or None if it is all known."""
    if goal.streams is not None:  # a misspelled name must fail now and not after hours
        if observations.streams is None:
            return _needs(Need.STREAMS)
        try:
            select_streams(observations.streams, goal.streams)
        except UnknownStream as error:
            return Evaluation("failed", failure=error)
    # The first poll of the loads separates old load errors from new ones, so it should come early.
    is_about_loads = goal.phase in ("preparation", "loading")
    if is_about_loads and observations.loads is None and observations.needs_baseline:
        return _needs(Need.LOADS)
    return None


def _evaluate_job(goal: Goal, observations: Observations) -> Evaluation:
    extraction = evaluate_extraction(goal, observations)
    if goal.phase == "extraction_end":
        return _finished(extraction) if extraction.ended else _needs(Need.EXTRACTION, extraction=extraction)
    if goal.phase == "structure_sync":
        return _evaluate_structure_sync(goal, observations, extraction)
    if extraction.state != "finished":
        return _running_or_failed(extraction)
    if goal.phase == "extraction":
        return _finished(extraction)
    return _evaluate_streams(goal, observations, extraction)


def _needs(*needs: Need, extraction: ExtractionStatus | None = None) -> Evaluation:
    return Evaluation("running", needs, extraction=extraction or ExtractionStatus())


def _finished(extraction: ExtractionStatus) -> Evaluation:
    return Evaluation("finished", extraction=extraction, log_lines=messages.extraction_log_lines(extraction))


def _running_or_failed(extraction: ExtractionStatus) -> Evaluation:
    if extraction.state == "failed":
        return Evaluation("failed", failure=extraction.failure, extraction=extraction)
    return _needs(Need.LOG if extraction.needs_log else Need.EXTRACTION, extraction=extraction)


# --- Connection check and structure sync ----------------------------------------------------------------


def _evaluate_check(goal: Goal, check: ConnectionCheck | None) -> Evaluation:
    if check is None or not _matches_goal(goal, check) or _is_running(check):
        return _needs(Need.CHECK)
    if check.status == "succeeded":
        return Evaluation("finished", log_lines=(messages.check_succeeded(check),))
    return Evaluation("failed", failure=messages.check_failure(goal, check))


def _is_running(check: ConnectionCheck) -> bool:
    return check.status == "running" or (check.status is None and check.completion_time is None)


def _matches_goal(goal: Goal, check: ConnectionCheck) -> bool:
    """Return whether a connection check is not older than the goal asks for."""
    if goal.job_name is not None and check.name == goal.job_name:
        return True
    if goal.started_after is None and not _is_check_name(goal.job_name):
        return True  # the goal names no check and no start time, so any check will do
    earliest_start = goal.started_after or goal.started_at
    started_at = job_start_time(check.name) or check.start_time  # the name is more precise
    return earliest_start is not None and started_at is not None and started_at >= earliest_start


def _is_check_name(job_name: str | None) -> bool:
    try:
        return job_name is not None and JobName.parse(job_name).mode == "check"
    except InvalidArgument:  # a name that Stitch generated in an undocumented form
        return False


def _evaluate_structure_sync(
    goal: Goal, observations: Observations, extraction: ExtractionStatus
) -> Evaluation:
    """Evaluate discovery: the first part of an extraction, and of the connection check of a new source."""
    if extraction.structure_synced:
        line = f"Structure sync of source {goal.source_name} ({goal.source_id}) finished"
        return Evaluation("finished", extraction=extraction, log_lines=(line,))
    check = observations.check
    # A goal without a named job can also be reached by the discovery of a connection check.
    if (
        goal.started_after is not None
        and check is not None
        and _matches_goal(goal, check)
        and check.discovery_exit_status == 0
    ):
        line = f"Structure sync finished in the connection check {check.name}"
        return Evaluation("finished", log_lines=(line,))
    evaluation = _running_or_failed(extraction)
    if goal.started_after is not None and evaluation.needs == (Need.EXTRACTION,):
        return _needs(Need.CHECK, Need.EXTRACTION, extraction=extraction)
    return evaluation


# --- Preparation and loading ----------------------------------------------------------------------------


def _evaluate_streams(goal: Goal, observations: Observations, extraction: ExtractionStatus) -> Evaluation:
    if observations.streams is None:
        return _needs(Need.STREAMS, extraction=extraction)
    if not is_log_final(observations.log) and not is_log_unavailable(observations):
        return _needs(Need.LOG, extraction=extraction)
    job = _job_times(extraction, observations)
    expected = expected_loads(observations.log, observations.streams, job)
    # Loads of the previous job may still arrive, so each load must remain unchanged for `load_settle`.
    if may_overlap_previous_job(observations, job.started_at):
        expected = tuple(replace(each, must_settle=True) for each in expected)
    rules = LoadRules(timedelta(seconds=goal.load_settle), timedelta(seconds=goal.quiet_period))
    statuses = evaluate_loads(expected, observations, rules, job, _requested_ids(goal, observations))
    state = _state_of_loads(goal, statuses)
    return Evaluation(
        state=state,
        needs=(Need.LOADS,) if state == "running" else (),
        failure=messages.loading_failure(goal, extraction, statuses) if state == "failed" else None,
        extraction=extraction,
        streams=statuses,
        log_lines=(
            *messages.extraction_log_lines(extraction),
            *messages.loading_log_lines(goal, statuses),
        ),
        warnings=messages.loading_warnings(goal, observations, statuses),
    )


def _job_times(extraction: ExtractionStatus, observations: Observations) -> JobTimes:
    """Return the job's start and end. A later time replaces an unknown one, so that no old load counts."""
    ended_at = extraction.completed_at
    candidates = (extraction.started_at, ended_at, observations.loads_at)
    never = datetime.max.replace(tzinfo=timezone.utc)
    started_at = next((time for time in candidates if time is not None), never)
    return JobTimes(started_at, ended_at or started_at)


def _requested_ids(goal: Goal, observations: Observations) -> frozenset[str] | None:
    if goal.streams is None:
        return None
    streams = select_streams(observations.streams or (), goal.streams)
    return frozenset(stream.tap_stream_id for stream in streams)


def _state_of_loads(goal: Goal, statuses: Sequence[LoadStatus]) -> State:
    states = {status.state for status in statuses}
    if "in_error" in states and goal.phase == "loading":
        return "failed"
    # Preparation has ended also if a load is in error, because the load fails in the loading phase.
    return "running" if "waiting" in states else "finished"
