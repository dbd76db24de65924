"""Find the page of a list that contains a record. Pure functions.

A page has 100 records and costs one of 30 requests in 10 minutes. So a record of a sorted list is found by
bisection, and its page is remembered. Records shift between pages as others are added and removed. So if a
record is missing from its page, the adjacent pages are searched first.

Source: Stitch Connect API, "Pagination".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping


@dataclass(frozen=True, slots=True)
class PageBounds:
    """The sort keys of a page's first and last record; both are None if the page was empty."""

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
    """Return the next page to fetch in a search, or None if all records of the key were found.

    :param key: the sort key of the records; several records may share it.
    :param bounds: the bounds of the pages fetched in this search.
    :param last_page: the number of pages, or None if no response has contained it.
    :param last_known_page: where a record of the key was found before.
    :param older_bounds: the bounds of pages fetched before this search.
    :param fetched: further pages fetched in this search; their bounds are unknown.
    """
    if last_page is None:
        last_page = max([last_known_page or 1, *bounds])
    low, high = _possible_pages(key, bounds, last_page)
    if last_known_page is not None:
        # The record is more likely to be there or on an adjacent page than in the middle of the rest.
        for page in (min(last_known_page, last_page), last_known_page - 1, last_known_page + 1):
            if low <= page <= high and page not in bounds and page not in fetched:
                return page
    likely_low, likely_high = _possible_pages(key, {**(older_bounds or {}), **bounds}, last_page)
    likely = (likely_low + likely_high) // 2 if likely_low <= likely_high else 0
    middle = likely if low <= likely <= high else (low + high) // 2
    return _nearest_unfetched(middle, low, high, {*bounds, *fetched})


def _possible_pages(key: Any, bounds: Mapping[int, PageBounds], last_page: int) -> tuple[int, int]:
    """Return the first and the last page that may contain records of a key."""
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
