"""Start and stop a job safely: never start one twice, and never stop another task's job."""

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
    """A job of this task: started by its request, or after that request was sent."""

    job_name: str
    started_at: datetime  #: Stitch's time
    is_found: bool = False  #: found in the list of extractions, because the response to the start was lost


@dataclass(frozen=True, slots=True)
class SourceBusy:
    """No job was started, because the source already has a running one. Stitch does not name it."""

    running_at: datetime  #: Stitch's time of the refusal
    first_attempt_at: datetime | None = None
    """Stitch's time of the first start whose response was lost. A job that has started since then counts as
    this task's job."""


async def start_job(
    session: AccountSession,
    source: Source,
    *,
    first_attempt_at: datetime | None = None,
    on_started: Callable[[Started], None] = lambda _: None,
    log_warning: Callable[[str], None] = lambda _: None,
) -> Started | SourceBusy:
    """Start a replication job, and retry until the session's deadline while Stitch is unavailable.

    A start is not idempotent: if its response was lost, the job may have started. So before another attempt,
    the list is polled, in case the job has already ended. If it is still running, Stitch refuses a second
    one. An undocumented response counts as lost until it has been repeated several times in a row.

    :param first_attempt_at: Stitch's time of the start request of a worker that died before the response.
    :param on_started: called with the started job, in the thread of the request. An interrupted caller thus
        gets the job's name, because the thread still receives the response.
    :raises StitchError: if the source is unknown or deleted, Stitch refused, or the deadline has passed.
    """
    attempts = Attempts()
    while True:
        started = await _find_job_since(session, source, first_attempt_at)
        if started is not None:
            return started
        sent_at = session.stitch_time()  # at or before the start time of the job
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
        return None  # a terminated job cannot be resumed, so the task needs a new one
    return Started(listed.job_name, started_at, is_found=True)


def _not_started(source: Source, error: StitchError, *, may_run: bool) -> JobNotStarted:
    state = "may be running: check the source's page in Stitch" if may_run else "was not started"
    return JobNotStarted(
        f"Source {source.label}: no usable response to the start request. The job {state}. "
        f"The last error: {error}",
        source_id=source.id,
    )


# Seconds that the poll before a stop may take, because Airflow 3 gives a killed task 5 s in total.
STOP_POLL_TIMEOUT = 2.0


async def stop_job(
    session: AccountSession,
    goal: Goal,
    *,
    observations: Observations | None = None,
    needs_poll: bool = False,
    log_warning: Callable[[str], None] = lambda _: None,
) -> bool:
    """Stop the goal's job unless it has ended, and return whether a stop was sent.

    Stitch's stop takes no job name and ends whichever job of the source is running. So it is not sent if the
    job is known to have ended or too old to run, or if a fresh poll lists it as completed, or a later one. A
    stop that Stitch may have received is sent again only after a poll that shows the job still running.
    If the goal has no job name, any running job is to be stopped, so the first stop needs no poll.

    :param observations: the observations of a wait for this job.
    :param needs_poll: wait for the poll until the session's deadline, and never stop without it. False: if no
        request is free within two seconds, a job that is not known to have ended counts as running.
    :raises StitchError: if Stitch stayed unavailable until the deadline, or refused.
    """
    if observations is not None and evaluate_extraction(goal, observations).ended:
        return False
    if is_too_old_to_run(goal, session.stitch_time()):
        return False
    attempts, maybe_sent = Attempts(), False
    while True:
        needs_check = goal.job_name is not None or maybe_sent
        if needs_check and not await _is_running(session, goal, needs_poll=needs_poll or maybe_sent):
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


async def _is_running(session: AccountSession, goal: Goal, *, needs_poll: bool) -> bool:
    """Return whether the goal's job is running, as far as a fresh poll of the list shows."""
    if needs_poll:
        result = await session.query_extraction(goal.source_id)
        if result is None:
            job = "the job" if goal.job_name is None else f"job {goal.job_name}"
            raise PhaseTimedOut(
                f"Source {goal.source_name} ({goal.source_id}): Stitch did not list the source's extractions "
                f"in time, so whether {job} is still running is unknown. No stop was sent, "
                f"because it could end a later job. Raise the {session.time_limit}, or check the source's "
                "page in Stitch.",
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
        return False  # without a start time, the listed job may be a later or an earlier one
    return not evaluate_extraction(goal, Observations(extraction=listed)).ended
