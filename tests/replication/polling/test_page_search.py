"""Test the search for a source's record on pages of 100 records."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.polling.page_search import PageBounds, next_page_to_fetch

PAGE_SIZE = 100


def search(ids: list[int], wanted: int, hint: int = 1) -> tuple[bool, int]:
    """Search a list of source ids, the way the page cache would.

    Return whether the id was found and how many pages were read.
    """
    last_page = max(1, math.ceil(len(ids) / PAGE_SIZE))
    bounds: dict[int, PageBounds] = {}
    number = next_page_to_fetch(wanted, bounds, None, last_known_page=hint)
    while number is not None:
        page = ids[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        if wanted in page:
            return True, len(bounds) + 1
        assert number not in bounds, "no page is read twice in one search"
        bounds[number] = PageBounds(min(page, default=None), max(page, default=None))
        number = next_page_to_fetch(wanted, bounds, last_page, last_known_page=hint)
    return False, len(bounds)


def test_record_on_the_last_of_three_pages_is_found():
    assert search(list(range(1, 251)), 230)[0]


def test_cached_page_number_costs_one_request():
    assert search(list(range(1, 10_001)), 5_555, hint=56) == (True, 1)


def test_record_that_moved_to_an_adjacent_page_costs_two_requests():
    assert search(list(range(1, 10_001)), 5_600, hint=57) == (True, 2)


@given(
    st.lists(st.integers(1, 5_000), unique=True, max_size=2_000).map(sorted),
    st.integers(1, 5_000),
    st.integers(1, 60),
)
def test_listed_record_is_always_found_in_logarithmically_many_requests(ids, wanted, hint):
    found, read = search(ids, wanted, hint)

    assert found == (wanted in ids)
    assert read <= math.ceil(math.log2(max(1, len(ids) / PAGE_SIZE) + 1)) + 3
