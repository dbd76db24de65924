"""Jobs and loads of an emulated account, as a test arranges them and looks at them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.handle_base import Handle
from airflow_provider_stitch.emulator.jobs import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_stitch.emulator.job_book import Job, StartedBy
    from airflow_provider_stitch.emulator.plans import JobPlan
    from airflow_provider_stitch.emulator.sources import Source


@dataclass(frozen=True)
class JobRecord:
    """A job that has begun, as the emulator knows it: more than Stitch tells. Times are virtual."""

    job_name: str
    source_id: int
    start_time: datetime
    completion_time: datetime | None  #: None: it still runs
    started_by: StartedBy  #: ``api``, ``schedule`` or ``test``
    stopped: bool  #: somebody stopped it


class JobsHandle(Handle):
    """Jobs and loads."""

    # Jobs

    def plan_next_job(self, source_id: int, plan: JobPlan) -> None:
        """How the next job of a source goes, whoever starts it. Plans queue up."""
        with self._source(source_id) as (source, _):
            self._account.jobs.plan_next(source, plan)

    def plan_jobs(self, source_id: int, plan: JobPlan) -> None:
        """How every job of a source goes from now on."""
        with self._source(source_id) as (source, _):
            self._account.jobs.plan_all(source, plan)

    def start_job(self, source_id: int, plan: JobPlan | None = None, **changes: Any) -> JobRecord:
        """A job begins as Stitch's scheduler or another user would start it.

        :param plan: how it goes; None: as planned for the source.
        :param changes: fields of the plan to change, such as ``tap_exit_status=1``.
        :raises ValueError: a job of this source is running, or it is of a kind that has none.
        """
        with self._source(source_id) as (source, now):
            _check_has_jobs(source)
            if self._account.jobs.running(source, now):
                raise ValueError(f"A job of source {source_id} is running already.")
            job = self._account.jobs.begin(source, now, "test", self._plan(source_id, plan, changes))
            return _record(source_id, job, now)

    def complete_job(
        self, source_id: int, plan: JobPlan | None = None, *, seconds_ago: float = 300.0, **changes: Any
    ) -> JobRecord:
        """A job that has run already and ended so many virtual seconds ago, with its loads.

        :param plan: how it went; None: as planned for the source.
        :param changes: fields of the plan to change, such as ``tap_exit_status=1``.
        :raises ValueError: it would overlap another job of this source, or it is of a kind that has none.
        """
        if seconds_ago < 0:
            raise ValueError("A job that has run already can't end in the future.")
        with self._source(source_id) as (source, now):
            _check_has_jobs(source)
            plan = self._plan(source_id, plan, changes)
            ended_at = now - timedelta(seconds=seconds_ago)
            begun_at = ended_at - self._account.jobs.duration(source, plan)
            for other in self._account.jobs.of(source_id).jobs:
                if other.timeline.begins_at < ended_at and begun_at < other.timeline.ends_at:
                    raise ValueError(
                        f"Another job of source {source_id} ran then: {other.timeline.job_name}."
                    )
            return _record(source_id, self._account.jobs.begin(source, begun_at, "test", plan), now)

    def _plan(self, source_id: int, plan: JobPlan | None, changes: Mapping[str, Any]) -> JobPlan:
        if plan is None:
            plan = self._account.jobs.of(source_id).next_plan()
        return replace(plan, **changes)

    def stop_job(self, source_id: int) -> JobRecord | None:
        """Another user stops the running job. None: nothing ran."""
        with self._source(source_id) as (source, now):
            job = self._account.jobs.stop(source, now)
            return None if job is None else _record(source_id, job, now)

    def jobs(self, source_id: int) -> list[JobRecord]:
        """Every job of a source that has ever begun, the first first."""
        with self._source(source_id) as (_, now):
            return [_record(source_id, job, now) for job in self._account.jobs.of(source_id).jobs]

    # Loads

    def set_load_error(
        self,
        source_id: int,
        stream: str,
        message: str = "establish a connection to your data warehouse",
        *,
        seconds_ago: float = 0.0,
    ) -> None:
        """The destination refuses a stream from now on, or since some (virtual) seconds."""
        with self._source(source_id) as (source, now):
            since = now - timedelta(seconds=seconds_ago)
            self._account.load_list.begin_outage(source, source.stream(stream), since, message)

    def clear_load_error(self, source_id: int, stream: str) -> None:
        """The destination takes the stream again, and loads at once what it had refused for up to 30 days."""
        with self._source(source_id) as (source, now):
            self._account.load_list.end_outages(source, source.stream(stream), now)

    def record_load(self, source_id: int, stream: str, *, seconds_ago: float = 0.0) -> None:
        """A load that belongs to no job: of an Import API source, say, or of a time before the test."""
        with self._source(source_id) as (source, now):
            at = now - timedelta(seconds=seconds_ago)
            loaded = source.stream(stream)
            batch = Batch(
                "", loaded.tap_stream_id, rows=1, extracted_at=at, flushed_at=at, load_at=at, error=None
            )
            self._account.load_list.add(source, loaded, batch)


def _check_has_jobs(source: Source) -> None:
    if not source.kind.singer_backed:
        raise ValueError(f"A source of type {source.type} has no replication jobs to start.")


def _record(source_id: int, job: Job, now: datetime) -> JobRecord:
    timeline = job.timeline
    return JobRecord(
        job_name=timeline.job_name,
        source_id=source_id,
        start_time=timeline.begins_at,
        completion_time=timeline.ends_at if timeline.ends_at <= now else None,
        started_by=job.started_by,
        stopped=job.stopped,
    )
