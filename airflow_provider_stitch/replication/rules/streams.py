"""Match the names in logs and arguments to streams, and format stream names for messages.

A target logs the name under which it sends rows to Stitch. The logged name is the stream's name or, depending
on the tap and on the source's option `include_schemas_in_destination_stream_name`, the stream's name with the
schema or the database as a prefix. Source of the rules: the source code of the open-source taps; Stitch's
documentation on loading.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import UnknownStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_stitch.connect.objects import Stream

MAX_NAMES = 50  #: maximum number of names in one message; a source can have 10,000 streams


def join_names(names: Iterable[str], separator: str = ", ") -> str:
    """Join at most `MAX_NAMES` names for a message, and append the number of omitted names."""
    all_names = list(names)
    others = len(all_names) - MAX_NAMES
    more = f"{separator}and {others} more" if others > 0 else ""
    return f"{separator.join(all_names[:MAX_NAMES])}{more}"


def load_names(stream: Stream) -> tuple[str, ...]:
    """Return the names that a stream's load may have in the list.

    With the option `include_schemas_in_destination_stream_name`, the name of the destination's table is
    `<schema>__<table>`. Stitch does not document the name of a load if this option is enabled.
    """
    with_schema = (f"{stream.schema_name}__{stream.stream_name}",) if stream.schema_name else ()
    return (*with_schema, stream.stream_name)


def without_unused_fields(stream: Stream) -> Stream:
    """Return a stream without the fields that a wait does not use, to save memory."""
    kept = {key: stream.metadata[key] for key in ("schema-name", "database-name") if key in stream.metadata}
    return replace(stream, metadata=kept, raw={})


class StreamNames:
    """An index of a source's streams by name. A source can have 10,000 streams."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._selected = [stream for stream in streams if stream.selected]
        # A deselected stream has no rows, so only selected streams make a name ambiguous.
        self._selected_counts = Counter(stream.stream_name for stream in self._selected)
        self._indexes: dict[tuple[int, bool], dict[str, list[Stream]]] = {}
        self._load_name_counts: Counter[str] | None = None

    def has_namesake(self, stream: Stream) -> bool:
        """Return whether another selected stream has the same `stream_name`."""
        return self._selected_counts[stream.stream_name] > bool(stream.selected)

    def label(self, stream: Stream) -> str:
        """Return the `stream_name`, or the `tap_stream_id` if another selected stream has that name."""
        return stream.tap_stream_id if self.has_namesake(stream) else stream.stream_name

    def find(self, name: str) -> tuple[Stream, ...]:
        """Return the streams that match a name from a user. If several streams match, the name is ambiguous.

        Selected streams are searched before all others, because only selected streams have rows. The name is
        compared with `stream_name`, then with `tap_stream_id`, and then with the names that are prefixed with
        the schema or database.
        """
        for selected in (True, False):
            for form in range(len(_NAME_FORMS)):
                if found := self._index(form, selected=selected).get(name):
                    return tuple(found)
        return ()

    def find_all(self, name: str) -> tuple[Stream, ...]:
        """Return all selected streams that may appear under a name in a log.

        If no selected stream matches, return the deselected streams that may have the name.
        """
        for selected in (True, False):
            matches = (self._index(form, selected=selected).get(name, []) for form in range(len(_NAME_FORMS)))
            if found := {stream.tap_stream_id: stream for streams in matches for stream in streams}:
                return tuple(found.values())
        return ()

    def count_by_load_name(self, name: str) -> int:
        """Return the number of streams that may have loads with this name.

        Streams that are no longer selected are included.
        """
        if self._load_name_counts is None:
            ever_selected = (stream for stream in self._streams if stream.selected is not None)
            self._load_name_counts = Counter(name for stream in ever_selected for name in load_names(stream))
        return self._load_name_counts[name]

    def _index(self, form: int, *, selected: bool) -> dict[str, list[Stream]]:
        index = self._indexes.get((form, selected))
        if index is None:
            index = self._indexes[form, selected] = {}
            for stream in self._selected if selected else self._streams:
                for name in dict.fromkeys(_NAME_FORMS[form](stream)):
                    index.setdefault(name, []).append(stream)
        return index


def _prefixed_names(stream: Stream) -> Iterator[str]:
    """Yield the names that a tap or Stitch may build from a table and its schema or database."""
    schema, database, table = stream.schema_name, stream.database_name, stream.stream_name
    if schema:
        yield f"{schema}_{table}"
        yield f"{schema}__{table}"
    if database:
        yield f"{database}_{table}"
    if schema and database:
        yield f"{database}_{schema}_{table}"


_NAME_FORMS: tuple[Callable[[Stream], Iterable[str]], ...] = (
    lambda stream: (stream.stream_name,),
    lambda stream: (stream.tap_stream_id,),
    _prefixed_names,
)


def select_streams(streams: Sequence[Stream], names: Sequence[str]) -> tuple[Stream, ...]:
    """Return the stream for each name, which can be a `stream_name`, a `tap_stream_id` or a prefixed name.

    :raises UnknownStream: if `names` is empty, or if a name is unknown or ambiguous, or belongs to a
        deselected stream.
    """
    if not names:
        raise UnknownStream(
            "streams is empty, so there is nothing to wait for. Omit streams to wait for all streams "
            "with rows."
        )
    index = StreamNames(streams)
    by_id = {stream.tap_stream_id: stream for stream in reversed(streams)}
    return tuple(_select_stream(name, by_id.get(name), index, streams) for name in names)


def _select_stream(
    name: str, with_this_id: Stream | None, index: StreamNames, streams: Sequence[Stream]
) -> Stream:
    found = (with_this_id,) if with_this_id is not None else index.find(name)
    if not found:
        selected = sorted(index.label(stream) for stream in streams if stream.selected)
        raise UnknownStream(
            f"The source has no stream {name!r}. Its selected streams are: {join_names(selected) or 'none'}."
        )
    if len(found) > 1:
        ids = join_names(stream.tap_stream_id for stream in found)
        raise UnknownStream(
            f"The source has {len(found)} streams named {name!r}. Use the id of one of these streams: {ids}."
        )
    if not found[0].selected:
        raise UnknownStream(
            f"Stream {name!r} is not selected, so Stitch does not replicate it. Select it in Stitch, "
            "or pass only selected streams."
        )
    return found[0]
