"""What is true of a story, by its plans alone: when each phase really ended, and what nobody can tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.support.scenarios import STREAMS, Event, Job, QueryResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator import Flush

NEVER = math.inf

QUIET = 900.0
"""Without a log, a stream without a load for so long after the source's last one is taken to have no rows."""


@dataclass(frozen=True)
class Batch:
    """Rows of one stream that reach the destination together."""

    job: int
    stream: str
    flushed: float
    attempted: float
    loaded: float  #: or never
    is_refused: bool


class SourceOracle:
    """What is true of one source's jobs. Times are seconds after the story's beginning."""

    def __init__(self, told: QueryResult, number: int) -> None:
        self.jobs = told.story.sources[number][: len(told.began[number])]
        self.began = told.began[number]
        self.errors = [
            event
            for event in told.story.events
            if event.what == "load error" and event.source % len(told.ids) == number
        ]
        self.paused = any(e.what == "pause" and e.source % len(told.ids) == number for e in told.story.events)
        self.batches = [batch for index in range(len(self.jobs)) for batch in self._batches(index)]

    def ends(self, index: int) -> float:
        return self.began[index] + self.jobs[index].lasts

    def _batches(self, index: int) -> Iterator[Batch]:
        job = self.jobs[index]
        last_flush = flushes_until(job)
        for stream, flushes in job.plan.flushes.items():
            for flush in flushes:
                if flush.at <= last_flush:
                    yield self._batch(index, stream, flush)

    def _batch(self, index: int, stream: str, flush: Flush) -> Batch:
        flushed = self.began[index] + flush.at
        attempted = flushed + flush.prepare + flush.load
        loaded = attempted
        is_refused = flush.error is not None
        if flush.error is not None:
            loaded = NEVER if flush.error.heals_after is None else attempted + flush.error.heals_after
        for error in self.errors:
            if stream_of(error) == stream and error.at <= loaded < error.at + error.lasts:
                loaded, is_refused = error.at + error.lasts, True
        return Batch(index, stream, flushed, attempted, loaded, is_refused)

    # --- Of one job -------------------------------------------------------------------------------------

    def fails(self, index: int) -> bool:
        job = self.jobs[index]
        statuses = (job.plan.discovery_exit_status, job.plan.tap_exit_status, job.plan.target_exit_status)
        return any(statuses) or job.plan.terminated or job.is_stopped

    def of(self, index: int, streams: tuple[str, ...] | None) -> list[Batch]:
        return [b for b in self.batches if b.job == index and (streams is None or b.stream in streams)]

    def in_error(self, stream: str, since: float, until: float) -> bool:
        """Say whether a load error of a stream could be seen at some time."""
        outages = [(e.at, e.at + e.lasts) for e in self.errors if stream_of(e) == stream]
        refused = [(b.attempted, b.loaded) for b in self.batches if b.stream == stream and b.is_refused]
        return any(begins <= until and ends >= since for begins, ends in (*outages, *refused))

    def can_be_told(self, index: int, stream: str, settle: float, *, has_log: bool) -> bool:
        """Say whether it can be known from outside that a job's rows of a stream are loaded.

        Not if a load of other rows, after the job's last flush, stands still for long: an earlier job's, or
        an earlier batch's. Nor, where the log can't be had, if rows are loaded long before the last ones, or
        long after all others of the source. These are the limits that the README tells.
        """
        ours = self.of(index, (stream,))
        if not ours:
            return True
        loaded = max(batch.loaded for batch in ours)
        job = self.jobs[index]
        markers = job.plan.log.flush_markers
        since = max(batch.flushed for batch in ours) if has_log else self.began[index]
        between = sorted(
            batch.loaded
            for batch in self.batches
            if batch.stream == stream and math.floor(since) - 2 <= batch.loaded < loaded
        )
        # Of a stream that was flushed once, the first load counts.
        if between and (loaded == NEVER or (has_log and (markers == "last" or len(ours) == 1))):
            return False
        stands_still = max((b - a for a, b in pairwise([*between, loaded])), default=0.0)
        if stands_still >= settle - 2:
            return False
        if has_log or loaded == NEVER:
            return True
        earlier = [b.loaded for b in self.batches if b.loaded < loaded] + [self.ends(index)]
        return (
            loaded - max(each for each in earlier if each <= loaded or each == self.ends(index)) < QUIET - 60
        )


def flushes_until(job: Job) -> float:
    if job.plan.discovery_exit_status and not job.plan.terminated:
        return -1.0
    if job.is_stopped:
        return job.stopped_after or 0.0
    if job.plan.target_exit_status:
        return job.plan.discovery_seconds + job.plan.tap_seconds
    return job.lasts


def stream_of(error: Event) -> str:
    return STREAMS[int(error.number) % len(STREAMS)]
