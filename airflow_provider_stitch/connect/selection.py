"""Which streams and fields are to be selected, and what has to change for it. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.connect._arguments import REPLICATION_METHODS
from airflow_provider_stitch.connect.errors import InvalidArgument, UnknownStream
from airflow_provider_stitch.connect.objects.streams import StreamUpdate
from airflow_provider_stitch.connect.stream_matching import candidates

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects.streams import Field, Stream, StreamSchema

_OPTIONS = ("fields", "replication_method", "replication_key", "view_key_properties")


@dataclass(frozen=True)
class WantedStream:
    """A stream that is to be selected. What is None stays as it is, but for the fields."""

    name: str  #: a name of a stream, or a pattern: see `match_streams`
    fields: tuple[str, ...] | Literal["keep"] | None = None  #: None: all that Stitch can replicate
    replication_method: str | None = None
    replication_key: str | None = None
    view_key_properties: tuple[str, ...] | None = None

    @property
    def needs_schema(self) -> bool:
        """Whether it names fields, so that the stream's schema has to be read."""
        return (
            self.fields != "keep" or self.replication_key is not None or self.view_key_properties is not None
        )


@dataclass(frozen=True)
class StreamChange:
    """What has to change of one stream, and how to name it."""

    label: str
    update: StreamUpdate
    unavoidable: tuple[str, ...] = ()  #: fields that are not wanted, and replicated all the same

    def to_dict(self) -> dict[str, Any]:
        """Return what changes, without what stays."""
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


def wanted_streams(streams: object) -> tuple[WantedStream, ...]:
    """Read what a user wants: `"all"`, a list of names, or a dict from names to what is wanted of each.

    A name may be a pattern, such as `public.*`.

    None for a stream, or just its name, wants all its fields; a list wants these; a dict may hold `fields`
    (a list, None for all, or `"keep"`), `replication_method`, `replication_key`, `view_key_properties`.

    :raises InvalidArgument: it is neither.
    """
    if streams == "all":
        return (WantedStream("*"),)
    if isinstance(streams, Mapping):
        return tuple(_wanted_stream(name, wanted) for name, wanted in streams.items())
    if isinstance(streams, Sequence) and not isinstance(streams, str):
        return tuple(_wanted_stream(name, None) for name in streams)
    raise InvalidArgument(
        'streams must be "all", a list of stream names, or a dict from stream names to their fields; it is '
        f"of type {type(streams).__name__}."
    )


def change_of(
    label: str, stream: Stream, schema: StreamSchema | None, wanted: WantedStream
) -> StreamChange | None:
    """Return what has to change of a wanted stream; None if it is as it should be.

    :param schema: needed if `wanted.needs_schema`.
    :raises UnknownStream: it has no such field; the message lists candidates.
    :raises InvalidArgument: Stitch can't replicate it so; the message says why.
    """
    metadata = schema.metadata if schema else stream.metadata
    method, key = _replication(label, metadata, wanted)
    if schema is not None:
        _refuse_unknown_keys(label, schema.fields, wanted)
    fields: dict[str, bool] = {}
    unavoidable: tuple[str, ...] = ()
    if wanted.fields != "keep" and schema is not None:
        names = _wanted_fields(label, schema.fields, wanted.fields)
        _refuse_exclusions(label, schema.fields, names)
        fields = _field_changes(schema.fields, names)
        unavoidable = tuple(
            each.name for each in schema.fields.values() if each.name not in names and _is_stubborn(each)
        )
    update = StreamUpdate(
        stream.tap_stream_id,
        selected=None if stream.selected else True,
        replication_method=method,
        replication_key=key,
        view_key_properties=_view_keys(label, metadata, wanted),
        fields=fields,
    )
    return StreamChange(label, update, unavoidable) if update.to_json()["metadata"] else None


def deselection_of(label: str, stream: Stream) -> StreamChange | None:
    """Return what has to change so that a stream is not selected."""
    return (
        StreamChange(label, StreamUpdate(stream.tap_stream_id, selected=False)) if stream.selected else None
    )


# What a user gave.


def _wanted_stream(name: object, wanted: object) -> WantedStream:
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"The name of a stream is a text that is not empty, not {name!r}.")
    if not isinstance(wanted, Mapping):
        return WantedStream(name, fields=_names(f"The fields of stream {name!r}", wanted))
    unknown = sorted(str(key) for key in wanted if key not in _OPTIONS)
    if unknown:
        raise InvalidArgument(
            f"Stream {name!r} has no such options: {', '.join(unknown)}. There are: {', '.join(_OPTIONS)}."
        )
    fields = wanted.get("fields")
    return WantedStream(
        name,
        fields="keep" if fields == "keep" else _names(f"The fields of stream {name!r}", fields),
        replication_method=_one_of_methods(name, wanted.get("replication_method")),
        replication_key=_text(f"The replication_key of stream {name!r}", wanted.get("replication_key")),
        view_key_properties=_names(
            f"The view_key_properties of stream {name!r}", wanted.get("view_key_properties")
        ),
    )


