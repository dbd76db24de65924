"""The replication jobs of one account, and the plans for future jobs."""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_stitch.emulator.model.api_errors import ApiError
from airflow_provider_stitch.emulator.model.jobs.load_list import RETENTION, LoadList
from airflow_provider_stitch.emulator.model.jobs.timeline_builder import build_timeline
from airflow_provider_stitch.emulator.model.plans import JobPlan, LogPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_stitch.emulator.model.connections.sources import Source
    from airflow_provider_stitch.emulator.model.connections.streams import Stream
    from airflow_provider_stitch.emulator.model.event_queue import EventQueue
    from airflow_provider_stitch.emulator.model.jobs.timeline import Timeline
    from airflow_provider_stitch.emulator.model.quirks import Quirks

StartedBy = Literal["api", "schedule", "test"]
T = TypeVar("T")


@dataclass(slots=True)
class Job:
    """A job of a source."""

    timeline: Timeline
    started_by: StartedBy
    stopped: bool = False


@dataclass(slots=True)
class SourceJobs:
    """The jobs of one source in order of start time, and the plans for later jobs."""

    default_plan: JobPlan = field(default_factory=JobPlan)
    planned: deque[JobPlan] = field(default_factory=deque)  #: plans for the next jobs, one plan per job
    jobs: list[Job] = field(default_factory=list)
    #: For each ``tap_stream_id``, the time up to which jobs have read the stream.
    bookmarks: dict[str, datetime] = field(default_factory=dict)

    def running(self, now: datetime) -> Job | None:
        """Return the running job, if any."""
        latest = next((job for job in reversed(self.jobs) if job.timeline.starts_at <= now), None)
        return latest if latest and latest.timeline.running(now) else None

    def last_completed(self, now: datetime, delay: timedelta) -> Job | None:
        """Return the last job that ended at least ``delay`` ago."""
        # Jobs of one source never overlap, so the job that started last is also the job that ended last.
        return next((job for job in reversed(self.jobs) if job.timeline.ends_at + delay <= now), None)

    def record_bookmarks(self, timeline: Timeline) -> None:
        """Update the bookmarks from the batches of the latest job that reach the pipeline."""
        for read in timeline.reads:
            if read.previous_bookmark is None:
                self.bookmarks.pop(read.stream.tap_stream_id, None)
            else:
                self.bookmarks[read.stream.tap_stream_id] = read.previous_bookmark
        for batch in timeline.batches:
            previous = self.bookmarks.get(batch.tap_stream_id, batch.extracted_at)
            self.bookmarks[batch.tap_stream_id] = max(previous, batch.extracted_at)

    def next_plan(self) -> JobPlan:
        """Remove and return the plan for the next job, or return the default plan."""
        return self.planned.popleft() if self.planned else self.default_plan


