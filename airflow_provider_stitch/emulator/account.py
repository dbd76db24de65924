"""One Stitch account: its sources, the jobs that run in it, and what its lists show at an instant.

The account knows nothing of HTTP. Whoever calls it holds the emulator's lock and says what time it is;
:meth:`Account.catch_up` must come first, for it starts the jobs that were due in the meantime.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_stitch.emulator import report_cards
from airflow_provider_stitch.emulator.jobs import Timeline, build_timeline
from airflow_provider_stitch.emulator.loads import LoadState, StreamLoads, load_body
from airflow_provider_stitch.emulator.plans import CheckPlan, EmulatedStream, JobPlan, Quirks
from airflow_provider_stitch.emulator.sources import (
    Destination,
    Source,
    Stream,
    make_stream,
    usual_properties,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How long the lists of extractions and loads, and the logs, reach back.
REACH = timedelta(days=60)
StartedBy = Literal["api", "schedule", "test"]
T = TypeVar("T")


@dataclass
class Job:
    """A job of a source: its timeline, and who started it."""

    timeline: Timeline
    started_by: StartedBy
    stopped: bool = False


class Refusal(Exception):  # noqa: N818 - not an error of the emulator but an answer that Stitch gives
    """Stitch refuses. ``status`` and ``body`` are its answer."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


@dataclass
class SourceJobs:
    """The jobs of one source, by their start, and how the next ones go."""

    plan: JobPlan = field(default_factory=JobPlan)
    planned: deque[JobPlan] = field(default_factory=deque)
    jobs: list[Job] = field(default_factory=list)

    def running(self, now: datetime) -> Job | None:
        """The job under way. There is one at most."""
        latest = self._latest(now)
        return latest if latest and latest.timeline.running(now) else None

    def last_completed(self, now: datetime, delay: timedelta) -> Job | None:
        """The one job that the list of extractions shows."""
        # Jobs of one source never overlap, so the last to begin is the last to end.
        return next((job for job in reversed(self.jobs) if job.timeline.ends_at + delay <= now), None)

    def _latest(self, now: datetime) -> Job | None:
        return next((job for job in reversed(self.jobs) if job.timeline.begins_at <= now), None)


