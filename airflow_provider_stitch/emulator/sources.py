"""Sources with their streams, connection checks and schedules, and destinations: the state and its JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import report_cards
from airflow_provider_stitch.emulator.clock import stamp, stamp_or_none
from airflow_provider_stitch.emulator.jobs import StreamToRead, name_of_job
from airflow_provider_stitch.emulator.plans import CheckPlan, EmulatedStream

if TYPE_CHECKING:
    from collections.abc import Mapping

Breadcrumb = tuple[str, ...]
#: The keys of a stream's metadata that may be written.
WRITABLE_KEYS = ("selected", "replication-method", "replication-key", "view-key-properties")


@dataclass
class Stream:
    """A stream of a source, with its metadata by breadcrumb: ``()`` is the stream, others are fields."""

    key: str
    stream_id: int
    tap_stream_id: str
    stream_name: str
    schema_name: str | None
    plan: EmulatedStream
    metadata: dict[Breadcrumb, dict[str, Any]]

    @property
    def selected(self) -> bool | None:
        value: bool | None = self.metadata[()].get("selected")
        return value

    def body(self) -> dict[str, Any]:
        """The Stream object. Source: Stitch Connect API, "Stream object"."""
        return {
            "selected": self.selected,
            "stream_id": self.stream_id,
            "tap_stream_id": self.tap_stream_id,
            "stream_name": self.stream_name,
            "metadata": dict(self.metadata[()]),
        }

    def schema_body(self) -> dict[str, Any]:
        """The Stream schema object. Its ``schema`` is a string that holds JSON."""
        properties = {name: {"type": ["null", "string"]} for name in self.plan.fields}
        return {
            "schema": json.dumps({"type": "object", "properties": properties}, separators=(",", ":")),
            "metadata": [
                {"breadcrumb": list(crumb), "metadata": dict(data)} for crumb, data in self.metadata.items()
            ],
            "non-discoverable-metadata-keys": list(WRITABLE_KEYS),
        }


def make_stream(key: str, plan: EmulatedStream, stream_id: int) -> Stream:
    """A stream as discovery found it."""
    stream_level: dict[str, Any] = {"selected": plan.selected, "table-key-properties": list(plan.primary_key)}
    if plan.schema_name is None:
        stream_level["forced-replication-method"] = plan.replication_method
        stream_level["valid-replication-keys"] = ["updated_at"]
    else:
        stream_level["schema-name"] = plan.schema_name
        stream_level["database-name"] = plan.database_name
        stream_level["is-view"] = plan.is_view
        stream_level["row-count"] = plan.rows
    metadata: dict[Breadcrumb, dict[str, Any]] = {(): stream_level}
    for name, inclusion in plan.fields.items():
        metadata[("properties", name)] = {"inclusion": inclusion}
        if plan.selected:  # a field's `selected` is present only if the stream is selected
            metadata[("properties", name)]["selected"] = inclusion == "available"
    return Stream(
        key=key,
        stream_id=stream_id,
        tap_stream_id=plan.tap_stream_id or key,
        stream_name=plan.stream_name or key,
        schema_name=plan.schema_name,
        plan=plan,
        metadata=metadata,
    )


@dataclass(frozen=True)
class Check:
    """A connection check under way or over."""

    name: str
    begins_at: datetime
    plan: CheckPlan

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + timedelta(seconds=self.plan.seconds)

    def succeeded(self, now: datetime) -> bool:
        return now >= self.ends_at and self.plan.discovery_exit_status == 0

    def body(self, now: datetime) -> dict[str, Any]:
        """The Connection check object. Source: Stitch Connect API, "Connection check object"."""
        over = now >= self.ends_at
        failed = over and self.plan.discovery_exit_status != 0
        return {
            "name": self.name,
            "mode": "check",
            "status": "failed" if failed else "succeeded" if over else "running",
            "start_time": stamp(self.begins_at),
            "completion_time": stamp_or_none(self.ends_at if over else None),
            "error": failed,
            # Null in the documented sample of a failed check, although its field table says 1.
            "check_exit_status": 0 if over and not failed else None,
            "discovery_exit_status": self.plan.discovery_exit_status if over else None,
            "discovery_error_message": self.plan.discovery_error_message if failed else None,
            "tap_exit_status": None,
            "tap_error_message": None,
            "target_exit_status": None,
            "target_error_message": None,
        }


@dataclass
class Source:
    """A source of an account."""

    id: int
    client_id: int
    name: str
    display_name: str
    type: str
    streams: list[Stream]
    properties: dict[str, Any]
    step: str
    created_at: datetime
    updated_at: datetime
    schedule_minutes: float | None = None
    next_slot: datetime | None = None
    paused_at: datetime | None = None
    system_paused_at: datetime | None = None
    deleted_at: datetime | None = None
    check: Check | None = None
    planned_checks: list[CheckPlan] = field(default_factory=list)

    @property
    def paused(self) -> bool:
        return self.paused_at is not None or self.system_paused_at is not None

    @property
    def tap_name(self) -> str:
        return report_cards.tap_name(self.type)

    @property
    def schema_in_load_names(self) -> bool:
        return bool(self.properties.get("include_schemas_in_destination_stream_name") == "true")

    def stream(self, name: str) -> Stream:
        """The stream that a test means by a name: its key, its ``tap_stream_id``, or its unambiguous name."""
        for stream in self.streams:
            if name in (stream.key, stream.tap_stream_id):
                return stream
        same_name = [stream for stream in self.streams if stream.stream_name == name]
        if len(same_name) == 1:
            return same_name[0]
        known = ", ".join(stream.key for stream in self.streams) or "none"
        raise ValueError(f"{self.name} has no one stream {name!r}. Its streams: {known}.")

    def streams_to_read(self) -> list[StreamToRead]:
        """What a job reads: the selected streams."""
        return [
            StreamToRead(stream.key, stream.tap_stream_id, stream.plan.rows, stream.plan.flushes)
            for stream in self.streams
            if stream.selected
        ]

    def load_name(self, stream: Stream) -> str:
        """The name that a load shows. Which one it is with schemas in table names is not documented."""
        if self.schema_in_load_names and stream.schema_name:
            return f"{stream.schema_name}__{stream.stream_name}"
        return stream.stream_name

    def run_check(self, now: datetime) -> Check:
        """Begin a connection check: as planned, or a good one."""
        plan = self.planned_checks.pop(0) if self.planned_checks else CheckPlan()
        self.check = Check(name_of_job(self.client_id, self.id, "check", now), now, plan)
        return self.check

    def current_step(self, now: datetime) -> str:
        """Where the configuration stands. It goes on once the check is good and a stream selected."""
        if self.step == "discover_schema" and self.check is not None and self.check.succeeded(now):
            self.step = "field_selection"
        if self.step == "field_selection" and any(stream.selected for stream in self.streams):
            self.step = "fully_configured"
        return self.step

    def body(self, now: datetime) -> dict[str, Any]:
        """The Source object, without ``check_job_name``. Source: Stitch Connect API, "Source object"."""
        return {
            "properties": dict(self.properties),
            "updated_at": stamp(self.updated_at),
            "schedule": self._schedule(),
            "name": self.name,
            "type": self.type,
            "deleted_at": stamp_or_none(self.deleted_at),
            "system_paused_at": stamp_or_none(self.system_paused_at),
            "stitch_client_id": self.client_id,
            "paused_at": stamp_or_none(self.paused_at),
            "id": self.id,
            "display_name": self.display_name,
            "created_at": stamp(self.created_at),
            "report_card": self.report_card(now),
        }

    def report_card(self, now: datetime) -> dict[str, Any]:
        return report_cards.source_report_card(self.type, self.current_step(now), self.properties)

    def _schedule(self) -> dict[str, Any] | None:
        if self.schedule_minutes is None or self.next_slot is None or self.paused or self.deleted_at:
            return None
        cron = self.properties.get("cron_expression")
        if cron:
            return {"type": "cron", "cron_expression": cron, "next_fire_time": stamp(self.next_slot)}
        return {
            "type": "interval",
            "unit": "minute",
            "interval": float(self.schedule_minutes),
            "next_fire_time": stamp(self.next_slot),
        }


def usual_properties(
    source_type: str, schedule_minutes: float | None, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A source's properties: strings mostly, with what Stitch itself adds."""
    if not report_cards.is_singer_backed(source_type):
        return dict(given or {})
    return {
        "anchor_time": "2026-05-04T06:00:00.000Z",
        "cron_expression": None,
        "frequency_in_minutes": f"{schedule_minutes or 60:g}",
        "image_version": "1.latest",
        "product": "pipeline",
        "start_date": "2025-01-01T00:00:00Z",
        **(given or {}),
    }


@dataclass
class Destination:
    """A destination of an account, connected and checked."""

    id: int
    client_id: int
    name: str
    type: str
    created_at: datetime

    def body(self) -> dict[str, Any]:
        """The Destination object as lists show it, without ``check_job_name``.

        Source: Stitch Connect API, "Destination object" (v4).
        """
        return {
            "description": "",
            "properties": {
                "database": "staging",
                "host": "pg.acme.example",
                "port": "5432",
                "username": "stitch",
            },
            "updated_at": stamp(self.created_at),
            "name": self.name,
            "type": self.type,
            "deleted_at": None,
            "system_paused_at": None,
            "stitch_client_id": self.client_id,
            "paused_at": None,
            "id": self.id,
            "display_name": None,
            "created_at": stamp(self.created_at),
            "report_card": report_cards.destination_report_card(self.type),
        }
