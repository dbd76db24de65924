"""One Stitch account: its sources, destinations, jobs, loads, schedules and notifications.

The model of the account does not depend on HTTP. Callers must hold the lock of the emulator's state and pass
the current time. Callers must call :meth:`Account.catch_up` before any other method, to run all due events.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.model import webhooks
from airflow_provider_stitch.emulator.model.account_plan import NewConnectionPlan, PricingPlan
from airflow_provider_stitch.emulator.model.connections import property_values
from airflow_provider_stitch.emulator.model.connections.checks import ConnectionCheck, ConnectionChecks
from airflow_provider_stitch.emulator.model.connections.connector_types import check_source_type, source_type
from airflow_provider_stitch.emulator.model.connections.schedule import check_schedule, next_start
from airflow_provider_stitch.emulator.model.connections.sources import Source, default_properties
from airflow_provider_stitch.emulator.model.connections.streams import Stream, make_stream, stream_with_rows
from airflow_provider_stitch.emulator.model.event_queue import EventQueue
from airflow_provider_stitch.emulator.model.jobs.job_store import JobStore
from airflow_provider_stitch.emulator.model.jobs.load_list import LoadList
from airflow_provider_stitch.emulator.model.notifications import Notifications
from airflow_provider_stitch.emulator.model.plans import EmulatedStream
from airflow_provider_stitch.emulator.model.webhook_url import loopback_address

if TYPE_CHECKING:
    from typing import Any

    from airflow_provider_stitch.emulator.model.connections.destinations import Destination
    from airflow_provider_stitch.emulator.model.ids import Ids
    from airflow_provider_stitch.emulator.model.jobs.timeline import Batch
    from airflow_provider_stitch.emulator.model.plans import CheckPlan, JobPlan
    from airflow_provider_stitch.emulator.model.quirks import Quirks
    from airflow_provider_stitch.emulator.model.webhooks import Outbox

#: Maximum number of minutes until the first scheduled job of a new source starts.
MAX_FIRST_WAIT_MINUTES = 30.0


class Account:
    """The state of one account, with the scheduled events that will change the state."""

    def __init__(self, client_id: int, quirks: Quirks, ids: Ids, outbox: Outbox, email: str) -> None:
        self.client_id = client_id
        self.email = email
        self.quirks = quirks
        self.ids = ids
        self.tokens: dict[str, bool] = {}  # whether each access token is enabled
        self.pricing_plan = PricingPlan()
        self.sources: dict[int, Source] = {}
        self.names: set[str] = set()  # names of the sources that are not deleted
        self.destinations: dict[int, Destination] = {}
        self.paused_without_destination: set[int] = set()  # ids of sources that Stitch paused
        self.new_destination_plan = NewConnectionPlan()
        self.new_source_plans: dict[str, NewConnectionPlan] = {}  # plans for sources of each type
        self.notifications = Notifications(client_id, ids)
        self.events = EventQueue()
        self.load_list = LoadList(self.events, quirks, self._on_load)
        self.jobs = JobStore(
            client_id,
            quirks,
            self.sources,
            self.events,
            self.load_list,
            can_start=self.can_start_job,
            on_discovery=self.discover_streams,
        )
        self._outbox = outbox

    def catch_up(self, now: datetime) -> None:
        """Run all due events."""
        self.events.run_until(now)

    # Destinations

    def on_destinations_changed(self, now: datetime) -> None:
        """Record which sources have a connected destination, and load the batches that waited for one."""
        sources = self.sources.values()
        connected = {s.id for s in sources if s.set_connected(self._is_connected(s), now)}
        self.load_list.update_sources(connected, now)

    def active_destinations(self) -> list[Destination]:
        """Return the destinations that are not deleted."""
        return [d for d in self.destinations.values() if d.deleted_at is None]

    def new_checks(self, connection_id: int) -> ConnectionChecks:
        """Return an empty check history for a new source or destination."""
        return ConnectionChecks(self.client_id, connection_id)

    # Sources

    def add_source(
        self,
        name: str,
        now: datetime,
        *,
        source_id: int | None,
        streams: Mapping[str, int | EmulatedStream],
        display_name: str,
        type_name: str,
        step: str,
        schedule_minutes: float | None,
        paused: bool,
        properties: Mapping[str, Any] | None,
        check: CheckPlan | None,
        job: JobPlan,
    ) -> Source:
        """Add a source for a test, as if the source and its streams had existed since yesterday."""
        _validate_arguments(name, streams, schedule_minutes, paused)
        self._validate_identity(source_id, name, type_name, step)
        check_schedule(properties or {})
        created_at = now - timedelta(days=1)
        source = self.new_source(name, display_name, type_name, created_at, step=step, source_id=source_id)
        defaults = default_properties(type_name, schedule_minutes, now, properties)
        source.apply_properties(defaults, by_stitch=True)
        if step not in {"form", "oauth", "profile"}:
            source.apply_properties(property_values.examples(source.kind.properties, source.provided))
        source.paused_at = now if paused else None
        source.streams = [self._new_stream(key, value) for key, value in streams.items()]
        self._plan_jobs_or_remove(source, job)
        if check is not None:
            source.checks.planned.append(check)
            self.start_check(source, now)
        elif source.kind.has_extractions:
            source.checks.start(created_at)
        if schedule_minutes is not None:
            source.schedule_minutes = schedule_minutes
            self.schedule(source, next_start(source.properties, schedule_minutes, now))
        return source

    def _plan_jobs_or_remove(self, source: Source, plan: JobPlan) -> None:
        """Set the plan for the jobs of a new source. If the plan is invalid, remove the source."""
        try:
            self.jobs.plan_all(source, plan)
        except ValueError:
            self.names.discard(source.name)
            del self.sources[source.id]
            raise

    def _validate_identity(self, source_id: int | None, name: str, type_name: str, step: str) -> None:
        """Check the id, name, type and configuration step of a new source.

        :raises ValueError: if another source has the same id or name, or if the type or the step does not
            exist.
        """
        if source_id in self.sources:
            raise ValueError(f"Source {source_id} already exists.")
        # The name of a deleted source can be reused.
        if name in self.names:
            raise ValueError(f"A source named {name!r} already exists.")
        check_source_type(type_name, self.new_source_plans)
        if step not in source_type(type_name).steps:
            raise ValueError(f"A source of type {type_name} has no step {step!r}.")

    def new_source(
        self,
        name: str,
        display_name: str,
        type_name: str,
        now: datetime,
        *,
        step: str = "form",
        source_id: int | None = None,
    ) -> Source:
        """Create a source without streams. The source loads into the account's first destination, if any."""
        number = self.ids.take("source", source_id)
        source = Source(
            id=number,
            client_id=self.client_id,
            name=name,
            display_name=display_name,
            type=type_name,
            properties={},
            step=step,
            created_at=now,
            updated_at=now,
            checks=self.new_checks(number),
            quirks=self.quirks,
            destination_id=next((d.id for d in self.active_destinations()), None),
        )
        source.set_connected(self._is_connected(source), now)
        self.sources[number] = source
        self.names.add(name)
        return source

    def source(self, source_id: int) -> Source:
        """Return the source with this id.

        :raises ValueError: if the account does not have this source.
        """
        if source_id not in self.sources:
            raise ValueError(f"Account {self.client_id} has no source {source_id}.")
        return self.sources[source_id]

    def delete_source(self, source: Source, now: datetime) -> None:
        """Mark a source as deleted. The API still returns the source, and a running job continues."""
        if source.deleted_at is None:
            source.deleted_at = source.updated_at = now
            self.names.discard(source.name)

    # Connection checks, discovery and schedules

    def start_check(self, source: Source, now: datetime) -> ConnectionCheck:
        """Start a connection check of a source. A successful check also discovers streams."""
        check = source.checks.start(now)
        self.events.schedule(check.ends_at, self._finish_check, source, check)
        return check

    def _finish_check(self, source: Source, check: ConnectionCheck, now: datetime) -> None:
        if check.succeeded(now):
            self.discover_streams(source)
            self.schedule_if_configured(source, now)
        elif self.quirks.failed_check_resets_step and source.kind.has_extractions:
            source.step = "discover_schema"

    def discover_streams(self, source: Source) -> None:
        """Make the undiscovered streams of a source visible."""
        known = {stream.tap_stream_id for stream in source.streams}
        for key, rows_or_stream in source.undiscovered.items():
            stream = self._new_stream(key, rows_or_stream)
            if stream.tap_stream_id not in known:
                source.streams.append(stream)
        source.undiscovered.clear()

    def _new_stream(self, key: str, rows_or_stream: int | EmulatedStream) -> Stream:
        emulated = stream_with_rows(rows_or_stream) if isinstance(rows_or_stream, int) else rows_or_stream
        return make_stream(key, emulated, self.ids.take("stream"))

    def schedule_if_configured(self, source: Source, now: datetime) -> None:
        """Schedule the jobs of a source if it is now fully configured for the first time."""
        configured = source.current_step(now) == "fully_configured"
        if configured and source.schedule_when_configured and source.schedule_minutes is None:
            minutes = float(source.properties["frequency_in_minutes"])
            source.schedule_minutes = minutes
            start = next_start(source.properties, minutes, now)
            if start is not None and not source.properties.get("cron_expression"):
                start = min(start, now + timedelta(minutes=MAX_FIRST_WAIT_MINUTES))
            self.schedule(source, start)

    def schedule(self, source: Source, start: datetime | None) -> None:
        """Schedule the next job for a source. When that job is due, the job after it is scheduled.

        :param start: the start time of the job. If None, stop scheduling jobs for the source.
        """
        source.next_start = start
        if start is not None:
            self.events.schedule(start, self._start_scheduled_job, source)

    def _start_scheduled_job(self, source: Source, now: datetime) -> None:
        """Start a scheduled job unless another job is running, and schedule the next job."""
        if source.next_start != now or source.schedule_minutes is None or source.deleted_at is not None:
            return
        if not source.paused and not self.jobs.running(source, now) and self.can_start_job(source, now):
            self.jobs.add(source, now, "schedule")
        self.schedule(source, next_start(source.properties, source.schedule_minutes, now))

    def can_start_job(self, source: Source, now: datetime) -> bool:
        """Return whether Stitch would start a job of this source."""
        if not source.kind.has_extractions:
            return False
        return not self.quirks.reject_unready_starts or (
            source.current_step(now) == "fully_configured" and self._is_connected(source)
        )

    def _is_connected(self, source: Source) -> bool:
        destination = self.destinations.get(source.destination_id or 0)
        return destination is not None and destination.deleted_at is None and destination.connected

    # Webhooks

    def _on_load(self, source: Source, stream: Stream, batch: Batch, loaded_at: datetime) -> None:
        if batch.rows == 0:
            return  # Stitch sends no webhook for a batch without rows
        destination = self.destinations.get(source.destination_id or 0)
        for hook in self.notifications.hooks.values():
            if destination is not None and hook.receives(destination.id, loaded_at):
                payload = webhooks.make_payload(
                    source, stream, batch, destination=destination, loaded_at=loaded_at, quirks=self.quirks
                )
                local = loopback_address(hook.url) is not None
                self._outbox.add(webhooks.make_webhook(hook, loaded_at, payload, local=local))


