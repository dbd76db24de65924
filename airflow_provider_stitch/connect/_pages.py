"""Reading a list whose records shift between its pages while it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.connect.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.connect.objects import Extraction, Load, Page

T = TypeVar("T")

MOST_PAGES = 1000  #: a list that still goes on is none


def sweeps(list_page: Callable[[int], Page[T]]) -> list[list[Page[T]]]:
    """Read all pages; and once more if the list's length changed meanwhile, for then records have shifted."""
    first = _all_pages(list_page)
    return [first] if len({page.total for page in first}) == 1 else [first, _all_pages(list_page)]


def _all_pages(list_page: Callable[[int], Page[T]]) -> list[Page[T]]:
    pages = [list_page(1)]
    number = pages[0].next_page
    while number is not None:
        if number > MOST_PAGES:
            raise UnexpectedAnswer(
                f"The list has more than {MOST_PAGES} pages, {pages[-1].total} records by its own account: "
                "it is too long to be read through. Read the pages that you need one by one."
            )
        if number != len(pages) + 1 or not pages[-1].records:
            raise UnexpectedAnswer(
                f"The pages of the list lead nowhere: after page {len(pages)} with {len(pages[-1].records)} "
                f"records comes page {number}."
            )
        pages.append(list_page(number))
        number = pages[-1].next_page
    return pages


def begins_later(extraction: Extraction, known: Extraction) -> bool:
    if extraction.start_time is None or known.start_time is None:
        return known.start_time is None
    return extraction.start_time >= known.start_time


def without_shifted(pages: list[Page[Load]]) -> list[Load]:
    """Return the loads of a sweep, once each, though a growing list moves some on to the next page.

    Names alone do not tell a load that moved from another one of that name. But when the list has grown by n
    between two pages, at most n loads moved over their boundary, and they begin the second page in the order
    in which they ended the first.
    """
    loads: list[Load] = []
    for page, previous in zip(pages, [None, *pages], strict=False):
        grown = 0 if previous is None else page.total - previous.total
        names = [(load.source_name, load.stream_name) for load in page.records]
        before = [(load.source_name, load.stream_name) for load in loads[-len(names) :]]
        for moved in range(min(grown, len(names), len(before)), 0, -1):
            if before[-moved:] == names[:moved]:
                del loads[-moved:]
                break
        loads += page.records
    return loads
