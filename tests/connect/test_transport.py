"""Test requests that fail or time out, and responses that are too large or invalid."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    RateLimited,
    StitchBadRequest,
    StitchConfigurationError,
    StitchError,
    StitchNotFound,
    StitchUnauthorized,
    StitchUnavailable,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.transport import log_download
from airflow_provider_stitch.connect.transport import request as request_module
from tests.connect.failures import failure_of

from .conftest import TOKEN
from .scripted_server import cut_after, http_response, running_server

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@pytest.mark.parametrize(
    ("raw", "error_class", "message"),
    [
        pytest.param(http_response(b"", 401), StitchUnauthorized, "rejected the access token", id="401"),
        pytest.param(http_response(b"", 403), StitchUnauthorized, "rejected the access token", id="403"),
        pytest.param(http_response(b"", 404), StitchNotFound, "Stitch's message: none.", id="404"),
        pytest.param(
            http_response("you are at your limit", 400),
            StitchBadRequest,
            "at your limit",
            id="400, quoted text",
        ),
        pytest.param(
            http_response(b"invalid request", 400), StitchBadRequest, "invalid request", id="400, bare text"
        ),
        pytest.param(http_response(b"", 429), RateLimited, "too many requests", id="429"),
        pytest.param(http_response(b"", 408), StitchUnavailable, "HTTP 408", id="408"),
        pytest.param(http_response(b"", 500), StitchUnavailable, "HTTP 500", id="500"),
        pytest.param(
            http_response(HTML, 502), StitchUnavailable, "<h1>502 Bad Gateway</h1>", id="502 with HTML"
        ),
        pytest.param(http_response(HTML), UnexpectedResponse, "not JSON: '<html>", id="200 with HTML"),
        pytest.param(
            http_response(b'[{"id": 310442, "na'),
            UnexpectedResponse,
            'not JSON: \'[{"id": 3104',
            id="truncated JSON",
        ),
        pytest.param(http_response(b"[NaN]"), UnexpectedResponse, "not JSON", id="NaN"),
        pytest.param(http_response(b"[" * 100_000), UnexpectedResponse, "not JSON", id="nested too deep"),
        pytest.param(
            http_response(b"[" + b"9" * 5000 + b"]"),
            UnexpectedResponse,
            "not JSON|JSON object",
            id="a very long number",
        ),
        pytest.param(
            http_response({"id": 1}),
            UnexpectedResponse,
            "should be a JSON array: '{\"id\":1}'",
            id="another type",
        ),
        pytest.param(
            http_response(["github"]), UnexpectedResponse, "should be a JSON object: 'github'", id="texts"
        ),
        pytest.param(
            http_response([{"id": 1}]),
            UnexpectedResponse,
            "`name` is missing: '{\"id\":1}'",
            id="a missing key",
        ),
        pytest.param(http_response(b""), UnexpectedResponse, "the response is empty", id="empty"),
        pytest.param(http_response(b"null"), UnexpectedResponse, "the response is empty", id="null"),
        pytest.param(
            http_response(b"not gzip", Content_Encoding="gzip"),
            UnexpectedResponse,
            "corrupt",
            id="invalid gzip",
        ),
        pytest.param(
            http_response(b"", 302, Location="https://evil.example/v4/sources"),
            UnexpectedResponse,
            "redirect to 'evil.example'",
            id="a redirect to another host",
        ),
        pytest.param(
            http_response(b"", 307, Location="/v4/sources"),
            UnexpectedResponse,
            "redirect to the same host",
            id="a redirect loop",
        ),
        pytest.param(http_response(b"", 304), UnexpectedResponse, "redirect to nowhere", id="304"),
        pytest.param(
            http_response(b"", 302, Location="https://[evil"),
            UnexpectedResponse,
            "redirect to",
            id="a redirect to an invalid URL",
        ),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", StitchUnavailable, "connection failed", id="not HTTP"),
        pytest.param(b"", StitchUnavailable, "connection failed", id="closed without a response"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[",
            StitchUnavailable,
            "connection failed",
            id="a truncated body",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            StitchUnavailable,
            "connection failed",
            id="invalid chunks",
        ),
    ],
)
def test_bad_response_raises_error_with_method_and_url(stitch, client, raw, error_class, message):
    stitch.script(raw)

    error = failure_of(client)

    assert type(error) is error_class
    assert f"GET {stitch.url}/v4/sources" in str(error)
    assert any(each in str(error) for each in message.split("|"))
    assert len(str(error)) < 600
    assert len(stitch.requests) == 1


def test_request_was_not_received_if_connection_is_refused(client_for):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    error = failure_of(client_for(base_url=f"http://127.0.0.1:{port}"))

    assert type(error) is StitchUnavailable
    assert "Connection refused" in str(error)
    assert error.maybe_received is False


def test_request_was_not_received_if_host_is_unknown(client_for):
    error = failure_of(client_for(base_url="https://stitch.invalid"))

    assert type(error) is StitchUnavailable
    assert error.maybe_received is False
    assert "stitch.invalid" in str(error)


def test_invalid_host_name_is_a_configuration_error(client_for):
    error = failure_of(client_for(base_url=f"https://{'a' * 70}.example"))

    assert type(error) is StitchConfigurationError


def test_request_may_have_been_received_if_body_was_cut_off(stitch, client):
    stitch.script(cut_after(http_response(b"[" + b" " * 200_000)[:1000]))

    error = failure_of(client)

    assert type(error) is StitchUnavailable
    assert error.maybe_received is True


def test_request_timeout_reaches_the_socket(stitch, client_for):
    stitch.script(stitch.hang)

    error = failure_of(client_for(request_timeout=0.15))

    assert type(error) is StitchUnavailable
    assert "no response within 0.15 s" in str(error)
    assert error.maybe_received is True


def test_slow_body_times_out(stitch, client_for):
    stitch.script(stitch.drip)

    # The request timeout is much longer than the time between two bytes, even on a busy machine.
    error = failure_of(client_for(request_timeout=0.5))

    assert type(error) is StitchUnavailable
    assert "not complete after 2 s" in str(error)


@pytest.mark.parametrize("behaviour", ["drip_head", "repeat_continue"])
def test_slow_headers_time_out(stitch, client_for, behaviour):
    stitch.script(getattr(stitch, behaviour))

    error = failure_of(client_for(request_timeout=0.1))

    assert type(error) is StitchUnavailable
    assert "no response within 0.1 s" in str(error)


class TickingClock:
    """A clock that advances by one second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


