"""Decide whether a goal is reached and, if not, which information is needed next.

All functions are pure. A goal is one phase of a source's job (see `goal.Goal`). Stitch's messages use the
word "discovery" for the structure sync.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import InvalidArgument, StitchError, UnknownStream
from airflow_provider_stitch.connect.objects import ConnectionCheck, JobName
from airflow_provider_stitch.replication.rules import messages
from airflow_provider_stitch.replication.rules.expected_loads import (
    JobTimes,
    expected_loads,
    is_requested,
)
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

    from airflow_provider_stitch.replication.rules.expected_loads import ExpectedLoad
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.observations import Observations


class Need(Enum):
    """Information that an evaluation needs from Stitch.

    Requests for the first three kinds of information are rate-limited.
    """

    EXTRACTION = "the source's last completed extraction"
    LOG = "the log of the job's extraction"
    LOADS = "the source's loads"
    STREAMS = "the source's streams"
    SOURCES = "the account's deleted sources with the source's name"
    CHECK = "the source's last connection check"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The state of a goal and, if the state is "running", the information that is needed next."""

    state: State
    needs: tuple[Need, ...] = ()
    failure: StitchError | None = None
    extraction: ExtractionStatus = field(default_factory=ExtractionStatus)
    streams: tuple[LoadStatus, ...] = ()
    other_loads: tuple[ExpectedLoad, ...] = ()  #: expected loads of streams that were not requested
    log_lines: tuple[str, ...] = ()  #: lines for the task's log, in chronological order
    warnings: tuple[str, ...] = ()  #: warnings for the task's log

    def needs_several_polls(self, observations: Observations) -> bool:
        """Return whether several polls are needed for a conclusive evaluation.

        An old load error may clear, and an incomplete or missing log may become complete, before the next
        poll.
        """
        may_have_old_error = any(status.state == "waiting" and status.has_error for status in self.streams)
        return may_have_old_error or (Need.LOG in self.needs and bool(observations.incomplete_log_times))


def evaluate(goal: Goal, observations: Observations) -> Evaluation:
    """Evaluate a goal from all observations of its source."""
    if goal.phase == "connection_check":
        return _evaluate_check(goal, observations.check)
    return _evaluate_preconditions(goal, observations) or _evaluate_job(goal, observations)


def _evaluate_preconditions(goal: Goal, observations: Observations) -> Evaluation | None:
    """Return an evaluation if information is missing or a stream is unknown. Otherwise, return None."""
    # A task with a misspelled stream name must fail at once, and not after hours.
    if goal.streams is not None:
        if observations.streams is None:
            return _running(Need.STREAMS)
        try:
            select_streams(observations.streams, goal.streams)
        except UnknownStream as error:
            return Evaluation("failed", failure=error)
    # Poll the loads early, because later polls cannot distinguish old load errors from new errors.
    needs_loads = goal.phase in ("preparation", "loading")
    if needs_loads and observations.loads is None and observations.needs_baseline:
        return _running(Need.LOADS)
    return None


def _evaluate_job(goal: Goal, observations: Observations) -> Evaluation:
    extraction = evaluate_extraction(goal, observations)
    if goal.phase == "extraction_end":
        return _finished(extraction) if extraction.ended else _running(Need.EXTRACTION, extraction=extraction)
    if goal.phase == "structure_sync":
        return _evaluate_structure_sync(goal, observations, extraction)
    if extraction.state != "finished":
        return _running_or_failed(extraction)
    if goal.phase == "extraction":
        return _finished(extraction)
    return _evaluate_streams(goal, observations, extraction)


def _running(*needs: Need, extraction: ExtractionStatus | None = None) -> Evaluation:
    return Evaluation("running", needs, extraction=extraction or ExtractionStatus())


def _finished(extraction: ExtractionStatus) -> Evaluation:
    return Evaluation("finished", extraction=extraction, log_lines=messages.extraction_log_lines(extraction))


def _running_or_failed(extraction: ExtractionStatus) -> Evaluation:
    if extraction.state == "failed":
        return Evaluation("failed", failure=extraction.failure, extraction=extraction)
    return _running(Need.LOG if extraction.needs_log else Need.EXTRACTION, extraction=extraction)


# --- Connection check and structure sync ----------------------------------------------------------------


def _evaluate_check(goal: Goal, check: ConnectionCheck | None) -> Evaluation:
    if check is None or not _is_check_recent(goal, check) or _is_check_running(check):
        return _running(Need.CHECK)
    if check.status == "succeeded":
        return Evaluation("finished", log_lines=(messages.check_succeeded(check),))
    return Evaluation("failed", failure=messages.check_failure(goal, check))


