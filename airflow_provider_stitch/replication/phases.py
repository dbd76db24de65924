"""When is a phase finished? One pure function: a goal and what is known -> a verdict, or what to ask next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
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
from airflow_provider_stitch.replication.extraction import (
    ExtractionVerdict,
    State,
    judge_extraction,
    log_given_up,
)
from airflow_provider_stitch.replication.goals import time_in
from airflow_provider_stitch.replication.loading import (
    StreamVerdict,
    Target,
    is_crowded,
    judge_streams,
    select_streams,
    targets_from_log,
    targets_without_log,
)
from airflow_provider_stitch.replication.stream_names import StreamNames
from airflow_provider_stitch.replication.words import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.known import Known


class Question(Enum):
    """What can be asked of Stitch about one source. The first three count against its limit."""

    EXTRACTION = "the source's last completed extraction"
    LOG = "the log of the job's extraction"
    LOADS = "the source's loads"
    STREAMS = "the source's streams"
    CHECK = "the source's last connection check"


@dataclass(frozen=True, slots=True)
class Assessment:
    """A verdict on a goal; or, while it is running, the questions whose answers may bring one."""

    state: State
    asks: tuple[Question, ...] = ()
    failure: StitchError | None = None
    extraction: ExtractionVerdict = field(default_factory=ExtractionVerdict)
    streams: tuple[StreamVerdict, ...] = ()
    remarks: tuple[str, ...] = ()  #: what a task's log tells, in the order in which it came about
    warnings: tuple[str, ...] = ()

    def needs_memory(self, known: Known) -> bool:
        """Say whether only several looks together will tell: of an old error, or of a log that may come."""
        doubtful = any(verdict.state == "waiting" and verdict.in_trouble for verdict in self.streams)
        return doubtful or (Question.LOG in self.asks and bool(known.log_refused_at))


def assess(goal: Goal, known: Known) -> Assessment:
    """Say how far the goal is reached, and what to ask next if it is not."""
    if goal.phase == "connection_check":
        return _assess_check(goal, known.check)
    return _ask_first(goal, known) or _assess_job(goal, known)


def _ask_first(goal: Goal, known: Known) -> Assessment | None:
    if goal.streams is not None:  # a misspelt name should fail now, not after hours
        if known.streams is None:
            return _ask(Question.STREAMS)
        try:
            select_streams(known.streams, goal.streams)
        except UnknownStream as error:
            return Assessment("failed", failure=error)
    # The first look at the loads tells an old load error from a new one: the sooner, the better.
    if goal.phase in ("preparation", "loading") and known.loads is None and known.looks_early:
        return _ask(Question.LOADS)
    return None


def _assess_job(goal: Goal, known: Known) -> Assessment:
    verdict = judge_extraction(goal, known)
    if goal.phase == "end":
        return _finished(verdict) if verdict.over else _ask(Question.EXTRACTION, extraction=verdict)
    if goal.phase == "structure_sync":
        return _assess_structure_sync(goal, known, verdict)
    if verdict.state != "finished":
        return _unfinished(verdict)
    if goal.phase == "extraction":
        return _finished(verdict)
    return _assess_streams(goal, known, verdict)


def _ask(*questions: Question, extraction: ExtractionVerdict | None = None) -> Assessment:
    return Assessment("running", questions, extraction=extraction or ExtractionVerdict())


def _finished(verdict: ExtractionVerdict) -> Assessment:
    return Assessment("finished", extraction=verdict, remarks=_remark_on_extraction(verdict))


def _unfinished(verdict: ExtractionVerdict) -> Assessment:
    if verdict.state == "failed":
        return Assessment("failed", failure=verdict.failure, extraction=verdict)
    return _ask(Question.LOG if verdict.needs_log else Question.EXTRACTION, extraction=verdict)


# --- Connection check and structure sync ----------------------------------------------------------------


def _assess_check(goal: Goal, check: ConnectionCheck | None) -> Assessment:
    if check is None or not _is_meant(goal, check) or _still_runs(check):
        return _ask(Question.CHECK)
    if check.status == "succeeded":
        done = format_time(check.completion_time) if check.completion_time else "an unknown time"
        return Assessment("finished", remarks=(f"Connection check succeeded at {done} ({check.name})",))
    said = (
        check.discovery_error_message
        or check.tap_error_message
        or check.target_error_message
        or f"Stitch gave no message (status {check.status!r})."
    )
    return Assessment(
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
    since = goal.started_after or goal.began_at
    began = time_in(check.name) or check.start_time  # of the two, the name is more exact
    return since is not None and began is not None and began >= since


def _is_check(job_name: str | None) -> bool:
    try:
        return job_name is not None and JobName.parse(job_name).mode == "check"
    except InvalidArgument:  # Stitch's own, of a form that is not documented
        return False


def _assess_structure_sync(goal: Goal, known: Known, verdict: ExtractionVerdict) -> Assessment:
    """Discovery is the first part of an extraction; of a new source, the connection check has run it too."""
    if verdict.structure_synced:
        return Assessment(
            "finished", extraction=verdict, remarks=(f"Structure sync of source {goal.source_name} finished",)
        )
    check = known.check
    if (
        goal.started_after is not None
        and check is not None
        and _is_meant(goal, check)
        and check.discovery_exit_status == 0
    ):
        return Assessment(
            "finished", remarks=(f"Structure sync finished in the connection check {check.name}",)
        )
    unfinished = _unfinished(verdict)
    if goal.started_after is not None and unfinished.asks == (Question.EXTRACTION,):
        return _ask(Question.CHECK, Question.EXTRACTION, extraction=verdict)
    return unfinished


# --- Preparation and loading ----------------------------------------------------------------------------


def _assess_streams(goal: Goal, known: Known, extraction: ExtractionVerdict) -> Assessment:
    if known.streams is None:
        return _ask(Question.STREAMS, extraction=extraction)
    complete = known.log is not None and known.log.exit_line is not None
    if not complete and not log_given_up(known):
        return _ask(Question.LOG, extraction=extraction)
    targets, warnings = _targets(known, extraction)
    began_at = _began_at(extraction, known)
    judged = judge_streams(
        targets,
        known,
        load_settle=goal.load_settle,
        began_at=began_at,
        completed_at=extraction.completed_at or began_at,
    )
    verdicts = _asked_for(goal, known, judged)
    state = _sum_up(goal, verdicts)
    return Assessment(
        state=state,
        asks=(Question.LOADS,) if state == "running" else (),
        failure=_loading_failure(goal, extraction, verdicts) if state == "failed" else None,
        extraction=extraction,
        streams=verdicts,
        remarks=(*_remark_on_extraction(extraction), *_remarks_on_streams(goal, verdicts)),
        warnings=(*warnings, *_warnings(known, verdicts)),
    )


def _targets(known: Known, extraction: ExtractionVerdict) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    streams = known.streams or ()
    began_at = _began_at(extraction, known)
    if known.log is None or known.log.exit_line is None or not known.log.streams_known:
        return targets_without_log(streams, began_at), (_NO_LOG,)
    targets = targets_from_log(known.log, streams, began_at)
    if is_crowded(known, began_at):
        targets = tuple(replace(target, must_settle=True) for target in targets)
    return targets, ()


def _began_at(extraction: ExtractionVerdict, known: Known) -> datetime:
    """Return when the job began; where nothing tells, an instant that is certainly not too early."""
    latest = [extraction.began_at, extraction.completed_at, known.loads_at]
    return next(
        (instant for instant in latest if instant is not None), datetime.max.replace(tzinfo=timezone.utc)
    )


def _asked_for(goal: Goal, known: Known, verdicts: tuple[StreamVerdict, ...]) -> tuple[StreamVerdict, ...]:
    """Keep the verdicts on streams that the goal names: all were judged, for one's load may be another's."""
    if goal.streams is None:
        return verdicts
    streams = known.streams or ()
    names = StreamNames(streams)
    wanted = {names.label_of(stream) for stream in select_streams(streams, goal.streams)}
    return tuple(verdict for verdict in verdicts if verdict.target.label in wanted)


_NO_LOG = (
    "The extraction's log does not tell which streams had rows. Waiting for every selected stream to be "
    "loaded; those that see no load for 15 minutes after the source's last one are taken to have had no rows."
)


_EARLY = (
    "The extraction's log does not tell when rows of {} were flushed. The last load came before the log's "
    "line about them, and none since: taken to have brought all."
)


def _sum_up(goal: Goal, verdicts: Sequence[StreamVerdict]) -> State:
    states = {verdict.state for verdict in verdicts}
    if "in_error" in states and goal.phase == "loading":
        return "failed"
    return "running" if "waiting" in states else "finished"


def _loading_failure(
    goal: Goal, extraction: ExtractionVerdict, verdicts: Sequence[StreamVerdict]
) -> LoadingFailed:
    wrong = [verdict for verdict in verdicts if verdict.state == "in_error"]
    said = listed(
        (f"  {verdict.target.label}: {verdict.said or 'no message given'}" for verdict in wrong), "\n"
    )
    return LoadingFailed(
        f"Loading of source {goal.source_name} ({goal.source_id}) failed: job {extraction.job_name}: "
        f"the destination refused {len(wrong)} of {_streams(len(verdicts))} with rows:\n{said}\n"
        "Mend the destination. Stitch keeps the rows for up to 30 days and tries again by itself, "
        "so running the task again then waits for them.",
        source_id=goal.source_id,
        job_name=extraction.job_name,
    )


# --- Words for the task's log ---------------------------------------------------------------------------


def _remark_on_extraction(extraction: ExtractionVerdict) -> tuple[str, ...]:
    if extraction.began_at is None or extraction.completed_at is None:
        return (f"Extraction finished: {extraction.job_name}",)
    # Stitch cuts times to the second, and a job's name tells its start more exactly than that.
    took = extraction.completed_at - extraction.began_at.replace(microsecond=0)
    seconds = round(took.total_seconds())
    at = format_time(extraction.completed_at)
    return (f"Extraction finished after {seconds} s, at {at}: {extraction.job_name}",)


def _remarks_on_streams(goal: Goal, verdicts: Sequence[StreamVerdict]) -> tuple[str, ...]:
    if not verdicts and goal.streams is not None:
        return (f"None of the streams asked for had new rows: {listed(goal.streams)}",)
    if not verdicts:
        return ("No stream had new rows, so there is nothing to load",)
    named = listed(sorted(f"{verdict.target.label} ({_rows(verdict)})" for verdict in verdicts))
    heading = f"{_streams(len(verdicts))} to load: {named}"
    loaded = sorted((v.loaded_at, v.target.label, v) for v in verdicts if v.state == "loaded" and v.loaded_at)
    return heading, *(f"Loaded {label}: {_rows(v)} at {format_time(at)}" for at, label, v in loaded)


def _streams(number: int) -> str:
    return "1 stream" if number == 1 else f"{number} streams"


def _rows(verdict: StreamVerdict) -> str:
    rows = verdict.target.rows
    if rows is None:
        return "rows not counted" if verdict.target.had_rows else "rows unknown"
    return f"{rows} row" if rows == 1 else f"{rows} rows"


def _warnings(known: Known, verdicts: Sequence[StreamVerdict]) -> tuple[str, ...]:
    no_rows = sorted(verdict.target.label for verdict in verdicts if verdict.state == "no_rows")
    early = sorted(verdict.target.label for verdict in verdicts if verdict.is_early)
    doubtful = sorted(
        f"{verdict.target.label} ({verdict.said})"
        for verdict in verdicts
        if verdict.state == "waiting" and verdict.in_trouble
    )
    names = {name for verdict in verdicts for name in verdict.target.load_names}
    others = sorted(
        f"{name} ({trouble.said})" for name, trouble in known.troubles.items() if name not in names
    )
    return (
        *([f"Saw no load of {listed(no_rows)}: taken to have had no rows."] if no_rows else []),
        *([_EARLY.format(listed(early))] if early else []),
        *(
            [f"In a load error that may be older than this job, so watched further: {listed(doubtful, '; ')}"]
            if doubtful
            else []
        ),
        *(
            [f"Not waited for, but in a load error, so that earlier rows are missing: {listed(others, '; ')}"]
            if others
            else []
        ),
    )
