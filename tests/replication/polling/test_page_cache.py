"""On which page of a list is a record? Lists in order, in no order, and lists that change meanwhile."""

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
    """Looks records up in a list as long as it is told which page to look at."""

    def __init__(self, pages: PageCache[Any], records: list[Any]) -> None:
        self.pages = pages
        self.records = records
        self.looks = 0
        self.since = 0
        self.before_each: Callable[[], None] = lambda: None

    def extraction(self, source_id: int) -> bool:
        return self._search(SourceKey(source_id), lambda record: record.source_id == source_id, 1)

    def load(self, source_name: str, stream_name: str, number: int = 1) -> bool:
        names = (source_name, stream_name)
        key = StreamKey(*names)
        return self._search(key, lambda record: (record.source_name, record.stream_name) == names, number)

    def _search(self, key: Any, is_wanted: Callable[[Any], bool], number: int) -> bool:
        self.since = self.looks
        found = 0
        while found < number:
            page = self.pages.next_page(key, self.since)
            if page is None:
                return False
            assert self.looks - self.since < 2000, "the search ends"
            records = self.look_at(page)
            here = sum(is_wanted(record) for record in records)
            if here:
                self.pages.remember_pages(key, page)
            found += here
        return True

    def look_at(self, number: int) -> tuple[Any, ...]:
        self.before_each()
        self.looks += 1
        page = page_of(self.records, number)
        self.pages.add(CachedPage(page, self.looks, float(self.looks), {}), self.since)
        return page.records

    def cost(self, search: Callable[[], bool]) -> int:
        before = self.looks
        assert search()
        return self.looks - before


def of_extractions(source_ids: list[int]) -> Searcher:
    return Searcher(page_cache.extractions_cache(), [extraction_of(each) for each in sorted(source_ids)])


def searcher_of_loads(loads: list[Any]) -> Searcher:
    return Searcher(page_cache.loads_cache(), loads)


def many_loads(order: Callable[[Any], Any], sources: int = 300, streams: int = 12) -> list[Any]:
    """3,600 loads in an order, 36 pages."""
    loads = [
        load_of(f"source_{source:04}", f"Stream_{stream}" if stream % 3 else f"stream_{stream}")
        for source in range(sources)
        for stream in range(streams)
    ]
    random.Random(1).shuffle(loads)
    return sorted(loads, key=order)


