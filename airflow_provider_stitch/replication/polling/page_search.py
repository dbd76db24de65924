"""Find the page of a list that contains a record. All functions are pure.

A page contains 100 records, and Stitch allows only 30 requests in 10 minutes. A record of a sorted list is
therefore found by bisection, and its page is remembered. Records shift between pages when other records are
added or removed. If a record is missing from the remembered page, the adjacent pages are searched first.

Source: Stitch Connect API, "Pagination".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping


@dataclass(frozen=True, slots=True)
class PageBounds:
    """The sort keys of a page's first and last record. Both sort keys are None if the page was empty."""

    first: Any
    last: Any


def next_page_to_fetch(
    key: Any,
    bounds: Mapping[int, PageBounds],
    last_page: int | None,
    *,
    last_known_page: int | None = None,
    older_bounds: Mapping[int, PageBounds] | None = None,
    fetched: Collection[int] = (),
) -> int | None:
    """Return the next page to fetch in a search, or None if the search is complete.

    :param key: the sort key of the wanted records. Several records may have this key.
    :param bounds: bounds of the pages that were fetched in this search.
    :param last_page: the number of pages, or None if it is unknown.
    :param last_known_page: number of the page on which a record with the key was found before.
    :param older_bounds: bounds of the pages that were fetched before this search.
    :param fetched: numbers of the pages that were fetched in this search, even if their bounds are unknown.
    """
    if last_page is None:
        last_page = max([last_known_page or 1, *bounds])
    low, high = _possible_pages(key, bounds, last_page)
    if last_known_page is not None:
        # The record is probably still on the last known page or on an adjacent page.
        for page in (min(last_known_page, last_page), last_known_page - 1, last_known_page + 1):
            if low <= page <= high and page not in bounds and page not in fetched:
                return page
    likely_low, likely_high = _possible_pages(key, {**(older_bounds or {}), **bounds}, last_page)
    likely = (likely_low + likely_high) // 2 if likely_low <= likely_high else 0
    middle = likely if low <= likely <= high else (low + high) // 2
    return _nearest_unfetched(middle, low, high, {*bounds, *fetched})


def _possible_pages(key: Any, bounds: Mapping[int, PageBounds], last_page: int) -> tuple[int, int]:
    """Return the first and last page that may contain records with a key."""
    low, high = 1, last_page
    for number, page in bounds.items():
        if page.first is None:
            high = min(high, number - 1)
            continue
        if page.first < key:
            low = max(low, number if page.last >= key else number + 1)
        if page.last > key:
            high = min(high, number if page.first <= key else number - 1)
    return low, high


def _nearest_unfetched(middle: int, low: int, high: int, fetched: Container[int]) -> int | None:
    for distance in range(high - low + 1):
        for page in (middle - distance, middle + distance):
            if low <= page <= high and page not in fetched:
                return page
    return None
