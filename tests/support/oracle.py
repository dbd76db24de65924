"""Compute from a scenario when rows are loaded, and whether a waiter can detect that they are loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.support.scenarios import STREAMS, Event, Job, ScenarioResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator import Flush

NEVER = math.inf

QUIET_PERIOD = 900.0
"""Number of seconds without a load after which a stream is assumed to have no rows if its job has no log."""


@dataclass(frozen=True)
class Batch:
    """Rows of one stream that Stitch loads together.

    All times are in seconds from the start of the scenario.
    """

    job: int
    stream: str
    flushed: float  #: when the target sends the batch to Stitch
    attempted: float
    loaded: float  #: `NEVER` if the destination always rejects the batch
    is_rejected: bool


class SourceOracle:
    """The actual history of a source's jobs. All times are in seconds from the start of the scenario."""

    def __init__(self, result: ScenarioResult, number: int) -> None:
        self.started_at = result.job_starts[number]
        self.jobs = result.scenario.sources[number][: len(self.started_at)]
        events = [
            event for event in result.scenario.events if event.source % len(result.source_ids) == number
        ]
        self.load_errors = [event for event in events if event.kind == "load error"]
        self.was_paused = any(event.kind == "pause source" for event in events)
        self.batches = [batch for index in range(len(self.jobs)) for batch in self._batches(index)]

    def ended_at(self, index: int) -> float:
        return self.started_at[index] + self.jobs[index].duration

    def _batches(self, index: int) -> Iterator[Batch]:
        job = self.jobs[index]
        last_flush = _flush_limit(job)
        for stream, flushes in job.plan.flushes.items():
            for flush in flushes:
                if flush.at <= last_flush:
                    yield self._batch(index, stream, flush)

    def _batch(self, index: int, stream: str, flush: Flush) -> Batch:
        flushed = self.started_at[index] + flush.at
        attempted = flushed + flush.prepare + flush.load
        loaded = attempted
        is_rejected = flush.error is not None
        if flush.error is not None:
            loaded = NEVER if flush.error.heals_after is None else attempted + flush.error.heals_after
        for error in self.load_errors:
            if _stream_of(error) == stream and error.at <= loaded < error.at + error.duration:
                loaded, is_rejected = error.at + error.duration, True
        return Batch(index, stream, flushed, attempted, loaded, is_rejected)

    # --- One job ----------------------------------------------------------------------------------------

    def fails(self, index: int) -> bool:
        job = self.jobs[index]
        statuses = (job.plan.discovery_exit_status, job.plan.tap_exit_status, job.plan.target_exit_status)
        return any(statuses) or job.plan.terminated or job.is_stopped

    def batches_of(self, index: int, streams: tuple[str, ...] | None) -> list[Batch]:
        return [b for b in self.batches if b.job == index and (streams is None or b.stream in streams)]

    def in_error(self, stream: str, since: float, until: float) -> bool:
        """Return whether Stitch reported a load error for a stream at any time in an interval."""
        errors = [(e.at, e.at + e.duration) for e in self.load_errors if _stream_of(e) == stream]
        rejected = [(b.attempted, b.loaded) for b in self.batches if b.stream == stream and b.is_rejected]
        return any(start <= until and end >= since for start, end in (*errors, *rejected))

    def is_observable(self, index: int, stream: str, settle: float, *, has_log: bool) -> bool:
        """Return whether the API can show that all rows of a stream from one job are loaded.

        Rows of an earlier job or batch may be loaded after the job's last flush. If no other rows are loaded
        for a long time afterwards, the API cannot distinguish these rows from the job's rows.

        For a job without a log, the function also returns False if some rows of the job are loaded long
        before its last rows, or long after all other loads of the source. The README documents these limits.
        """
        ours = self.batches_of(index, (stream,))
        if not ours:
            return True
        loaded = max(batch.loaded for batch in ours)
        job = self.jobs[index]
        markers = job.plan.log.flush_markers
        since = max(batch.flushed for batch in ours) if has_log else self.started_at[index]
        between = sorted(
            batch.loaded
            for batch in self.batches
            if batch.stream == stream and math.floor(since) - 2 <= batch.loaded < loaded
        )
        # A waiter accepts the first load of a stream for which the log contains one flush.
        if between and (loaded == NEVER or (has_log and (markers == "last" or len(ours) == 1))):
            return False
        longest_pause = max((b - a for a, b in pairwise([*between, loaded])), default=0.0)
        if longest_pause >= settle - 2:
            return False
        if has_log or loaded == NEVER:
            return True
        earlier = [b.loaded for b in self.batches if b.loaded < loaded] + [self.ended_at(index)]
        return (
            loaded - max(each for each in earlier if each <= loaded or each == self.ended_at(index))
            < QUIET_PERIOD - 60
        )


def _flush_limit(job: Job) -> float:
    """Return the latest time at which a job's target can flush, in seconds from the start of the job."""
    if job.plan.discovery_exit_status and not job.plan.terminated:
        return -1.0
    if job.is_stopped:
        return job.stopped_after or 0.0
    if job.plan.target_exit_status:
        return job.plan.discovery_seconds + job.plan.tap_seconds
    return job.duration


def _stream_of(error: Event) -> str:
    return STREAMS[int(error.value) % len(STREAMS)]
