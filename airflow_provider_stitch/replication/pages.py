"""On which page of a list is a source's record? Pure functions.

A page holds 100 records, extractions are ordered by source id, and each page costs one of 30 requests in 10
minutes: so a page is found by bisection and then remembered. Records shift from page to page as others come
and go; what is not where it was is looked for next door. Source: Stitch Connect API, "Pagination".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class PageSeen:
    """The source ids at both ends of a page, or None for both if the page was empty."""

    first: int | None
    last: int | None


def next_page(
    source_id: int, seen: Mapping[int, PageSeen], last_page: int | None, hint: int = 1
) -> int | None:
    """Return the page to read next in search of a source's extraction, or None: it is not in the list.

    :param seen: the pages read in this search, none of which held the record.
    :param last_page: the number of pages, as far as an answer has told it.
    :param hint: the page to begin with.
    """
    if not seen:
        return max(1, hint)
    low, high = 1, last_page if last_page is not None else max(seen)
    for number, page in seen.items():
        if page.first is None or page.last is None or source_id < page.first:
            high = min(high, number - 1)
        elif source_id > page.last:
            low = max(low, number + 1)
        else:
            return None  # it would have to be on this very page
    if low > high:
        return None
    # The neighbours of a remembered page are likelier than the middle of what is left.
    nearby = [page for page in (hint - 1, hint + 1) if low <= page <= high]
    return nearby[0] if len(seen) == 1 and hint > 1 and nearby else (low + high) // 2
