"""Test the search for a record's page in sorted, unsorted and changing lists."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.polling import page_cache
from airflow_provider_stitch.replication.polling.page_cache import CachedPage, PageCache, SourceKey, StreamKey
from simulated_stitch.large_account import (
    RECORDS_PER_PAGE,
    extraction_of,
    load_of,
    loads_by_stream_name,
    page_of,
)


class Searcher:
    """Searches a list for records on the pages that the page cache suggests."""

    def __init__(self, pages: PageCache[Any], records: list[Any]) -> None:
        self.pages = pages
        self.records = records
        self.reads = 0
        self.after_sequence = 0
        self.before_each: Callable[[], None] = lambda: None

    def find_extraction(self, source_id: int) -> bool:
        """Return whether a search finds the extraction of the given source."""
        return self._search(SourceKey(source_id), lambda record: record.source_id == source_id, 1)

    def find_load(self, source_name: str, stream_name: str, number: int = 1) -> bool:
        """Return whether a search finds all loads with the given source name and stream name.

        :param number: the number of loads with these names.
        """
        names = (source_name, stream_name)
        key = StreamKey(*names)
        return self._search(key, lambda record: (record.source_name, record.stream_name) == names, number)

    def _search(self, key: Any, is_wanted: Callable[[Any], bool], number: int) -> bool:
        self.after_sequence = self.reads
        found = 0
        while found < number:
            page = self.pages.next_page(key, self.after_sequence)
            if page is None:
                return False
            assert self.reads - self.after_sequence < 2000, "the search does not end"
            records = self.read(page)
            found_here = sum(is_wanted(record) for record in records)
            if found_here:
                self.pages.remember_pages(key, page)
            found += found_here
        return True

    def read(self, number: int) -> tuple[Any, ...]:
        self.before_each()
        self.reads += 1
        page = page_of(self.records, number)
        self.pages.add(CachedPage(page, self.reads, float(self.reads), {}), self.after_sequence)
        return page.records

    def cost(self, search: Callable[[], bool]) -> int:
        """Return how many pages a successful search reads."""
        before = self.reads
        assert search()
        return self.reads - before


def searcher_of_extractions(source_ids: list[int]) -> Searcher:
    return Searcher(page_cache.extractions_cache(), [extraction_of(each) for each in sorted(source_ids)])


def searcher_of_loads(loads: list[Any]) -> Searcher:
    return Searcher(page_cache.loads_cache(), loads)


def many_loads(order: Callable[[Any], Any], sources: int = 300, streams: int = 12) -> list[Any]:
    """Return loads in the given order (3,600 loads on 36 pages by default)."""
    loads = [
        load_of(f"source_{source:04}", f"Stream_{stream}" if stream % 3 else f"stream_{stream}")
        for source in range(sources)
        for stream in range(streams)
    ]
    random.Random(1).shuffle(loads)
    return sorted(loads, key=order)


# --- Extractions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sources", [1, 99, 100, 101, 1_000, 10_000])
def test_extraction_is_found_in_logarithmically_many_requests(sources):
    searcher = searcher_of_extractions(list(range(310_000, 310_000 + sources)))
    max_cost = math.ceil(math.log2(math.ceil(sources / RECORDS_PER_PAGE) + 1)) + 2

    for source_id in (310_000, 310_000 + sources - 1, 310_000 + sources // 3):
        assert searcher.cost(lambda each=source_id: searcher.find_extraction(each)) <= max_cost


def test_extraction_that_was_found_costs_one_request():
    searcher = searcher_of_extractions(list(range(10_000)))
    searcher.find_extraction(7_777)

    assert searcher.cost(lambda: searcher.find_extraction(7_777)) == 1


def test_neighbour_of_a_found_extraction_costs_at_most_three_requests():
    """The search for a second source is shorter, because the first search has cached some pages."""
    searcher = searcher_of_extractions(list(range(10_000)))
    searcher.find_extraction(7_777)

    assert searcher.cost(lambda: searcher.find_extraction(7_850)) <= 3


def test_unlisted_extraction_costs_logarithmically_many_requests():
    searcher = searcher_of_extractions(list(range(0, 20_000, 2)))

    assert not searcher.find_extraction(7_777)
    assert searcher.reads <= 9


@pytest.mark.parametrize("shift", [-950, -350, -120, -1, 1, 120, 350, 950])
def test_extraction_that_shifted_by_pages_is_found(shift):
    searcher = searcher_of_extractions(list(range(100_000, 105_000)))
    assert searcher.find_extraction(102_222)

    if shift > 0:  # sources with lower ids were created
        searcher.records = [extraction_of(each) for each in range(100_000 - shift, 105_000)]
    else:
        searcher.records = searcher.records[-shift:]

    assert searcher.cost(lambda: searcher.find_extraction(102_222)) <= 9


@given(st.data())
def test_listed_extraction_is_found_after_any_changes(data):
    ids = st.lists(st.integers(1, 3_000), unique=True, max_size=900)
    searcher = searcher_of_extractions(data.draw(ids))
    for _ in range(data.draw(st.integers(1, 4))):
        wanted = data.draw(st.integers(1, 3_000))
        assert searcher.find_extraction(wanted) == (wanted in {each.source_id for each in searcher.records})
        searcher.records = [extraction_of(each) for each in sorted(data.draw(ids))]


# --- Loads ----------------------------------------------------------------------------------------------


ORDERS = {
    "stream name, then source": lambda load: (load.stream_name, load.source_name),
    "stream name only": lambda load: (load.stream_name, hash(load.source_name) % 97),
    "stream name ignoring case, then source": lambda load: (load.stream_name.casefold(), load.source_name),
    "source": lambda load: (load.source_name, load.stream_name),
    "none": lambda load: random.Random(f"{load.source_name}.{load.stream_name}").random(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_load_is_found_in_any_order(order):
    searcher = searcher_of_loads(many_loads(ORDERS[order]))

    for source in (0, 17, 150, 299):
        for stream in ("stream_0", "Stream_1", "Stream_11"):
            names = (f"source_{source:04}", stream)
            # The first pages may be sorted by chance. The page cache then assumes that the whole list is
            # sorted until the cache contains an unsorted page.
            assert any(searcher.find_load(*names) for _ in range(3)), names


@pytest.mark.parametrize(
    ("order", "max_cost"),
    [
        pytest.param("stream name, then source", 8, id="by stream name and source: bisected"),
        pytest.param("stream name ignoring case, then source", 8, id="the same, ignoring case"),
        # The loads with the same stream name fill 3 or 4 of the 36 pages.
        pytest.param("stream name only", 10, id="by stream name: all pages with that name are read"),
    ],
)
def test_search_is_cheap_in_a_documented_order(order, max_cost):
    searcher = searcher_of_loads(many_loads(ORDERS[order]))
    searcher.find_load("source_0299", "Stream_7")

    costs = [
        searcher.cost(lambda each=source: searcher.find_load(f"source_{each:04}", "Stream_11"))
        for source in (0, 17, 150, 298)
    ]

    assert max(costs) <= max_cost


def test_list_without_an_order_is_read_once_and_then_cached():
    searcher = searcher_of_loads(many_loads(ORDERS["none"]))

    assert searcher.cost(lambda: searcher.find_load("source_0150", "Stream_7")) <= 37
    assert searcher.cost(lambda: searcher.find_load("source_0150", "Stream_7")) == 1


def test_loads_that_share_a_name_are_both_found_on_adjacent_pages():
    before = [load_of(f"source_{number:03}", "orders") for number in range(99)]
    namesakes = [load_of("source_555", "orders"), load_of("source_555", "orders")]
    after = [load_of(f"source_{number:03}", "orders") for number in range(600, 900)]
    users = [load_of(f"source_{number:03}", "users") for number in range(400)]
    searcher = searcher_of_loads([*before, *namesakes, *after, *users])
    assert searcher.records[99] == searcher.records[100], "the namesakes are not on different pages"

    for _ in range(3):
        assert searcher.find_load("source_555", "orders", number=2)


def test_short_list_is_read_in_full():
    searcher = searcher_of_loads(many_loads(ORDERS["source"], sources=40))

    for source in range(0, 40, 7):
        assert searcher.find_load(f"source_{source:04}", "Stream_7")
        assert searcher.reads <= 5 * (source // 7 + 1)


def test_order_is_not_refuted_by_a_few_records_that_shifted():
    searcher = searcher_of_loads(many_loads(ORDERS["stream name, then source"]))
    searcher.find_load("source_0150", "Stream_7")
    new_loads = [load_of("source_9999", f"Aardvarks_{number}") for number in range(20)]
    searcher.records = [*new_loads, *searcher.records]
    searcher.find_load("source_0151", "Stream_7")

    assert searcher.cost(lambda: searcher.find_load("source_0299", "stream_9")) <= 8


def test_extraction_is_found_after_the_list_lost_and_regained_pages():
    searcher = searcher_of_extractions(list(range(1_000)))
    assert searcher.find_extraction(950)
    searcher.records = searcher.records[:150]
    assert not searcher.find_extraction(950)
    searcher.records = [extraction_of(each) for each in range(1_000)]

    assert searcher.cost(lambda: searcher.find_extraction(950)) <= 6


@given(st.data())
def test_listed_load_is_found_in_any_order_after_any_changes(data):
    order = ORDERS[data.draw(st.sampled_from(sorted(ORDERS)))]
    sizes = st.tuples(st.integers(0, 90), st.integers(1, 14))
    searcher = searcher_of_loads(many_loads(order, *data.draw(sizes)))
    for _ in range(data.draw(st.integers(1, 4))):
        source, stream = data.draw(st.integers(0, 90)), data.draw(st.integers(0, 14))
        names = (f"source_{source:04}", f"Stream_{stream}" if stream % 3 else f"stream_{stream}")
        is_listed = names in {(load.source_name, load.stream_name) for load in searcher.records}
        # While the cache wrongly assumes that the list is sorted, a search may miss a record.
        assert any(searcher.find_load(*names) for _ in range(3)) == is_listed
        searcher.records = many_loads(order, *data.draw(sizes))


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_search_ends_if_the_list_changes_between_its_requests(seed, sources):
    """If the list changes during a search, the search may miss a record, but the next search finds it."""
    rng = random.Random(seed)
    searcher = searcher_of_loads(
        loads_by_stream_name([f"source_{n:03}" for n in range(sources)], ["a", "b", "c", "d"] * 5)
    )

    def change() -> None:
        if rng.random() < 0.5:
            searcher.records = searcher.records[rng.randrange(len(searcher.records) + 1) :]
        else:
            searcher.records = [
                *loads_by_stream_name([f"new_{rng.random()}"], ["a", "c"]),
                *searcher.records,
            ]

    searcher.before_each = change
    searcher.find_load("source_001", "d")
    searcher.before_each = lambda: None
    searcher.records = loads_by_stream_name(
        [f"source_{n:03}" for n in range(sources)], ["a", "b", "c", "d"] * 5
    )

    assert searcher.find_load("source_000", "d")


def test_cache_of_a_long_list_stays_small():
    searcher = searcher_of_extractions(list(range(100_000)))
    for source_id in range(0, 100_000, 137):
        searcher.find_extraction(source_id)

    assert len(searcher.pages.pages) <= 31


@pytest.mark.parametrize("step", [1, 1_000_000], ids=["numbers", "microseconds"])
def test_latest_30_pages_are_kept(step):
    """If processes share responses through Redis, sequence numbers are times in microseconds."""
    pages = page_cache.extractions_cache()
    records = [extraction_of(source_id) for source_id in range(40 * RECORDS_PER_PAGE)]
    for number in range(1, 41):
        pages.add(CachedPage(page_of(records, number), number * step, 0.0, {}), number * step)

    assert list(pages.pages) == list(range(11, 41))


def test_cached_page_that_no_longer_exists_is_dropped():
    """The list may become shorter before the stream ids of a cached page are known."""
    pages = page_cache.loads_cache()
    pages.add(CachedPage(page_of([load_of("github", "commits")] * 650, 7), 1, 1.0, {}), 0)
    pages.add(CachedPage(page_of([], 7), 2, 2.0, {}), 1)

    pages.check_stream_id_order()

    assert pages.pages == {}
