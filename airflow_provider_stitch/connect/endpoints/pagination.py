"""Read all pages of a list, even if records move between pages during the read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.connect.errors import UnexpectedResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.connect.objects.jobs import Extraction, Load, Page

T = TypeVar("T")

MAX_PAGES = 1000  #: maximum number of pages in a list; a longer list raises an error


def read_all_pages(list_page: Callable[[int], Page[T]]) -> list[list[Page[T]]]:
    """Read all pages of a list, and read all pages again if the length of the list changed.

    When the length of a list changes, records move between its pages. Return the pages of each pass as a
    list.
    """
    first = _all_pages(list_page)
    return [first] if len({page.total for page in first}) == 1 else [first, _all_pages(list_page)]


def _all_pages(list_page: Callable[[int], Page[T]]) -> list[Page[T]]:
    pages = [list_page(1)]
    number = pages[0].next_page
    while number is not None:
        if number > MAX_PAGES:
            raise UnexpectedResponse(
                f"The list has more than {MAX_PAGES} pages, and {pages[-1].total} records in total, so it is "
                "too long to read completely. Read the pages that you need one by one."
            )
        if number != len(pages) + 1 or not pages[-1].records:
            raise UnexpectedResponse(
                f"The page links of the list are invalid: page {len(pages)} with {len(pages[-1].records)} "
                f"records links to page {number} as the next page."
            )
        pages.append(list_page(number))
        number = pages[-1].next_page
    return pages


def is_newer(extraction: Extraction, known: Extraction) -> bool:
    """Return whether an extraction started no earlier than the known extraction."""
    if extraction.start_time is None or known.start_time is None:
        return known.start_time is None
    return extraction.start_time >= known.start_time


def without_moved_loads(pages: list[Page[Load]]) -> list[Load]:
    """Return the loads on all pages, without the duplicates that occur if the list grows while it is read.

    A load that moved to the next page cannot be distinguished from another load with the same source and
    stream name. However, if the list grew by n records between two requests, at most n loads moved to the
    next page. The moved loads are at the top of the next page, in the same order.
    """
    loads: list[Load] = []
    for page, previous in zip(pages, [None, *pages], strict=False):
        growth = 0 if previous is None else page.total - previous.total
        names = [(load.source_name, load.stream_name) for load in page.records]
        before = [(load.source_name, load.stream_name) for load in loads[-len(names) :]]
        for moved in range(min(growth, len(names), len(before)), 0, -1):
            if before[-moved:] == names[:moved]:
                del loads[-moved:]
                break
        loads += page.records
    return loads
