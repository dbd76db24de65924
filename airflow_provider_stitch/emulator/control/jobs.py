"""Methods that a test calls to plan, start and inspect jobs and loads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.control.base import AccountControl
from airflow_provider_stitch.emulator.model.jobs.timeline import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_stitch.emulator.model.connections.sources import Source
    from airflow_provider_stitch.emulator.model.jobs.job_store import Job, StartedBy
    from airflow_provider_stitch.emulator.model.plans import JobPlan


@dataclass(frozen=True)
class JobRecord:
    """A job that has started, with details that Stitch does not report. All times are virtual."""

    job_name: str
    source_id: int
    start_time: datetime
    completion_time: datetime | None  #: when the job ended, or None while the job is running
    started_by: StartedBy  #: what started the job: ``api``, ``schedule`` or ``test``
    stopped: bool  #: whether a request or a test stopped the job


class JobControl(AccountControl):
    """Methods that control the jobs and loads of an emulated account."""

    # Jobs

    def plan_next_job(self, source_id: int, plan: JobPlan) -> None:
        """Plan the next job for a source. Each further call plans one more job."""
        with self._source(source_id) as (source, _):
            self._account.jobs.plan_next(source, plan)

    def plan_jobs(self, source_id: int, plan: JobPlan) -> None:
        """Plan all future jobs of a source, except jobs that were planned with :meth:`plan_next_job`."""
        with self._source(source_id) as (source, _):
            self._account.jobs.plan_all(source, plan)

    def start_job(self, source_id: int, plan: JobPlan | None = None, **changes: Any) -> JobRecord:
        """Start a job in the same way as Stitch's scheduler or another user.

        :param plan: the plan of the job. If None, the next planned job of the source is used.
        :param changes: fields of the plan to override, such as ``tap_exit_status=1``.
        :raises ValueError: if the source already has a running job, or if sources of this type have no jobs.
        """
        with self._source(source_id) as (source, now):
            _check_has_jobs(source)
            if self._account.jobs.running(source, now):
                raise ValueError(f"Source {source_id} already has a running job.")
            job = self._account.jobs.add(source, now, "test", self._plan(source_id, plan, changes))
            return _record(source_id, job, now)

    def complete_job(
        self, source_id: int, plan: JobPlan | None = None, *, seconds_ago: float = 300.0, **changes: Any
    ) -> JobRecord:
        """Add a job that has already ended, including its loads.

        :param plan: the plan of the job. If None, the next planned job of the source is used.
        :param seconds_ago: how many virtual seconds ago the job ended.
        :param changes: fields of the plan to override, such as ``tap_exit_status=1``.
        :raises ValueError: if the job would overlap another job of the source, or if sources of this type
            have no jobs.
        """
        if seconds_ago < 0:
            raise ValueError(f"seconds_ago must not be negative, but is {seconds_ago:g}.")
        with self._source(source_id) as (source, now):
            _check_has_jobs(source)
            plan = self._plan(source_id, plan, changes)
            ended_at = now - timedelta(seconds=seconds_ago)
            started_at = ended_at - self._account.jobs.duration(source, plan)
            for other in self._account.jobs.for_source(source_id).jobs:
                if other.timeline.starts_at < ended_at and started_at < other.timeline.ends_at:
                    name = other.timeline.job_name
                    raise ValueError(f"The job would overlap job {name} of source {source_id}.")
            return _record(source_id, self._account.jobs.add(source, started_at, "test", plan), now)

    def _plan(self, source_id: int, plan: JobPlan | None, changes: Mapping[str, Any]) -> JobPlan:
        if plan is None:
            plan = self._account.jobs.for_source(source_id).next_plan()
        return replace(plan, **changes)

    def stop_job(self, source_id: int) -> JobRecord | None:
        """Stop the running job in the same way as another user.

        :return: the stopped job, or None if no job was running.
        """
        with self._source(source_id) as (source, now):
            job = self._account.jobs.stop(source, now)
            return None if job is None else _record(source_id, job, now)

    def jobs(self, source_id: int) -> list[JobRecord]:
        """Return all jobs of a source, oldest first."""
        with self._source(source_id) as (_, now):
            return [_record(source_id, job, now) for job in self._account.jobs.for_source(source_id).jobs]

    # Loads

    def set_load_error(
        self,
        source_id: int,
        stream: str,
        message: str = "establish a connection to your data warehouse",
        *,
        seconds_ago: float = 0.0,
    ) -> None:
        """Make every load of a stream fail until :meth:`clear_load_error` is called.

        :param message: the error message of the destination.
        :param seconds_ago: how many virtual seconds ago the loads started to fail.
        """
        with self._source(source_id) as (source, now):
            since = now - timedelta(seconds=seconds_ago)
            self._account.load_list.start_outage(source, source.stream(stream), since, message)

    def clear_load_error(self, source_id: int, stream: str) -> None:
        """End the load error of a stream. Rows that have waited for at most 30 days load immediately."""
        with self._source(source_id) as (source, now):
            self._account.load_list.end_outages(source, source.stream(stream), now)

    def record_load(self, source_id: int, stream: str, *, seconds_ago: float = 0.0) -> None:
        """Record a load without a job, such as a load for an Import API source or a load before the test.

        :param seconds_ago: how many virtual seconds ago the rows were loaded.
        """
        with self._source(source_id) as (source, now):
            at = now - timedelta(seconds=seconds_ago)
            loaded = source.stream(stream)
            batch = Batch(
                job_name="",
                tap_stream_id=loaded.tap_stream_id,
                rows=1,
                extracted_at=at,
                flushed_at=at,
                load_at=at,
                error=None,
            )
            self._account.load_list.add(source, loaded, batch)


def _check_has_jobs(source: Source) -> None:
    if not source.kind.has_extractions:
        raise ValueError(f"Source {source.id} has no replication jobs, because its type is {source.type}.")


def _record(source_id: int, job: Job, now: datetime) -> JobRecord:
    timeline = job.timeline
    return JobRecord(
        job_name=timeline.job_name,
        source_id=source_id,
        start_time=timeline.starts_at,
        completion_time=timeline.ends_at if timeline.ends_at <= now else None,
        started_by=job.started_by,
        stopped=job.stopped,
    )
