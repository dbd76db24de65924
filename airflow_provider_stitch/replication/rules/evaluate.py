"""When is a phase finished? One pure function: a goal and what is known -> a verdict, or what to ask next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import (
    ConnectionCheckFailed,
    InvalidArgument,
    LoadingFailed,
    StitchError,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects import ConnectionCheck, JobName, format_time
from airflow_provider_stitch.replication.rules.expected_loads import (
    JobTimes,
    expected_loads,
    unknown_names,
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
    select_streams,
)
from airflow_provider_stitch.replication.rules.streams import join_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.observations import Observations


class Need(Enum):
    """What can be asked of Stitch about one source. The first three count against its limit."""

    EXTRACTION = "the source's last completed extraction"
    LOG = "the log of the job's extraction"
    LOADS = "the source's loads"
    STREAMS = "the source's streams"
    CHECK = "the source's last connection check"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict on a goal; or, while it is running, the questions whose answers may bring one."""

    state: State
    needs: tuple[Need, ...] = ()
    failure: StitchError | None = None
    extraction: ExtractionStatus = field(default_factory=ExtractionStatus)
    streams: tuple[LoadStatus, ...] = ()
    log_lines: tuple[str, ...] = ()  #: what a task's log tells, in the order in which it came about
    warnings: tuple[str, ...] = ()

    def needs_several_polls(self, known: Observations) -> bool:
        """Say whether only several looks together will tell: of an old error, or of a log that may come."""
        doubtful = any(status.state == "waiting" and status.has_error for status in self.streams)
        return doubtful or (Need.LOG in self.needs and bool(known.log_missing_at))


def evaluate(goal: Goal, known: Observations) -> Evaluation:
    """Say how far the goal is reached, and what to ask next if it is not."""
    if goal.phase == "connection_check":
        return _assess_check(goal, known.check)
    return _ask_first(goal, known) or _assess_job(goal, known)


def _ask_first(goal: Goal, known: Observations) -> Evaluation | None:
    if goal.streams is not None:  # a misspelt name should fail now, not after hours
        if known.streams is None:
            return _ask(Need.STREAMS)
        try:
            select_streams(known.streams, goal.streams)
        except UnknownStream as error:
            return Evaluation("failed", failure=error)
    # The first look at the loads tells an old load error from a new one: the sooner, the better.
    if goal.phase in ("preparation", "loading") and known.loads is None and known.needs_baseline:
        return _ask(Need.LOADS)
    return None


def _assess_job(goal: Goal, known: Observations) -> Evaluation:
    verdict = evaluate_extraction(goal, known)
    if goal.phase == "extraction_end":
        return _finished(verdict) if verdict.ended else _ask(Need.EXTRACTION, extraction=verdict)
    if goal.phase == "structure_sync":
        return _assess_structure_sync(goal, known, verdict)
    if verdict.state != "finished":
        return _unfinished(verdict)
    if goal.phase == "extraction":
        return _finished(verdict)
    return _assess_streams(goal, known, verdict)


def _ask(*questions: Need, extraction: ExtractionStatus | None = None) -> Evaluation:
    return Evaluation("running", questions, extraction=extraction or ExtractionStatus())


def _finished(verdict: ExtractionStatus) -> Evaluation:
    return Evaluation("finished", extraction=verdict, log_lines=_remark_on_extraction(verdict))


def _unfinished(verdict: ExtractionStatus) -> Evaluation:
    if verdict.state == "failed":
        return Evaluation("failed", failure=verdict.failure, extraction=verdict)
    return _ask(Need.LOG if verdict.needs_log else Need.EXTRACTION, extraction=verdict)


# --- Connection check and structure sync ----------------------------------------------------------------


def _assess_check(goal: Goal, check: ConnectionCheck | None) -> Evaluation:
    if check is None or not _is_meant(goal, check) or _still_runs(check):
        return _ask(Need.CHECK)
    if check.status == "succeeded":
        done = format_time(check.completion_time) if check.completion_time else "an unknown time"
        return Evaluation("finished", log_lines=(f"Connection check succeeded at {done} ({check.name})",))
    said = (
        check.discovery_error_message
        or check.tap_error_message
        or check.target_error_message
        or f"Stitch gave no message (status {check.status!r})."
    )
    return Evaluation(
        "failed",
        failure=ConnectionCheckFailed(
            f"Connection check of source {goal.source_name} ({goal.source_id}) failed: {check.name}: {said}\n"
            "Mend the source's connection settings in Stitch; saving them starts a new check.",
            source_id=goal.source_id,
            job_name=check.name,
        ),
    )


