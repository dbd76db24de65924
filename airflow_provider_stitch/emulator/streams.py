"""Streams of a source: what discovery found, and what is selected of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from airflow_provider_stitch.emulator.plans import EmulatedStream

Breadcrumb = tuple[str, ...]
_USUAL_METHOD = EmulatedStream().replication_method
_USUAL_KEY = "updated_at"
#: The keys of a stream's metadata that may be written.
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
        """The metadata by breadcrumb: ``()`` is the stream, others are fields. Made when first asked for."""
        if self._metadata is None:
            self._metadata = _discovered(self.plan)
        return self._metadata

    @property
    def table(self) -> tuple[str, str] | None:
        """The database and table, for a stream of a database."""
        database = self.plan.database_name or self.schema_name
        return None if database is None else (database, self.stream_name)

    @property
    def selected(self) -> bool | None:
        """Whether it is selected now; None: it never was."""
        if self._metadata is None:
            return self.plan.selected
        value: bool | None = self._metadata[()].get("selected")
        return value

    @property
    def replication_method(self) -> str:
        """As Stitch prescribes it, as it was chosen, or the usual one."""
        if self._metadata is None:
            return self.plan.replication_method  # saves the metadata of streams that nobody looks at
        own = self.metadata[()]
        chosen = own.get("forced-replication-method") or own.get("replication-method")
        return str(chosen or self.plan.replication_method)

    @property
    def replication_key(self) -> str:
        """As it was chosen, or the first that the source offers."""
        own = self.metadata[()]
        offered = own.get("valid-replication-keys") or [_USUAL_KEY]
        return str(own.get("replication-key") or offered[0])

    @property
    def bookmark(self) -> str | None:
        """The field whose highest value a job remembers for the next. None: the stream is read whole."""
        if self._metadata is None and self.plan.replication_method == _USUAL_METHOD:
            return _USUAL_KEY  # saves the metadata of streams that nobody looks at
        return None if self.replication_method == "FULL_TABLE" else self.replication_key

    def has_selected_field(self) -> bool:
        """Whether any field was selected, beyond those that come by themselves."""
        fields = (data for crumb, data in self.metadata.items() if crumb)
        return any(d.get("selected") or d.get("selected-by-default") for d in fields)

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


@cache
def stream_with_rows(rows: int) -> EmulatedStream:
    """A usual stream. It does not change, so there is one for each number of rows."""
    return EmulatedStream(rows=rows)


def make_stream(key: str, plan: EmulatedStream, stream_id: int) -> Stream:
    """A stream as discovery found it."""
    return Stream(
        key=key,
        stream_id=stream_id,
        tap_stream_id=plan.tap_stream_id or key,
        stream_name=plan.stream_name or key,
        schema_name=plan.schema_name,
        plan=plan,
    )


def _discovered(plan: EmulatedStream) -> dict[Breadcrumb, dict[str, Any]]:
    stream_level: dict[str, Any] = {
        "selected": plan.selected,
        "table-key-properties": [] if plan.is_view else list(plan.primary_key),
    }
    if plan.schema_name is None and plan.database_name is None:
        stream_level["forced-replication-method"] = plan.replication_method
        stream_level["valid-replication-keys"] = [_USUAL_KEY]
    else:
        if plan.schema_name is not None:  # collections of MongoDB have none
            stream_level["schema-name"] = plan.schema_name
        stream_level["database-name"] = plan.database_name
        stream_level["is-view"] = plan.is_view
        stream_level["row-count"] = plan.rows
    metadata: dict[Breadcrumb, dict[str, Any]] = {(): stream_level}
    for name, inclusion in plan.fields.items():
        metadata[("properties", name)] = {"inclusion": inclusion}
        if plan.selected:  # a field's `selected` is present only if the stream is selected
            metadata[("properties", name)]["selected"] = inclusion == "available"
    return metadata
