"""Classes for streams, stream schemas, and updates of stream settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_stitch.connect.errors import UnexpectedResponse
from airflow_provider_stitch.connect.objects.json import (
    array,
    display_string,
    excerpt,
    json_object,
    optional_boolean,
    optional_object,
    optional_string,
    required_integer,
    required_string,
    string_array,
)

REPLICATION_METHODS = ("FULL_TABLE", "INCREMENTAL", "LOG_BASED")


@dataclass(frozen=True, slots=True)
class Stream:
    """A table, view or API endpoint of a source. Source: Stitch Connect API, "Stream object"."""

    stream_id: int
    tap_stream_id: str  #: the id of the stream, unique within the source
    stream_name: str  #: the name of the table; not unique if the source has several schemas
    selected: bool | None  #: whether the stream is selected, or None if never selected
    metadata: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Stream:
        stream = json_object(data, "stream")
        return cls(
            stream_id=required_integer(stream, "stream_id"),
            tap_stream_id=required_string(stream, "tap_stream_id"),
            stream_name=required_string(stream, "stream_name"),
            selected=optional_boolean(stream, "selected"),
            metadata=optional_object(stream, "metadata") or {},
            raw=stream,
        )

    @property
    def schema_name(self) -> str | None:
        """The name of the schema that contains the table, or None if the source is not a database."""
        return display_string(self.metadata, "schema-name")

    @property
    def database_name(self) -> str | None:
        """The name of the database that contains the table, or None if the source is not a database."""
        return display_string(self.metadata, "database-name")


@dataclass(frozen=True, slots=True)
class Field:
    """A field (column) of a stream, from the metadata in the stream's schema."""

    name: str
    #: Whether the field can be selected. The value is `automatic`, `available` or `unsupported`.
    inclusion: str | None
    selected: bool | None  #: whether the field is selected, or None if never selected
    selected_by_default: bool | None
    metadata: Mapping[str, Any]

    @classmethod
    def from_metadata(cls, name: str, metadata: Mapping[str, Any]) -> Field:
        """Create a field from its metadata in a stream's schema."""
        return cls(
            name=name,
            inclusion=optional_string(metadata, "inclusion"),
            selected=optional_boolean(metadata, "selected"),
            selected_by_default=optional_boolean(metadata, "selected-by-default"),
            metadata=metadata,
        )

    @property
    def is_replicated(self) -> bool:
        """Whether Stitch replicates the field while its stream is selected.

        Source: Stitch Connect API, "Metadata". Fields that are selected by default are replicated even if the
        user deselects them.
        """
        if self.inclusion in ("automatic", "unsupported"):
            return self.inclusion == "automatic"
        return bool(self.selected or self.selected_by_default)


@dataclass(frozen=True, slots=True)
class StreamSchema:
    """The fields of a stream and their metadata.

    Source: Stitch Connect API, "Stream schema object".
    """

    schema: Mapping[str, Any]  #: JSON schema of the fields
    #: Metadata of the stream itself, such as `selected` and `replication-method`.
    metadata: Mapping[str, Any]
    fields: Mapping[str, Field]  #: the fields of the stream, by name
    writable_keys: tuple[str, ...]  #: metadata keys that an update may contain
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> StreamSchema:
        schema = json_object(data, "stream schema")
        # Stitch does not document breadcrumbs with more than two elements. The metadata of longer breadcrumbs
        # is available only in `raw`.
        by_breadcrumb = dict(_entry(entry) for entry in array(schema, "metadata"))
        return cls(
            schema=_parsed_schema(schema),
            metadata=by_breadcrumb.get((), {}),
            fields={
                breadcrumb[1]: Field.from_metadata(breadcrumb[1], metadata)
                for breadcrumb, metadata in by_breadcrumb.items()
                if len(breadcrumb) == 2 and breadcrumb[0] == "properties"
            },
            writable_keys=string_array(schema, "non-discoverable-metadata-keys"),
            raw=schema,
        )


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """Changes to one stream. Settings that are None and fields that are not included stay unchanged.

    Source: Stitch Connect API, "Update a stream's metadata".
    """

    tap_stream_id: str
    selected: bool | None = None
    #: `FULL_TABLE`, `LOG_BASED`, or `INCREMENTAL`, which requires a replication key
    replication_method: str | None = None
    replication_key: str | None = None
    #: The fields that identify a row; only for database views.
    view_key_properties: Sequence[str] | None = None
    #: Field names, each with True to select the field or False to deselect it.
    fields: Mapping[str, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the update in the JSON format of the request."""
        stream_metadata = {
            "selected": self.selected,
            "replication-method": self.replication_method,
            "replication-key": self.replication_key,
            "view-key-properties": None if self.view_key_properties is None else [*self.view_key_properties],
        }
        changes = {key: value for key, value in stream_metadata.items() if value is not None}
        entries: list[dict[str, Any]] = [{"breadcrumb": [], "metadata": changes}] if changes else []
        entries += [
            {"breadcrumb": ["properties", name], "metadata": {"selected": selected}}
            for name, selected in self.fields.items()
        ]
        return {"tap_stream_id": self.tap_stream_id, "metadata": entries}


def _entry(data: object) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    entry = json_object(data, "entry of metadata")
    return string_array(entry, "breadcrumb"), optional_object(entry, "metadata") or {}


def _parsed_schema(data: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = data.get("schema")
    if isinstance(schema, str):  # Stitch documents `schema` as a string that contains JSON
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            raise UnexpectedResponse(f"`schema` is not valid JSON: {excerpt(schema)}") from None
    if schema is None or isinstance(schema, Mapping):
        return schema or {}
    raise UnexpectedResponse(f"`schema` should be a JSON object: {excerpt(schema)}")
