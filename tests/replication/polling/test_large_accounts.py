"""Test how many requests a search in a large account needs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from simulated_stitch.large_account import (
    LargeAccount,
    extraction_of,
    loads_by_stream_id,
    loads_by_stream_name,
    sources_with,
)
from tests.support.polled_account import PolledAccount, query_loads

MANY = list(range(300_000, 310_000))
"""Ids of 10,000 sources. The account has 100 pages of extractions and 1,000 pages of loads."""

STREAMS = [f"stream_{number}" for number in range(10)]


def name_of(source_id: int) -> str:
    return f"source_{source_id * 7919 % 1_000_003}"  # the order by name differs from the order by id


@pytest.fixture(scope="module")
def many_extractions():
    return [extraction_of(each) for each in MANY]


@pytest.fixture(scope="module")
def many_loads():
    return loads_by_stream_name(map(name_of, MANY), STREAMS)


def test_source_among_10000_is_found_in_logarithmically_many_requests(many_extractions):
    account = PolledAccount(LargeAccount(extractions=many_extractions), limit=1_500)

    async def scenario():
        costs = []
        for source_id in (MANY[7_777], MANY[7_850], MANY[7_777], MANY[0], MANY[-1]):
            before = len(account.client.requests)
            result = await account.session().query_extraction(source_id)
            assert result.value.source_id == source_id
            costs.append(len(account.client.requests) - before)
        return costs

    first, neighbour, repeated, *others = account.run(scenario)

    assert first <= 8
    assert (neighbour, repeated) == (1, 1)
    assert max(others) <= 8


class LoadSearches:
    """Runs several searches for loads, one after another, in an account with long lists."""

    def __init__(self, **lists: Any) -> None:
        self.client = LargeAccount(**lists)
        self.account = PolledAccount(self.client, limit=1_500)

    def costs(self, *searches: tuple[str, list[str]]) -> list[int]:
        """Return the number of rate-limited requests that each search has sent."""

        async def scenario():
            costs = []
            for source_name, streams in searches:
                before = len(self.client.requests)
                result = await query_loads(self.account.session(), source_name, streams, fresh=True)
                assert {load.stream_name for load in result.value} >= set(streams)
                costs.append(len(self.client.requests) - before)
            return costs

        return self.account.run(scenario)


SHOP, OTHER_SHOP = name_of(MANY[123]), name_of(MANY[9_876])


def test_load_is_found_in_logarithmically_many_requests_by_stream_name(many_loads):
    first, repeated, other, all_streams, all_repeated = LoadSearches(loads=many_loads).costs(
        (SHOP, STREAMS[:1]), (SHOP, STREAMS[:1]), (OTHER_SHOP, STREAMS[:1]), (SHOP, STREAMS), (SHOP, STREAMS)
    )

    assert first <= 12
    assert other <= 12
    assert repeated == 1
    # The loads of the source's 10 streams are on 10 of the 1,000 pages. Each of the 10 pages requires a
    # separate search.
    assert all_streams <= 10 * 8
    assert all_repeated == 10


def test_load_is_found_in_logarithmically_many_requests_by_stream_id():
    """A load contains no stream id, so a search takes the id from the source's list of streams.

    Requests for a list of streams are not rate-limited.
    """
    sources = sources_with(STREAMS, map(name_of, MANY))
    searches = LoadSearches(loads=loads_by_stream_id(sources), sources=sources)

    first, repeated, other, all_streams, all_repeated = searches.costs(
        (SHOP, STREAMS[:1]), (SHOP, STREAMS[:1]), (OTHER_SHOP, STREAMS[:1]), (SHOP, STREAMS), (SHOP, STREAMS)
    )

    assert first <= 14
    assert other <= 12
    assert repeated == 1
    assert all_streams <= 2
    assert all_repeated <= 2
    assert searches.client.stream_requests <= 4 * len(searches.client.requests)


def test_loads_of_one_of_10000_sources_are_found_within_30_minutes(many_loads):
    account = PolledAccount(LargeAccount(loads=many_loads))

    async def scenario():
        started_at = account.loop.time()
        await query_loads(account.session(), SHOP, STREAMS)
        return account.loop.time() - started_at

    assert account.run(scenario) <= 3 * 600


def test_search_keeps_all_its_pages_until_it_ends():
    """If a list is not sorted, a search must read every page before it can report a missing stream."""
    loads = loads_by_stream_name((f"source_{number}" for number in range(100)), [f"t{n}" for n in range(40)])
    random.Random(3).shuffle(loads)
    account = PolledAccount(LargeAccount(loads=loads))

    def stop_an_endless_search() -> None:
        assert len(account.client.requests) < 100

    account.client.before_each = stop_an_endless_search

    result = account.run(lambda: query_loads(account.session(), "source_7", ["no such stream"]))

    assert {load.source_name for load in result.value} == {"source_7"}
    assert len(account.client.requests) == 40