class JobStore:
    """All jobs in an account.

    :param sources: the account's sources by id. The account adds new sources to the same dict.
    :param can_start: a function that returns whether Stitch would start a job of a source.
    :param on_discovery: a function that is called when a job has discovered new streams of a source.
    """

    def __init__(
        self,
        client_id: int,
        quirks: Quirks,
        sources: Mapping[int, Source],
        events: EventQueue,
        load_list: LoadList,
        *,
        can_start: Callable[[Source, datetime], bool],
        on_discovery: Callable[[Source], None],
    ) -> None:
        self._client_id = client_id
        self._quirks = quirks
        self._sources = sources
        self._events = events
        self._load_list = load_list
        self._can_start = can_start
        self._on_discovery = on_discovery
        self._by_source: dict[int, SourceJobs] = {}
        self._by_name: dict[str, Job] = {}

    def for_source(self, source_id: int) -> SourceJobs:
        """Return the jobs of a source."""
        return self._by_source.setdefault(source_id, SourceJobs())

    def find(self, job_name: str) -> Job | None:
        """Return the job with this name, or None if the account does not have this job."""
        return self._by_name.get(job_name)

    def running(self, source: Source, now: datetime) -> Job | None:
        """Return the running job of a source, if any."""
        return self.for_source(source.id).running(now)

    # Plans

    def plan_all(self, source: Source, plan: JobPlan) -> None:
        """Set the default plan for all future jobs of a source."""
        self.for_source(source.id).default_plan = _with_keys(source, plan)

    def plan_next(self, source: Source, plan: JobPlan) -> None:
        """Add a plan for one future job of a source. Jobs use these plans in the order of the calls."""
        self.for_source(source.id).planned.append(_with_keys(source, plan))

    # Starting and stopping jobs

    def start(self, source_id: int, now: datetime) -> Job:
        """Start a job in the same way as ``POST /v4/sources/{source_id}/sync``.

        :raises ApiError: if the source is unknown or deleted, cannot run jobs, or already has a running job.
            The error for a running job has status 200, as in Stitch.
        """
        source = self._sources.get(source_id)
        if source is None:
            message = f"Unable to locate source({source_id}) for client ({self._client_id})"
            raise ApiError(400, {"error": {"type": "invalid_source", "message": message}})
        if source.deleted_at is not None:
            raise ApiError(400, {"error": {"type": "invalid_source", "message": "Integration is deleted."}})
        ids = f"client-id: {self._client_id}; connection-id: {source_id}"
        if self.running(source, now):
            message = f"Did not create job for {ids} because one already exists"
            raise ApiError(200, {"error": {"type": "already_running", "message": message}})
        if not self._can_start(source, now):
            # Stitch does not document this error. The error's text is from an unpublished draft of the
            # documentation.
            raise ApiError(400, {"error": {"type": "generic", "message": f"Could not create job for {ids}"}})
        return self.add(source, now, "api")

    def add(
        self, source: Source, starts_at: datetime, started_by: StartedBy, plan: JobPlan | None = None
    ) -> Job:
        """Add a job that starts at ``starts_at``. A test can add a job that starts in the past."""
        jobs = self.for_source(source.id)
        timeline = self._build_timeline(source, starts_at, jobs.next_plan() if plan is None else plan)
        job = Job(timeline, started_by)
        self._by_name[timeline.job_name] = job
        insort(jobs.jobs, job, key=lambda other: other.timeline.starts_at)
        streams = _by_tap_stream_id(source)
        jobs.record_bookmarks(timeline)
        for batch in timeline.batches:
            if batch.rows or self._quirks.load_version_messages:
                self._load_list.add(source, streams[batch.tap_stream_id], batch)
        if source.undiscovered:
            self._events.schedule(timeline.ends_at, self._after_job, source, job)
        return job

    def duration(self, source: Source, plan: JobPlan) -> timedelta:
        """Return how long a job with this plan runs if nobody stops the job."""
        timeline = self._build_timeline(source, source.created_at, plan)
        return timeline.ends_at - timeline.starts_at

    def _build_timeline(self, source: Source, starts_at: datetime, plan: JobPlan) -> Timeline:
        return build_timeline(
            _with_keys(source, plan), source, starts_at, self.for_source(source.id).bookmarks
        )

    def _after_job(self, source: Source, job: Job, _now: datetime) -> None:
        """Add the streams that a job has discovered.

        Stitch shows these streams only after the end of the job.
        """
        if job.timeline.discovery and job.timeline.discovery.exit_status == 0:
            self._on_discovery(source)

    def stop(self, source: Source, now: datetime) -> Job | None:
        """Stop the running job. Rows that the job has already flushed will be loaded.

        :return: the stopped job, or None if no job is running.
        """
        job = self.running(source, now)
        if job is None or job.stopped:  # a second stop request does not end the job earlier
            return job
        ends_at = min(now + timedelta(seconds=self._quirks.stop_seconds), job.timeline.ends_at)
        streams = _by_tap_stream_id(source)
        for batch in job.timeline.batches:
            stream = streams[batch.tap_stream_id]
            self._load_list.drop_unflushed(source, stream, job.timeline.job_name, ends_at)
        job.timeline = job.timeline.stopped_at(ends_at, self._quirks.stopped_jobs)
        self.for_source(source.id).record_bookmarks(job.timeline)
        job.stopped = True
        return job

    # The list of extractions

    def page(self, now: datetime, first: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Return up to ``count`` records from the list of extractions, and the total number of records.

        The list contains the last completed job of each source, ordered by source id. Paused and deleted
        sources are included.
        """
        delay = timedelta(seconds=self._quirks.listing_delay)
        listed = []
        for source_id in sorted(self._by_source):
            jobs = self._by_source[source_id]
            running = jobs.running(now) if self._quirks.list_running_jobs else None
            job = running or jobs.last_completed(now, delay)
            if job is not None and (job is running or job.timeline.ends_at >= now - RETENTION):
                listed.append(job.timeline)
        page = listed[first : first + count]
        return [timeline.extraction(now, self._quirks.tap_field) for timeline in page], len(listed)


def _with_keys(source: Source, plan: JobPlan) -> JobPlan:
    """Return the plan with stream names replaced by stream keys.

    :raises ValueError: if the source does not have a stream with one of these names.
    """
    refused_stream = None if plan.refused_stream is None else source.stream(plan.refused_stream)
    if not (plan.rows or plan.flushes or plan.load_errors or plan.log.counted_streams or refused_stream):
        return plan
    with_keys = replace(
        plan,
        rows=_by_key(source, plan.rows),
        flushes=_by_key(source, plan.flushes),
        load_errors=_by_key(source, plan.load_errors),
        refused_stream=None if refused_stream is None else refused_stream.tap_stream_id,
        log=_with_tap_stream_ids(source, plan.log),
    )
    if refused_stream and not _has_batch(refused_stream, with_keys):
        raise ValueError(
            f"According to the plan of source {source.name}, the Import API rejects a batch of stream "
            f"{refused_stream.key}, but the stream has no batch. Plan rows or flushes for the stream."
        )
    return with_keys


def _with_tap_stream_ids(source: Source, log: LogPlan) -> LogPlan:
    return replace(log, counted_streams=[source.stream(name).tap_stream_id for name in log.counted_streams])


def _has_batch(stream: Stream, plan: JobPlan) -> bool:
    rows = plan.rows.get(stream.key, stream.plan.rows)
    return bool(plan.flushes.get(stream.key, rows or stream.bookmark is None))


def _by_key(source: Source, values: Mapping[str, T]) -> dict[str, T]:
    return {source.stream(name).key: value for name, value in values.items()}


def _by_tap_stream_id(source: Source) -> dict[str, Stream]:
    return {stream.tap_stream_id: stream for stream in source.streams}
