"""The client against a scripted server: what it asks, what it makes of the answers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest

from airflow_provider_stitch.connect import _pages
from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    DeletedSource,
    InvalidArgument,
    JobAlreadyRunning,
    JobNotStarted,
    StitchBadRequest,
    StitchConfigurationError,
    StitchNotFound,
    StitchUnavailable,
    UnexpectedAnswer,
    UnknownSource,
)

from . import samples
from .conftest import TOKEN
from .server import answer, cut_after

ANSWERED_AT = datetime(2026, 8, 17, 6, 40, 12, tzinfo=timezone.utc)


def asked(stitch):
    return [f"{request.method} {request.target}" for request in stitch.requests]


@pytest.mark.parametrize(
    ("call", "body", "request_line", "found"),
    [
        pytest.param(
            "list_destinations", [samples.DESTINATION], "GET /v4/destinations", "Staging", id="destinations"
        ),
        pytest.param("list_sources", [samples.SOURCE], "GET /v4/sources", "github", id="sources"),
        pytest.param("get_source", samples.SOURCE, "GET /v4/sources/310442", "github", id="a source"),
        pytest.param(
            "get_last_connection_check",
            samples.CHECK_FAILED,
            "GET /v4/sources/310442/last-connection-check",
            "failed",
            id="a connection check",
        ),
        pytest.param(
            "list_streams", samples.STREAMS, "GET /v4/sources/310442/streams", "commits", id="streams"
        ),
    ],
)
def test_each_method_asks_its_endpoint(stitch, client, call, body, request_line, found):
    stitch.script(answer(body))

    result = getattr(client, call)(*([310442] if "310442" in request_line else []))

    assert asked(stitch) == [request_line]
    assert found in repr(result)
    headers = stitch.requests[0].headers
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("airflow-provider-stitch/")


@pytest.mark.parametrize("call", ["get_source", "list_streams", "get_last_connection_check"])
@pytest.mark.parametrize("status", [400, 404])
def test_a_source_that_is_not_there_is_named(stitch, client, call, status):
    stitch.script(answer("invalid stream-id: 5", status))

    with pytest.raises((UnknownSource, StitchNotFound), match="source 310442") as caught:
        getattr(client, call)(310442)

    assert caught.value.source_id == 310442
    never_checked = call == "get_last_connection_check" and status == 404
    assert type(caught.value) is (StitchNotFound if never_checked else UnknownSource)


@pytest.mark.parametrize("source_id", [0, -1, True, "310442", "../accounts", 1.0, None])
def test_a_source_id_that_is_none_is_refused_before_anything_is_asked(stitch, client, source_id):
    with pytest.raises(InvalidArgument):
        client.start_replication_job(source_id)

    assert stitch.requests == []


# Starting and stopping.


def test_a_started_job_has_its_name_and_stitchs_time(stitch, client):
    stitch.script(answer({"job_name": samples.JOB_NAME}))

    job = client.start_replication_job(310442)

    assert (job.job_name, job.source_id, job.answered_at) == (samples.JOB_NAME, 310442, ANSWERED_AT)
    assert asked(stitch) == ["POST /v4/sources/310442/sync"]
    assert stitch.requests[0].body == b"{}"


RUNNING = "Did not create job for client-id: 104857; connection-id: 310442 because one already exists"


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        pytest.param(
            200,
            {"error": {"type": "already_running", "message": RUNNING}},
            JobAlreadyRunning,
            RUNNING,
            id="R1",
        ),
        pytest.param(
            400,
            {
                "error": {
                    "type": "invalid_source",
                    "message": "Unable to locate source(310442) for client (104857)",
                }
            },
            UnknownSource,
            "Unable to locate source",
            id="R2",
        ),
        pytest.param(
            400,
            {"error": {"type": "invalid_source", "message": "Integration is deleted."}},
            DeletedSource,
            "Integration is deleted.",
            id="R3",
        ),
        pytest.param(
            200,
            {"error": {"type": "generic", "message": "Could not create job"}},
            JobNotStarted,
            "generic: Could not create job",
            id="the unpublished one",
        ),
        pytest.param(200, {"error": "Strange"}, JobNotStarted, "Strange", id="an error that is text"),
        pytest.param(
            200,
            {"error": {}, "job_name": samples.JOB_NAME},
            JobNotStarted,
            "undocumented|not document",
            id="empty",
        ),
        pytest.param(400, {"error": {"type": "paused"}}, JobNotStarted, "paused", id="a new type"),
        pytest.param(400, "no", StitchBadRequest, "says: no", id="400, text"),
        pytest.param(
            400,
            {"error": "InvalidId", "data": {"message": "source not found (1)"}},
            UnknownSource,
            "InvalidId",
            id="S13",
        ),
        pytest.param(404, b"", UnknownSource, "no source 310442", id="404"),
        pytest.param(500, b"", StitchUnavailable, "HTTP 500", id="500"),
        pytest.param(200, {}, UnexpectedAnswer, "`job_name` is missing", id="no name"),
        pytest.param(
            200, {"job_name": 5}, UnexpectedAnswer, "`job_name` should be text", id="a name that is none"
        ),
        pytest.param(200, [], UnexpectedAnswer, "JSON object", id="an array"),
    ],
)
def test_a_refused_start_becomes_its_kind(stitch, client_for, fake_time, status, body, kind, says):
    stitch.script(answer(body, status))
    client = client_for(retry_for=600, sleep=fake_time.sleep, monotonic=fake_time.monotonic)

    with pytest.raises(kind) as caught:
        client.start_replication_job(310442)

    assert type(caught.value) is kind
    assert any(each in str(caught.value) for each in says.split("|"))
    assert "/v4/sources/310442/sync" in str(caught.value)
    assert len(stitch.requests) == 1, "a start is never repeated here"
    if kind is not UnexpectedAnswer:
        assert caught.value.source_id == 310442
    if isinstance(caught.value, JobAlreadyRunning):
        assert caught.value.answered_at == ANSWERED_AT


def test_a_start_whose_answer_is_lost_is_not_repeated_and_may_have_been_received(
    stitch, client_for, fake_time
):
    stitch.script(cut_after(b"HTTP/1.1 200 OK\r\n"))
    client = client_for(retry_for=600, sleep=fake_time.sleep, monotonic=fake_time.monotonic)

    with pytest.raises(StitchUnavailable) as caught:
        client.start_replication_job(310442)

    assert (caught.value.maybe_received, caught.value.source_id) == (True, 310442)
    assert len(stitch.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(answer({"status": 200}), id="documented"),
        pytest.param(answer({}), id="an empty object"),
        pytest.param(answer(b"null"), id="null"),
        pytest.param(answer(b"", 204), id="204"),
        pytest.param(answer(b""), id="an empty body"),
        pytest.param(answer([1]), id="an array"),
    ],
)
def test_a_stop_takes_any_success(stitch, client, raw):
    stitch.script(raw)

    client.stop_replication_job(310442)

    assert asked(stitch) == ["DELETE /v4/sources/310442/sync"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(
            200, {"error": {"type": "generic", "message": "no"}}, StitchBadRequest, id="200 with an error"
        ),
        pytest.param(400, "no", StitchBadRequest, id="400"),
        pytest.param(404, b"", StitchNotFound, id="404"),
        pytest.param(
            400, {"error": {"type": "invalid_source", "message": "no"}}, UnknownSource, id="unknown source"
        ),
    ],
)
def test_a_refused_stop_is_an_error_about_its_source(stitch, client, status, body, kind):
    stitch.script(answer(body, status))

    with pytest.raises(kind) as caught:
        client.stop_replication_job(310442)

    assert caught.value.source_id == 310442


def test_a_stop_is_repeated_while_stitch_is_away(stitch, client_for, fake_time):
    stitch.script(answer(b"", 502), answer({"status": 200}))

    client_for(retry_for=60, sleep=fake_time.sleep, monotonic=fake_time.monotonic).stop_replication_job(
        310442
    )

    assert len(stitch.requests) == 2


# Pages.


def extraction(source_id, start="2026-08-17T06:00:02Z"):
    return {**samples.EXTRACTION_GOOD, "source_id": source_id, "start_time": start}


def load(stream, loaded_at="2026-08-17T06:09:47Z"):
    return {**samples.LOAD_GOOD, "stream_name": stream, "last_batch_loaded_at": loaded_at}


def page(records, number, total, more):
    links = {"next": f"/v4/104857/extractions?page={number + 1}"} if more else {}
    return answer({"data": records, "page": number, "total": total, "links": links})


def test_a_page_of_extractions_is_asked_by_number_and_client(stitch, client):
    stitch.script(page([extraction(310442)], 3, 237, more=False))

    found = client.list_extractions(3)

    assert stitch.targets == ["/v4/104857/extractions?page=3"]
    assert (found.number, found.total, found.last_page, found.next_page) == (3, 237, 3, None)
    assert found.answered_at == ANSWERED_AT
    assert found.records[0].source_id == 310442


def test_a_page_of_loads_is_asked_by_number_and_client(stitch, client):
    stitch.script(page([load("commits")], 1, 1, more=False))

    assert client.list_loads().records[0].stream_name == "commits"
    assert stitch.targets == ["/v4/104857/loads?page=1"]


@pytest.mark.parametrize("number", [0, -1, True, "2", None])
def test_a_page_that_cannot_be_is_refused(stitch, client, number):
    with pytest.raises(InvalidArgument, match="counted from 1"):
        client.list_loads(number)

    assert stitch.requests == []


def test_all_pages_are_read_through_their_links(stitch, client):
    stitch.script(
        page([extraction(1)], 1, 3, more=True),
        page([extraction(2)], 2, 3, more=True),
        page([extraction(3)], 3, 3, more=False),
    )

    assert [each.source_id for each in client.all_extractions()] == [1, 2, 3]
    assert len(stitch.requests) == 3


def test_an_extraction_that_moves_to_the_next_page_is_held_once_and_newest(stitch, client):
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


def test_an_extraction_that_slips_back_over_the_boundary_is_found_by_a_second_sweep(stitch, client):
    stitch.script(
        page([extraction(1), extraction(2)], 1, 4, more=True),
        page([extraction(4)], 2, 3, more=False),
        page([extraction(2), extraction(3)], 1, 3, more=True),
        page([extraction(4)], 2, 3, more=False),
    )

    assert [each.source_id for each in client.all_extractions()] == [1, 2, 3, 4]


def test_two_loads_of_one_name_are_two_also_across_pages(stitch, client):
    stitch.script(
        page([load("orders"), load("orders")], 1, 4, more=True),
        page([load("orders"), load("users")], 2, 4, more=False),
    )

    assert [each.stream_name for each in client.all_loads()] == ["orders", "orders", "orders", "users"]


def test_a_load_that_moves_to_the_next_page_is_held_once(stitch, client):
    # The list grows during both sweeps, so it never stands still.
    stitch.script(
        page([load("b"), load("c")], 1, 3, more=True),
        page([load("c"), load("d")], 2, 4, more=False),
        page([load("a"), load("b")], 1, 4, more=True),
        page([load("b", "2026-08-17T07:00:00Z"), load("c"), load("d")], 2, 5, more=False),
    )

    loads = client.all_loads()

    assert [each.stream_name for each in loads] == ["a", "b", "c", "d"]
    assert loads[1].last_batch_loaded_at == datetime(2026, 8, 17, 7, tzinfo=timezone.utc)


def test_a_load_that_only_the_first_sweep_saw_is_not_lost(stitch, client):
    stitch.script(
        page([load("a"), load("b")], 1, 4, more=True),
        page([load("d")], 2, 3, more=False),
        page([load("b"), load("c")], 1, 3, more=True),
        page([load("d")], 2, 2, more=False),
    )

    assert sorted(each.stream_name for each in client.all_loads()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("pages", "asked_for"),
    [
        pytest.param([page([extraction(1)], 1, 200, more=True)], 2, id="a page that is its own next"),
        pytest.param(
            [page([extraction(1)] if number == 1 else [], number, 900, more=True) for number in range(1, 6)],
            2,
            id="empty pages",
        ),
        pytest.param(
            [page([extraction(number)], number, 900, more=True) for number in range(1, 6)], 4, id="no end"
        ),
    ],
)
def test_pages_that_lead_nowhere_end_in_an_error(stitch, client, monkeypatch, pages, asked_for):
    monkeypatch.setattr(_pages, "MOST_PAGES", 4)
    stitch.script(*pages)

    with pytest.raises(UnexpectedAnswer, match=r"lead nowhere|too long to be read"):
        client.all_extractions()

    assert len(stitch.requests) == asked_for


def test_every_limited_request_is_announced_each_retry_too(stitch, client_for, fake_time):
    stitch.script(answer(b"", 503), page([], 1, 0, more=False), page([], 1, 0, more=False), answer([]))
    client = client_for(retry_for=60, sleep=fake_time.sleep, monotonic=fake_time.monotonic)
    seen_before = []
    client.on_limited_request = lambda: seen_before.append(len(stitch.requests))

    client.list_extractions()
    client.list_loads()
    client.list_sources()

    assert seen_before == [0, 1, 2], "right before each, and not before the list of sources"


def test_a_budget_that_refuses_keeps_the_request_from_being_sent(stitch, client):
    class SpentError(Exception):
        pass

    def refuse():
        raise SpentError

    client.on_limited_request = refuse
    for call in (
        client.list_extractions,
        client.list_loads,
        lambda: client.get_extraction_log(samples.JOB_NAME),
    ):
        with pytest.raises(SpentError):
            call()
    assert stitch.requests == []


# The account.


@pytest.mark.parametrize(
    ("sources", "destinations"),
    [
        pytest.param([samples.SOURCE], None, id="from a source"),
        pytest.param([], [samples.DESTINATION], id="from a destination"),
        pytest.param(
            [{"id": 1, "name": "x"}], [samples.DESTINATION], id="from a destination, as no source tells"
        ),
    ],
)
def test_the_client_id_is_found_once_and_shared(stitch, client_for, sources, destinations):
    empty = page([], 1, 0, more=False)
    stitch.script(answer(sources), *([] if destinations is None else [answer(destinations)]), empty)
    client = client_for(client_id=None)

    client.with_retries(5).list_loads()
    client.list_extractions()

    assert client.client_id == 104857
    assert stitch.targets.count("/v4/sources") == 1
    assert stitch.targets[-2:] == ["/v4/104857/loads?page=1", "/v4/104857/extractions?page=1"]


@pytest.mark.parametrize(
    ("source", "listed"),
    [
        pytest.param(samples.SOURCE, [], id="it tells"),
        pytest.param({"id": 310442, "name": "x"}, ["/v4/sources"], id="it does not"),
    ],
)
def test_one_source_tells_the_client_id_without_a_list_of_thousands(stitch, client_for, source, listed):
    stitch.script(answer(source), answer([samples.SOURCE]))
    client = client_for(client_id=None)

    assert (
        client.client_id_by_way_of(310442) == client.client_id_by_way_of(310443) == client.client_id == 104857
    )
    assert stitch.targets == ["/v4/sources/310442", *listed]


def test_a_given_client_id_is_not_replaced_by_what_a_source_says(stitch, client_for):
    stitch.script(answer(samples.SOURCE))
    client = client_for(client_id=7)

    client.get_source(310442)

    assert client.client_id == client.client_id_by_way_of(310442) == 7
    assert len(stitch.requests) == 1


def test_an_empty_account_asks_for_its_number(stitch, client_for):
    stitch.script(answer([]))

    with pytest.raises(StitchConfigurationError, match="login"):
        _ = client_for(client_id=None).client_id


def test_threads_share_a_client(stitch, client_for):
    client = client_for(request_timeout=60.0)  # a busy machine may take seconds for a response
    stitch.script(answer([samples.SOURCE]))
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(client.list_sources() for _ in range(5)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [[each.id for each in sources] for sources in found] == [[310442]] * 40


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"client_id": 0}, id="client_id 0"),
        pytest.param({"client_id": "104857"}, id="client_id text"),
        pytest.param({"request_timeout": 0}, id="timeout 0"),
        pytest.param({"request_timeout": -1}, id="timeout negative"),
        pytest.param({"request_timeout": float("nan")}, id="timeout not a number"),
        pytest.param({"request_timeout": float("inf")}, id="timeout infinite"),
        pytest.param({"request_timeout": "30"}, id="timeout text"),
        pytest.param({"request_timeout": 1e12}, id="timeout longer than sockets take"),
        pytest.param({"requests_per_10_minutes": 0}, id="no requests at all"),
        pytest.param({"requests_per_10_minutes": 1.5}, id="half a request"),
        pytest.param({"retry_for": -1}, id="negative patience"),
        pytest.param({"retry_for": True}, id="true patience"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(StitchConfigurationError, match=next(iter(settings))):
        StitchClient(TOKEN, **settings)


def test_settings_can_be_read_back():
    with StitchClient(TOKEN, client_id=7, request_timeout=3, requests_per_10_minutes=12) as client:
        assert (client.base_url, client.client_id) == ("https://api.stitchdata.com", 7)
        assert (client.request_timeout, client.requests_per_10_minutes) == (3.0, 12)


def test_threads_that_share_a_client_keep_their_connections_open(stitch, client, caplog):
    """The task that selects streams reads 16 schemas at a time."""
    together = threading.Barrier(16)

    def behave(connection):
        together.wait(timeout=30)  # all connections are in use at the same time
        connection.sendall(answer({"schema": "{}", "metadata": []}, Connection="keep-alive"))

    stitch.script(behave)
    with ThreadPoolExecutor(16) as executor:
        list(executor.map(lambda number: client.get_stream_schema(1, number), range(1, 17)))

    assert [record.getMessage() for record in caplog.records if "pool is full" in record.getMessage()] == []
