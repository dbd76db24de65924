"""Which streams and fields are to be selected, and what has to change for it. Pure functions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.connect._arguments import REPLICATION_METHODS
from airflow_provider_stitch.connect.errors import InvalidArgument, UnknownStream
from airflow_provider_stitch.connect.objects.streams import StreamUpdate

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects.streams import Field, Stream, StreamSchema

MOST_CANDIDATES = 10

_OPTIONS = ("fields", "replication_method", "replication_key", "view_key_properties")


@dataclass(frozen=True)
class WantedStream:
    """A stream that is to be selected. What is None stays as it is, but for the fields."""

    name: str  #: its `stream_name`, or its `tap_stream_id` where the source has the name twice
    fields: tuple[str, ...] | Literal["keep"] | None = None  #: None: all that Stitch can replicate
    replication_method: str | None = None
    replication_key: str | None = None
    view_key_properties: tuple[str, ...] | None = None


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
    """Read what a user wants: a list of names, or a dict from names to what is wanted of each.

    None for a stream, or just its name, wants all its fields; a list wants these; a dict may hold `fields`
    (a list, None for all, or `"keep"`), `replication_method`, `replication_key`, `view_key_properties`.

    :raises InvalidArgument: it is neither.
    """
    if isinstance(streams, Mapping):
        return tuple(_wanted_stream(name, wanted) for name, wanted in streams.items())
    if isinstance(streams, Sequence) and not isinstance(streams, str):
        return tuple(_wanted_stream(name, None) for name in streams)
    raise InvalidArgument(
        "streams must be a list of stream names, or a dict from stream names to their fields; it is of type "
        f"{type(streams).__name__}."
    )


def named_streams(streams: Sequence[Stream], wanted: Sequence[WantedStream]) -> list[Stream]:
    """Return the stream that each wanted one names, by `stream_name`, or by `tap_stream_id`.

    :raises UnknownStream: one names none, or several; the message lists candidates of each that does.
    :raises InvalidArgument: two name the same.
    """
    found, wrong = [], []
    for each in wanted:
        fits = _fitting(streams, each.name)
        if len(fits) == 1:
            found.append(fits[0])
        else:
            wrong.append(_none_or_several(streams, each.name, fits))
    if wrong:
        raise UnknownStream(f"{' '.join(wrong)} Nothing was changed.")
    twice = {stream.tap_stream_id for stream in found if found.count(stream) > 1}
    if twice:
        raise InvalidArgument(f"These streams are named twice: {', '.join(sorted(twice))}.")
    return found


def change_of(
    label: str, stream: Stream, schema: StreamSchema | None, wanted: WantedStream
) -> StreamChange | None:
    """Return what has to change of a wanted stream; None if it is as it should be.

    :param schema: needed unless the fields are kept.
    :raises UnknownStream: it has no such field; the message lists candidates.
    :raises InvalidArgument: Stitch can't replicate it so; the message says why.
    """
    metadata = schema.metadata if schema else stream.metadata
    method, key = _replication(label, metadata, wanted)
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


# Which stream is meant.


def _fitting(streams: Sequence[Stream], name: str) -> list[Stream]:
    exact = [stream for stream in streams if stream.tap_stream_id == name]
    return exact or [stream for stream in streams if stream.stream_name == name]


def _none_or_several(streams: Sequence[Stream], name: str, fits: Sequence[Stream]) -> str:
    if fits:
        ids = ", ".join(stream.tap_stream_id for stream in fits)
        return f"The source has {len(fits)} streams named {name!r}; name one by its id: {ids}."
    known = sorted({word for stream in streams for word in (stream.stream_name, stream.tap_stream_id)})
    return f"The source has no stream {name!r}. {_candidates('It has', known, name)}"


def _candidates(begin: str, known: Sequence[str], name: str) -> str:
    close = difflib.get_close_matches(name, known, n=MOST_CANDIDATES, cutoff=0.5)
    shown = close or list(known[:MOST_CANDIDATES])
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return f"{begin}: {', '.join(shown) or 'none'}{more}."


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


# Its fields.


def _wanted_fields(
    label: str, fields: Mapping[str, Field], names: Sequence[str] | Literal["keep"] | None
) -> frozenset[str]:
    if names is None:
        return frozenset(name for name, each in fields.items() if each.inclusion != "unsupported")
    for name in names:
        if name not in fields:
            raise UnknownStream(
                f"Stream {label!r} has no field {name!r}. {_candidates('It has', sorted(fields), name)} "
                "Nothing was changed."
            )
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
