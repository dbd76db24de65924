"""Find the stream ids of loads.

The list of loads may be sorted by stream id, but does not contain stream ids.

Source: Stitch Connect API, "List last loads for an account".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import (
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    UnknownSource,
)
from airflow_provider_stitch.connect.objects import Load
from airflow_provider_stitch.replication.rules.streams import load_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Stream

# Maximum number of sources whose streams are requested to find one stream id.
MAX_ATTEMPTS_PER_POSITION = 3


class StreamIdIndex:
    """A sort key for loads, which returns the id of a load's stream.

    The ids are requested separately, because the list of loads does not contain stream ids.
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int | None] = {}
        self._sources: set[str] = set()
        self._source_ids: dict[str, int] = {}
        self._shared_names: frozenset[str] = frozenset()

    def __call__(self, record: Any) -> int | None:
        # The load may belong to a deleted source with the same name, whose stream has a different id.
        if isinstance(record, Load) and record.source_name in self._shared_names:
            return None
        return self._ids.get((record.source_name, record.stream_name))

    async def load(self, client: StitchClient, page: Sequence[Load], wanted: Collection[str]) -> None:
        """Request the stream ids that are needed to check whether a page of loads is sorted.

        Requests for streams are not rate-limited. A failed request is ignored, because the ids are requested
        again for the next page.

        :param wanted: names of the sources whose loads are searched for.
        """
        while (source_name := self._next_source(page, wanted)) is not None:
            try:
                streams = await self._streams_of(source_name, client)
            except (StitchNotFound, StitchBadRequest, UnknownSource):
                streams = []  # the source was deleted, or its rows are pushed to Stitch
            except StitchError:
                return
            self._add_source(source_name, streams)

    async def _streams_of(self, source_name: str, client: StitchClient) -> list[Stream]:
        if source_name not in self._source_ids:
            sources = await asyncio.to_thread(client.list_sources)
            # If sources share a name, prefer the source that is not deleted.
            sources.sort(key=lambda source: source.deleted_at is None)
            self._source_ids = {source.name: source.id for source in sources}
            counts = Counter(source.name for source in sources)
            self._shared_names = frozenset(name for name, count in counts.items() if count > 1)
        source_id = self._source_ids.get(source_name)
        return [] if source_id is None else await asyncio.to_thread(client.list_streams, source_id)

    def _add_source(self, source_name: str, streams: Iterable[Stream]) -> None:
        """Add the streams of a source to the index. A deleted source has no streams."""
        self._sources.add(source_name)
        for stream in streams:
            for name in load_names(stream):
                key = (source_name, name)
                # If two streams share a name, a load cannot be attributed to either.
                self._ids[key] = stream.stream_id if key not in self._ids else None

    def _next_source(self, page: Sequence[Load], wanted: Collection[str]) -> str | None:
        """Return the source whose streams should be added next, to find the loads of the wanted sources."""
        for source_name in wanted:
            if source_name not in self._sources:
                return source_name
        middle = len(page) // 2
        for loads_from_position in (page, page[::-1], page[middle:]):
            for load in loads_from_position[:MAX_ATTEMPTS_PER_POSITION]:
                if self(load) is not None:
                    break
                if load.source_name not in self._sources:
                    return load.source_name
        return None
