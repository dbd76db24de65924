"""Names of streams: which streams a name stands for, and what users call a stream.

A target writes the name under which Stitch receives the rows. That is the stream's name or, depending on the
tap and on the source's option `include_schemas_in_destination_stream_name`, a name with the schema or the
database before it. Source of the forms: the source code of the open-source taps; Stitch's documentation on
loading.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import UnknownStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_stitch.connect.objects import Stream


class StreamNames:
    """The names of all streams of a source, indexed once because there may be 10,000."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._selected = [stream for stream in streams if stream.selected]
        # What is not selected has no rows, so it shares its name with nothing that is.
        self._counts = Counter(stream.stream_name for stream in self._selected)
        self._all_counts = Counter(stream.stream_name for stream in streams)
        self._indexes: dict[tuple[int, bool], dict[str, list[Stream]]] = {}
        self._listed: Counter[str] | None = None

    def are_shared_by(self, stream: Stream) -> bool:
        """Return whether another stream that may have rows has the same `stream_name`."""
        return self._counts[stream.stream_name] > bool(stream.selected)

    def label_of(self, stream: Stream) -> str:
        """Return the `stream_name`, or the `tap_stream_id` if the source has the name twice."""
        return stream.tap_stream_id if self._all_counts[stream.stream_name] > 1 else stream.stream_name

    def label_of_selected(self, stream: Stream) -> str:
        """Return the `stream_name`, or the `tap_stream_id` if the source has selected the name twice."""
        return stream.tap_stream_id if self.are_shared_by(stream) else stream.stream_name

    def find(self, name: str) -> tuple[Stream, ...]:
        """Return the streams that a user means by a name; several if the name is ambiguous.

        Selected streams are tried first, because only they have rows: by `stream_name`, then by
        `tap_stream_id`, then with the prefixes of a schema or database.
        """
        for selected in (True, False):
            for form in range(len(_FORMS)):
                if found := self._index(form, selected=selected).get(name):
                    return tuple(found)
        return ()

    def find_all(self, name: str) -> tuple[Stream, ...]:
        """Return the selected streams whose rows a log can show under a name, in whichever form.

        Without such a stream, those that are not selected (any more).
        """
        for selected in (True, False):
            forms = (self._index(form, selected=selected).get(name, []) for form in range(len(_FORMS)))
            if found := {stream.tap_stream_id: stream for streams in forms for stream in streams}:
                return tuple(found.values())
        return ()

    def streams_named(self, name: str) -> int:
        """Return of how many streams, selected now or before, a load may be listed under a name."""
        return self._listed_counts()[name]

    def _listed_counts(self) -> Counter[str]:
        if self._listed is None:
            self._listed = Counter(
                name for stream in self._streams if stream.selected is not None for name in load_names(stream)
            )
        return self._listed

    def _index(self, form: int, *, selected: bool) -> dict[str, list[Stream]]:
        index = self._indexes.get((form, selected))
        if index is None:
            index = self._indexes[form, selected] = {}
            for stream in self._selected if selected else self._streams:
                for name in dict.fromkeys(_FORMS[form](stream)):
                    index.setdefault(name, []).append(stream)
        return index


def _names_with_prefix(stream: Stream) -> Iterator[str]:
    """Yield the names that a tap, or Stitch, makes of a table and its schema or database."""
    schema, database, table = stream.schema_name, stream.database_name, stream.stream_name
    if schema:
        yield f"{schema}_{table}"
        yield f"{schema}__{table}"
    if database:
        yield f"{database}_{table}"
    if schema and database:
        yield f"{database}_{schema}_{table}"


_FORMS: tuple[Callable[[Stream], Iterable[str]], ...] = (
    lambda stream: (stream.stream_name,),
    lambda stream: (stream.tap_stream_id,),
    _names_with_prefix,
)


def load_names(stream: Stream) -> tuple[str, ...]:
    """Return the names under which a stream's load may be listed, the likeliest first.

    With the option `include_schemas_in_destination_stream_name` the destination's table is
    `<schema>__<table>`; Stitch does not document which name a load shows then.
    """
    with_schema = (f"{stream.schema_name}__{stream.stream_name}",) if stream.schema_name else ()
    return (*with_schema, stream.stream_name)


def select_streams(streams: Sequence[Stream], names: Sequence[str]) -> tuple[Stream, ...]:
    """Return the streams that a user named by `stream_name`, `tap_stream_id`, or a name with a prefix.

    :raises UnknownStream: no name, or a name that the source does not have, has twice, or has not selected.
    """
    if not names:
        raise UnknownStream(
            "streams is empty, so there is nothing to wait for. Leave it out to wait for all."
        )
    index = StreamNames(streams)
    ids = {stream.tap_stream_id: stream for stream in reversed(streams)}
    return tuple(_select_stream(name, ids.get(name), index, streams) for name in names)


def _select_stream(name: str, by_id: Stream | None, index: StreamNames, streams: Sequence[Stream]) -> Stream:
    found = (by_id,) if by_id is not None else index.find(name)
    if not found:
        known = (
            join_names(sorted(index.label_of_selected(stream) for stream in streams if stream.selected))
            or "none"
        )
        raise UnknownStream(f"The source has no stream {name!r}. Its selected streams are: {known}.")
    if len(found) > 1:
        ids = join_names(stream.tap_stream_id for stream in found)
        raise UnknownStream(
            f"The source has {len(found)} streams named {name!r}. Name one of them by its id: {ids}."
        )
    if not found[0].selected:
        raise UnknownStream(
            f"Stream {name!r} is not selected, so Stitch does not replicate it. Select it first."
        )
    return found[0]


MAX_NAMES = 50  #: a source can have 10,000 streams, and a message travels through Airflow's database


def join_names(names: Iterable[str], separator: str = ", ") -> str:
    """Join names for a message: the first `MAX_NAMES` of them, and the number of the others."""
    all_names = list(names)
    others = len(all_names) - MAX_NAMES
    more = f"{separator}and {others} more" if others > 0 else ""
    return f"{separator.join(all_names[:MAX_NAMES])}{more}"
