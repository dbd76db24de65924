"""The replication jobs of one account: those that run, those that are over, and how the next ones go."""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_stitch.emulator.jobs import Timeline, build_timeline
from airflow_provider_stitch.emulator.load_list import REACH
from airflow_provider_stitch.emulator.plans import JobPlan, LogPlan
from airflow_provider_stitch.emulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_stitch.emulator.account import Account
    from airflow_provider_stitch.emulator.sources import Source
    from airflow_provider_stitch.emulator.streams import Stream

StartedBy = Literal["api", "schedule", "test"]
T = TypeVar("T")


@dataclass(slots=True)
class Job:
    """A job of a source: its timeline, and who started it."""

    timeline: Timeline
    started_by: StartedBy
    stopped: bool = False


@dataclass(slots=True)
class SourceJobs:
    """The jobs of one source, by their start, and how the next ones go."""

    plan: JobPlan = field(default_factory=JobPlan)
    planned: deque[JobPlan] = field(default_factory=deque)
    jobs: list[Job] = field(default_factory=list)
    bookmarks: dict[str, datetime] = field(default_factory=dict)  #: where jobs left off, by tap_stream_id

    def running(self, now: datetime) -> Job | None:
        """The job under way. There is one at most."""
        latest = next((job for job in reversed(self.jobs) if job.timeline.begins_at <= now), None)
        return latest if latest and latest.timeline.running(now) else None

    def last_completed(self, now: datetime, delay: timedelta) -> Job | None:
        """The one job that the list of extractions shows."""
        # Jobs of one source never overlap, so the last to begin is the last to end.
        return next((job for job in reversed(self.jobs) if job.timeline.ends_at + delay <= now), None)

    def note_bookmarks(self, timeline: Timeline) -> None:
        """Record where the latest job leaves off, by the batches that reach the pipeline."""
        for read in timeline.reads:
            if read.bookmark_before is None:
                self.bookmarks.pop(read.stream.tap_stream_id, None)
            else:
                self.bookmarks[read.stream.tap_stream_id] = read.bookmark_before
        for batch in timeline.batches:
            before = self.bookmarks.get(batch.tap_stream_id, batch.extracted_at)
            self.bookmarks[batch.tap_stream_id] = max(before, batch.extracted_at)

    def next_plan(self) -> JobPlan:
        """How the next job goes; the one after that, too, unless it was planned as well."""
        return self.planned.popleft() if self.planned else self.plan