JOB_NAME = "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d"


@pytest.mark.parametrize("is_redirected", [False, True], ids=["Stitch", "the log host"])
def test_slow_log_is_aborted_after_the_request_timeout(stitch, other_host, client_for, is_redirected):
    """A slow log download is aborted, because only two log downloads can run at the same time."""
    (other_host if is_redirected else stitch).script(other_host.drip if is_redirected else stitch.drip)
    if is_redirected:
        stitch.script(http_response(b"", 302, Location=f"{other_host.url}/log"))
    clock = TickingClock()

    with pytest.raises(StitchUnavailable, match="not complete after 30 s"):
        client_for(request_timeout=30, monotonic=clock).get_extraction_log(JOB_NAME)

    assert clock.now < 70  # the clock also advances between two reads of the log


def test_long_log_is_read_while_it_arrives_fast_enough(stitch, client_for, monkeypatch):
    monkeypatch.setattr(log_download, "MIN_LOG_RATE", 10)
    line = b"2026-08-17 06:04:51,012Z    tap - INFO nothing to see\n"
    stitch.script(http_response(line * 100_000, Content_Type="text/plain"))

    clock = TickingClock()
    client_for(request_timeout=10, monotonic=clock).get_extraction_log(JOB_NAME)

    assert clock.now > 10


def test_log_download_stops_when_should_abort_returns_true(stitch, client):
    stitch.script(stitch.drip)
    chunks = []

    def should_abort():
        chunks.append(1)
        return len(chunks) == 3

    with pytest.raises(StitchUnavailable, match="no task waits for it"):
        client.get_extraction_log(
            "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d", should_abort=should_abort
        )
    assert len(chunks) == 3


@pytest.mark.parametrize(
    "compressed", [False, True], ids=["plain", "a small body that unpacks to a large one"]
)
def test_too_large_body_is_rejected(stitch, client, monkeypatch, compressed):
    monkeypatch.setattr(request_module, "MAX_BODY_BYTES", 100_000)
    body = b"[" + b" " * 300_000 + b"]"
    stitch.script(
        http_response(gzip.compress(body), Content_Encoding="gzip") if compressed else http_response(body)
    )

    error = failure_of(client)

    assert type(error) is UnexpectedResponse
    assert "more than 100000 bytes and begins: '[   " in str(error)


def test_large_compressed_body_is_read(stitch, client):
    stitch.script(http_response(gzip.compress(b"[" + b" " * 3_000_000 + b"]"), Content_Encoding="gzip"))

    assert client.list_sources() == []


def test_json_is_decoded_as_utf8_regardless_of_the_header(stitch, client):
    source = {"id": 1, "name": "caf\u00e9"}
    stitch.script(
        http_response(
            b"\xef\xbb\xbf" + json.dumps([source], ensure_ascii=False).encode(),
            Content_Type="application/json;charset=ISO-8859-1",
        )
    )

    assert client.list_sources()[0].name == "caf\u00e9"


def test_echoed_token_is_redacted(stitch, client):
    stitch.script(http_response(f"Authorization: Bearer {TOKEN}".encode(), 500))

    assert "Bearer <secret>" in str(failure_of(client))


@given(raw=st.binary(max_size=300))
@settings(max_examples=40, deadline=None)
def test_arbitrary_response_bytes_raise_only_stitch_errors(raw):
    with running_server() as server, StitchClient(TOKEN, base_url=server.url, request_timeout=1.0) as client:
        server.script(b"HTTP/1.1 " + raw, b"HTTP/1.1 200 OK\r\n" + raw)
        for _ in range(2):
            with suppress(StitchError):
                client.list_sources()
