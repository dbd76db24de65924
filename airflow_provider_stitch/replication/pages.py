"""On which page of a list is a record? Pure functions.

A page holds 100 records and costs one of 30 requests in 10 minutes: so in a list that is in order a record is
found by bisection, and its page is then remembered. Records shift from page to page as others come and go;
what is not where it was is looked for next door. Source: Stitch Connect API, "Pagination".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


@dataclass(frozen=True)
class PageSeen:
    """What both ends of a page are in the list's order, or None for both if the page was empty."""

    first: Any
    last: Any


def next_page(key: Any, seen: Mapping[int, PageSeen], last_page: int | None, hint: int = 1) -> int | None:
    """Return the page to read next in search of the records of a key, or None: all that there are were seen.

    :param key: what the records are in the list's order; several records may have the same.
    :param seen: the pages read in this search.
    :param last_page: the number of pages, as far as an answer has told it.
    :param hint: the page to begin with.
    """
    if not seen:
        return max(1, hint if last_page is None else min(hint, last_page))
    low, high = _span(key, seen, last_page if last_page is not None else max(seen))
    # The neighbours of a remembered page are likelier than the middle of what is left.
    if len(seen) == 1 and hint > 1:
        nearby = [page for page in (hint - 1, hint + 1) if low <= page <= high and page not in seen]
        if nearby:
            return nearby[0]
    return _nearest_unseen((low + high) // 2, low, high, seen)


def likely_page(key: Any, seen: Mapping[int, PageSeen], last_page: int | None) -> int:
    """Return the page on which the records of a key are likeliest to be by now, of which `seen` is older
    news."""
    low, high = _span(key, seen, last_page or max(seen, default=1))
    return max(1, (low + high) // 2)


def _span(key: Any, seen: Mapping[int, PageSeen], last_page: int) -> tuple[int, int]:
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


def _nearest_unseen(middle: int, low: int, high: int, seen: Container[int]) -> int | None:
    for distance in range(high - low + 1):
        for page in (middle - distance, middle + distance):
            if low <= page <= high and page not in seen:
                return page
    return None