class JobBook:
    """The jobs of all sources of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._by_source: dict[int, SourceJobs] = {}
        self._by_name: dict[str, Job] = {}

    def of(self, source_id: int) -> SourceJobs:
        """The jobs of a source that exists."""
        return self._by_source.setdefault(source_id, SourceJobs())

    def find(self, job_name: str) -> Job | None:
        """A job of this account by its name."""
        return self._by_name.get(job_name)

    def running(self, source: Source, now: datetime) -> Job | None:
        """The job of a source that is under way."""
        return self.of(source.id).running(now)

    # Plans

    def plan_all(self, source: Source, plan: JobPlan) -> None:
        """How every job of a source goes from now on."""
        self.of(source.id).plan = _with_keys(source, plan)

    def plan_next(self, source: Source, plan: JobPlan) -> None:
        """How the next job of a source goes."""
        self.of(source.id).planned.append(_with_keys(source, plan))

    # Begin and end

    def begin(
        self, source: Source, begins_at: datetime, started_by: StartedBy, plan: JobPlan | None = None
    ) -> Job:
        """A job begins, whether it was asked for now or a test says that it has run."""
        account, jobs = self._account, self.of(source.id)
        timeline = self._timeline(source, begins_at, jobs.next_plan() if plan is None else plan)
        job = Job(timeline, started_by)
        self._by_name[timeline.job_name] = job
        insort(jobs.jobs, job, key=lambda other: other.timeline.begins_at)
        streams = _by_tap_id(source)
        jobs.note_bookmarks(timeline)
        for batch in timeline.batches:
            if batch.rows or account.quirks.load_version_messages:
                account.load_list.add(source, streams[batch.tap_stream_id], batch)
        if source.undiscovered:
            account.agenda.at(timeline.ends_at, self._after_job, source, job)
        return job

    def duration(self, source: Source, plan: JobPlan) -> timedelta:
        """Return how long a job of this plan takes if nobody stops it."""
        timeline = self._timeline(source, source.created_at, plan)
        return timeline.ends_at - timeline.begins_at

    def _timeline(self, source: Source, begins_at: datetime, plan: JobPlan) -> Timeline:
        return build_timeline(
            _with_keys(source, plan),
            source.streams_to_read(),
            client_id=self._account.client_id,
            source_id=source.id,
            tap_name=source.tap_name,
            target=source.target_program,
            begins_at=begins_at,
            bookmarks=self.of(source.id).bookmarks,
        )

    def _after_job(self, source: Source, job: Job, _: datetime) -> None:
        """New streams that discovery found appear only after the job."""
        if job.timeline.discovery and job.timeline.discovery.exit_status == 0:
            self._account.discover(source)

    def start(self, source_id: int, now: datetime) -> Job:
        """What ``POST /v4/sources/{source_id}/sync`` does.

        :raises Refusal: the source is unknown, deleted or can run no job; or a job of it is running, which is
            refused with 200, as Stitch does.
        """
        client_id = self._account.client_id
        source = self._account.sources.get(source_id)
        if source is None:
            message = f"Unable to locate source({source_id}) for client ({client_id})"
            raise Refusal(400, {"error": {"type": "invalid_source", "message": message}})
        if source.deleted_at is not None:
            raise Refusal(400, {"error": {"type": "invalid_source", "message": "Integration is deleted."}})
        ids = f"client-id: {client_id}; connection-id: {source_id}"
        if self.running(source, now):
            message = f"Did not create job for {ids} because one already exists"
            raise Refusal(200, {"error": {"type": "already_running", "message": message}})
        if not self._account.can_run(source, now):
            # Not documented. The type was drafted and never published.
            raise Refusal(400, {"error": {"type": "generic", "message": f"Could not create job for {ids}"}})
        return self.begin(source, now, "api")

    def stop(self, source: Source, now: datetime) -> Job | None:
        """End the extraction under way. Rows flushed until then are still loaded. None: nothing ran."""
        job = self.running(source, now)
        if job is None or job.stopped:  # to ask again makes it no faster
            return job
        quirks = self._account.quirks
        ends_at = min(now + timedelta(seconds=quirks.stop_seconds), job.timeline.ends_at)
        streams = _by_tap_id(source)
        for batch in job.timeline.batches:
            stream = streams[batch.tap_stream_id]
            self._account.load_list.drop_unflushed(source, stream, job.timeline.job_name, ends_at)
        job.timeline = job.timeline.stopped(ends_at, quirks.stopped_jobs)
        self.of(source.id).note_bookmarks(job.timeline)
        job.stopped = True
        return job

    # The list of extractions

    def page(self, now: datetime, first: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Some of the last completed jobs of each source, and how many there are in all.

        Of paused and deleted sources too, by ascending source id.
        """
        quirks = self._account.quirks
        delay = timedelta(seconds=quirks.listing_delay)
        listed = []
        for source_id in sorted(self._by_source):
            jobs = self._by_source[source_id]
            running = jobs.running(now) if quirks.list_running_jobs else None
            job = running or jobs.last_completed(now, delay)
            if job is not None and (job is running or job.timeline.ends_at >= now - REACH):
                listed.append(job.timeline)
        records = [timeline.extraction(now, quirks.tap_field) for timeline in listed[first : first + count]]
        return records, len(listed)


def _with_keys(source: Source, plan: JobPlan) -> JobPlan:
    """The plan with each stream under its key. ValueError for a name that is no stream of the source."""
    refused = None if plan.refused_stream is None else source.stream(plan.refused_stream)
    if not (plan.rows or plan.flushes or plan.load_errors or plan.log.counted_streams or refused):
        return plan
    with_keys = replace(
        plan,
        rows=_by_key(source, plan.rows),
        flushes=_by_key(source, plan.flushes),
        load_errors=_by_key(source, plan.load_errors),
        refused_stream=None if refused is None else refused.tap_stream_id,
        log=_with_tap_ids(source, plan.log),
    )
    if refused and not _has_batch(refused, with_keys):
        raise ValueError(f"{source.name} has no batch of {refused.key} that the Import API could refuse.")
    return with_keys


def _with_tap_ids(source: Source, log: LogPlan) -> LogPlan:
    return replace(log, counted_streams=[source.stream(name).tap_stream_id for name in log.counted_streams])


def _has_batch(stream: Stream, plan: JobPlan) -> bool:
    rows = plan.rows.get(stream.key, stream.plan.rows)
    return bool(plan.flushes.get(stream.key, rows or stream.bookmark is None))


def _by_key(source: Source, values: Mapping[str, T]) -> dict[str, T]:
    return {source.stream(name).key: value for name, value in values.items()}


def _by_tap_id(source: Source) -> dict[str, Stream]:
    return {stream.tap_stream_id: stream for stream in source.streams}
