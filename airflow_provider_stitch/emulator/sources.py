"""A source: its streams, its configuration, its connection checks and its schedule, and its JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import report_cards, taps, values
from airflow_provider_stitch.emulator.catalogue import SourceType, source_type
from airflow_provider_stitch.emulator.clock import parse_iso, stamp, stamp_ms, stamp_or_none
from airflow_provider_stitch.emulator.jobs import StreamToRead
from airflow_provider_stitch.emulator.loads import Outage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.checks import Checks
    from airflow_provider_stitch.emulator.plans import EmulatedStream, Quirks, Target
    from airflow_provider_stitch.emulator.streams import Stream

#: The steps that go on when a user has given what they ask for.
ASKING_STEPS = ("form", "oauth", "profile")
_IN_LOAD_NAMES = "include_schemas_in_destination_stream_name"


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
    checks: Checks
    quirks: Quirks = field(repr=False)
    credentials: set[str] = field(default_factory=set)  #: the names of those that were given
    streams: list[Stream] = field(default_factory=list)
    undiscovered: dict[str, int | EmulatedStream] = field(default_factory=dict)  #: what discovery finds next
    destination_id: int | None = None
    schedule_minutes: float | None = None
    next_slot: datetime | None = None
    starts_by_itself: bool = False  #: Stitch schedules it once it is fully configured
    paused_at: datetime | None = None
    system_paused_at: datetime | None = None
    deleted_at: datetime | None = None
    import_tokens: dict[int, datetime] = field(default_factory=dict)  #: active ones: id -> created at
    gaps: list[Outage] = field(default_factory=list)  #: when there was no destination to load into

    @property
    def kind(self) -> SourceType:
        return source_type(self.type)

    @property
    def paused(self) -> bool:
        return self.paused_at is not None or self.system_paused_at is not None

    @property
    def tap_name(self) -> str:
        """The tap, as extractions name it: ``tap-github``. Never the type itself."""
        return "tap-" + self.type.removeprefix("platform.").removeprefix("hp-")

    @property
    def target_program(self) -> Target:
        """The target behind sources of this type."""
        return "avro" if taps.is_version_2(self.type) else "target-stitch"

    @property
    def schema_in_load_names(self) -> bool:
        return bool(self.properties.get(_IN_LOAD_NAMES) == "true")

    @property
    def provided(self) -> set[str]:
        """The names of the properties that have a value."""
        return {name for name, value in self.properties.items() if value is not None} | self.credentials

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
        return [self._stream_to_read(stream) for stream in self.streams if stream.selected]

    def _stream_to_read(self, stream: Stream) -> StreamToRead:
        counted = taps.counts(self.type, log_based=stream.replication_method == "LOG_BASED")
        return StreamToRead(
            key=stream.key,
            tap_stream_id=stream.tap_stream_id,
            target_name=self.target_name(stream),
            rows=stream.plan.rows,
            flushes=stream.plan.flushes,
            bookmark=stream.bookmark,
            table=stream.table,
            counter_tags=taps.counter_tags(self.type),
            counted=counted,
        )

    # Names

    def load_name(self, stream: Stream) -> str:
        """The name that a load shows. Which one it is with schemas in table names is not documented."""
        if self.quirks.load_names == "source":
            return stream.stream_name
        return self.table_name(stream) if self.quirks.load_names == "destination" else self._sent_name(stream)

    def target_name(self, stream: Stream) -> str:
        """Return the name under which the target sends a stream. The Avro target uses a load's name."""
        return self.load_name(stream) if taps.is_version_2(self.type) else self._sent_name(stream)

    def table_name(self, stream: Stream) -> str:
        """The name of a stream's table in the destination."""
        prefix = stream.schema_name or stream.plan.database_name
        return (
            f"{prefix}__{stream.stream_name}" if self.schema_in_load_names and prefix else stream.stream_name
        )

    def _sent_name(self, stream: Stream) -> str:
        """Return the table name that the Import API receives."""
        if not self.schema_in_load_names:
            return stream.stream_name
        if taps.is_version_2(self.type):
            return self.table_name(stream)  # not known; Stitch's documentation writes the table so
        prefix = taps.prefix_of_tables(self.type)
        if prefix == "tap_stream_id":
            return stream.tap_stream_id
        before = stream.schema_name if prefix == "schema" else stream.plan.database_name
        return f"{before}_{stream.stream_name}" if prefix and before else stream.stream_name

    # Destination

    def note_destination(self, has: bool, now: datetime) -> bool:  # noqa: FBT001 - reads as a sentence
        """Note whether it has one from now on. True: it had none before."""
        waits = bool(self.gaps) and self.gaps[-1].until is None
        if has and waits:
            self.gaps[-1].until = now
        elif not has and not waits:
            self.gaps.append(Outage(now, ""))
        return has and waits

    # Configuration

    def give(self, properties: Mapping[str, Any], *, by_stitch: bool = False) -> None:
        """Store properties that were checked. The values of credentials are not kept."""
        shown, secret = values.split(properties, self.kind.properties, by_stitch=by_stitch)
        self.credentials |= secret
        if isinstance(shown.get("anchor_time"), str):
            shown["anchor_time"] = stamp_ms(parse_iso(shown["anchor_time"]))
        self.properties = {**self.properties, **shown}

    def answer_steps(self) -> None:
        """Go on past the steps that ask for properties, as far as these are given."""
        steps = self.kind.steps
        order = list(steps)
        while self.step in ASKING_STEPS and not report_cards.missing(steps[self.step], self.provided):
            self.step = order[order.index(self.step) + 1]

    @property
    def can_be_checked(self) -> bool:
        """Whether Stitch has all that a connection check needs, and there is anything to check."""
        return self.kind.singer_backed and self.step not in ASKING_STEPS

    def current_step(self, now: datetime) -> str:
        """Where the configuration stands. It goes on once the check is good and a stream selected."""
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
        """The Source object. Source: Stitch Connect API, "Source object"."""
        check = self.checks.last
        named = self.quirks.name_checks_in_reads and check is not None
        return {
            "properties": dict(self.properties),
            "updated_at": stamp(self.updated_at),
            "schedule": self._schedule(),
            **({"check_job_name": check.name} if named and check else {}),
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
        return report_cards.source_report_card(self.kind, self.current_step(now), self.provided, self.quirks)

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
    source_type_name: str, schedule_minutes: float | None, now: datetime, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A source's properties: strings mostly, with what Stitch itself adds."""
    if not source_type(source_type_name).singer_backed:
        return dict(given or {})
    return {
        **stitch_properties(schedule_minutes or 60),
        "anchor_time": stamp_ms(now),
        "start_date": "2025-01-01T00:00:00Z",
        **(given or {}),
    }


def stitch_properties(frequency_in_minutes: float) -> dict[str, Any]:
    """What Stitch itself sets when a source is created."""
    return {
        "cron_expression": None,
        "frequency_in_minutes": f"{frequency_in_minutes:g}",
        "image_version": "1.latest",
        "product": "pipeline",
    }
