"""Methods that a test calls to add and change sources and destinations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.control.base import AccountControl
from airflow_provider_stitch.emulator.model import destination_updates
from airflow_provider_stitch.emulator.model.account_plan import NewConnectionPlan
from airflow_provider_stitch.emulator.model.api_errors import ApiError
from airflow_provider_stitch.emulator.model.connections.connector_types import (
    check_destination_type,
    source_type,
)
from airflow_provider_stitch.emulator.model.plans import CheckPlan, EmulatedStream, JobPlan
from airflow_provider_stitch.emulator.model.source_updates import unselected

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SourceRecord:
    """A source of an emulated account."""

    id: int
    name: str
    streams: tuple[str, ...]  #: names of the streams that discovery has found


class SourceControl(AccountControl):
    """Methods that control the sources and destinations of an emulated account."""

    # Sources

    def add_source(
        self,
        name: str,
        *,
        streams: Mapping[str, int | EmulatedStream],
        display_name: str | None = None,
        type: str = "platform.github",  # noqa: A002 - Stitch's API uses the same parameter name
        job: JobPlan | None = None,
        schedule_minutes: float | None = None,
        paused: bool = False,
        current_step: str = "fully_configured",
        source_id: int | None = None,
        properties: Mapping[str, Any] | None = None,
        check: CheckPlan | None = None,
    ) -> int:
        """Add a source and return its id.

        :param streams: a number of rows per job or an ``EmulatedStream``, for each ``tap_stream_id``.
        :param type: a documented type, a webhook type, or a type for which ``plan_new_sources`` was called.
        :param job: the plan for all jobs of this source.
        :param schedule_minutes: the interval between scheduled jobs, and until the first job. If None, Stitch
            schedules no jobs. ``cron_expression`` and, from 60 minutes, ``anchor_time`` take precedence.
        :param check: a plan for a check that starts now. If None, the last check succeeded a day ago.
        :raises ValueError: if an argument is invalid, or if another source has the same name or id.
        """
        with self._state.locked() as now:
            return self._account.add_source(
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
            ).id

    @property
    def sources(self) -> list[SourceRecord]:
        """The sources of the account that are not deleted, in order of creation."""
        with self._state.locked():
            return [
                SourceRecord(each.id, each.name, tuple(stream.stream_name for stream in each.streams))
                for each in self._account.sources.values()
                if each.deleted_at is None
            ]

    def add_streams(self, source_id: int, streams: Mapping[str, int | EmulatedStream]) -> None:
        """Add streams that the next job or connection check discovers.

        Import API and webhook sources have no discovery, so their new streams are visible immediately.

        :param streams: the new streams, as in :meth:`add_source`. If only a number of rows is given for a
            stream, the stream is not selected.
        """
        with self._source(source_id) as (source, _):
            extracted = source.kind.has_extractions
            new = {key: unselected(plan) if extracted else plan for key, plan in streams.items()}
            source.undiscovered.update(new)
            if not extracted:
                self._account.discover_streams(source)

    def plan_new_sources(
        self,
        type: str,  # noqa: A002 - Stitch's API uses the same parameter name
        *,
        streams: Mapping[str, int | EmulatedStream] | None = None,
        job: JobPlan | None = None,
        check: CheckPlan | None = None,
    ) -> None:
        """Plan the sources of a type that will be created through the API.

        :param type: the source type. Types that Stitch does not document are allowed.
        :param streams: the streams that discovery finds. If only a number of rows is given for a stream, the
            stream is not selected. If None, the streams of an earlier call or the default streams of the type
            are used.
        :param job: the plan for all jobs of these sources. If None, the plan of an earlier call or the
            default plan is used.
        :param check: the plan for the first connection check of one new source. Call this method again to
            plan the check of a further source. A check without a plan succeeds.
        :raises ValueError: if sources of this type have no extractions.
        """
        if not source_type(type).has_extractions:
            raise ValueError(f"Sources of type {type} have no discovery, checks or jobs that can be planned.")
        with self._state.locked():
            new = self._account.new_source_plans.setdefault(type, NewConnectionPlan())
            new.streams = new.streams if streams is None else dict(streams)
            new.job = job or new.job
            new.checks.extend([] if check is None else [check])

    def pause_source(self, source_id: int, *, by_stitch: bool = False) -> None:
        """Pause a source. A running job continues.

        :param by_stitch: whether the source is paused by Stitch itself instead of a user.
        """
        with self._source(source_id) as (source, now):
            source.updated_at = now
            if by_stitch:
                source.system_paused_at = now
            else:
                source.paused_at = now

    def unpause_source(self, source_id: int) -> None:
        """Unpause a source, even if Stitch itself has paused the source."""
        with self._source(source_id) as (source, now):
            source.paused_at = source.system_paused_at = None
            source.updated_at = now

    def delete_source(self, source_id: int) -> None:
        """Delete a source in the same way as a user. The API still returns the source."""
        with self._source(source_id) as (source, now):
            self._account.delete_source(source, now)

    def set_step(self, source_id: int, current_step: str) -> None:
        """Set the current configuration step of a source, such as ``field_selection``."""
        with self._source(source_id) as (source, _):
            if current_step not in source.kind.steps:
                raise ValueError(f"A source of type {source.type} has no step {current_step!r}.")
            source.step = current_step

    def plan_next_check(self, source_id: int, check: CheckPlan) -> None:
        """Plan the next connection check of a source. The check starts when the source is next updated."""
        with self._source(source_id) as (source, _):
            source.checks.planned.append(check)

    def start_check(self, source_id: int) -> str:
        """Start a connection check in the same way as another user, and return the name of the check."""
        with self._source(source_id) as (source, now):
            return self._account.start_check(source, now).name

    def import_tokens(self, source_id: int) -> list[int]:
        """Return the ids of an Import API source's active tokens."""
        with self._source(source_id) as (source, _):
            return list(source.import_tokens)

    # Destinations

    def add_destination(
        self,
        type: str = "postgres",  # noqa: A002 - Stitch's API uses the same parameter name
        *,
        name: str | None = None,
        properties: Mapping[str, Any] | None = None,
        check: CheckPlan | None = None,
    ) -> int:
        """Add a destination and return its id.

        Sources without a destination load into the new destination.

        :param check: the plan of a connection check that starts now. If None, the destination is already
            connected.
        :raises ValueError: if Stitch does not have this destination type, or if the account's pricing plan
            does not allow another destination.
        """
        check_destination_type(type)
        with self._state.locked() as now:
            try:
                destination = destination_updates.create_destination(
                    self._account,
                    now,
                    destination_type=type,
                    properties=properties or {},
                    name=name,
                    check=False,
                )
            except ApiError as error:
                raise ValueError(
                    f"Stitch rejects the destination with status {error.status}: {error.body}"
                ) from error
            destination.checks.planned.extend([] if check is None else [check])
            destination_updates.start_destination_check(self._account, destination, now)
            if check is None:
                destination_updates.connect_destination(self._account, destination, now)
            return destination.id

    def delete_destination(self, destination_id: int) -> None:
        """Delete a destination in the same way as a user.

        Stitch then pauses the sources that load into this destination.
        """
        with self._state.locked() as now:
            known = {destination.id: destination for destination in self._account.active_destinations()}
            if destination_id not in known:
                raise ValueError(f"Account {self._account.client_id} has no destination {destination_id}.")
            destination_updates.delete_destination(self._account, known[destination_id], now)

    def delete_destinations(self) -> None:
        """Delete all destinations in the same way as a user. Stitch then pauses every source."""
        with self._state.locked() as now:
            for destination in self._account.active_destinations():
                destination_updates.delete_destination(self._account, destination, now)

    def plan_destination_check(self, check: CheckPlan, destination_id: int | None = None) -> None:
        """Plan the next connection check of a destination.

        :param destination_id: the id of the destination. If None, plan the first check of the next
            destination that is created through the API.
        :raises ValueError: if the account has no destination with this id.
        """
        with self._state.locked():
            if destination_id is None:
                self._account.new_destination_plan.checks.append(check)
            elif destination_id in self._account.destinations:
                self._account.destinations[destination_id].checks.planned.append(check)
            else:
                raise ValueError(f"Account {self._account.client_id} has no destination {destination_id}.")
