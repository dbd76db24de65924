"""Parse a user's selection of streams and fields, and determine the required changes.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.connect.errors import InvalidArgument, UnknownStream
from airflow_provider_stitch.connect.objects.streams import REPLICATION_METHODS, StreamUpdate
from airflow_provider_stitch.connect.stream_matching import StreamSelection, candidates

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects.streams import Field, Stream, StreamSchema

_OPTIONS = ("fields", "replication_method", "replication_key", "view_key_properties")


@dataclass(frozen=True)
class StreamChange:
    """The changes to one stream."""

    label: str  #: the name of the stream in messages
    update: StreamUpdate
    unavoidable: tuple[str, ...] = ()  #: fields that are always replicated, although they are not selected

    def to_dict(self) -> dict[str, Any]:
        """Return the changed settings as a dict."""
        changes = {
            "selected": self.update.selected,
            "replication_method": self.update.replication_method,
            "replication_key": self.update.replication_key,
            "view_key_properties": self.update.view_key_properties and list(self.update.view_key_properties),
            "fields_selected": [name for name, selected in self.update.fields.items() if selected] or None,
            "fields_deselected": [name for name, selected in self.update.fields.items() if not selected]
            or None,
        }
        return {key: value for key, value in changes.items() if value is not None}


def parse_stream_selections(streams: object) -> tuple[StreamSelection, ...]:
    """Parse a user's selection of streams.

    The selection is `"all"`, a list of names, or a dict with names as keys and options as values.

    A name may be a pattern, such as `public.*`. The options of a stream are None to select all fields, a list
    of fields to select, or a dict. A dict of options may contain the keys `fields`, `replication_method`,
    `replication_key` and `view_key_properties`. The value of `fields` is None, a list of fields, or `"keep"`.

    :raises InvalidArgument: if the selection has a different type, or if an option is invalid.
    """
    if streams == "all":
        return (StreamSelection("*"),)
    if isinstance(streams, Mapping):
        return tuple(_parse_selection(name, selection) for name, selection in streams.items())
    if isinstance(streams, Sequence) and not isinstance(streams, str):
        return tuple(_parse_selection(name, None) for name in streams)
    raise InvalidArgument(
        'streams must be "all", a list of stream names, or a dict from stream names to their fields; it is '
        f"of type {type(streams).__name__}."
    )


def selection_change(
    label: str, stream: Stream, schema: StreamSchema | None, selection: StreamSelection
) -> StreamChange | None:
    """Return the changes that apply a selection to a stream, or None if no change is required.

    :param schema: the schema of the stream. The schema is required if `selection.needs_schema` is True.
    :raises UnknownStream: if the stream does not have one of the fields. The error message suggests possible
        names.
    :raises InvalidArgument: if Stitch cannot replicate the stream with these options. The error message
        contains the reason.
    """
    metadata = schema.metadata if schema else stream.metadata
    method, key = _replication(label, metadata, selection)
    if schema is not None:
        _reject_unknown_keys(label, schema.fields, selection)
    fields: dict[str, bool] = {}
    unavoidable: tuple[str, ...] = ()
    if selection.fields != "keep" and schema is not None:
        names = _selected_fields(label, schema.fields, selection.fields)
        _reject_exclusions(label, schema.fields, names)
        fields = _field_changes(schema.fields, names)
        unavoidable = tuple(
            each.name
            for each in schema.fields.values()
            if each.name not in names and _is_always_replicated(each)
        )
    update = StreamUpdate(
        stream.tap_stream_id,
        selected=None if stream.selected else True,
        replication_method=method,
        replication_key=key,
        view_key_properties=_view_keys(label, metadata, selection),
        fields=fields,
    )
    return StreamChange(label, update, unavoidable) if update.to_json()["metadata"] else None


def deselection_change(label: str, stream: Stream) -> StreamChange | None:
    """Return the change that deselects a stream, or None if the stream is not selected."""
    return (
        StreamChange(label, StreamUpdate(stream.tap_stream_id, selected=False)) if stream.selected else None
    )


# Functions that parse the user's selection.


def _parse_selection(name: object, selection: object) -> StreamSelection:
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"The name of a stream must be a non-empty string, not {name!r}.")
    if not isinstance(selection, Mapping):
        return StreamSelection(name, fields=_names(f"The fields of stream {name!r}", selection))
    unknown = sorted(str(key) for key in selection if key not in _OPTIONS)
    if unknown:
        raise InvalidArgument(
            f"Unknown options of stream {name!r}: {', '.join(unknown)}. Valid options: {', '.join(_OPTIONS)}."
        )
    fields = selection.get("fields")
    return StreamSelection(
        name,
        fields="keep" if fields == "keep" else _names(f"The fields of stream {name!r}", fields),
        replication_method=_replication_method(name, selection.get("replication_method")),
        replication_key=_name(f"The replication_key of stream {name!r}", selection.get("replication_key")),
        view_key_properties=_names(
            f"The view_key_properties of stream {name!r}", selection.get("view_key_properties")
        ),
    )


def _names(label: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(e, str) and e for e in value)
    ):
        return tuple(dict.fromkeys(value))
    raise InvalidArgument(f"{label} must be a list of names.")


def _name(label: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise InvalidArgument(f"{label} must be a name.")


def _replication_method(name: str, method: object) -> str | None:
    if method is None or method in REPLICATION_METHODS:
        return None if method is None else str(method)
    raise InvalidArgument(
        f"The replication_method of stream {name!r} must be one of {', '.join(REPLICATION_METHODS)}; it is "
        f"{method!r}."
    )


# Replication settings.


def _replication(
    label: str, metadata: Mapping[str, Any], selection: StreamSelection
) -> tuple[str | None, str | None]:
    """Return the new replication method and the new replication key.

    A value is None if the setting does not change.
    """
    forced = metadata.get("forced-replication-method")
    method_now = forced or metadata.get("replication-method")
    key_now = metadata.get("replication-key")
    method, key = selection.replication_method, selection.replication_key
    if method is not None and forced is not None and method != forced:
        raise InvalidArgument(
            f"Stream {label!r} cannot be replicated with {method}: its source forces {forced}."
        )
    valid = metadata.get("valid-replication-keys")
    if key is not None and isinstance(valid, list) and valid and key not in valid:
        raise InvalidArgument(
            f"Stream {label!r} cannot be replicated with the key {key!r}. Its valid keys are: "
            f"{', '.join(map(str, valid))}."
        )
    if method == "INCREMENTAL" and forced is None and key is None and not key_now:
        raise InvalidArgument(
            f"Stream {label!r}: the replication method INCREMENTAL needs a replication_key."
        )
    new_method = method if method != method_now else None
    new_key = key if key != key_now else None
    if new_method == "INCREMENTAL" and new_key is None:
        # Stitch requires the replication method and the replication key in the same update.
        new_key = key or key_now
    return new_method, new_key


def _view_keys(label: str, metadata: Mapping[str, Any], selection: StreamSelection) -> tuple[str, ...] | None:
    now = metadata.get("view-key-properties")
    if metadata.get("is-view") is True and not now and not selection.view_key_properties:
        raise InvalidArgument(
            f"Stream {label!r} is a view, so it needs view_key_properties: the fields that identify a row."
        )
    keys = selection.view_key_properties
    return keys if keys is not None and list(keys) != now else None


def _reject_unknown_keys(label: str, fields: Mapping[str, Field], selection: StreamSelection) -> None:
    """Raise an error if a key is not a field of the stream.

    Stitch would accept the key, but extractions would fail.
    """
    keys = (selection.replication_key,) if selection.replication_key else ()
    for name in (*keys, *(selection.view_key_properties or ())):
        if fields and name not in fields:
            raise UnknownStream(_no_field(label, fields, name))


# Fields.


def _no_field(label: str, fields: Mapping[str, Field], name: str) -> str:
    known = candidates("It has", sorted(fields), name)
    return f"Stream {label!r} has no field {name!r}. {known} Nothing was changed."


def _selected_fields(
    label: str, fields: Mapping[str, Field], names: Sequence[str] | Literal["keep"] | None
) -> frozenset[str]:
    if names is None:
        return frozenset(name for name, each in fields.items() if each.inclusion != "unsupported")
    for name in names:
        if name not in fields:
            raise UnknownStream(_no_field(label, fields, name))
        if fields[name].inclusion == "unsupported":
            reason = (
                fields[name].metadata.get("unsupported-description") or "Stitch does not support its type"
            )
            raise InvalidArgument(f"Stream {label!r}: field {name!r} cannot be replicated: {reason}.")
    return frozenset(names)


def _field_changes(fields: Mapping[str, Field], names: frozenset[str]) -> dict[str, bool]:
    changes = {}
    for name, each in sorted(fields.items()):
        if each.inclusion in ("automatic", "unsupported"):
            continue
        if name in names and not each.is_replicated:
            changes[name] = True
        if name not in names and each.selected:
            changes[name] = False
    return changes


def _is_always_replicated(each: Field) -> bool:
    """Return whether a field is replicated even if it is deselected. Automatic fields are excluded."""
    return each.inclusion not in ("unsupported", "automatic") and bool(each.selected_by_default)


def _reject_exclusions(label: str, fields: Mapping[str, Field], names: frozenset[str]) -> None:
    """Raise an error if two fields exclude each other.

    Stitch would accept the fields, but extractions would fail.
    """
    for name in sorted(names):
        excluded = fields[name].metadata.get("fieldExclusions")
        for breadcrumb in excluded if isinstance(excluded, list) else ():
            other = breadcrumb[-1] if isinstance(breadcrumb, list) and breadcrumb else breadcrumb
            if isinstance(other, str) and other in names and other != name:
                raise InvalidArgument(
                    f"Stream {label!r}: fields {name!r} and {other!r} cannot be selected together. "
                    "List the fields to select."
                )
