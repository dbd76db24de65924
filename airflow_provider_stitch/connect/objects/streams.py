"""Streams, their schemas, and what can be changed of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_stitch.connect._json import (
    each_text,
    excerpt,
    flag,
    free_text,
    items,
    mapping,
    record,
    required_integer,
    required_text,
    text,
)
from airflow_provider_stitch.connect.errors import UnexpectedAnswer


@dataclass(frozen=True, slots=True)
class Stream:
    """A table (view, API endpoint) of a source. Source: Stitch Connect API, "Stream object"."""

    stream_id: int
    tap_stream_id: str  #: unique within the source
    stream_name: str  #: name of the table; two schemas may hold the same
    selected: bool | None  #: None: never selected
    metadata: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Stream:
        stream = record(data, "stream")
        return cls(
            stream_id=required_integer(stream, "stream_id"),
            tap_stream_id=required_text(stream, "tap_stream_id"),
            stream_name=required_text(stream, "stream_name"),
            selected=flag(stream, "selected"),
            metadata=mapping(stream, "metadata") or {},
            raw=stream,
        )

    @property
    def schema_name(self) -> str | None:
        """The schema that the table is in; only databases have one."""
        return free_text(self.metadata, "schema-name")

    @property
    def database_name(self) -> str | None:
        """The database that the table is in; only databases have one."""
        return free_text(self.metadata, "database-name")


@dataclass(frozen=True, slots=True)
class Field:
    """A field (column) of a stream, as far as its metadata tells."""

    name: str
    inclusion: str | None  #: `automatic`, `available` or `unsupported`
    selected: bool | None  #: None: never selected
    selected_by_default: bool | None
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, metadata: Mapping[str, Any]) -> Field:
        """Make a field of its name and what a stream's schema says of it."""
        return cls(
            name=name,
            inclusion=text(metadata, "inclusion"),
            selected=flag(metadata, "selected"),
            selected_by_default=flag(metadata, "selected-by-default"),
            metadata=metadata,
        )

    @property
    def is_replicated(self) -> bool:
        """Whether Stitch replicates the field while its stream is selected.

        Source: Stitch Connect API, "Metadata" (a field that is selected by default is, even if deselected).
        """
        if self.inclusion in ("automatic", "unsupported"):
            return self.inclusion == "automatic"
        return bool(self.selected or self.selected_by_default)


@dataclass(frozen=True, slots=True)
class StreamSchema:
    """The fields of a stream, and what is known of them.

    Source: Stitch Connect API, "Stream schema object".
    """

    schema: Mapping[str, Any]  #: JSON schema of the fields
    metadata: Mapping[str, Any]  #: of the stream itself: `selected`, `replication-method` ...
    fields: Mapping[str, Field]  #: by name
    writable_keys: tuple[str, ...]  #: keys of metadata that an update may hold
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> StreamSchema:
        given = record(data, "stream schema")
        # Deeper breadcrumbs are not documented; they stay in `raw`.
        by_breadcrumb = dict(_entry(entry) for entry in items(given, "metadata"))
        return cls(
            schema=_parsed_schema(given),
            metadata=by_breadcrumb.get((), {}),
            fields={
                breadcrumb[1]: Field.of(breadcrumb[1], metadata)
                for breadcrumb, metadata in by_breadcrumb.items()
                if len(breadcrumb) == 2 and breadcrumb[0] == "properties"
            },
            writable_keys=each_text(given, "non-discoverable-metadata-keys"),
            raw=given,
        )


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """What to change of one stream. What is None, and each field that is not named, stays as it is.

    Source: Stitch Connect API, "Update a stream's metadata".
    """

    tap_stream_id: str
    selected: bool | None = None
    replication_method: str | None = None  #: `FULL_TABLE`, `INCREMENTAL` (with a key) or `LOG_BASED`
    replication_key: str | None = None
    view_key_properties: Sequence[str] | None = None  #: for database views
    fields: Mapping[str, bool] = field(default_factory=dict)  #: whether to select each, by its name

    def to_json(self) -> dict[str, Any]:
        """Return the update as Stitch takes it."""
        of_stream = {
            "selected": self.selected,
            "replication-method": self.replication_method,
            "replication-key": self.replication_key,
            "view-key-properties": None if self.view_key_properties is None else [*self.view_key_properties],
        }
        given = {key: value for key, value in of_stream.items() if value is not None}
        entries: list[dict[str, Any]] = [{"breadcrumb": [], "metadata": given}] if given else []
        entries += [
            {"breadcrumb": ["properties", name], "metadata": {"selected": selected}}
            for name, selected in self.fields.items()
        ]
        return {"tap_stream_id": self.tap_stream_id, "metadata": entries}


def _entry(data: object) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    entry = record(data, "entry of metadata")
    return each_text(entry, "breadcrumb"), mapping(entry, "metadata") or {}


def _parsed_schema(data: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = data.get("schema")
    if isinstance(schema, str):  # JSON within JSON, as documented
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            raise UnexpectedAnswer(f"`schema` holds no JSON: {excerpt(schema)}") from None
    if schema is None or isinstance(schema, Mapping):
        return schema or {}
    raise UnexpectedAnswer(f"`schema` should hold a JSON object: {excerpt(schema)}")
