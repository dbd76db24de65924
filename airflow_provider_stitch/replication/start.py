"""Starting and stopping a job: never twice, and never somebody else's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import (
    JobAlreadyRunning,
    JobNotStarted,
    StitchError,
    StitchUnavailable,
    UnexpectedAnswer,
)
from airflow_provider_stitch.connect.transport import pause_before_retry
from airflow_provider_stitch.replication.extraction import began_at, judge_extraction
from airflow_provider_stitch.replication.goals import time_in
from airflow_provider_stitch.replication.known import Known
from airflow_provider_stitch.replication.setbacks import GARBAGE_ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.reader import AccountReader


@dataclass(frozen=True, slots=True)
class Started:
    """A job that is ours: started by our request, or begun since it was sent."""

    job_name: str
    began_at: datetime  #: Stitch's time


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
    warn: Callable[[str], None] = lambda _: None,
) -> Started | Occupied:
    """Start a replication job, asking again for as long as the reader has time if Stitch can't be reached.

    A start is not idempotent: after a lost answer the job may run. It is then asked for again, since Stitch
    runs one job per source at a time and refuses another; but first the list is looked at, in case the job is
    over.

    :param first_try_at: Stitch's time of a start before this one, by a worker that did not live to hear the
        answer.
    :raises StitchError: the source is unknown or deleted, Stitch refused, or time is up.
    """
    attempt = 0
    while True:
        if first_try_at is not None:
            try:
                started = await _job_since(reader, source.id, first_try_at)
            except StitchUnavailable as error:
                raise _given_up(source, error, may_run=True) from error
            if started is not None:
                return started
        attempt += 1
        sent_at = stitch_time(reader)
        try:
            job = await asyncio.to_thread(reader.client.start_replication_job, source.id)
            return Started(job.job_name, time_in(job.job_name) or job.answered_at or sent_at)
        except JobAlreadyRunning as refusal:
            return Occupied(refusal.answered_at or sent_at, first_try_at)
        except (StitchUnavailable, UnexpectedAnswer) as error:
            if getattr(error, "maybe_received", True):
                first_try_at = first_try_at or sent_at
            pause = pause_before_retry(attempt, getattr(error, "retry_after", None))
            garbage = isinstance(error, UnexpectedAnswer) and attempt >= GARBAGE_ATTEMPTS
            if garbage or pause > reader.seconds_left():
                raise _given_up(source, error, may_run=first_try_at is not None) from error
            warn(f"{error} Asking again in {pause:.0f} s.")
            await reader.clock.sleep(pause)


def stitch_time(reader: AccountReader) -> datetime:
    """Return Stitch's time as of its latest answer: no later than whatever is asked for next."""
    return reader.client.latest_answer_at or datetime.now(timezone.utc)


async def _job_since(reader: AccountReader, source_id: int, instant: datetime) -> Started | None:
    told = await reader.extraction_of(source_id)
    listed = told.value if told is not None else None
    began = began_at(listed) if listed is not None else None
    if listed is None or began is None or began < instant:
        return None
    return Started(listed.job_name, began)


def _given_up(source: Source, error: StitchError, *, may_run: bool) -> JobNotStarted:
    state = "may or may not run: look at the source's page in Stitch" if may_run else "was not started"
    return JobNotStarted(
        f"Source {source.label}: no usable answer to the start of a replication job, so the job {state}. The "
        f"last thing heard: {error}",
        source_id=source.id,
    )


# Seconds that a look at the list may take before a stop: Airflow 3 leaves a killed task 5 s in all.
LOOK_PATIENCE = 2.0


async def stop_job(reader: AccountReader, goal: Goal) -> bool:
    """Stop the goal's job if, as far as Stitch tells, it is the one that runs; return whether a stop was
    sent.

    Stitch's stop takes no job name and ends whichever job of the source runs, so the list is looked at first:
    if this job or a later one is in it, this one is over.
    """
    try:
        told = await asyncio.wait_for(reader.extraction_of(goal.source_id), LOOK_PATIENCE)
    except asyncio.TimeoutError:
        told = None  # no request was free: as far as anybody knows, it still runs
    listed = told.value if told is not None else None
    if judge_extraction(goal, Known(extraction=listed)).over:
        return False
    if goal.began_at is None and listed is not None:
        return False  # which of the two is the later job can't be told
    await reader.ask(lambda: reader.client.stop_replication_job(goal.source_id))
    return True