def _is_check_running(check: ConnectionCheck) -> bool:
    return check.status == "running" or (check.status is None and check.completion_time is None)


def _is_check_recent(goal: Goal, check: ConnectionCheck) -> bool:
    """Return whether a connection check is recent enough for a goal."""
    if goal.job_name is not None and check.name == goal.job_name:
        return True
    if goal.started_after is None and not _is_check_name(goal.job_name):
        return True  # the goal accepts any connection check
    required_start = goal.started_after or goal.started_at
    # The start time in the name of a connection check is more precise than the field `start_time`.
    check_start = job_start_time(check.name) or check.start_time
    return required_start is not None and check_start is not None and check_start >= required_start


def _is_check_name(job_name: str | None) -> bool:
    try:
        return job_name is not None and JobName.parse(job_name).mode == "check"
    except InvalidArgument:  # the job name has an undocumented form
        return False


def _evaluate_structure_sync(
    goal: Goal, observations: Observations, extraction: ExtractionStatus
) -> Evaluation:
    """Evaluate the structure sync, which is the first part of an extraction or of a connection check."""
    if extraction.structure_synced:
        line = f"Structure sync of source {goal.source_name} ({goal.source_id}) finished"
        return Evaluation("finished", extraction=extraction, log_lines=(line,))
    check = observations.check
    # If the goal accepts any job that starts after a given time, the structure sync of a connection check is
    # sufficient.
    if (
        goal.started_after is not None
        and check is not None
        and _is_check_recent(goal, check)
        and check.discovery_exit_status == 0
    ):
        line = f"Structure sync finished in the connection check {check.name}"
        return Evaluation("finished", log_lines=(line,))
    evaluation = _running_or_failed(extraction)
    if goal.started_after is not None and evaluation.needs == (Need.EXTRACTION,):
        return _running(Need.CHECK, Need.EXTRACTION, extraction=extraction)
    return evaluation


# --- Preparation and loading ----------------------------------------------------------------------------


def _evaluate_streams(goal: Goal, observations: Observations, extraction: ExtractionStatus) -> Evaluation:
    if observations.streams is None:
        return _running(Need.STREAMS, extraction=extraction)
    if not is_log_final(observations.log) and not is_log_unavailable(observations):
        return _running(Need.LOG, extraction=extraction)
    job = _job_times(extraction)
    expected = expected_loads(observations.log, observations.streams, job)
    # Stitch may load rows of the previous job after this job has started, so a load does not prove that this
    # job's rows are loaded.
    if may_overlap_previous_job(observations, job.started_at):
        expected = tuple(replace(each, must_settle=True) for each in expected)
    rules = LoadRules(timedelta(seconds=goal.load_settle), timedelta(seconds=goal.quiet_period))
    requested = _requested_ids(goal, observations)
    statuses = evaluate_loads(expected, observations, rules, job, requested)
    state = _state_of_loads(goal, statuses)
    if observations.deleted_namesakes is None and any(status.state == "in_error" for status in statuses):
        return replace(_running(Need.SOURCES, extraction=extraction), streams=statuses)
    return Evaluation(
        state=state,
        needs=(Need.LOADS,) if state == "running" else (),
        failure=messages.loading_failure(goal, extraction, statuses) if state == "failed" else None,
        extraction=extraction,
        streams=statuses,
        other_loads=tuple(each for each in expected if not is_requested(each, requested)),
        log_lines=(
            *messages.extraction_log_lines(extraction),
            *messages.loading_log_lines(goal, statuses),
        ),
        warnings=messages.loading_warnings(goal, observations, statuses),
    )


def _job_times(extraction: ExtractionStatus) -> JobTimes:
    """Return the start and the end of a job whose extraction has finished.

    An unknown time is replaced with a later time, so that no load of an earlier job is accepted.
    """
    ended_at = extraction.completed_at or datetime.max.replace(tzinfo=timezone.utc)
    return JobTimes(extraction.started_at or ended_at, ended_at)


def _requested_ids(goal: Goal, observations: Observations) -> frozenset[str] | None:
    if goal.streams is None:
        return None
    streams = select_streams(observations.streams or (), goal.streams)
    return frozenset(stream.tap_stream_id for stream in streams)


def _state_of_loads(goal: Goal, statuses: Sequence[LoadStatus]) -> State:
    states = {status.state for status in statuses}
    if "in_error" in states and goal.phase == "loading":
        return "failed"
    # A stream in error has finished the phase `preparation`, because Stitch has already attempted to load its
    # rows.
    return "running" if "waiting" in states else "finished"
