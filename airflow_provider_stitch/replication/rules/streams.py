"""Names of streams: match a name in a log or an argument to streams, and name streams in messages.

A target logs the name under which Stitch receives the rows. That is the stream's name or, depending on the
tap and on the source's option `include_schemas_in_destination_stream_name`, a name that is prefixed with the
schema or the database. Source of the forms: the source code of the open-source taps; Stitch's documentation
on loading.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import UnknownStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_stitch.connect.objects import Stream

MAX_NAMES = 50  #: names in one message, because a source can have 10,000 streams


def join_names(names: Iterable[str], separator: str = ", ") -> str:
    """Join names for a message: the first `MAX_NAMES` of them, and the number of the others."""
    all_names = list(names)
    others = len(all_names) - MAX_NAMES
    more = f"{separator}and {others} more" if others > 0 else ""
    return f"{separator.join(all_names[:MAX_NAMES])}{more}"


def load_names(stream: Stream) -> tuple[str, ...]:
    """Return the names under which a stream's load may be listed, the most likely first.

    With the option `include_schemas_in_destination_stream_name` the destination's table is
    `<schema>__<table>`. Stitch does not document which name its load has in that case.
    """
    with_schema = (f"{stream.schema_name}__{stream.stream_name}",) if stream.schema_name else ()
    return (*with_schema, stream.stream_name)


class StreamNames:
    """An index of the names of all streams of a source, because there may be 10,000."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._selected = [stream for stream in streams if stream.selected]
        # A deselected stream has no rows, so it cannot be mistaken for a selected one of the same name.
        self._selected_counts = Counter(stream.stream_name for stream in self._selected)
        self._indexes: dict[tuple[int, bool], dict[str, list[Stream]]] = {}
        self._load_name_counts: Counter[str] | None = None

    def has_namesake(self, stream: Stream) -> bool:
        """Return whether another selected stream has the same `stream_name`."""
        return self._selected_counts[stream.stream_name] > bool(stream.selected)

    def label(self, stream: Stream) -> str:
        """Return the `stream_name`, or the `tap_stream_id` if another selected stream has it too."""
        return stream.tap_stream_id if self.has_namesake(stream) else stream.stream_name

    def find(self, name: str) -> tuple[Stream, ...]:
        """Return the stream that a user's name refers to; several streams if the name is ambiguous.

        Selected streams are searched first, because only they have rows: by `stream_name`, then by
        `tap_stream_id`, then by a name that is prefixed with the schema or database.
        """
        for selected in (True, False):
            for form in range(len(_NAME_FORMS)):
                if found := self._index(form, selected=selected).get(name):
                    return tuple(found)
        return ()

    def find_all(self, name: str) -> tuple[Stream, ...]:
        """Return every selected stream that a log may call by a name, in any form.

        If no selected stream has the name, return the deselected ones.
        """
        for selected in (True, False):
            matches = (self._index(form, selected=selected).get(name, []) for form in range(len(_NAME_FORMS)))
            if found := {stream.tap_stream_id: stream for streams in matches for stream in streams}:
                return tuple(found.values())
        return ()

    def count_by_load_name(self, name: str) -> int:
        """Return the number of streams, selected now or before, that may have loads of this name."""
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
    """Yield the names that a tap, or Stitch, builds from a table and its schema or database."""
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
    """Return the streams that a user named by `stream_name`, `tap_stream_id`, or a prefixed name.

    :raises UnknownStream: if `names` is empty, or a name is unknown, ambiguous, or of a deselected stream.
    """
    if not names:
        raise UnknownStream(
            "streams is empty, so there is nothing to wait for. Omit it to wait for all streams with rows."
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
            f"The source has {len(found)} streams named {name!r}. Use the id of one of them: {ids}."
        )
    if not found[0].selected:
        raise UnknownStream(
            f"Stream {name!r} is not selected, so Stitch does not replicate it. Select it in Stitch, "
            "or take it out of streams."
        )
    return found[0]
