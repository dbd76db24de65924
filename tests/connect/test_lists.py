"""Test how the client reads lists of extractions and loads page by page."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_provider_stitch.connect.endpoints import pagination
from airflow_provider_stitch.connect.errors import (
    InvalidArgument,
    UnexpectedResponse,
)
from tests.connect.list_records import RESPONDED_AT, page

from . import samples
from .scripted_server import http_response

# Pages.


def extraction(source_id, start="2026-08-17T06:00:02Z"):
    return {**samples.EXTRACTION_GOOD, "source_id": source_id, "start_time": start}


def load(stream, loaded_at="2026-08-17T06:09:47Z"):
    return {**samples.LOAD_GOOD, "stream_name": stream, "last_batch_loaded_at": loaded_at}


def test_list_extractions_requests_a_page_of_the_account(stitch, client):
    stitch.script(page([extraction(310442)], 3, 237, more=False))

    found = client.list_extractions(3)

    assert stitch.targets == ["/v4/104857/extractions?page=3"]
    assert (found.number, found.total, found.last_page, found.next_page) == (3, 237, 3, None)
    assert found.responded_at == RESPONDED_AT
    assert found.records[0].source_id == 310442


def test_list_loads_requests_a_page_of_the_account(stitch, client):
    stitch.script(page([load("commits")], 1, 1, more=False))

    assert client.list_loads().records[0].stream_name == "commits"
    assert stitch.targets == ["/v4/104857/loads?page=1"]


@pytest.mark.parametrize("number", [0, -1, True, "2", None])
def test_invalid_page_number_is_rejected(stitch, client, number):
    with pytest.raises(InvalidArgument, match="numbers start at 1"):
        client.list_loads(number)

    assert stitch.requests == []


def test_all_extractions_follows_the_page_links(stitch, client):
    stitch.script(
        page([extraction(1)], 1, 3, more=True),
        page([extraction(2)], 2, 3, more=True),
        page([extraction(3)], 3, 3, more=False),
    )

    assert [each.source_id for each in client.all_extractions()] == [1, 2, 3]
    assert len(stitch.requests) == 3


def test_all_extractions_keeps_the_newest_of_duplicates(stitch, client):
    newer = "2026-08-17T07:00:02Z"
    stitch.script(
        page([extraction(2), extraction(3)], 1, 3, more=True),
        page([extraction(3, newer), extraction(4)], 2, 4, more=False),
        page([extraction(1), extraction(2)], 1, 4, more=True),
        page([extraction(3), extraction(4)], 2, 4, more=False),
    )

    extractions = client.all_extractions()

    assert [each.source_id for each in extractions] == [1, 2, 3, 4]
    assert extractions[2].start_time == datetime(2026, 8, 17, 7, 0, 2, tzinfo=timezone.utc)


def test_second_pass_finds_extraction_that_moved_to_an_earlier_page(stitch, client):
    stitch.script(
        page([extraction(1), extraction(2)], 1, 4, more=True),
        page([extraction(4)], 2, 3, more=False),
        page([extraction(2), extraction(3)], 1, 3, more=True),
        page([extraction(4)], 2, 3, more=False),
    )

    assert [each.source_id for each in client.all_extractions()] == [1, 2, 3, 4]


def test_all_loads_keeps_loads_with_the_same_name(stitch, client):
    stitch.script(
        page([load("orders"), load("orders")], 1, 4, more=True),
        page([load("orders"), load("users")], 2, 4, more=False),
    )

    assert [each.stream_name for each in client.all_loads(sources=[])] == [
        "orders",
        "orders",
        "orders",
        "users",
    ]


def test_all_loads_drops_the_duplicate_of_a_load_that_moved(stitch, client):
    # The list of loads grows while the client reads the list, and grows again during the second attempt.
    stitch.script(
        page([load("b"), load("c")], 1, 3, more=True),
        page([load("c"), load("d")], 2, 4, more=False),
        page([load("a"), load("b")], 1, 4, more=True),
        page([load("b", "2026-08-17T07:00:00Z"), load("c"), load("d")], 2, 5, more=False),
    )

    loads = client.all_loads(sources=[])

    assert [each.stream_name for each in loads] == ["a", "b", "c", "d"]
    assert loads[1].last_batch_loaded_at == datetime(2026, 8, 17, 7, tzinfo=timezone.utc)


def test_all_loads_includes_loads_of_the_first_pass_only(stitch, client):
    stitch.script(
        page([load("a"), load("b")], 1, 4, more=True),
        page([load("d")], 2, 3, more=False),
        page([load("b"), load("c")], 1, 3, more=True),
        page([load("d")], 2, 2, more=False),
    )

    assert sorted(each.stream_name for each in client.all_loads(sources=[])) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("pages", "request_count"),
    [
        pytest.param([page([extraction(1)], 1, 200, more=True)], 2, id="a page that links to itself"),
        pytest.param(
            [page([extraction(1)] if number == 1 else [], number, 900, more=True) for number in range(1, 6)],
            2,
            id="empty pages",
        ),
        pytest.param(
            [page([extraction(number)], number, 900, more=True) for number in range(1, 6)],
            4,
            id="too many pages",
        ),
    ],
)
def test_invalid_page_links_raise_an_error(stitch, client, monkeypatch, pages, request_count):
    monkeypatch.setattr(pagination, "MAX_PAGES", 4)
    stitch.script(*pages)

    with pytest.raises(UnexpectedResponse, match=r"page links of the list are invalid|too long to read"):
        client.all_extractions()

    assert len(stitch.requests) == request_count


def test_on_limited_request_is_called_before_each_attempt(stitch, client_for, fake_clock):
    stitch.script(
        http_response(b"", 503), page([], 1, 0, more=False), page([], 1, 0, more=False), http_response([])
    )
    client = client_for(retry_for=60, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)
    seen_before = []
    client.on_limited_request = lambda: seen_before.append(len(stitch.requests))

    client.list_extractions()
    client.list_loads()
    client.list_sources()

    assert seen_before == [0, 1, 2], "right before each limited request, and not before the list of sources"


def test_request_is_not_sent_if_on_limited_request_raises(stitch, client):
    class BudgetSpentError(Exception):
        pass

    def reject():
        raise BudgetSpentError

    client.on_limited_request = reject
    for call in (
        client.list_extractions,
        client.list_loads,
        lambda: client.get_extraction_log(samples.JOB_NAME),
    ):
        with pytest.raises(BudgetSpentError):
            call()
    assert stitch.requests == []