def _still_runs(check: ConnectionCheck) -> bool:
    return check.status == "running" or (check.status is None and check.completion_time is None)


def _is_meant(goal: Goal, check: ConnectionCheck) -> bool:
    if goal.job_name is not None and check.name == goal.job_name:
        return True
    if goal.started_after is None and not _is_check(goal.job_name):
        return True  # only `started_after` makes a check too old
    since = goal.started_after or goal.started_at
    began = job_start_time(check.name) or check.start_time  # of the two, the name is more exact
    return since is not None and began is not None and began >= since


def _is_check(job_name: str | None) -> bool:
    try:
        return job_name is not None and JobName.parse(job_name).mode == "check"
    except InvalidArgument:  # Stitch's own, of a form that is not documented
        return False


def _assess_structure_sync(goal: Goal, known: Observations, verdict: ExtractionStatus) -> Evaluation:
    """Discovery is the first part of an extraction; of a new source, the connection check has run it too."""
    if verdict.structure_synced:
        return Evaluation(
            "finished",
            extraction=verdict,
            log_lines=(f"Structure sync of source {goal.source_name} finished",),
        )
    check = known.check
    if (
        goal.started_after is not None
        and check is not None
        and _is_meant(goal, check)
        and check.discovery_exit_status == 0
    ):
        return Evaluation(
            "finished", log_lines=(f"Structure sync finished in the connection check {check.name}",)
        )
    unfinished = _unfinished(verdict)
    if goal.started_after is not None and unfinished.needs == (Need.EXTRACTION,):
        return _ask(Need.CHECK, Need.EXTRACTION, extraction=verdict)
    return unfinished


# --- Preparation and loading ----------------------------------------------------------------------------


def _assess_streams(goal: Goal, known: Observations, extraction: ExtractionStatus) -> Evaluation:
    if known.streams is None:
        return _ask(Need.STREAMS, extraction=extraction)
    if not is_log_final(known.log) and not is_log_unavailable(known):
        return _ask(Need.LOG, extraction=extraction)
    job = _job_times(extraction, known)
    expected = expected_loads(known.log, known.streams, job)
    if may_overlap_previous_job(known, job.started_at):
        expected = tuple(replace(each, must_settle=True) for each in expected)
    rules = LoadRules(timedelta(seconds=goal.load_settle), timedelta(seconds=goal.quiet_period))
    statuses = evaluate_loads(expected, known, rules, job, _requested(goal, known))
    state = _sum_up(goal, statuses)
    return Evaluation(
        state=state,
        needs=(Need.LOADS,) if state == "running" else (),
        failure=_loading_failure(goal, extraction, statuses) if state == "failed" else None,
        extraction=extraction,
        streams=statuses,
        log_lines=(*_remark_on_extraction(extraction), *_remarks_on_streams(goal, statuses)),
        warnings=(*_warnings_on_log(goal, known, statuses), *_warnings(known, statuses)),
    )


def _job_times(extraction: ExtractionStatus, known: Observations) -> JobTimes:
    """Return when the job began and ended; where nothing shows it, times that are certainly not too early."""
    ended_at = extraction.completed_at
    latest = [extraction.started_at, ended_at, known.loads_at]
    started_at = next(
        (instant for instant in latest if instant is not None), datetime.max.replace(tzinfo=timezone.utc)
    )
    return JobTimes(started_at, ended_at or started_at)


def _requested(goal: Goal, known: Observations) -> frozenset[str] | None:
    if goal.streams is None:
        return None
    streams = select_streams(known.streams or (), goal.streams)
    return frozenset(stream.tap_stream_id for stream in streams)


def _sum_up(goal: Goal, statuses: Sequence[LoadStatus]) -> State:
    states = {status.state for status in statuses}
    if "in_error" in states and goal.phase == "loading":
        return "failed"
    return "running" if "waiting" in states else "finished"


def _loading_failure(
    goal: Goal, extraction: ExtractionStatus, statuses: Sequence[LoadStatus]
) -> LoadingFailed:
    wrong = [status for status in statuses if status.state == "in_error"]
    messages = join_names(
        (f"  {status.expected.label}: {status.message or 'no message given'}" for status in wrong), "\n"
    )
    return LoadingFailed(
        f"Loading of source {goal.source_name} ({goal.source_id}) failed: job {extraction.job_name}: "
        f"the destination refused {len(wrong)} of {_streams(len(statuses))}:\n{messages}\n"
        "Fix the destination. Stitch keeps the rows for up to 30 days and retries the load, "
        "so running the task again then waits for them.",
        source_id=goal.source_id,
        job_name=extraction.job_name,
    )