# --- Extractions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sources", [1, 99, 100, 101, 1_000, 10_000])
def test_an_extraction_is_found_within_a_logarithm_of_the_pages(sources):
    searcher = of_extractions(list(range(310_000, 310_000 + sources)))
    most = math.ceil(math.log2(math.ceil(sources / RECORDS_PER_PAGE) + 1)) + 2

    for source_id in (310_000, 310_000 + sources - 1, 310_000 + sources // 3):
        assert searcher.cost(lambda each=source_id: searcher.extraction(each)) <= most


def test_what_was_found_once_costs_one_request_from_then_on():
    searcher = of_extractions(list(range(10_000)))
    searcher.extraction(7_777)

    assert searcher.cost(lambda: searcher.extraction(7_777)) == 1


def test_a_neighbour_of_what_was_found_costs_little_more():
    """Who waits for another source of the same account has learned from the first search."""
    searcher = of_extractions(list(range(10_000)))
    searcher.extraction(7_777)

    assert searcher.cost(lambda: searcher.extraction(7_850)) <= 3


def test_a_source_that_is_not_listed_yet_is_missed_within_a_logarithm_too():
    searcher = of_extractions(list(range(0, 20_000, 2)))

    assert not searcher.extraction(7_777)
    assert searcher.looks <= 9


@pytest.mark.parametrize("shift", [-950, -350, -120, -1, 1, 120, 350, 950])
def test_a_record_that_shifted_by_pages_is_found_again(shift):
    searcher = of_extractions(list(range(100_000, 105_000)))
    assert searcher.extraction(102_222)

    if shift > 0:  # newcomers before it
        searcher.records = [extraction_of(each) for each in range(100_000 - shift, 105_000)]
    else:
        searcher.records = searcher.records[-shift:]

    assert searcher.cost(lambda: searcher.extraction(102_222)) <= 9


@given(st.data())
def test_a_listed_extraction_is_found_whatever_came_and_went_since(data):
    ids = st.lists(st.integers(1, 3_000), unique=True, max_size=900)
    searcher = of_extractions(data.draw(ids))
    for _ in range(data.draw(st.integers(1, 4))):
        wanted = data.draw(st.integers(1, 3_000))
        assert searcher.extraction(wanted) == (wanted in {each.source_id for each in searcher.records})
        searcher.records = [extraction_of(each) for each in sorted(data.draw(ids))]


# --- Loads ----------------------------------------------------------------------------------------------


ORDERS = {
    "stream name, then source": lambda load: (load.stream_name, load.source_name),
    "stream name, then anything": lambda load: (load.stream_name, hash(load.source_name) % 97),
    "stream name in any case, then source": lambda load: (load.stream_name.casefold(), load.source_name),
    "source": lambda load: (load.source_name, load.stream_name),
    "nothing": lambda load: random.Random(f"{load.source_name}.{load.stream_name}").random(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_load_is_found_in_whatever_order_the_list_is(order):
    searcher = searcher_of_loads(many_loads(ORDERS[order]))

    for source in (0, 17, 150, 299):
        for stream in ("stream_0", "Stream_1", "Stream_11"):
            names = (f"source_{source:04}", stream)
            # By chance the first pages may speak for an order that the next ones refute.
            assert any(searcher.load(*names) for _ in range(3)), names


@pytest.mark.parametrize(
    ("order", "most"),
    [
        pytest.param("stream name, then source", 8, id="by stream name and source: bisected"),
        pytest.param("stream name in any case, then source", 8, id="the same in any case"),
        # Of 36 pages, those of one stream name are 3 or 4.
        pytest.param("stream name, then anything", 10, id="by stream name: the pages of that name are read"),
    ],
)
def test_an_order_that_is_documented_makes_it_cheap(order, most):
    searcher = searcher_of_loads(many_loads(ORDERS[order]))
    searcher.load("source_0299", "Stream_7")

    costs = [
        searcher.cost(lambda each=source: searcher.load(f"source_{each:04}", "Stream_11"))
        for source in (0, 17, 150, 298)
    ]

    assert max(costs) <= most


def test_a_list_in_no_order_is_read_through_once_and_then_remembered():
    searcher = searcher_of_loads(many_loads(ORDERS["nothing"]))

    assert searcher.cost(lambda: searcher.load("source_0150", "Stream_7")) <= 37
    assert searcher.cost(lambda: searcher.load("source_0150", "Stream_7")) == 1


def test_loads_of_one_name_in_two_schemas_are_both_found_across_a_page_boundary():
    before = [load_of(f"source_{number:03}", "orders") for number in range(99)]
    twins = [load_of("source_555", "orders"), load_of("source_555", "orders")]
    after = [load_of(f"source_{number:03}", "orders") for number in range(600, 900)]
    more = [load_of(f"source_{number:03}", "users") for number in range(400)]
    searcher = searcher_of_loads([*before, *twins, *after, *more])
    assert searcher.records[99] == searcher.records[100], "one is the last of a page, the other the first"

    for _ in range(3):
        assert searcher.load("source_555", "orders", number=2)


def test_a_short_list_is_read_through():
    searcher = searcher_of_loads(many_loads(ORDERS["source"], sources=40))

    for source in range(0, 40, 7):
        assert searcher.load(f"source_{source:04}", "Stream_7")
        assert searcher.looks <= 5 * (source // 7 + 1)


def test_a_few_records_that_shifted_refute_no_order():
    searcher = searcher_of_loads(many_loads(ORDERS["stream name, then source"]))
    searcher.load("source_0150", "Stream_7")
    newcomers = [load_of("source_9999", f"Aardvarks_{number}") for number in range(20)]
    searcher.records = [*newcomers, *searcher.records]
    searcher.load("source_0151", "Stream_7")

    assert searcher.cost(lambda: searcher.load("source_0299", "stream_9")) <= 8


def test_a_list_that_loses_pages_and_gets_them_back():
    searcher = of_extractions(list(range(1_000)))
    assert searcher.extraction(950)
    searcher.records = searcher.records[:150]
    assert not searcher.extraction(950)
    searcher.records = [extraction_of(each) for each in range(1_000)]

    assert searcher.cost(lambda: searcher.extraction(950)) <= 6


@given(st.data())
def test_a_load_is_found_whatever_the_order_and_whatever_came_and_went(data):
    order = ORDERS[data.draw(st.sampled_from(sorted(ORDERS)))]
    sizes = st.tuples(st.integers(0, 90), st.integers(1, 14))
    searcher = searcher_of_loads(many_loads(order, *data.draw(sizes)))
    for _ in range(data.draw(st.integers(1, 4))):
        source, stream = data.draw(st.integers(0, 90)), data.draw(st.integers(0, 14))
        names = (f"source_{source:04}", f"Stream_{stream}" if stream % 3 else f"stream_{stream}")
        is_listed = names in {(load.source_name, load.stream_name) for load in searcher.records}
        # As long as the list has not refuted them all, a wrong order may hide a record.
        assert any(searcher.load(*names) for _ in range(3)) == is_listed
        searcher.records = many_loads(order, *data.draw(sizes))


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_a_list_that_changes_between_two_requests_of_a_search_ends_it_all_the_same(seed, sources):
    """A record may then be missed: absence from one sweep proves nothing. The next search finds it."""
    chance = random.Random(seed)
    searcher = searcher_of_loads(
        loads_by_stream_name([f"source_{n:03}" for n in range(sources)], ["a", "b", "c", "d"] * 5)
    )

    def change() -> None:
        if chance.random() < 0.5:
            searcher.records = searcher.records[chance.randrange(len(searcher.records) + 1) :]
        else:
            searcher.records = [
                *loads_by_stream_name([f"new_{chance.random()}"], ["a", "c"]),
                *searcher.records,
            ]

    searcher.before_each = change
    searcher.load("source_001", "d")
    searcher.before_each = lambda: None
    searcher.records = loads_by_stream_name(
        [f"source_{n:03}" for n in range(sources)], ["a", "b", "c", "d"] * 5
    )

    assert searcher.load("source_000", "d")


def test_what_is_remembered_of_a_long_list_stays_small():
    searcher = of_extractions(list(range(100_000)))
    for source_id in range(0, 100_000, 137):
        searcher.extraction(source_id)

    assert len(searcher.pages.pages) <= 31


def test_a_list_of_which_nothing_is_left_is_learned_from_no_more():
    """Between a look at a page and what is learned of its streams the list may have become shorter."""
    pages = page_cache.loads_cache()
    pages.add(CachedPage(page_of([load_of("github", "commits")] * 650, 7), 1, 1.0, {}), 0)
    pages.add(CachedPage(page_of([], 7), 2, 2.0, {}), 1)

    pages.check_unlisted_order()

    assert pages.pages == {}