def _names(what: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(e, str) and e for e in value)
    ):
        return tuple(dict.fromkeys(value))
    raise InvalidArgument(f"{what} must be a list of names.")


def _text(what: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise InvalidArgument(f"{what} must be a name.")


def _one_of_methods(name: str, method: object) -> str | None:
    if method is None or method in REPLICATION_METHODS:
        return None if method is None else str(method)
    raise InvalidArgument(
        f"The replication_method of stream {name!r} is one of {', '.join(REPLICATION_METHODS)}; it is "
        f"{method!r}."
    )


# How it is replicated.


def _replication(
    label: str, metadata: Mapping[str, Any], wanted: WantedStream
) -> tuple[str | None, str | None]:
    """Return method and key where they have to change."""
    forced = metadata.get("forced-replication-method")
    method_now = forced or metadata.get("replication-method")
    key_now = metadata.get("replication-key")
    method, key = wanted.replication_method, wanted.replication_key
    if method is not None and forced is not None and method != forced:
        raise InvalidArgument(
            f"Stream {label!r} can't be replicated by {method}: its source forces {forced}."
        )
    valid = metadata.get("valid-replication-keys")
    if key is not None and isinstance(valid, list) and valid and key not in valid:
        raise InvalidArgument(
            f"Stream {label!r} can't be replicated by the key {key!r}. Its valid keys are: "
            f"{', '.join(map(str, valid))}."
        )
    if method == "INCREMENTAL" and forced is None and key is None and not key_now:
        raise InvalidArgument(f"Stream {label!r}: replication by INCREMENTAL needs a replication_key.")
    new_method = method if method != method_now else None
    new_key = key if key != key_now else None
    if new_method == "INCREMENTAL" and new_key is None:
        new_key = key or key_now  # Stitch wants them together
    return new_method, new_key


def _view_keys(label: str, metadata: Mapping[str, Any], wanted: WantedStream) -> tuple[str, ...] | None:
    now = metadata.get("view-key-properties")
    if metadata.get("is-view") is True and not now and not wanted.view_key_properties:
        raise InvalidArgument(
            f"Stream {label!r} is a view, so it needs view_key_properties: the fields that identify a row."
        )
    keys = wanted.view_key_properties
    return keys if keys is not None and list(keys) != now else None


def _refuse_unknown_keys(label: str, fields: Mapping[str, Field], wanted: WantedStream) -> None:
    """Refuse keys that are not fields of the stream: Stitch accepts them, and each extraction fails."""
    keys = (wanted.replication_key,) if wanted.replication_key else ()
    for name in (*keys, *(wanted.view_key_properties or ())):
        if fields and name not in fields:
            raise UnknownStream(_no_field(label, fields, name))


# Its fields.


def _no_field(label: str, fields: Mapping[str, Field], name: str) -> str:
    known = candidates("It has", sorted(fields), name)
    return f"Stream {label!r} has no field {name!r}. {known} Nothing was changed."


def _wanted_fields(
    label: str, fields: Mapping[str, Field], names: Sequence[str] | Literal["keep"] | None
) -> frozenset[str]:
    if names is None:
        return frozenset(name for name, each in fields.items() if each.inclusion != "unsupported")
    for name in names:
        if name not in fields:
            raise UnknownStream(_no_field(label, fields, name))
        if fields[name].inclusion == "unsupported":
            why = fields[name].metadata.get("unsupported-description") or "Stitch does not support its type"
            raise InvalidArgument(f"Stream {label!r}: its field {name!r} can't be replicated: {why}.")
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


def _is_stubborn(each: Field) -> bool:
    """Whether a field is replicated whatever is selected, though it is not one that every row needs."""
    return each.inclusion not in ("unsupported", "automatic") and bool(each.selected_by_default)


def _refuse_exclusions(label: str, fields: Mapping[str, Field], names: frozenset[str]) -> None:
    """Stitch takes fields that exclude each other, and then each extraction fails."""
    for name in sorted(names):
        excluded = fields[name].metadata.get("fieldExclusions")
        for breadcrumb in excluded if isinstance(excluded, list) else ():
            other = breadcrumb[-1] if isinstance(breadcrumb, list) and breadcrumb else breadcrumb
            if isinstance(other, str) and other in names and other != name:
                raise InvalidArgument(
                    f"Stream {label!r}: its fields {name!r} and {other!r} can't be selected together. Name "
                    "the fields that you want."
                )
