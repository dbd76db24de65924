"""On which page of a list is a record? Pure functions.

A page holds 100 records and costs one of 30 requests in 10 minutes: so in a list that is in order a record is
found by bisection, and its page is then remembered. Records shift from page to page as others come and go;
what is not where it was is looked for next door. Source: Stitch Connect API, "Pagination".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping


@dataclass(frozen=True, slots=True)
class PageBounds:
    """What both ends of a page are in the list's order, or None for both if the page was empty."""

    first: Any
    last: Any


def next_page(
    key: Any,
    seen: Mapping[int, PageBounds],
    last_page: int | None,
    *,
    place: int | None = None,
    older: Mapping[int, PageBounds] | None = None,
    read: Collection[int] = (),
) -> int | None:
    """Return the page to read next in search of the records of a key, or None: all that there are were seen.

    :param key: what the records are in the list's order; several records may have the same.
    :param seen: the pages read in this search.
    :param read: further pages read in this search, whose place in the order is not known.
    :param last_page: the number of pages, as far as an answer has told it.
    :param place: where a record of the key was found before.
    :param older: what pages were before this search.
    """
    if last_page is None:
        last_page = max([place or 1, *seen])
    low, high = _span(key, seen, last_page)
    if place is not None:
        # It is likelier still to be there, or next door, than in the middle of what is left.
        for page in (min(place, last_page), place - 1, place + 1):
            if low <= page <= high and page not in seen and page not in read:
                return page
    low_then, high_then = _span(key, {**(older or {}), **seen}, last_page)
    likely = (low_then + high_then) // 2 if low_then <= high_then else 0
    middle = likely if low <= likely <= high else (low + high) // 2
    return _nearest_unread(middle, low, high, {*seen, *read})


def _span(key: Any, seen: Mapping[int, PageBounds], last_page: int) -> tuple[int, int]:
    """Return the first and the last page on which records of a key can be."""
    low, high = 1, last_page
    for number, page in seen.items():
        if page.first is None:
            high = min(high, number - 1)
            continue
        if page.first < key:
            low = max(low, number if page.last >= key else number + 1)
        if page.last > key:
            high = min(high, number if page.first <= key else number - 1)
    return low, high


def _nearest_unread(middle: int, low: int, high: int, read: Container[int]) -> int | None:
    for distance in range(high - low + 1):
        for page in (middle - distance, middle + distance):
            if low <= page <= high and page not in read:
                return page
    return None