class Account:
    """The state of one account, and what happens in it."""

    def __init__(self, client_id: int, now: datetime, quirks: Quirks) -> None:
        self.client_id = client_id
        self.quirks = quirks
        self.tokens: dict[str, bool] = {}  # token -> enabled
        self.sources: dict[int, Source] = {}
        self.cron_allowed = True
        self.destinations: list[Destination] = [
            Destination(155901, client_id, "Staging", "postgres", now - timedelta(days=30))
        ]
        self._jobs: dict[int, SourceJobs] = {}
        self._jobs_by_name: dict[str, Job] = {}
        self._loads: dict[tuple[int, str], StreamLoads] = {}
        self._next_stream_id = 5_120_771

    # Sources

    def add_source(
        self,
        source_id: int,
        name: str,
        now: datetime,
        *,
        streams: Mapping[str, int | EmulatedStream],
        display_name: str,
        source_type: str,
        step: str,
        schedule_minutes: float | None,
        paused: bool,
        properties: Mapping[str, Any] | None,
        check: CheckPlan | None,
        job: JobPlan,
    ) -> Source:
        """A new source. The names of its streams must be its own."""
        self._check_new(source_id, name, source_type, step)
        created_at = now - timedelta(days=1)
        source = Source(
            id=source_id,
            client_id=self.client_id,
            name=name,
            display_name=display_name,
            type=source_type,
            streams=[self._new_stream(key, plan) for key, plan in streams.items()],
            properties=usual_properties(source_type, schedule_minutes, properties),
            step=step,
            created_at=created_at,
            updated_at=created_at,
            schedule_minutes=schedule_minutes,
            next_slot=None if schedule_minutes is None else now + timedelta(minutes=schedule_minutes),
            paused_at=now if paused else None,
        )
        if check is not None:
            source.planned_checks.append(check)
            source.run_check(now)
        self.sources[source_id] = source
        self._jobs[source_id] = SourceJobs()
        self.jobs_of(source_id).plan = self.plan_with_keys(source, job)
        return source

    def _check_new(self, source_id: int, name: str, source_type: str, step: str) -> None:
        if source_id in self.sources:
            raise ValueError(f"There is a source {source_id} already.")
        # The name of a deleted source can be used again.
        if any(other.name == name and other.deleted_at is None for other in self.sources.values()):
            raise ValueError(f"There is a source named {name!r} already.")
        if step not in report_cards.steps_of(source_type):
            raise ValueError(f"A source of type {source_type} has no step {step!r}.")

    def _new_stream(self, key: str, plan: int | EmulatedStream) -> Stream:
        self._next_stream_id += 1
        return make_stream(
            key, EmulatedStream(rows=plan) if isinstance(plan, int) else plan, self._next_stream_id
        )

    def source(self, source_id: int) -> Source:
        """A source that a test names."""
        if source_id not in self.sources:
            raise ValueError(f"Account {self.client_id} has no source {source_id}.")
        return self.sources[source_id]

    def jobs_of(self, source_id: int) -> SourceJobs:
        """The jobs of a source that exists."""
        return self._jobs[source_id]

    # Jobs

    def catch_up(self, now: datetime) -> None:
        """Start the scheduled jobs that were due by now. A slot that falls into a running job is skipped."""
        for source in self.sources.values():
            while source.next_slot is not None and source.schedule_minutes and source.next_slot <= now:
                slot = source.next_slot
                source.next_slot = slot + timedelta(minutes=source.schedule_minutes)
                idle = self._jobs[source.id].running(slot) is None
                if idle and not source.paused and source.deleted_at is None and self._can_run(source, slot):
                    self.begin_job(source, slot, "schedule")

    def begin_job(
        self, source: Source, begins_at: datetime, started_by: StartedBy, plan: JobPlan | None = None
    ) -> Job:
        """A job begins, whether it was asked for now or a test says that it has run."""
        jobs = self._jobs[source.id]
        if plan is None:
            plan = jobs.planned.popleft() if jobs.planned else jobs.plan
        timeline = build_timeline(
            self.plan_with_keys(source, plan),
            source.streams_to_read(),
            client_id=self.client_id,
            source_id=source.id,
            tap_name=source.tap_name,
            begins_at=begins_at,
        )
        job = Job(timeline, started_by)
        self._jobs_by_name[timeline.job_name] = job
        insort(jobs.jobs, job, key=lambda other: other.timeline.begins_at)
        for batch in timeline.batches:
            self.loads_of(source.id, batch.tap_stream_id).add(batch)
        return job

    def start_job(self, source_id: int, now: datetime) -> Job:
        """What ``POST /v4/sources/{source_id}/sync`` does.

        :raises Refusal: the source is unknown, deleted or can run no job; or a job of it is running, which is
            refused with 200, as Stitch does.
        """
        source = self.sources.get(source_id)
        if source is None:
            message = f"Unable to locate source({source_id}) for client ({self.client_id})"
            raise Refusal(400, {"error": {"type": "invalid_source", "message": message}})
        if source.deleted_at is not None:
            raise Refusal(400, {"error": {"type": "invalid_source", "message": "Integration is deleted."}})
        ids = f"client-id: {self.client_id}; connection-id: {source_id}"
        if self._jobs[source_id].running(now):
            message = f"Did not create job for {ids} because one already exists"
            raise Refusal(200, {"error": {"type": "already_running", "message": message}})
        if not self._can_run(source, now):
            # Not documented. The type was drafted and never published.
            raise Refusal(400, {"error": {"type": "generic", "message": f"Could not create job for {ids}"}})
        return self.begin_job(source, now, "api")

    def _can_run(self, source: Source, now: datetime) -> bool:
        if not report_cards.is_singer_backed(source.type):
            return False
        hopeless = source.current_step(now) != "fully_configured" or not self.destinations
        return not (hopeless and self.quirks.refuse_hopeless_starts)

    def stop_job(self, source_id: int, now: datetime) -> Job | None:
        """End the extraction under way at once. Rows flushed so far are still loaded. None: nothing ran."""
        job = self._jobs[source_id].running(now)
        if job is None:
            return None
        for batch in job.timeline.batches:
            self.loads_of(source_id, batch.tap_stream_id).drop_unflushed(job.timeline.job_name, now)
        job.timeline = job.timeline.stopped(now)
        job.stopped = True
        return job

    def find_job(self, job_name: str) -> Job | None:
        """A job of this account by its name."""
        return self._jobs_by_name.get(job_name)

    def plan_with_keys(self, source: Source, plan: JobPlan) -> JobPlan:
        """The plan with each stream under its key. ValueError for a name that is no stream of the source."""
        return replace(
            plan,
            rows=_by_key(source, plan.rows),
            flushes=_by_key(source, plan.flushes),
            load_errors=_by_key(source, plan.load_errors),
        )

    # What the lists show

    def extractions(self, now: datetime) -> list[dict[str, Any]]:
        """The last completed job of each source, paused and deleted ones too, by ascending source id."""
        delay = timedelta(seconds=self.quirks.listing_delay)
        found = []
        for source_id in sorted(self._jobs):
            jobs = self._jobs[source_id]
            running = jobs.running(now) if self.quirks.list_running_jobs else None
            job = running or jobs.last_completed(now, delay)
            if job is not None and (job is running or job.timeline.ends_at >= now - REACH):
                found.append(job.timeline.extraction(now, self.quirks.tap_field))
        return found

    def loads(self, now: datetime) -> list[dict[str, Any]]:
        """The latest load attempt of each stream, in the order that the quirks say."""
        rows: list[tuple[Source, Stream, LoadState]] = []
        for source in self.sources.values():
            for stream in source.streams:
                loads = self._loads.get((source.id, stream.tap_stream_id))
                state = loads.state(now) if loads else None
                if state is not None and state.attempted_at >= now - REACH:
                    rows.append((source, stream, state))
        if self.quirks.loads_order == "stream_id":
            rows.sort(key=lambda row: row[1].stream_id)
        else:
            rows.sort(key=lambda row: (row[0].load_name(row[1]), row[0].name))
        return [
            load_body(self.client_id, source.name, source.load_name(stream), state)
            for source, stream, state in rows
        ]

    def loads_of(self, source_id: int, tap_stream_id: str) -> StreamLoads:
        """The loads of one stream."""
        return self._loads.setdefault((source_id, tap_stream_id), StreamLoads())


def _by_key(source: Source, values: Mapping[str, T]) -> dict[str, T]:
    return {source.stream(name).key: value for name, value in values.items()}
