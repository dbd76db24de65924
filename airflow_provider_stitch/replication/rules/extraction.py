"""When is an extraction, and the structure sync in it, finished? Pure functions.

Stitch lists each source's last *completed* job and nothing else, so absence means running. Source of the
rules: Stitch Connect API, "Extraction object", "List last extraction jobs for an account".
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as _replaced
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from airflow_provider_stitch.connect._exit_line import PhaseExit, cause_of
from airflow_provider_stitch.connect.errors import (
    ExtractionFailed,
    JobOutcomeUnknown,
    JobTerminated,
    StitchError,
    StructureSyncFailed,
)
from airflow_provider_stitch.replication.rules.goal import job_start_time

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import Extraction
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.observations import Observations

State = Literal["running", "finished", "failed"]

# Stitch does not say how soon after its end a job's log can be had, so a missing one is asked for again.
LOG_ATTEMPTS = 3
LOG_TIMEOUT = timedelta(minutes=5)

# A description is raw exception text of any length.
MESSAGE_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class ExtractionStatus:
    """How far the extraction of the job that is meant has come, and what says so."""

    state: State = "running"
    job_name: str | None = None  #: None as long as it is not known which job is meant
    started_at: datetime | None = None
    completed_at: datetime | None = None
    ended: bool = False  #: the extraction has ended, one way or another
    structure_synced: bool = False
    failure: StitchError | None = None
    needs_log: bool = False  #: the verdict, or the words for it, can only come from the extraction's log


def evaluate_extraction(goal: Goal, known: Observations) -> ExtractionStatus:
    """Say how far the goal's job has come, from the listed job of its source and, where need be, its log."""
    listed = known.extraction
    if listed is None:
        return ExtractionStatus(job_name=goal.job_name, started_at=goal.started_at)
    if matches_goal(goal, listed):
        return _by_statuses(goal, listed, known)
    if goal.job_name is not None and _began_later(listed, goal):
        return _superseded(goal, goal.job_name, listed, known)
    if goal.running_at is not None and _began_after(listed, goal.running_at):
        return _unnamed_and_overtaken(goal, listed)
    return ExtractionStatus(job_name=goal.job_name, started_at=goal.started_at)


def matches_goal(goal: Goal, listed: Extraction) -> bool:
    """Say whether the listed job is the one that the goal means."""
    if goal.job_name is not None:
        return listed.job_name == goal.job_name
    if goal.started_after is not None:
        began = exact_start_time(listed)
        return began is not None and began >= goal.started_after
    # The job that ran at an instant began no later than that and ended no earlier. The same second counts,
    # because Stitch's times are whole seconds and short jobs often end in the second in which they were seen.
    # A job that is listed as running proves nothing, because the page may be older than the instant.
    seen, began, ended = goal.running_at, exact_start_time(listed), listed.completion_time
    if seen is None or ended is None:
        return False
    return ended >= _second(seen) and (began is None or _second(began) <= _second(seen))


def exact_start_time(listed: Extraction) -> datetime | None:
    """Return when a listed job began: by its name, which is more exact, or else by its `start_time`."""
    return job_start_time(listed.job_name) or listed.start_time


def is_terminated(listed: Extraction) -> bool:
    """Return whether Stitch or a user ended the listed job before its phases had ended."""
    exits = _exits(listed)
    return (
        listed.completion_time is not None
        and cause_of(exits) is None
        and not {each.phase for each in exits} >= _HAS_ENDED
    )


def _began_later(listed: Extraction, goal: Goal) -> bool:
    """Say whether the listed job began after the goal's; if not, it is an earlier one and ours still runs."""
    theirs, ours = exact_start_time(listed), goal.started_at
    if theirs is None or ours is None:
        return False
    exact = job_start_time(listed.job_name) and job_start_time(goal.job_name or "")
    return theirs > ours if exact else _second(theirs) > _second(ours)


def _began_after(listed: Extraction, seen_running_at: datetime) -> bool:
    began = exact_start_time(listed)
    return began is not None and _second(began) > _second(seen_running_at)


def _by_statuses(goal: Goal, listed: Extraction, known: Observations) -> ExtractionStatus:
    verdict = ExtractionStatus(
        job_name=listed.job_name,
        started_at=exact_start_time(listed),
        completed_at=listed.completion_time,
        ended=listed.completion_time is not None,
        structure_synced=listed.discovery_exit_status == 0,
    )
    if not verdict.ended:
        return verdict
    exits = _exits(listed)
    if {each.phase for each in exits} >= _HAS_ENDED and cause_of(exits) is None:
        return _replaced(verdict, state="finished", structure_synced=True)
    if known.log is None and not known.log_missing_at:
        return _replaced(verdict, needs_log=True)  # for its words; but one refusal is enough to go without
    failure = _failure(goal, listed.job_name, cause_of(exits), known.log)
    return _replaced(verdict, state="failed", failure=failure)


_PHASES = ("Discovery", "Tap", "Target")

