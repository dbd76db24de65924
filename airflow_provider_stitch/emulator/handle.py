"""One emulated account, as a test speaks to it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import ledger, report_cards
from airflow_provider_stitch.emulator.jobs import Batch, duration
from airflow_provider_stitch.emulator.plans import CheckPlan, EmulatedStream, JobPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_stitch.emulator.account import Account, Job, StartedBy
    from airflow_provider_stitch.emulator.ledger import RequestRecord
    from airflow_provider_stitch.emulator.sources import Source
    from airflow_provider_stitch.emulator.world import World

_FIRST_SOURCE_ID = 310442


@dataclass(frozen=True)
class JobRecord:
    """A job that has begun, as the emulator knows it: more than Stitch tells. Times are virtual."""

    job_name: str
    source_id: int
    start_time: datetime
    completion_time: datetime | None  #: None: it still runs
    started_by: StartedBy  #: ``api``, ``schedule`` or ``test``
    stopped: bool  #: somebody stopped it


class EmulatedAccount:
    """One Stitch account: sources can be added to it, jobs planned, and its requests looked at."""

    def __init__(self, world: World, account: Account, access_token: str) -> None:
        self._world = world
        self._account = account
        self.access_token = access_token  #: the first token of the account

    @property
    def client_id(self) -> int:
        """The account's number."""
        return self._account.client_id

    # Sources

    def add_source(
        self,
        name: str,
        *,
        streams: Mapping[str, int | EmulatedStream],
        display_name: str | None = None,
        type: str = "platform.github",  # noqa: A002 - Stitch's word
        job: JobPlan | None = None,
        schedule_minutes: float | None = None,
        paused: bool = False,
        current_step: str = "fully_configured",
        source_id: int | None = None,
        properties: Mapping[str, Any] | None = None,
        check: CheckPlan | None = None,
    ) -> int:
        """Add a source and return its id.

        :param streams: by ``tap_stream_id``, the rows that each job extracts, or an ``EmulatedStream``.
        :param job: how every job of this source goes.
        :param schedule_minutes: Stitch itself starts a job so often, the first after as many minutes.
        :param check: how the connection check goes that begins now. None: one went well a day ago.
        :raises ValueError: the name or id is taken, or a plan names an unknown stream.
        """
        with self._world.at_now() as now:
            source = self._account.add_source(
                self._next_source_id() if source_id is None else source_id,
                name,
                now,
                streams=streams,
                display_name=name if display_name is None else display_name,
                source_type=type,
                step=current_step,
                schedule_minutes=schedule_minutes,
                paused=paused,
                properties=properties,
                check=check,
                job=job or JobPlan(),
            )
            if check is None and report_cards.is_singer_backed(type):
                source.run_check(source.created_at)
            return source.id

    def _next_source_id(self) -> int:
        used = [source_id for account in self._world.accounts.values() for source_id in account.sources]
        return max([_FIRST_SOURCE_ID - 1, *used]) + 1

    def pause_source(self, source_id: int, *, by_stitch: bool = False) -> None:
        """A user, or Stitch itself, pauses a source. A running job goes on."""
        with self._source(source_id) as (source, now):
            source.updated_at = now
            if by_stitch:
                source.system_paused_at = now
            else:
                source.paused_at = now

    def unpause_source(self, source_id: int) -> None:
        """The source is paused by nobody any more."""
        with self._source(source_id) as (source, now):
            source.paused_at = source.system_paused_at = None
            source.updated_at = now

    def delete_source(self, source_id: int) -> None:
        """A user deletes a source. It stays readable."""
        with self._source(source_id) as (source, now):
            source.deleted_at = source.updated_at = now

    def set_step(self, source_id: int, current_step: str) -> None:
        """Put a source's configuration at a step, such as ``field_selection``."""
        with self._source(source_id) as (source, _):
            if current_step not in report_cards.steps_of(source.type):
                raise ValueError(f"A source of type {source.type} has no step {current_step!r}.")
            source.step = current_step

    def plan_next_check(self, source_id: int, check: CheckPlan) -> None:
        """How the connection check goes that the next update of the source starts."""
        with self._source(source_id) as (source, _):
            source.planned_checks.append(check)

    def start_check(self, source_id: int) -> str:
        """A connection check that somebody else starts now. Returns its name."""
        with self._source(source_id) as (source, now):
            return source.run_check(now).name

    def delete_destinations(self) -> None:
        """A user deletes the account's destination; Stitch then pauses every source."""
        with self._world.at_now() as now:
            self._account.destinations.clear()
            for source in self._account.sources.values():
                source.system_paused_at = source.system_paused_at or now

    # Jobs

    def plan_next_job(self, source_id: int, plan: JobPlan) -> None:
        """How the next job of a source goes, whoever starts it. Plans queue up."""
        with self._source(source_id) as (source, _):
            self._account.jobs_of(source_id).planned.append(self._account.plan_with_keys(source, plan))

    def plan_jobs(self, source_id: int, plan: JobPlan) -> None:
        """How every job of a source goes from now on."""
        with self._source(source_id) as (source, _):
            self._account.jobs_of(source_id).plan = self._account.plan_with_keys(source, plan)

    def start_job(self, source_id: int, plan: JobPlan | None = None, **changes: Any) -> JobRecord:
        """A job begins as Stitch's scheduler or another user would start it.

        :param plan: how it goes; None: as planned for the source.
        :param changes: fields of the plan to change, such as ``tap_exit_status=1``.
        :raises ValueError: a job of this source is running, or it is of a kind that has none.
        """
        with self._source(source_id) as (source, now):
            _check_has_jobs(source)
            if self._account.jobs_of(source_id).running(now):
                raise ValueError(f"A job of source {source_id} is running already.")
            job = self._account.begin_job(source, now, "test", self._plan(source_id, plan, changes))
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
            begun_at = ended_at - duration(plan)
            for other in self._account.jobs_of(source_id).jobs:
                if other.timeline.begins_at < ended_at and begun_at < other.timeline.ends_at:
                    raise ValueError(
                        f"Another job of source {source_id} ran then: {other.timeline.job_name}."
                    )
            return _record(source_id, self._account.begin_job(source, begun_at, "test", plan), now)

    def _plan(self, source_id: int, plan: JobPlan | None, changes: Mapping[str, Any]) -> JobPlan:
        jobs = self._account.jobs_of(source_id)
        if plan is None:
            plan = jobs.planned.popleft() if jobs.planned else jobs.plan
        return replace(plan, **changes)

    def stop_job(self, source_id: int) -> JobRecord | None:
        """Another user stops the running job. None: nothing ran."""
        with self._source(source_id) as (_, now):
            job = self._account.stop_job(source_id, now)
            return None if job is None else _record(source_id, job, now)

    def jobs(self, source_id: int) -> list[JobRecord]:
        """Every job of a source that has ever begun, the first first."""
        with self._source(source_id) as (_, now):
            return [_record(source_id, job, now) for job in self._account.jobs_of(source_id).jobs]

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
            loads = self._account.loads_of(source_id, source.stream(stream).tap_stream_id)
            loads.begin_outage(now - timedelta(seconds=seconds_ago), message)

    def clear_load_error(self, source_id: int, stream: str) -> None:
        """The destination takes the stream again, and loads at once what it had refused."""
        with self._source(source_id) as (source, now):
            self._account.loads_of(source_id, source.stream(stream).tap_stream_id).end_outages(now)

    def record_load(self, source_id: int, stream: str, *, seconds_ago: float = 0.0) -> None:
        """A load that belongs to no job: of an Import API source, say, or of a time before the test."""
        with self._source(source_id) as (source, now):
            at = now - timedelta(seconds=seconds_ago)
            tap_stream_id = source.stream(stream).tap_stream_id
            batch = Batch("", tap_stream_id, rows=1, flushed_at=at, load_at=at, error=None)
            self._account.loads_of(source_id, tap_stream_id).add(batch)

    # Tokens, plan and limit

    def add_token(self, token: str) -> None:
        """A further token of this account."""
        with self._world.at_now():
            self._world.add_token(self._account, token)

    def disable_token(self, token: str | None = None) -> None:
        """A user disables a token (None: the first). It is then answered with 401."""
        with self._world.at_now():
            self._account.tokens[self._known_token(token)] = False

    def enable_token(self, token: str | None = None) -> None:
        """A user enables a token again."""
        with self._world.at_now():
            self._account.tokens[self._known_token(token)] = True

    def _known_token(self, token: str | None) -> str:
        token = self.access_token if token is None else token
        if token not in self._account.tokens:
            raise ValueError("The account has no such token.")
        return token

    def allow_cron(self, allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Whether the account's plan has cron schedules. Without, a cron expression is refused."""
        with self._world.at_now():
            self._account.cron_allowed = allowed

    def enforce_limit(self, enforced: bool = True) -> None:  # noqa: FBT001, FBT002 - reads as a sentence
        """Answer 429 to more than 30 limited requests in 10 minutes. As documented, Stitch does not."""
        with self._world.at_now():
            self._world.limits[self.client_id].enforced = enforced

    @property
    def limited_requests(self) -> list[RequestRecord]:
        """The requests of this account that count against the limit."""
        with self._world.at_now():
            return [r for r in self._world.requests if r.counted and r.client_id == self.client_id]

    def busiest_window(self) -> int:
        """The most limited requests of this account in any ten (virtual) minutes."""
        return ledger.busiest_window(request.at for request in self.limited_requests)

    @contextmanager
    def _source(self, source_id: int) -> Iterator[tuple[Source, datetime]]:
        with self._world.at_now() as now:
            yield self._account.source(source_id), now


def _check_has_jobs(source: Source) -> None:
    if not report_cards.is_singer_backed(source.type):
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
