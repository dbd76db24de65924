"""Starting and stopping a job: never twice, and never somebody else's."""

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
from airflow_provider_stitch.connect.transport import pause_before_retry
from airflow_provider_stitch.replication.extraction import began_at, judge_extraction, was_terminated
from airflow_provider_stitch.replication.goals import time_in
from airflow_provider_stitch.replication.known import Known
from airflow_provider_stitch.replication.setbacks import Attempts, is_transient

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.reader import AccountReader


@dataclass(frozen=True, slots=True)
class Started:
    """A job that is ours: started by our request, or begun since it was sent."""

    job_name: str
    began_at: datetime  #: Stitch's time
    is_found: bool = False  #: it was found in the list, because the response to its start was lost


@dataclass(frozen=True, slots=True)
class Occupied:
    """No job was started now, because one is running already. Stitch does not say which."""

    running_at: datetime  #: Stitch's time of the refusal
    first_try_at: datetime | None = None
    """Stitch's time of a first start whose answer was lost: a job that began since then is taken as ours."""


async def start_job(
    reader: AccountReader,
    source: Source,
    *,
    first_try_at: datetime | None = None,
    on_started: Callable[[Started], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Started | Occupied:
    """Start a replication job, asking again for as long as the reader has time if Stitch can't be reached.

    A response that Stitch does not document counts as lost until it has come several times in a row.

    A start is not idempotent: after a lost answer the job may run. It is then asked for again, since Stitch
    runs one job per source at a time and refuses another; but first the list is looked at, in case the job is
    over.

    :param first_try_at: Stitch's time of a start before this one, by a worker that did not live to hear the
        answer.
    :param on_started: called with a job that was started, in the thread of the request. A caller that is
        interrupted learns the job's name this way, because the thread still receives the response.
    :raises StitchError: the source is unknown or deleted, Stitch refused, or time is up.
    """
    attempts = Attempts()
    while True:
        if first_try_at is not None:
            try:
                started = await _job_since(reader, source.id, first_try_at)
            except StitchError as error:
                raise _given_up(source, error, may_run=True) from error
            if started is not None:
                return started
        sent_at = stitch_time(reader)
        try:
            return await asyncio.to_thread(_send_start, reader, source, sent_at, on_started)
        except JobAlreadyRunning as refusal:
            return Occupied(refusal.answered_at or sent_at, first_try_at)
        except StitchError as error:
            if not is_transient(error):
                raise
            if getattr(error, "maybe_received", True):
                first_try_at = first_try_at or sent_at
            may_go_on = attempts.may_go_on(error)
            pause = pause_before_retry(attempts.number, getattr(error, "retry_after", None))
            if not may_go_on or pause > reader.seconds_left():
                raise _given_up(source, error, may_run=first_try_at is not None) from error
            warn(f"{error} Asking again in {pause:.0f} s.")
            await reader.clock.sleep(pause)


def _send_start(
    reader: AccountReader, source: Source, sent_at: datetime, on_started: Callable[[Started], None]
) -> Started:
    job = reader.client.start_replication_job(source.id)
    started = Started(job.job_name, time_in(job.job_name) or job.answered_at or sent_at)
    on_started(started)
    return started


def stitch_time(reader: AccountReader) -> datetime:
    """Return Stitch's time now, which is no later than that of the next response."""
    return reader.stitch_time()


async def _job_since(reader: AccountReader, source_id: int, instant: datetime) -> Started | None:
    told = await reader.extraction_of(source_id)
    listed = told.value if told is not None else None
    began = began_at(listed) if listed is not None else None
    if listed is None or began is None or began < instant or was_terminated(listed):
        return None  # nothing resumes a terminated job, so the task needs another one
    return Started(listed.job_name, began, is_found=True)


def _given_up(source: Source, error: StitchError, *, may_run: bool) -> JobNotStarted:
    state = "may or may not run: look at the source's page in Stitch" if may_run else "was not started"
    return JobNotStarted(
        f"Source {source.label}: no usable answer to the start of a replication job, so the job {state}. The "
        f"last thing heard: {error}",
        source_id=source.id,
    )


# Seconds that the poll before a stop may take, because Airflow 3 leaves a killed task 5 s in all.
LOOK_PATIENCE = 2.0


async def stop_job(
    reader: AccountReader, goal: Goal, *, known: Known | None = None, needs_poll: bool = False
) -> bool:
    """Stop the goal's job unless it has ended; return whether a stop was sent.

    Stitch's stop takes no job name and ends whichever job of the source runs. So it is not sent if the job is
    known to have ended, or if a fresh poll lists this job as completed, or a later one. A stop that Stitch
    may have received is sent again only after a poll that shows the job still running.

    :param known: what a wait for this job has seen.
    :param needs_poll: wait for the poll until the reader's deadline, and never stop without it. False: if no
        request is free within two seconds, a job that was not seen to end counts as running.
    :raises StitchError: Stitch could not be reached in time, or refused.
    """
    if known is not None and judge_extraction(goal, known).over:
        return False
    attempts, maybe_sent = Attempts(), False
    while True:
        is_running = await _is_running(reader, goal, needs_poll=needs_poll or maybe_sent)
        if not is_running:
            return maybe_sent
        try:
            await asyncio.to_thread(reader.client.stop_replication_job, goal.source_id)
        except StitchError as error:
            may_go_on = attempts.may_go_on(error)
            pause = pause_before_retry(attempts.number, getattr(error, "retry_after", None))
            if not may_go_on or pause > reader.seconds_left():
                raise
            maybe_sent = maybe_sent or getattr(error, "maybe_received", True)
            await reader.clock.sleep(pause)
        else:
            return True


async def _is_running(reader: AccountReader, goal: Goal, *, needs_poll: bool) -> bool:
    """Return whether the goal's job runs, as far as a fresh poll of the list shows."""
    if needs_poll:
        told = await reader.extraction_of(goal.source_id)
        if told is None:
            raise PhaseTimedOut(
                f"Source {goal.source_name} ({goal.source_id}): Stitch did not list the source's extractions "
                f"in time, so whether job {goal.job_name} still runs is not known. No stop was sent, because "
                f"it could end a later job. Raise the {reader.time_limit}, or check the source's page in "
                "Stitch.",
                source_id=goal.source_id,
                job_name=goal.job_name,
            )
    else:
        try:
            told = await asyncio.wait_for(reader.extraction_of(goal.source_id), LOOK_PATIENCE)
        except asyncio.TimeoutError:
            return True
    listed = told.value if told is not None else None
    if goal.began_at is None and listed is not None:
        return False  # without the job's start time, a later job cannot be told from an earlier one
    return not judge_extraction(goal, Known(extraction=listed)).over