# --- Words for the task's log ---------------------------------------------------------------------------


def _remark_on_extraction(extraction: ExtractionStatus) -> tuple[str, ...]:
    if extraction.job_name is None:
        return ()
    if extraction.started_at is None or extraction.completed_at is None:
        return (f"Extraction finished: {extraction.job_name}",)
    # Stitch cuts times to the second, and a job's name tells its start more exactly than that.
    took = extraction.completed_at - extraction.started_at.replace(microsecond=0)
    seconds = round(took.total_seconds())
    at = format_time(extraction.completed_at)
    return (f"Extraction finished after {seconds} s, at {at}: {extraction.job_name}",)


def _remarks_on_streams(goal: Goal, statuses: Sequence[LoadStatus]) -> tuple[str, ...]:
    if not statuses and goal.streams is not None:
        return (f"None of the requested streams had new rows: {join_names(goal.streams)}",)
    if not statuses:
        return ("No stream had new rows, so there is nothing to load",)
    certain = [each for each in statuses if each.expected.rows_confirmed]
    named = join_names(sorted(f"{each.expected.label} ({_rows(each)})" for each in certain))
    heading = f"{_streams(len(certain))} to load: {named}" if certain else "No stream is known to have rows"
    loaded = sorted(
        (each.loaded_at, each.expected.label, each)
        for each in statuses
        if each.state == "loaded" and each.loaded_at
    )
    return heading, *(f"Loaded {label}: {_rows(each)} at {format_time(at)}" for at, label, each in loaded)


def _streams(number: int) -> str:
    return "1 stream" if number == 1 else f"{number} streams"


def _rows(status: LoadStatus) -> str:
    rows = status.expected.rows
    if rows is None:
        return "rows not counted" if status.expected.rows_confirmed else "rows unknown"
    return f"{rows} row" if rows == 1 else f"{rows} rows"


def _warnings_on_log(goal: Goal, known: Observations, statuses: Sequence[LoadStatus]) -> tuple[str, ...]:
    """Return what the log does not show, and what is assumed instead."""
    warnings = []
    expected = [status.expected for status in statuses]
    possible = sorted(each.label for each in expected if not each.rows_confirmed)
    if possible and known.log is None:
        warnings.append(_NO_LOG.format(_minutes(goal.quiet_period)))
    elif possible:
        warnings.append(_INCOMPLETE_LOG.format(join_names(possible), _minutes(goal.quiet_period)))
    if unknown := unknown_names(expected):
        warnings.append(
            f"The extraction's log shows rows of {join_names(unknown)}, which the source does not list as "
            "streams. Waiting for loads of these names."
        )
    return tuple(warnings)


def _warnings(known: Observations, statuses: Sequence[LoadStatus]) -> tuple[str, ...]:
    no_rows = sorted(status.expected.label for status in statuses if status.state == "no_rows")
    early = sorted(status.expected.label for status in statuses if status.is_early)
    doubtful = sorted(
        f"{status.expected.label} ({status.message})"
        for status in statuses
        if status.state == "waiting" and status.has_error
    )
    names = {name for status in statuses for name in status.expected.load_names}
    others = sorted(
        f"{name} ({history.message})" for name, history in known.load_errors.items() if name not in names
    )
    warnings = [
        (no_rows, f"Saw no load of {join_names(no_rows)}: assuming that there were no rows."),
        (early, _EARLY.format(join_names(early))),
        (
            doubtful,
            f"In a load error that may be older than this job, polling again: {join_names(doubtful, '; ')}",
        ),
        (
            others,
            (
                "Not waited for, but in a load error, so that earlier rows are missing: "
                f"{join_names(others, '; ')}"
            ),
        ),
    ]
    return tuple(warning for names_of_it, warning in warnings if names_of_it)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"


_NO_LOG = (
    "Stitch has no log of the extraction, so it is not known which streams had rows. Waiting for every "
    "selected stream to be loaded; a stream without a load for {} after the source's last one is assumed to "
    "have had no rows."
)

_INCOMPLETE_LOG = (
    "The extraction's log does not show whether these streams had rows: {}. Waiting for them to be loaded; a "
    "stream without a load for {} after the source's last one is assumed to have had no rows."
)

_EARLY = (
    "The extraction's log does not show exactly when the last rows of {} were sent. The last load came "
    "before the log's line about them, and no load has come since: assuming that it brought all rows."
)
