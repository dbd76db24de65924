"""One Stitch account: its sources and destinations, the jobs that run in it, and what its lists show.

The account knows nothing of HTTP. Whoever calls it holds the emulator's lock and says what time it is;
:meth:`Account.catch_up` must come first, for it does what was due in the meantime.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator import destinations, values, webhooks
from airflow_provider_stitch.emulator.agenda import Agenda
from airflow_provider_stitch.emulator.allowance import Allowance, NewConnections
from airflow_provider_stitch.emulator.catalogue import source_type
from airflow_provider_stitch.emulator.checks import Check, Checks
from airflow_provider_stitch.emulator.job_book import JobBook
from airflow_provider_stitch.emulator.load_list import LoadList
from airflow_provider_stitch.emulator.loopback import hook_address
from airflow_provider_stitch.emulator.notifications import Notifications
from airflow_provider_stitch.emulator.schedule import next_slot
from airflow_provider_stitch.emulator.sources import Source, usual_properties
from airflow_provider_stitch.emulator.streams import Stream, make_stream, stream_with_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from airflow_provider_stitch.emulator.destinations import Destination
    from airflow_provider_stitch.emulator.ids import Ids
    from airflow_provider_stitch.emulator.jobs import Batch
    from airflow_provider_stitch.emulator.plans import CheckPlan, EmulatedStream, JobPlan, Quirks
    from airflow_provider_stitch.emulator.webhooks import Outbox

#: The first scheduled job of a new source can take so long to come.
LONGEST_FIRST_WAIT = 30.0


class Account:
    """The state of one account, and what happens in it."""

    def __init__(self, client_id: int, quirks: Quirks, ids: Ids, outbox: Outbox, email: str) -> None:
        self.client_id = client_id
        self.email = email
        self.quirks = quirks
        self.ids = ids
        self.tokens: dict[str, bool] = {}  # token -> enabled
        self.allowed = Allowance()
        self.sources: dict[int, Source] = {}
        self.names: set[str] = set()  # of the sources that are not deleted
        self.destinations: dict[int, Destination] = {}
        self.paused_without_destination: set[int] = set()  # sources that Stitch paused
        self.new_destinations = NewConnections()
        self.new_sources: dict[str, NewConnections] = {}  # by type
        self.notifications = Notifications(client_id, ids)
        self.agenda = Agenda()
        self.load_list = LoadList(self.agenda, quirks, self._on_load)
        self.jobs = JobBook(self)
        self._outbox = outbox

    def catch_up(self, now: datetime) -> None:
        """Do what was due by now."""
        self.agenda.run_until(now)

    # Destinations

    def add_usual_destination(self, now: datetime) -> None:
        """The destination that an account of a test begins with, connected and checked long ago."""
        created_at = now - timedelta(days=30)
        properties = {"database": "staging", "host": "pg.acme.example", "port": "5432", "username": "stitch"}
        added = destinations.create(
            self,
            created_at,
            destination_type="postgres",
            properties={**properties, "password": "secret"},
            name="Staging",
            begin_check=False,
        )
        added.checks.begin(created_at)
        destinations.connect(self, added, created_at)

    def note_destinations(self, now: datetime) -> None:
        """Destinations have changed: what waited for one is loaded, and what has none is not."""
        sources = self.sources.values()
        back = {s.id for s in sources if s.note_destination(self._is_connected(s), now)}
        self.load_list.look_again(back, now)

    def live_destinations(self) -> list[Destination]:
        """Those that are not deleted."""
        return [d for d in self.destinations.values() if d.deleted_at is None]

    def new_checks(self, connection_id: int) -> Checks:
        """The checks of a new source or destination."""
        return Checks(self.client_id, connection_id)

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
        """A source that a test adds as if it had been there since yesterday, with streams discovered."""
        if schedule_minutes is not None and schedule_minutes <= 0:
            raise ValueError(f"A schedule of every {schedule_minutes:g} minutes would never end.")
        self._check_new(source_id, name, type_name, step)
        created_at = now - timedelta(days=1)
        source = self.new_source(name, display_name, type_name, created_at, step=step, source_id=source_id)
        source.give(usual_properties(type_name, schedule_minutes, now, properties), by_stitch=True)
        if step not in {"form", "oauth", "profile"}:
            source.give(values.examples(source.kind.properties, source.provided))
        source.paused_at = now if paused else None
        source.streams = [self._new_stream(key, plan) for key, plan in streams.items()]
        if check is not None:
            source.checks.planned.append(check)
            self.begin_check(source, now)
        elif source.kind.singer_backed:
            source.checks.begin(created_at)
        if schedule_minutes is not None:
            source.schedule_minutes = schedule_minutes
            self.schedule(source, next_slot(source.properties, schedule_minutes, now))
        self.jobs.plan_all(source, job)
        return source

    def _check_new(self, source_id: int | None, name: str, type_name: str, step: str) -> None:
        if source_id in self.sources:
            raise ValueError(f"There is a source {source_id} already.")
        # The name of a deleted source can be used again.
        if name in self.names:
            raise ValueError(f"There is a source named {name!r} already.")
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
        """A source with nothing in it yet, mapped to the account's first destination, if it has one."""
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
            destination_id=next((d.id for d in self.live_destinations()), None),
        )
        source.note_destination(self._is_connected(source), now)
        self.sources[number] = source
        self.names.add(name)
        return source

    def source(self, source_id: int) -> Source:
        """A source that a test names."""
        if source_id not in self.sources:
            raise ValueError(f"Account {self.client_id} has no source {source_id}.")
        return self.sources[source_id]

    def delete_source(self, source: Source, now: datetime) -> None:
        """Delete softly: the source stays readable, with ``deleted_at``. A running job is not stopped."""
        if source.deleted_at is None:
            source.deleted_at = source.updated_at = now
            self.names.discard(source.name)

    # Checks, discovery and schedule

    def begin_check(self, source: Source, now: datetime) -> Check:
        """A connection check of a source begins. A good one also finds streams."""
        begun = source.checks.begin(now)
        self.agenda.at(begun.ends_at, self._after_check, source, begun)
        return begun

    def _after_check(self, source: Source, begun: Check, instant: datetime) -> None:
        if begun.succeeded(instant):
            self.discover(source)
            self.configure(source, instant)
        elif self.quirks.failed_check_steps_back and source.kind.singer_backed:
            source.step = "discover_schema"

    def discover(self, source: Source) -> None:
        """What there was to be found is among the source's streams now."""
        known = {stream.tap_stream_id for stream in source.streams}
        for key, plan in source.undiscovered.items():
            stream = self._new_stream(key, plan)
            if stream.tap_stream_id not in known:
                source.streams.append(stream)
        source.undiscovered.clear()

    def _new_stream(self, key: str, plan: int | EmulatedStream) -> Stream:
        full = stream_with_rows(plan) if isinstance(plan, int) else plan
        return make_stream(key, full, self.ids.take("stream"))

    def configure(self, source: Source, now: datetime) -> None:
        """Let the configuration go on; Stitch schedules what is fully configured for the first time."""
        done = source.current_step(now) == "fully_configured"
        if done and source.starts_by_itself and source.schedule_minutes is None:
            minutes = float(source.properties.get("frequency_in_minutes") or LONGEST_FIRST_WAIT)
            source.schedule_minutes = minutes
            slot = next_slot(source.properties, minutes, now)
            if slot is not None and not source.properties.get("cron_expression"):
                slot = min(slot, now + timedelta(minutes=LONGEST_FIRST_WAIT))
            self.schedule(source, slot)

    def schedule(self, source: Source, slot: datetime | None) -> None:
        """Stitch itself starts a job at this instant, and so on; None: never."""
        source.next_slot = slot
        if slot is not None:
            self.agenda.at(slot, self._fire, source)

    def _fire(self, source: Source, slot: datetime) -> None:
        """A slot that falls into a running job is skipped."""
        if source.next_slot != slot or source.schedule_minutes is None or source.deleted_at is not None:
            return
        if not source.paused and not self.jobs.running(source, slot) and self.can_run(source, slot):
            self.jobs.begin(source, slot, "schedule")
        self.schedule(source, next_slot(source.properties, source.schedule_minutes, slot))

    def can_run(self, source: Source, now: datetime) -> bool:
        """Whether a job of this source could come to anything."""
        if not source.kind.singer_backed:
            return False
        return not self.quirks.refuse_hopeless_starts or (
            source.current_step(now) == "fully_configured" and self._is_connected(source)
        )

    def _is_connected(self, source: Source) -> bool:
        destination = self.destinations.get(source.destination_id or 0)
        return destination is not None and destination.deleted_at is None and destination.connected

    # Webhooks

    def _on_load(self, source: Source, stream: Stream, batch: Batch, loaded_at: datetime) -> None:
        if batch.rows == 0:
            return  # a version message alone: Stitch sends no webhook without rows
        destination = self.destinations.get(source.destination_id or 0)
        for hook in self.notifications.hooks.values():
            if destination is not None and hook.wants(destination.id, loaded_at):
                content = webhooks.payload(
                    source, stream, batch, destination=destination, loaded_at=loaded_at, quirks=self.quirks
                )
                reachable = hook_address(hook.url) is not None
                self._outbox.post(webhooks.webhook_of(hook, loaded_at, content, reachable=reachable))
