"""Sources and destinations of an emulated account, as a test arranges them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import destinations
from airflow_provider_stitch.emulator.allowance import NewConnections
from airflow_provider_stitch.emulator.catalogue import DESTINATION_TYPES, source_type
from airflow_provider_stitch.emulator.handle_base import Handle
from airflow_provider_stitch.emulator.plans import CheckPlan, EmulatedStream, JobPlan
from airflow_provider_stitch.emulator.refusal import Refusal
from airflow_provider_stitch.emulator.updates import unselected

if TYPE_CHECKING:
    from collections.abc import Mapping


class SourcesHandle(Handle):
    """Sources and destinations."""

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
        :param schedule_minutes: Stitch itself starts a job so often, the first after as many minutes; or as
            the ``anchor_time`` (from 60 minutes on) or the ``cron_expression`` of the properties says.
        :param check: how the connection check goes that begins now. None: one went well a day ago.
        :raises ValueError: the name or id is taken, or a plan names an unknown stream.
        """
        with self._world.at_now() as now:
            source = self._account.add_source(
                name,
                now,
                source_id=source_id,
                streams=streams,
                display_name=name if display_name is None else display_name,
                type_name=type,
                step=current_step,
                schedule_minutes=schedule_minutes,
                paused=paused,
                properties=properties,
                check=check,
                job=job or JobPlan(),
            )
            return source.id

    def add_streams(self, source_id: int, streams: Mapping[str, int | EmulatedStream]) -> None:
        """The source has new tables. Its next discovery finds them, so they show after the next job or check.

        An Import API or webhook source has no discovery: rows bring its tables at once.

        :param streams: as for ``add_source``; where a number is given, nobody has selected the stream.
        """
        with self._source(source_id) as (source, _):
            extracted = source.kind.singer_backed
            found = {key: unselected(plan) if extracted else plan for key, plan in streams.items()}
            source.undiscovered.update(found)
            if not extracted:
                self._account.discover(source)

    def plan_new_sources(
        self,
        type: str,  # noqa: A002 - Stitch's word
        *,
        streams: Mapping[str, int | EmulatedStream] | None = None,
        job: JobPlan | None = None,
        check: CheckPlan | None = None,
    ) -> None:
        """How sources of a type turn out that are created through the API. The type need not be modelled.

        :param streams: what discovery finds; where a number is given, nobody has selected the stream.
            None: as before, or what sources of the type usually have.
        :param job: how their jobs go. None: as before, or the usual way.
        :param check: how the first check of the next such source goes. None: as planned before, or well.
        """
        if not source_type(type).singer_backed:
            raise ValueError(f"A source of type {type} has no discovery, no check and no jobs.")
        with self._world.at_now():
            new = self._account.new_sources.setdefault(type, NewConnections())
            new.streams = new.streams if streams is None else dict(streams)
            new.job = job or new.job
            new.checks.extend([] if check is None else [check])

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
            self._account.delete_source(source, now)

    def set_step(self, source_id: int, current_step: str) -> None:
        """Put a source's configuration at a step, such as ``field_selection``."""
        with self._source(source_id) as (source, _):
            if current_step not in source.kind.steps:
                raise ValueError(f"A source of type {source.type} has no step {current_step!r}.")
            source.step = current_step

    def plan_next_check(self, source_id: int, check: CheckPlan) -> None:
        """How the connection check goes that the next update of the source starts."""
        with self._source(source_id) as (source, _):
            source.checks.planned.append(check)

    def start_check(self, source_id: int) -> str:
        """A connection check that somebody else starts now. Returns its name."""
        with self._source(source_id) as (source, now):
            return self._account.begin_check(source, now).name

    def import_tokens(self, source_id: int) -> list[int]:
        """The ids of the active tokens of an Import API source."""
        with self._source(source_id) as (source, _):
            return list(source.import_tokens)

    # Destinations

    def add_destination(
        self,
        type: str = "postgres",  # noqa: A002 - Stitch's word
        *,
        name: str | None = None,
        properties: Mapping[str, Any] | None = None,
        check: CheckPlan | None = None,
    ) -> int:
        """Add a destination and return its id. Sources that have none are mapped to it.

        :param check: how the connection check goes that begins now. None: it is connected already.
        :raises ValueError: Stitch has no such type, or the account may have no more.
        """
        if type not in DESTINATION_TYPES:
            raise ValueError(f"Stitch has no destinations of type {type!r}.")
        with self._world.at_now() as now:
            try:
                added = destinations.create(
                    self._account,
                    now,
                    destination_type=type,
                    properties=properties or {},
                    name=name,
                    begin_check=False,
                )
            except Refusal as refusal:
                raise ValueError(f"Stitch says: {refusal.body}.") from refusal
            added.checks.planned.extend([] if check is None else [check])
            destinations.check(self._account, added, now)
            if check is None:
                destinations.connect(self._account, added, now)
            return added.id

    def delete_destination(self, destination_id: int) -> None:
        """A user deletes a destination. Stitch pauses the sources that were mapped to it."""
        with self._world.at_now() as now:
            known = {destination.id: destination for destination in self._account.live_destinations()}
            if destination_id not in known:
                raise ValueError(f"Account {self._account.client_id} has no destination {destination_id}.")
            destinations.delete(self._account, known[destination_id], now)

    def delete_destinations(self) -> None:
        """A user deletes all the account's destinations; Stitch then pauses every source."""
        with self._world.at_now() as now:
            for destination in self._account.live_destinations():
                destinations.delete(self._account, destination, now)

    def plan_destination_check(self, check: CheckPlan, destination_id: int | None = None) -> None:
        """How the next check of a destination goes; None: of the next that is created through the API."""
        with self._world.at_now():
            if destination_id is None:
                self._account.new_destinations.checks.append(check)
            elif destination_id in self._account.destinations:
                self._account.destinations[destination_id].checks.planned.append(check)
            else:
                raise ValueError(f"Account {self._account.client_id} has no destination {destination_id}.")
