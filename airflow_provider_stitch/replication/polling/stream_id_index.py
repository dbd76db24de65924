"""The ids of streams, by which the list of loads may be ordered although it does not show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.replication.rules.streams import load_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from airflow_provider_stitch.connect.objects import Load, Stream

# Sources whose streams are asked for at most to learn where a page begins, or ends.
MOST_TRIES = 3


class StreamIdIndex:
    """The id of a load's stream, as far as it was learned: a key that a list may be ordered by."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int | None] = {}
        self._sources: set[str] = set()

    def __call__(self, record: Any) -> int | None:
        return self._ids.get((record.source_name, record.stream_name))

    def learn(self, source_name: str, streams: Iterable[Stream]) -> None:
        """Take in the streams of a source, none if it has none any longer."""
        self._sources.add(source_name)
        for stream in streams:
            for name in load_names(stream):
                key = (source_name, name)
                # Of two streams of one name nobody can tell whose a load is.
                self._ids[key] = stream.stream_id if key not in self._ids else None

    def unknown(self, page: Sequence[Load], wanted: Collection[str]) -> str | None:
        """Return a source whose streams have to be learned next to find the wanted sources' loads."""
        for source_name in wanted:
            if source_name not in self._sources:
                return source_name
        middle = len(page) // 2
        for rows in (page, page[::-1], page[middle:]):
            for row in rows[:MOST_TRIES]:
                if self(row) is not None:
                    break
                if row.source_name not in self._sources:
                    return row.source_name
        return None