def _validate_arguments(name: object, streams: object, schedule_minutes: object, paused: object) -> None:
    """Check the arguments of a new source.

    :raises ValueError: if an argument is invalid.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"name must be a non-empty string, not {name!r}.")
    if not isinstance(streams, Mapping):
        raise ValueError(f"streams must be a dict with a number of rows for each stream, not {streams!r}.")
    for stream, rows in streams.items():
        if not isinstance(rows, EmulatedStream) and (isinstance(rows, bool) or not isinstance(rows, int)):
            raise ValueError(
                f"streams[{stream!r}] must be a number of rows or an EmulatedStream, not {rows!r}."
            )
        if isinstance(rows, int) and rows < 0:
            raise ValueError(f"streams[{stream!r}] must be 0 or more rows, not {rows}.")
    if schedule_minutes is not None and (
        isinstance(schedule_minutes, bool) or not isinstance(schedule_minutes, (int, float))
    ):
        raise ValueError(f"schedule_minutes must be a number, not {schedule_minutes!r}.")
    if schedule_minutes is not None and schedule_minutes <= 0:
        raise ValueError(f"schedule_minutes must be above 0, not {schedule_minutes:g}.")
    if not isinstance(paused, bool):
        raise ValueError(
            f"paused must be True or False, not {paused!r}. To pause the source as Stitch itself does, call "
            "pause_source(by_stitch=True)."
        )
