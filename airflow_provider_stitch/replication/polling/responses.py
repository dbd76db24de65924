"""Prepare the pages of responses for the cache."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest, RequestKind
from airflow_provider_stitch.replication.polling.page_cache import CachedPage
from airflow_provider_stitch.replication.polling.queries import LONG_AGO

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Page

NO_RAW: Mapping[str, Any] = MappingProxyType({})


def cached_page(
    request: LimitedRequest, page: Page[Any], sequence: int, requested_at: float
) -> CachedPage[Any]:
    """Return a page for the cache, with its records grouped by source and without raw objects.

    A thousand records may be cached, and their raw objects would need most of the memory.
    """
    page = replace(page, records=tuple(replace(record, raw=NO_RAW) for record in page.records))
    is_extractions = request.kind is RequestKind.EXTRACTIONS
    records: dict[Hashable, tuple[Any, ...]] = {}
    for record in page.records:
        key = record.source_id if is_extractions else record.source_name
        records[key] = (*records.get(key, ()), record)
    return CachedPage(page, sequence, requested_at, records)


def newest_time(page: Page[Any]) -> datetime:
    """Return the newest time in the records of a page.

    Stitch's clock has already passed the newest time in a response.
    """
    names = ("start_time", "completion_time", "last_batch_loaded_at")
    times = (getattr(record, name, None) for record in page.records for name in names)
    return max(filter(None, times), default=LONG_AGO)