# Some taps have no discovery, and leave its exit status null.
_HAS_ENDED = {"Tap", "Target"}


def _exits(listed: Extraction) -> tuple[PhaseExit, ...]:
    """Return how the phases ended that have ended: those with an exit status."""
    statuses = (listed.discovery_exit_status, listed.tap_exit_status, listed.target_exit_status)
    descriptions = (listed.discovery_description, listed.tap_description, listed.target_description)
    return tuple(
        PhaseExit(phase, code, said if code else None)
        for phase, code, said in zip(_PHASES, statuses, descriptions, strict=True)
        if code is not None
    )


def _failure(goal: Goal, job_name: str, cause: PhaseExit | None, log: ExtractionLog | None) -> StitchError:
    """Put into words how an extraction failed. Without a phase to blame it was terminated."""
    part = cause.phase.lower() if cause else "job"
    phase, kind = ("Structure sync", StructureSyncFailed) if part == "discovery" else _EXTRACTION
    if cause is None:
        kind = JobTerminated
        how = "Stitch reports no exit status, so the job was terminated: after 24 hours, or by a user"
    else:
        how = f"the {part} ended with exit status {cause.code}"
        how += f": {_cap(cause.message)}" if cause.message else ""
    return kind(
        f"{phase} of source {goal.source_name} ({goal.source_id}) failed: job {job_name}: {how}"
        f"{_excerpt(log)}\n{_ADVICE[part]}",
        source_id=goal.source_id,
        job_name=job_name,
    )


_EXTRACTION: tuple[str, type[StitchError]] = ("Extraction", ExtractionFailed)

_ADVICE = {
    "discovery": "Check the source's connection settings and permissions in Stitch, then run the task again.",
    "tap": "Stitch could not read the source: mend what it says above, then run the task again.",
    "target": "Stitch could not take in the records: see its log in Stitch, then run the task again.",
    "job": "Nothing resumes a terminated job: run the task again, and split up what takes over 24 hours.",
}


def _superseded(goal: Goal, job_name: str, later: Extraction, known: Observations) -> ExtractionStatus:
    """Judge a job that is over and no longer listed: only its log can still tell how it ended."""
    log = known.log
    verdict = ExtractionStatus(job_name=job_name, started_at=goal.started_at, ended=True)
    if log is None or log.succeeded is None:
        if not is_log_unavailable(known):
            return _replaced(verdict, needs_log=True)
        return _replaced(
            verdict,
            state="failed",
            failure=JobOutcomeUnknown(
                f"Extraction of source {goal.source_name} ({goal.source_id}): job {job_name} is over, but "
                f"how it ended can't be told: Stitch lists a later job of the source ({later.job_name}) "
                "in its place, and has no complete log. Look at the job in Stitch, or run the task again.",
                source_id=goal.source_id,
                job_name=job_name,
            ),
        )
    synced = any(part.phase == "Discovery" and not part.failed for part in log.exits)
    # A log without times still ended before the next job began.
    verdict = _replaced(
        verdict, completed_at=log.exited_at or exact_start_time(later), structure_synced=synced
    )
    if log.succeeded:
        return _replaced(verdict, state="finished", structure_synced=True)
    return _replaced(verdict, state="failed", failure=_failure(goal, job_name, log.cause, log))


def _unnamed_and_overtaken(goal: Goal, later: Extraction) -> ExtractionStatus:
    """Give up a job that has ended although its name never became known: no request can tell how it ended."""
    seen = f"{_second(goal.running_at):%Y-%m-%d %H:%M:%S} UTC" if goal.running_at else "an earlier time"
    return ExtractionStatus(
        state="failed",
        ended=True,
        failure=JobOutcomeUnknown(
            f"Extraction of source {goal.source_name} ({goal.source_id}): the job that was running at {seen} "
            f"has ended, but Stitch lists only a later job of the source ({later.job_name}), so its outcome "
            "can't be known. Check the source's extractions in Stitch, or run the task again.",
            source_id=goal.source_id,
        ),
    )


def is_log_final(log: ExtractionLog | None) -> bool:
    """Return whether a log can be used as it is: it has its exit line, or all lines of the target."""
    return log is not None and (log.complete or log.exit_line is not None)


def is_log_unavailable(known: Observations) -> bool:
    """Say whether Stitch was asked for the log often and long enough to go on without it."""
    refusals = known.log_missing_at
    return len(refusals) >= LOG_ATTEMPTS and refusals[-1] - refusals[0] >= LOG_TIMEOUT


def _excerpt(log: ExtractionLog | None) -> str:
    if log is None:
        return ""
    lines = [*log.problems, *([log.exit_line] if log.exit_line else [])]
    return "\nFrom the extraction's log:\n" + "\n".join(f"  {_cap(line)}" for line in lines) if lines else ""


def _cap(text: str) -> str:
    return text if len(text) <= MESSAGE_LENGTH else text[:MESSAGE_LENGTH] + " [cut]"


def _second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
