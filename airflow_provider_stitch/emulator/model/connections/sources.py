"""Sources, with their configuration, names, streams and JSON representation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.connections import property_values, report_cards, taps
from airflow_provider_stitch.emulator.model.connections.connector_types import SourceType, source_type
from airflow_provider_stitch.emulator.model.connections.load_outage import LoadOutage
from airflow_provider_stitch.emulator.model.connections.schedule import DEFAULT_FREQUENCY_MINUTES
from airflow_provider_stitch.emulator.model.connections.streams import SelectedStream
from airflow_provider_stitch.emulator.model.times import (
    format_optional_time,
    format_time,
    format_time_ms,
    parse_time,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.connections.checks import ConnectionChecks
    from airflow_provider_stitch.emulator.model.connections.streams import Stream
    from airflow_provider_stitch.emulator.model.plans import EmulatedStream, Target
    from airflow_provider_stitch.emulator.model.quirks import Quirks

#: The steps that require input from a user.
INPUT_STEPS = ("form", "oauth", "profile")
_SCHEMAS_IN_NAMES = "include_schemas_in_destination_stream_name"


@dataclass
class Source:
    """A source of an account."""

    id: int
    client_id: int
    name: str
    display_name: str
    type: str
    properties: dict[str, Any]
    step: str
    created_at: datetime
    updated_at: datetime
    checks: ConnectionChecks
    quirks: Quirks = field(repr=False)
    credentials: set[str] = field(default_factory=set)  #: the names of the credentials that have a value
    streams: list[Stream] = field(default_factory=list)
    #: New streams that the next discovery will find.
    undiscovered: dict[str, int | EmulatedStream] = field(default_factory=dict)
    destination_id: int | None = None
    schedule_minutes: float | None = None
    next_start: datetime | None = None
    #: Whether Stitch schedules jobs once the source is fully configured.
    schedule_when_configured: bool = False
    paused_at: datetime | None = None
    system_paused_at: datetime | None = None
    deleted_at: datetime | None = None
    #: Creation times of the active Import API tokens, by token id.
    import_tokens: dict[int, datetime] = field(default_factory=dict)
    #: Periods without a connected destination.
    disconnected_periods: list[LoadOutage] = field(default_factory=list)

    @property
    def kind(self) -> SourceType:
        return source_type(self.type)

    @property
    def paused(self) -> bool:
        return self.paused_at is not None or self.system_paused_at is not None

    @property
    def tap_name(self) -> str:
        """Return the name of the tap in extractions, such as ``tap-github``."""
        return "tap-" + self.type.removeprefix("platform.").removeprefix("hp-")

    @property
    def target_program(self) -> Target:
        """Return the target that Stitch uses for sources of this type."""
        return "avro" if taps.is_version_2(self.type) else "target-stitch"

    @property
    def schema_in_load_names(self) -> bool:
        return bool(self.properties.get(_SCHEMAS_IN_NAMES) == "true")

    @property
    def provided(self) -> set[str]:
        """Return the names of the properties that have a value."""
        return {name for name, value in self.properties.items() if value is not None} | self.credentials

    def stream(self, name: str) -> Stream:
        """Return the stream with the given key, ``tap_stream_id`` or unique stream name.

        :raises ValueError: if no stream has this name, or if several streams have the same name.
        """
        for stream in self.streams:
            if name in (stream.key, stream.tap_stream_id):
                return stream
        same_name = [stream for stream in self.streams if stream.stream_name == name]
        if len(same_name) == 1:
            return same_name[0]
        known = ", ".join(stream.key for stream in self.streams) or "none"
        raise ValueError(
            f"Source {self.name} does not have exactly one stream {name!r}. Streams of the source: {known}."
        )

    def selected_streams(self) -> list[SelectedStream]:
        """Return the selected streams for a new job."""
        return [self._selected_stream(stream) for stream in self.streams if stream.selected]

    def _selected_stream(self, stream: Stream) -> SelectedStream:
        log_based = stream.replication_method == "LOG_BASED"
        return SelectedStream(
            key=stream.key,
            tap_stream_id=stream.tap_stream_id,
            target_name=self.target_name(stream),
            rows=stream.plan.rows,
            flushes=stream.plan.flushes,
            bookmark=stream.bookmark,
            table=stream.table,
            counter_tags=taps.counter_tags(self.type),
            counted=taps.counts_rows(self.type, log_based=log_based),
        )

    # Names

    def load_name(self, stream: Stream) -> str:
        """Return the stream name that a load contains.

        If table names include schemas, Stitch does not document the stream name.
        """
        if self.quirks.load_names == "source":
            return stream.stream_name
        return self.table_name(stream) if self.quirks.load_names == "destination" else self._sent_name(stream)

    def target_name(self, stream: Stream) -> str:
        """Return the stream name that the target sends. The Avro target sends the same name as in loads."""
        return self.load_name(stream) if taps.is_version_2(self.type) else self._sent_name(stream)

    def table_name(self, stream: Stream) -> str:
        """Return the name of a stream's table in the destination."""
        prefix = stream.schema_name or stream.plan.database_name
        return (
            f"{prefix}__{stream.stream_name}" if self.schema_in_load_names and prefix else stream.stream_name
        )

    def _sent_name(self, stream: Stream) -> str:
        """Return the table name that the target sends to the Import API."""
        if not self.schema_in_load_names:
            return stream.stream_name
        if taps.is_version_2(self.type):
            return self.table_name(stream)  # the name is not documented, so the table name is used
        prefix = taps.prefix_of_tables(self.type)
        if prefix == "tap_stream_id":
            return stream.tap_stream_id
        qualifier = stream.schema_name if prefix == "schema" else stream.plan.database_name
        return f"{qualifier}_{stream.stream_name}" if prefix and qualifier else stream.stream_name

    # Destination

    def set_connected(self, connected: bool, now: datetime) -> bool:  # noqa: FBT001
        """Record whether the source has a connected destination.

        :return: True if the source now has a connected destination but previously had none.
        """
        was_disconnected = bool(self.disconnected_periods) and self.disconnected_periods[-1].until is None
        if connected and was_disconnected:
            self.disconnected_periods[-1].until = now
        elif not connected and not was_disconnected:
            self.disconnected_periods.append(LoadOutage(now, ""))
        return connected and was_disconnected

    # Configuration

    def apply_properties(self, properties: Mapping[str, Any], *, by_stitch: bool = False) -> None:
        """Store valid properties. For credentials, the names are stored but not the values."""
        shown, secret = property_values.split(properties, self.kind.properties, by_stitch=by_stitch)
        self.credentials |= secret
        if isinstance(shown.get("anchor_time"), str):
            shown["anchor_time"] = format_time_ms(parse_time(shown["anchor_time"]))
        if shown.get("frequency_in_minutes", "") is None:
            shown["frequency_in_minutes"] = str(DEFAULT_FREQUENCY_MINUTES)
        self.properties = {**self.properties, **shown}

    def advance_input_steps(self) -> None:
        """Skip the input steps for which all required properties are given."""
        steps = self.kind.steps
        order = list(steps)
        while self.step in INPUT_STEPS:
            if report_cards.missing_properties(steps[self.step], self.provided):
                return
            self.step = order[order.index(self.step) + 1]

    @property
    def can_be_checked(self) -> bool:
        """Return whether the source type has connection checks and all required properties are given."""
        return self.kind.has_extractions and self.step not in INPUT_STEPS

    def current_step(self, now: datetime) -> str:
        """Return the current step, after advancing it if a check succeeded or a stream was selected."""
        check = self.checks.last
        if self.step == "discover_schema" and check is not None and check.succeeded(now):
            self.step = "field_selection"
        if self.step == "field_selection" and any(self._is_selected(stream) for stream in self.streams):
            self.step = "fully_configured"
        return self.step

    def _is_selected(self, stream: Stream) -> bool:
        if not stream.selected:
            return False
        return stream.has_selected_field() or not self.quirks.selection_needs_a_field

    # JSON

    def body(self, now: datetime) -> dict[str, Any]:
        """Return the JSON representation of the source. See "Source object" in the Stitch Connect API."""
        check = self.checks.last
        names_check = self.quirks.name_checks_in_reads and check is not None
        return {
            "properties": dict(self.properties),
            "updated_at": format_time(self.updated_at),
            "schedule": self._schedule(),
            **({"check_job_name": check.name} if names_check and check else {}),
            "name": self.name,
            "type": self.type,
            "deleted_at": format_optional_time(self.deleted_at),
            "system_paused_at": format_optional_time(self.system_paused_at),
            "stitch_client_id": self.client_id,
            "paused_at": format_optional_time(self.paused_at),
            "id": self.id,
            "display_name": self.display_name,
            "created_at": format_time(self.created_at),
            "report_card": self.report_card(now),
        }

    def report_card(self, now: datetime) -> dict[str, Any]:
        return report_cards.source_report_card(self.kind, self.current_step(now), self.provided, self.quirks)

    def _schedule(self) -> dict[str, Any] | None:
        if self.schedule_minutes is None or self.next_start is None or self.paused or self.deleted_at:
            return None
        cron = self.properties.get("cron_expression")
        if cron:
            return {"type": "cron", "cron_expression": cron, "next_fire_time": format_time(self.next_start)}
        return {
            "type": "interval",
            "unit": "minute",
            "interval": float(self.schedule_minutes),
            "next_fire_time": format_time(self.next_start),
        }


def default_properties(
    source_type_name: str, schedule_minutes: float | None, now: datetime, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the properties of a source that a test adds, including properties that Stitch sets."""
    if not source_type(source_type_name).has_extractions:
        return dict(given or {})
    return {
        **system_properties(schedule_minutes or 60),
        "anchor_time": format_time_ms(now),
        "start_date": "2025-01-01T00:00:00Z",
        **(given or {}),
    }


def system_properties(frequency_in_minutes: float) -> dict[str, Any]:
    """Return the properties that Stitch sets when a source is created."""
    return {
        "cron_expression": None,
        "frequency_in_minutes": f"{frequency_in_minutes:g}",
        "image_version": "1.latest",
        "product": "pipeline",
    }
