"""Start a job at most once, and do not stop a job that is known to belong to another task."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import (
    JobAlreadyRunning,
    JobNotStarted,
    PhaseTimedOut,
    StitchError,
)
from airflow_provider_stitch.replication.polling.backoff import Attempts, is_transient
from airflow_provider_stitch.replication.rules.extraction import (
    evaluate_extraction,
    exact_start_time,
    is_terminated,
    is_too_old_to_run,
)
from airflow_provider_stitch.replication.rules.goal import job_start_time
from airflow_provider_stitch.replication.rules.observations import Observations

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.session import AccountSession


@dataclass(frozen=True, slots=True)
class Started:
    """A job that is treated as started by this task."""

    job_name: str
    started_at: datetime  #: start time of the job, by Stitch's clock
    #: Whether the job was found in the list of extractions after the response to the start request was lost.
    is_found: bool = False


@dataclass(frozen=True, slots=True)
class SourceBusy:
    """The source already has a running job, so no job was started.

    Stitch does not return the name of the running job.
    """

    running_at: datetime  #: when Stitch refused to start a job, by Stitch's clock
    #: When the first start request that received no response was sent, by Stitch's clock. None if every start
    #: request had a response. A job that started at or after this time is treated as started by this task.
    first_attempt_at: datetime | None = None


async def start_job(
    session: AccountSession,
    source: Source,
    *,
    first_attempt_at: datetime | None = None,
    on_started: Callable[[Started], None] = lambda _: None,
    log_warning: Callable[[str], None] = lambda _: None,
) -> Started | SourceBusy:
    """Start a replication job. Retry until the session's deadline while Stitch is unavailable.

    If the response to a start request is lost, the job may have started. Before another attempt, the list of
    extractions is polled, because the job may have ended already. If the job is running, Stitch refuses a
    second start. An undocumented response is treated as lost unless it is repeated several times.

    :param first_attempt_at: when an earlier try sent a start request that received no response.
    :param on_started: a function that the request's thread calls with the started job. The thread receives
        the response even if the caller is interrupted, so the job's name is not lost.
    :raises StitchError: if the source is unknown or deleted, if Stitch refuses, or if the deadline passes.
    """
    attempts = Attempts()
    while True:
        started = await _find_job_since(session, source, first_attempt_at)
        if started is not None:
            return started
        sent_at = session.stitch_time()  # a lower bound of the job's start time
        try:
            return await asyncio.to_thread(_send_start, session, source, sent_at, on_started)
        except JobAlreadyRunning as refusal:
            return SourceBusy(refusal.responded_at or sent_at, first_attempt_at)
        except StitchError as error:
            if not is_transient(error):
                raise
            if getattr(error, "maybe_received", True):
                first_attempt_at = first_attempt_at or sent_at
            pause = attempts.next_pause(error, session.seconds_left())
            if pause is None:
                error = attempts.last_error(error, session.time_limit)
                raise _not_started(source, error, may_run=first_attempt_at is not None) from None
            log_warning(f"{error} Retrying in {pause:.0f} s.")
            await session.clock.sleep(pause)


def _send_start(
    session: AccountSession, source: Source, sent_at: datetime, on_started: Callable[[Started], None]
) -> Started:
    job = session.client.start_replication_job(source.id)
    started = Started(job.job_name, job_start_time(job.job_name) or job.responded_at or sent_at)
    on_started(started)
    return started


async def _find_job_since(
    session: AccountSession, source: Source, instant: datetime | None
) -> Started | None:
    if instant is None:
        return None
    try:
        result = await session.query_extraction(source.id)
    except StitchError as error:
        raise _not_started(source, error, may_run=True) from error
    listed = result.value if result is not None else None
    started_at = exact_start_time(listed) if listed is not None else None
    if listed is None or started_at is None or started_at < instant or is_terminated(listed):
        return None  # a terminated job cannot be resumed, so the task needs a new job
    return Started(listed.job_name, started_at, is_found=True)


def _not_started(source: Source, error: StitchError, *, may_run: bool) -> JobNotStarted:
    state = "may be running: check the source's page in Stitch" if may_run else "was not started"
    return JobNotStarted(
        f"Source {source.label}: no usable response to the start request. The job {state}. "
        f"The last error: {error}",
        source_id=source.id,
    )


# Maximum number of seconds for the poll before a stop request. In Airflow 3, a killed task has only 5 s in
# total to stop.
STOP_POLL_TIMEOUT = 2.0


async def stop_job(
    session: AccountSession,
    goal: Goal,
    *,
    observations: Observations | None = None,
    needs_poll: bool = False,
    log_warning: Callable[[str], None] = lambda _: None,
) -> bool:
    """Stop the goal's job unless it has ended, and return whether a stop request was sent.

    A stop request contains no job name, and stops any running job of the source. No stop request is sent if
    the job has ended or is too old to be running, or if a fresh poll lists the job as completed or lists a
    later job. A stop request that Stitch may have received is repeated only after a poll that does not show
    the end of the job. A goal without a job name requires no poll before the first stop request.

    :param observations: the observations of an earlier wait for the job.
    :param needs_poll: whether a stop request requires the result of the poll. If False, the job is assumed
        to be running if the poll takes more than two seconds.
    :raises StitchError: if Stitch is unavailable until the deadline, or if it refuses to stop the job.
    """
    if observations is not None and evaluate_extraction(goal, observations).ended:
        return False
    if is_too_old_to_run(goal, session.stitch_time()):
        return False
    attempts, maybe_sent = Attempts(), False
    while True:
        needs_check = goal.job_name is not None or maybe_sent
        if needs_check and not await _may_be_running(session, goal, needs_poll=needs_poll or maybe_sent):
            return maybe_sent
        try:
            await asyncio.to_thread(session.client.stop_replication_job, goal.source_id)
        except StitchError as error:
            pause = attempts.next_pause(error, session.seconds_left())
            if pause is None:
                raise attempts.last_error(error, session.time_limit) from None
            maybe_sent = maybe_sent or getattr(error, "maybe_received", True)
            log_warning(f"{error} Retrying in {pause:.0f} s.")
            await session.clock.sleep(pause)
        else:
            return True


async def _may_be_running(session: AccountSession, goal: Goal, *, needs_poll: bool) -> bool:
    """Poll the list of extractions, and return whether the goal's job may be running."""
    if needs_poll:
        result = await session.query_extraction(goal.source_id)
        if result is None:
            job = "the job" if goal.job_name is None else f"job {goal.job_name}"
            raise PhaseTimedOut(
                f"Source {goal.source_name} ({goal.source_id}): Stitch did not list the source's extractions "
                f"in time, so it is unknown whether {job} is still running. The task then sent no stop "
                f"request, because the request could end a later job. Raise the {session.time_limit}, or "
                "check the source's page in Stitch.",
                source_id=goal.source_id,
                job_name=goal.job_name,
            )
    else:
        try:
            result = await asyncio.wait_for(session.query_extraction(goal.source_id), STOP_POLL_TIMEOUT)
        except asyncio.TimeoutError:
            return True
    listed = result.value if result is not None else None
    if goal.job_name is not None and goal.started_at is None and listed is not None:
        return False  # without a start time, it is unknown whether the listed job is newer
    return not evaluate_extraction(goal, Observations(extraction=listed)).ended
