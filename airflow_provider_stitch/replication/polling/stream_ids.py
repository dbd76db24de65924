"""Load the stream ids that order a list of loads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import (
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    UnknownSource,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Load, Page, Stream
    from airflow_provider_stitch.replication.polling.page_cache import StreamIdIndex


class StreamIdLoader:
    """Requests the streams of sources, which are not rate-limited."""

    def __init__(self) -> None:
        self._source_ids: dict[str, int] = {}

    async def load(
        self, ids: StreamIdIndex, client: StitchClient, page: Page[Load], wanted: Collection[str]
    ) -> None:
        """Request the stream ids that order a page of loads.

        The ids only make a search cheaper, so no failure here fails a wait.

        :param wanted: names of the sources whose loads are searched.
        """
        while (source_name := ids.next_source(page.records, wanted)) is not None:
            try:
                streams = await self._streams_of(source_name, client)
            except (StitchNotFound, StitchBadRequest, UnknownSource):
                streams = []  # the source is deleted, or its rows are pushed to Stitch
            except StitchError:
                break  # the next page tries again
            ids.add_source(source_name, streams)

    async def _streams_of(self, source_name: str, client: StitchClient) -> list[Stream]:
        if source_name not in self._source_ids:
            sources = await asyncio.to_thread(client.list_sources)
            # If sources share a name, prefer the one that is not deleted.
            sources.sort(key=lambda source: source.deleted_at is None)
            self._source_ids = {source.name: source.id for source in sources}
        source_id = self._source_ids.get(source_name)
        return [] if source_id is None else await asyncio.to_thread(client.list_streams, source_id)
