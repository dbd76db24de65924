"""The timeline of a replication job.

The state of a job is a pure function of its timeline and the current time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.emulator.model.times import format_optional_time, format_time

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.connections.streams import SelectedStream
    from airflow_provider_stitch.emulator.model.plans import LoadError, LogPlan, Target

TERMINATED = "Terminated"
#: The exit status of a process that was ended by the signal SIGTERM.
SIGTERM = -15


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """The result of one phase of a job."""

    ended_at: datetime
    exit_status: int
    description: str | None


@dataclass(frozen=True, slots=True)
class StreamRead:
    """One read of one stream by the tap."""

    stream: SelectedStream
    rows: int
    starts_at: datetime
    ends_at: datetime
    #: Time up to which earlier jobs have read the stream, or None if no earlier job has read the stream.
    previous_bookmark: datetime | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one stream that reach the pipeline together and are loaded together."""

    job_name: str
    tap_stream_id: str
    rows: int
    extracted_at: datetime  #: when the last row of the batch was extracted
    flushed_at: datetime
    load_at: datetime  #: when the load of the batch is first attempted
    error: LoadError | None
    rejected: int = 0
    target_name: str = ""  #: the stream name that the target sends
    version_messages: int = 0  #: number of version messages, which contain no rows
    requests: int = 1
    retries: int = 0  #: number of times that the last request is retried before the batch is flushed


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that happens in one replication job."""

    job_name: str
    client_id: int
    source_id: int
    tap_name: str
    starts_at: datetime
    ends_at: datetime
    tap_starts_at: datetime
    terminated: bool
    target_program: Target
    #: Result of a phase, or None if the job does not have the phase or the phase never ends.
    discovery: PhaseResult | None
    tap: PhaseResult | None
    target: PhaseResult | None
    reads: tuple[StreamRead, ...]
    batches: tuple[Batch, ...]
    refused_batch: Batch | None  #: the batch that the Import API rejects permanently
    log: LogPlan
    has_discovery: bool

    def running(self, now: datetime) -> bool:
        """Return whether the extraction is running."""
        return self.starts_at <= now < self.ends_at

    def stopped_at(
        self, time: datetime, reason: Literal["terminated", "signalled"] = "terminated"
    ) -> Timeline:
        """Return a copy of the timeline that ends at the given time and contains no later batches."""
        signalled = reason == "signalled" and not self.terminated
        results = self._results_if_signalled(time) if signalled else (self.discovery, self.tap, self.target)
        return replace(
            self,
            ends_at=time,
            terminated=not signalled,
            discovery=results[0],
            tap=results[1],
            target=results[2],
            refused_batch=self.refused_batch
            if self.refused_batch and self.refused_batch.flushed_at <= time
            else None,
            batches=tuple(batch for batch in self.batches if batch.flushed_at <= time),
        )

    def _results_if_signalled(
        self, time: datetime
    ) -> tuple[PhaseResult | None, PhaseResult | None, PhaseResult | None]:
        """Return the phase results of a job if a signal ends its running phase."""
        ended_by_signal = PhaseResult(time, SIGTERM, None)
        if self.has_discovery and time < self.tap_starts_at:
            return ended_by_signal, None, None
        if self.tap is None or self.tap.ended_at > time:
            target = PhaseResult(time, 0, None)  # the target exits normally if a signal ends the tap
            return self.discovery, ended_by_signal, target
        return self.discovery, self.tap, ended_by_signal

    def extraction(self, now: datetime, tap_field: str = "source_type") -> dict[str, Any]:
        """Return the JSON representation of the extraction.

        See "Extraction object" in the Stitch Connect API.
        """
        finished = now >= self.ends_at
        body: dict[str, Any] = {
            "job_name": self.job_name,
            "stitch_client_id": self.client_id,
            "source_id": self.source_id,
            tap_field: self.tap_name,
            "start_time": format_time(self.starts_at),
            "completion_time": format_optional_time(self.ends_at if finished else None),
        }
        for phase, result in (("discovery", self.discovery), ("tap", self.tap), ("target", self.target)):
            ended = result is not None and result.ended_at <= now and not (finished and self.terminated)
            body[f"{phase}_exit_status"] = result.exit_status if result and ended else None
            body[f"{phase}_description"] = result.description if result and ended else None
            if finished and self.terminated:
                body[f"{phase}_description"] = TERMINATED
        return body
