"""Test that a search for loads reads each page at most once.

The tests vary the sort order of the list and the loads of other sources.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import (
    StitchBadRequest,
    StitchNotFound,
    StitchUnavailable,
    UnexpectedResponse,
    UnknownSource,
)
from simulated_stitch.large_account import LargeAccount, load_of, sources_with
from tests.support.polled_account import PolledAccount, query_loads

STREAMS = [f"stream_{number}" for number in range(8)]

STREAM_RESPONSES = {
    "400": UnknownSource("There is no such source."),
    "404": StitchNotFound("There is no such thing."),
    "bad request": StitchBadRequest("Stitch rejects the request."),
    "not JSON": UnexpectedResponse("The response is not JSON."),
    "500": StitchUnavailable("Stitch has a problem."),
    "pushed": (),
}
"""Possible responses if a client requests the streams of a source that has loads but no streams."""


def account_with(
    order: str, active: int, others: dict[str, tuple[str, int]], seed: int = 1
) -> tuple[PolledAccount, int]:
    """Return an account, and the number of pages in its list of loads.

    :param order: the sort order of the list of loads.
    :param active: the number of sources that have the eight streams in `STREAMS`.
    :param others: sources without streams. Each key is the name of a source. Each value contains the response
        to a request for the source's streams and the number of the source's loads.
    """
    sources: dict[str, Any] = sources_with(STREAMS, [f"active_{number}" for number in range(active)])
    rows = [(stream.stream_id, name, stream.stream_name) for name, each in sources.items() for stream in each]
    for number, (name, (response, load_count)) in enumerate(others.items()):
        sources[name] = STREAM_RESPONSES[response]
        first_id = 4_000_000 + 2_000_000 * (number % 2) + 1_000 * number
        rows += [(first_id + index, name, f"table_{index}") for index in range(load_count)]
    random.Random(seed).shuffle(rows)
    if order == "stream_id":
        rows.sort()
    elif order == "stream_name":
        rows.sort(key=lambda row: (row[2], row[1]))
    loads = [load_of(source, stream) for _, source, stream in rows]
    return PolledAccount(LargeAccount(loads=loads, sources=sources), limit=1_500), -(-len(loads) // 100)


def search(account: PolledAccount, *searches: tuple[str, list[str]]) -> list[tuple[set[str], Counter[Any]]]:
    """For each search, return the streams that were found and how often each page was read."""
    client = account.client

    async def scenario() -> list[tuple[set[str], Counter[Any]]]:
        results = []
        for source_name, streams in searches:
            before = len(client.requests)

            def stop_an_endless_search(before: int = before) -> None:
                assert len(client.requests) - before <= 200, "The search does not end."

            client.before_each = stop_an_endless_search
            result = await query_loads(account.session(), source_name, streams, fresh=True)
            results.append(({load.stream_name for load in result.value}, Counter(client.requests[before:])))
        return results

    return account.run(scenario)


@pytest.mark.parametrize("order", ["stream_name", "stream_id", "none"])
@pytest.mark.parametrize("response", STREAM_RESPONSES)
def test_search_ends_if_sources_without_streams_fill_pages(order, response):
    account, pages = account_with(order, 60, {"first": (response, 450), "second": (response, 450)})

    ((found, reads),) = search(account, ("active_7", ["stream_2"]))

    assert "stream_2" in found
    assert max(reads.values()) == 1
    assert len(reads) <= pages


@settings(max_examples=2 * settings.default.max_examples)
@given(
    order=st.sampled_from(["stream_name", "stream_id", "none"]),
    active=st.integers(1, 60),
    others=st.dictionaries(
        st.sampled_from(["ancient", "deleted", "import_api", "webhook", "zz_old"]),
        st.tuples(st.sampled_from(sorted(STREAM_RESPONSES)), st.integers(1, 350)),
    ),
    seed=st.integers(0, 1_000),
    data=st.data(),
)
def test_search_finds_listed_loads_and_reads_no_page_twice(order, active, others, seed, data):
    account, pages = account_with(order, active, others, seed)
    names = [f"active_{number}" for number in range(active)] + sorted(others)
    searches = []
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(names))
        streams = [f"table_{others[name][1] - 1}"] if name in others else data.draw(STREAM_LISTS)
        searches.append((name, streams))

    for (_, streams), (found, reads) in zip(searches, search(account, *searches), strict=True):
        assert found >= set(streams)
        assert max(reads.values()) == 1
        assert len(reads) <= pages


STREAM_LISTS = st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3, unique=True)


@pytest.mark.parametrize("order", ["stream_name", "stream_id", "none"])
def test_search_for_a_load_that_is_not_listed_reads_each_page_at_most_once(order):
    account, pages = account_with(order, 60, {"import_api": ("pushed", 700), "deleted": ("400", 300)})

    for _, reads in search(account, *[("active_7", ["missing"])] * 3):
        assert max(reads.values()) == 1
        assert len(reads) <= pages


@pytest.mark.parametrize("order", ["stream_name", "stream_id"])
@pytest.mark.parametrize("status", [400, 404, 500])
def test_wait_succeeds_if_sources_without_streams_fill_pages_of_loads(stitch, waiter, order, status):
    """Stitch lists loads but no streams for deleted sources and Import API sources.

    A search cannot determine the sort order of the list from loads without a stream.
    """
    stitch.quirks.loads_order = order
    deleted = stitch.add_source("deleted", streams={f"table_{number:03}": 1 for number in range(350)})
    pushed = stitch.add_source(
        "pushed", type="import_api", streams={f"event_{number:03}": 0 for number in range(350)}
    )
    stitch.complete_job(deleted)
    stitch.delete_source(deleted)
    for number in range(350):
        stitch.record_load(pushed, f"event_{number:03}")
    ours = stitch.add_source("ours", streams={"orders": 3, "users": 2})
    for source_id in (deleted, pushed):
        stitch.fail("GET", f"/v4/sources/{source_id}/streams", status=status, times=None)
    before = len(stitch.limited_requests)

    outcome = waiter.replicate(ours)

    assert outcome.error is None
    paths = [request.path for request in stitch.limited_requests[before:]]
    pages = Counter(path for path in paths if "/loads" in path)
    assert max(pages.values()) <= 6, "Each poll of the wait reads a page at most once."
