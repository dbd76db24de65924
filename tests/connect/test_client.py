"""Test the client's requests and settings, and the account to which the token belongs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

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
    UnexpectedResponse,
    UnknownSource,
)
from tests.connect.list_records import RESPONDED_AT, page

from . import samples
from .conftest import TOKEN
from .scripted_server import cut_after, http_response


def sent_requests(stitch):
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
def test_method_sends_its_request_with_the_token(stitch, client, call, body, request_line, found):
    stitch.script(http_response(body))

    result = getattr(client, call)(*([310442] if "310442" in request_line else []))

    assert sent_requests(stitch) == [request_line]
    assert found in repr(result)
    headers = stitch.requests[0].headers
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("airflow-provider-stitch/")


@pytest.mark.parametrize("call", ["get_source", "list_streams", "get_last_connection_check"])
@pytest.mark.parametrize("status", [400, 404])
def test_error_names_the_unknown_source(stitch, client, call, status):
    stitch.script(http_response("invalid stream-id: 5", status))

    with pytest.raises((UnknownSource, StitchNotFound), match="source 310442") as caught:
        getattr(client, call)(310442)

    assert caught.value.source_id == 310442
    never_checked = call == "get_last_connection_check" and status == 404
    assert type(caught.value) is (StitchNotFound if never_checked else UnknownSource)


@pytest.mark.parametrize("source_id", [0, -1, True, "", " ", 1.0, None])
def test_invalid_source_id_is_rejected_before_any_request(stitch, client, source_id):
    with pytest.raises(InvalidArgument):
        client.start_replication_job(source_id)

    assert stitch.requests == []


# Tests for starting and stopping jobs.


def test_started_job_has_name_and_response_time(stitch, client):
    stitch.script(http_response({"job_name": samples.JOB_NAME}))

    job = client.start_replication_job(310442)

    assert (job.job_name, job.source_id, job.responded_at) == (samples.JOB_NAME, 310442, RESPONDED_AT)
    assert sent_requests(stitch) == ["POST /v4/sources/310442/sync"]
    assert stitch.requests[0].body == b"{}"


RUNNING = "Did not create job for client-id: 104857; connection-id: 310442 because one already exists"


@pytest.mark.parametrize(
    ("status", "body", "error_class", "message"),
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
            id="the undocumented error",
        ),
        pytest.param(200, {"error": "Strange"}, JobNotStarted, "Strange", id="a string as the error"),
        pytest.param(
            200,
            {"error": {}, "job_name": samples.JOB_NAME},
            JobNotStarted,
            "undocumented|not document",
            id="empty",
        ),
        pytest.param(400, {"error": {"type": "paused"}}, JobNotStarted, "paused", id="a new type"),
        pytest.param(400, "no", StitchBadRequest, "message: no", id="400 with text"),
        pytest.param(
            400,
            {"error": "InvalidId", "data": {"message": "source not found (1)"}},
            UnknownSource,
            "InvalidId",
            id="S13",
        ),
        pytest.param(404, b"", UnknownSource, "no source 310442", id="404"),
        pytest.param(500, b"", StitchUnavailable, "HTTP 500", id="500"),
        pytest.param(200, {}, UnexpectedResponse, "`job_name` is missing", id="no name"),
        pytest.param(
            200,
            {"job_name": 5},
            UnexpectedResponse,
            "`job_name` should be a string",
            id="a number as the name",
        ),
        pytest.param(200, [], UnexpectedResponse, "JSON object", id="an array"),
    ],
)
def test_rejected_start_raises_the_error_class(
    stitch, client_for, fake_clock, status, body, error_class, message
):
    stitch.script(http_response(body, status))
    client = client_for(retry_for=600, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)

    with pytest.raises(error_class) as caught:
        client.start_replication_job(310442)

    assert type(caught.value) is error_class
    assert any(each in str(caught.value) for each in message.split("|"))
    assert "/v4/sources/310442/sync" in str(caught.value)
    assert len(stitch.requests) == 1, "the client never retries a start"
    if error_class is not UnexpectedResponse:
        assert caught.value.source_id == 310442
    if isinstance(caught.value, JobAlreadyRunning):
        assert caught.value.responded_at == RESPONDED_AT


def test_start_is_not_retried_if_its_response_was_lost(stitch, client_for, fake_clock):
    stitch.script(cut_after(b"HTTP/1.1 200 OK\r\n"))
    client = client_for(retry_for=600, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)

    with pytest.raises(StitchUnavailable) as caught:
        client.start_replication_job(310442)

    assert (caught.value.maybe_received, caught.value.source_id) == (True, 310442)
    assert len(stitch.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(http_response({"status": 200}), id="documented"),
        pytest.param(http_response({}), id="an empty object"),
        pytest.param(http_response(b"null"), id="null"),
        pytest.param(http_response(b"", 204), id="204"),
        pytest.param(http_response(b""), id="an empty body"),
        pytest.param(http_response([1]), id="an array"),
    ],
)
def test_stop_accepts_any_successful_response(stitch, client, raw):
    stitch.script(raw)

    client.stop_replication_job(310442)

    assert sent_requests(stitch) == ["DELETE /v4/sources/310442/sync"]


@pytest.mark.parametrize(
    ("status", "body", "error_class"),
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
def test_rejected_stop_raises_an_error_with_the_source_id(stitch, client, status, body, error_class):
    stitch.script(http_response(body, status))

    with pytest.raises(error_class) as caught:
        client.stop_replication_job(310442)

    assert caught.value.source_id == 310442


def test_stop_is_retried_while_stitch_is_unavailable(stitch, client_for, fake_clock):
    stitch.script(http_response(b"", 502), http_response({"status": 200}))

    client_for(retry_for=60, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic).stop_replication_job(
        310442
    )

    assert len(stitch.requests) == 2


# The account.


@pytest.mark.parametrize(
    ("sources", "destinations"),
    [
        pytest.param([samples.SOURCE], None, id="from a source"),
        pytest.param([], [samples.DESTINATION], id="from a destination"),
        pytest.param(
            [{"id": 1, "name": "x"}], [samples.DESTINATION], id="from a destination, if sources lack it"
        ),
    ],
)
def test_client_id_is_determined_once_and_shared(stitch, client_for, sources, destinations):
    empty = page([], 1, 0, more=False)
    stitch.script(
        http_response(sources), *([] if destinations is None else [http_response(destinations)]), empty
    )
    client = client_for(client_id=None)

    client.with_retries(5).list_loads()
    client.list_extractions()

    assert client.client_id == 104857
    assert stitch.targets.count("/v4/sources") == 1
    assert stitch.targets[-2:] == ["/v4/104857/loads?page=1", "/v4/104857/extractions?page=1"]


@pytest.mark.parametrize(
    ("source", "listed"),
    [
        pytest.param(samples.SOURCE, [], id="the source contains it"),
        pytest.param({"id": 310442, "name": "x"}, ["/v4/sources"], id="the source lacks it"),
    ],
)
def test_client_id_from_source_avoids_listing_all_sources(stitch, client_for, source, listed):
    stitch.script(http_response(source), http_response([samples.SOURCE]))
    client = client_for(client_id=None)

    assert (
        client.client_id_from_source(310442)
        == client.client_id_from_source(310443)
        == client.client_id
        == 104857
    )
    assert stitch.targets == ["/v4/sources/310442", *listed]


def test_configured_client_id_takes_precedence(stitch, client_for):
    stitch.script(http_response(samples.SOURCE))
    client = client_for(client_id=7)

    client.get_source(310442)

    assert client.client_id == client.client_id_from_source(310442) == 7
    assert len(stitch.requests) == 1


def test_client_id_of_empty_account_must_be_configured(stitch, client_for):
    stitch.script(http_response([]))

    with pytest.raises(StitchConfigurationError, match="login"):
        _ = client_for(client_id=None).client_id


def test_client_is_thread_safe(stitch, client_for):
    client = client_for(request_timeout=60.0)  # the server may take seconds to respond on a busy machine
    stitch.script(http_response([samples.SOURCE]))
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
        pytest.param({"client_id": "104857"}, id="client_id as a string"),
        pytest.param({"request_timeout": 0}, id="timeout 0"),
        pytest.param({"request_timeout": -1}, id="timeout negative"),
        pytest.param({"request_timeout": float("nan")}, id="timeout not a number"),
        pytest.param({"request_timeout": float("inf")}, id="timeout infinite"),
        pytest.param({"request_timeout": "30"}, id="timeout as a string"),
        pytest.param({"request_timeout": 1e12}, id="timeout too long for sockets"),
        pytest.param({"requests_per_10_minutes": 0}, id="no requests at all"),
        pytest.param({"requests_per_10_minutes": 1.5}, id="a fractional number of requests"),
        pytest.param({"retry_for": -1}, id="negative retry_for"),
        pytest.param({"retry_for": True}, id="boolean retry_for"),
    ],
)
def test_invalid_setting_is_rejected(settings):
    with pytest.raises(StitchConfigurationError, match=next(iter(settings))):
        StitchClient(TOKEN, **settings)


def test_settings_are_attributes():
    with StitchClient(TOKEN, client_id=7, request_timeout=3, requests_per_10_minutes=12) as client:
        assert (client.base_url, client.client_id) == ("https://api.stitchdata.com", 7)
        assert (client.request_timeout, client.requests_per_10_minutes) == (3.0, 12)


def test_threads_that_share_a_client_keep_their_connections_open(stitch, client, caplog):
    """The operator that selects streams reads up to 16 stream schemas at the same time."""
    together = threading.Barrier(16)

    def behave(connection):
        together.wait(timeout=30)  # all connections are in use at the same time
        connection.sendall(http_response({"schema": "{}", "metadata": []}, Connection="keep-alive"))

    stitch.script(behave)
    with ThreadPoolExecutor(16) as executor:
        list(executor.map(lambda number: client.get_stream_schema(1, number), range(1, 17)))

    assert [record.getMessage() for record in caplog.records if "pool is full" in record.getMessage()] == []
