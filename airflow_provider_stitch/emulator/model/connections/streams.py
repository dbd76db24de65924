"""Streams of a source, with their metadata and selection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.plans import EmulatedStream

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.model.connections.taps import CounterTags

Breadcrumb = tuple[str, ...]
_DEFAULT_METHOD = EmulatedStream().replication_method
_DEFAULT_KEY = "updated_at"
#: The metadata keys that a request can change.
WRITABLE_KEYS = ("selected", "replication-method", "replication-key", "view-key-properties")


@dataclass(slots=True)
class Stream:
    """A stream of a source."""

    key: str
    stream_id: int
    tap_stream_id: str
    stream_name: str
    schema_name: str | None
    plan: EmulatedStream
    _metadata: dict[Breadcrumb, dict[str, Any]] | None = None

    @property
    def metadata(self) -> dict[Breadcrumb, dict[str, Any]]:
        """Return the metadata of the stream and its fields, by breadcrumb.

        The stream has the breadcrumb ``()``, and all other breadcrumbs identify fields.
        """
        if self._metadata is None:
            self._metadata = _initial_metadata(self.plan)
        return self._metadata

    @property
    def table(self) -> tuple[str, str] | None:
        """Return the names of the database and table; None if the source is not a database."""
        database = self.plan.database_name or self.schema_name
        return None if database is None else (database, self.stream_name)

    @property
    def selected(self) -> bool | None:
        """Return whether the stream is selected, or None if it has never been selected."""
        if self._metadata is None:
            return self.plan.selected
        value: bool | None = self._metadata[()].get("selected")
        return value

    @property
    def replication_method(self) -> str:
        """Return the replication method of the stream.

        If Stitch forces a method, a method chosen by the user is ignored.
        """
        if self._metadata is None:
            # Do not create the metadata here, because most streams never need metadata.
            return self.plan.replication_method
        own = self.metadata[()]
        chosen = own.get("forced-replication-method") or own.get("replication-method")
        return str(chosen or self.plan.replication_method)

    @property
    def replication_key(self) -> str:
        """Return the replication key that a user has chosen or, by default, the first valid key."""
        own = self.metadata[()]
        valid = own.get("valid-replication-keys") or [_DEFAULT_KEY]
        return str(own.get("replication-key") or valid[0])

    @property
    def bookmark(self) -> str | None:
        """Return the field that jobs use to resume a stream, or None if each job reads the whole stream."""
        if self._metadata is None and self.plan.replication_method == _DEFAULT_METHOD:
            return _DEFAULT_KEY  # do not create the metadata here, because most streams never need metadata
        return None if self.replication_method == "FULL_TABLE" else self.replication_key

    def has_selected_field(self) -> bool:
        """Return whether any field is selected in addition to the automatic fields."""
        fields = (data for crumb, data in self.metadata.items() if crumb)
        return any(d.get("selected") or d.get("selected-by-default") for d in fields)

    def body(self) -> dict[str, Any]:
        """Return the JSON representation of the stream. See "Stream object" in the Stitch Connect API."""
        return {
            "selected": self.selected,
            "stream_id": self.stream_id,
            "tap_stream_id": self.tap_stream_id,
            "stream_name": self.stream_name,
            "metadata": dict(self.metadata[()]),
        }

    def schema_body(self) -> dict[str, Any]:
        """Return the JSON representation of the stream's schema.

        The value of ``schema`` is a string that contains JSON.
        """
        properties = {name: {"type": ["null", "string"]} for name in self.plan.fields}
        return {
            "schema": json.dumps({"type": "object", "properties": properties}, separators=(",", ":")),
            "metadata": [
                {"breadcrumb": list(crumb), "metadata": self._shown_metadata(crumb)}
                for crumb in self.metadata
            ],
            "non-discoverable-metadata-keys": list(WRITABLE_KEYS),
        }

    def _shown_metadata(self, crumb: Breadcrumb) -> dict[str, Any]:
        """Return the metadata of the stream or of a field, as the API returns it.

        A field has ``selected`` only if its stream is selected.
        """
        data = dict(self.metadata[crumb])
        if crumb and not self.selected:
            data.pop("selected", None)
        return data


@dataclass(frozen=True, slots=True)
class SelectedStream:
    """The state of a selected stream at the start of a job."""

    key: str
    tap_stream_id: str
    target_name: str  #: the stream name that the target sends
    rows: int
    flushes: int
    bookmark: str | None  #: replication key; None if each job reads the whole stream
    table: tuple[str, str] | None  #: names of the database and table; None if the source is not a database
    counter_tags: CounterTags  #: the tags of the tap's row counters
    counted: bool  #: whether the tap writes row counters for the stream


@cache
def stream_with_rows(rows: int) -> EmulatedStream:
    """Return a default stream with the given number of rows.

    Calls with equal numbers return the same immutable object.
    """
    return EmulatedStream(rows=rows)


def make_stream(key: str, plan: EmulatedStream, stream_id: int) -> Stream:
    """Return a newly discovered stream."""
    return Stream(
        key=key,
        stream_id=stream_id,
        tap_stream_id=plan.tap_stream_id or key,
        stream_name=plan.stream_name or key,
        schema_name=plan.schema_name,
        plan=plan,
    )


def _initial_metadata(plan: EmulatedStream) -> dict[Breadcrumb, dict[str, Any]]:
    stream_level: dict[str, Any] = {
        "selected": plan.selected,
        "table-key-properties": [] if plan.is_view else list(plan.primary_key),
    }
    if plan.schema_name is None and plan.database_name is None:
        stream_level["forced-replication-method"] = plan.replication_method
        stream_level["valid-replication-keys"] = [_DEFAULT_KEY]
    else:
        if plan.schema_name is not None:  # MongoDB collections have no schema
            stream_level["schema-name"] = plan.schema_name
        stream_level["database-name"] = plan.database_name
        stream_level["is-view"] = plan.is_view
        stream_level["row-count"] = plan.rows
    metadata: dict[Breadcrumb, dict[str, Any]] = {(): stream_level}
    for name, inclusion in plan.fields.items():
        metadata[("properties", name)] = {"inclusion": inclusion}
        if plan.selected:  # a field has `selected` only if its stream is selected
            metadata[("properties", name)]["selected"] = inclusion == "available"
    return metadata
