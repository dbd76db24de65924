"""Invalid responses and network failures raise StitchErrors that name the request."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import suppress
from datetime import datetime, timezone

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
from airflow_provider_stitch.connect.transport.retry import seconds_before_retry

from .conftest import TOKEN
from .scripted_server import cut_after, http_response, running_server

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def failure_of(client, call="list_sources"):
    with pytest.raises(StitchError) as caught:
        getattr(client, call)()
    error = caught.value
    assert TOKEN not in str(error)
    # Exceptions of the HTTP libraries reference the request with its token.
    cause: BaseException | None = error
    while cause is not None:
        assert type(cause).__module__.partition(".")[0] not in ("requests", "urllib3")
        cause = cause.__context__
    return error


@pytest.mark.parametrize(
    ("raw", "error_class", "message"),
    [
        pytest.param(http_response(b"", 401), StitchUnauthorized, "rejected the access token", id="401"),
        pytest.param(http_response(b"", 403), StitchUnauthorized, "rejected the access token", id="403"),
        pytest.param(http_response(b"", 404), StitchNotFound, "nothing more", id="404"),
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

    # Much longer than the time between two bytes, even on a busy machine.
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
    """A clock that advances by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


JOB_NAME = "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d"


@pytest.mark.parametrize("is_redirected", [False, True], ids=["Stitch", "the log host"])
def test_slow_log_is_aborted_after_the_request_timeout(stitch, other_host, client_for, is_redirected):
    """A slow log would block one of only two concurrent downloads."""
    (other_host if is_redirected else stitch).script(other_host.drip if is_redirected else stitch.drip)
    if is_redirected:
        stitch.script(http_response(b"", 302, Location=f"{other_host.url}/log"))
    clock = TickingClock()

    with pytest.raises(StitchUnavailable, match="not complete after 30 s"):
        client_for(request_timeout=30, monotonic=clock).get_extraction_log(JOB_NAME)

    assert clock.now < 70  # it also ticks between two reads


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
    assert "more than 100000 bytes. It begins: '[   " in str(error)


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


# Error bodies in all documented structures.


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            {
                "code": "ExistingUser",
                "message": "This email address is already associated with an active user.",
            },
            "ExistingUser: This email address is already",
            id="A1",
        ),
        pytest.param(
            {"code": "BadRequest", "message": "Invalid form data.", "errors": {}},
            "BadRequest: Invalid form",
            id="A2",
        ),
        pytest.param(
            {"code": "BadRequest", "message": "Invalid form data.", "errors": {"partner_id": "required"}},
            "BadRequest: Invalid form data.: partner_id: required",
            id="A3, A4",
        ),
        pytest.param("you are at your destination limit", "says: you are at your destination limit", id="D1"),
        pytest.param(
            b"Unable to locate dest (155901) for client (104857) to delete",
            "says: Unable to locate dest",
            id="D6 as plain text",
        ),
        pytest.param(
            {"error": "InvalidName", "data": {"message": "non-unique name (github)"}},
            "says: InvalidName: non-unique name (github)",
            id="S1 to S7",
        ),
        pytest.param(
            {
                "error": "InvalidProperties",
                "data": {
                    "message": "properties do not match schema",
                    "bad_properties": ["start_date", "host"],
                    "report_card": {"type": "platform.github"},
                },
            },
            "InvalidProperties: properties do not match schema: start_date, host",
            id="S8",
        ),
        pytest.param(
            {"error": "InvalidId", "data": {"message": "source not found (1)"}},
            "says: InvalidId: source not found (1)",
            id="S13",
        ),
        pytest.param("invalid stream-id: 5", "says: invalid stream-id: 5", id="T1, T2"),
        pytest.param(
            {"invalid_fields": "invalid tap-stream-ids:  [nil]"},
            "invalid_fields: invalid tap-stream-ids:  [nil]",
            id="T3",
        ),
        pytest.param(
            {"error": {"type": "invalid_source", "message": "Integration is deleted."}},
            "says: invalid_source: Integration is deleted.",
            id="R3",
        ),
        pytest.param(
            {"error": {"message": {"email_address": "Required. Must be valid email address format."}}},
            "says: email_address: Required. Must be",
            id="N1",
        ),
        pytest.param({"disabled_at": "never"}, 'says: {"disabled_at":"never"}', id="N4"),
        pytest.param({"status": "NOT FOUND"}, "says: NOT FOUND", id="N5"),
        pytest.param(
            {"data": {"message": "Invalid POST body"}, "error": "InvalidBody"},
            "InvalidBody: Invalid POST body",
            id="H1",
        ),
        pytest.param(
            {"error": {"message": "Client does not have access to hooks."}}, "does not have access", id="H2"
        ),
        pytest.param({"error": "NotFound"}, "says: NotFound", id="H5"),
        pytest.param({"message": "Forbidden"}, "says: Forbidden", id="an error of a gateway"),
        pytest.param([1, 2], "says: 1, 2", id="an array"),
        pytest.param(7, "says: 7", id="a number"),
        pytest.param("a\nb\x1b[31m", "says: a b [31m", id="control characters"),
        pytest.param(b"", "says: nothing more", id="None"),
        pytest.param({"error": None, "data": None}, 'says: {"error":null,"data":null}', id="nulls"),
    ],
)
def test_error_body_is_shown_on_one_line(stitch, client, body, message):
    stitch.script(http_response(body, 400))

    message = str(failure_of(client, "list_destinations"))

    assert message in message
    assert "\n" not in message


# Retries.


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("Mon, 17 Aug 2026 06:41:12 GMT", 60.0, id="a date, relative to Stitch's clock"),
        pytest.param("Mon, 17 Aug 2026 06:00:00 GMT", 0.0, id="a date in the past"),
        pytest.param("99999999", 86400.0, id="more than a day"),
        pytest.param("soon", None, id="neither seconds nor a date"),
        pytest.param("-5", None, id="negative"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_parsed_as_seconds_or_date(stitch, client, status, header, seconds):
    stitch.script(http_response(b"", status, Retry_After=header))

    error = failure_of(client)

    assert error.retry_after == seconds
    assert error.maybe_received is (status != 429)


def test_get_is_retried_until_it_succeeds(stitch, client_for, fake_clock):
    stitch.script(
        http_response(b"", 503),
        http_response(b"", 429, Retry_After="30"),
        http_response(b'[{"id'),
        http_response([]),
    )
    client = client_for(retry_for=600, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)

    assert client.list_sources() == []
    first, second, third = fake_clock.delays
    assert 1 <= first <= 2
    assert second == 30
    assert 4 <= third <= 8


def test_last_error_is_raised_after_retry_for_seconds(stitch, client_for, fake_clock):
    stitch.script(http_response(b"", 502), http_response(b"", 500))
    client = client_for(retry_for=100, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)

    error = failure_of(client)

    assert "HTTP 500" in str(error)
    assert sum(fake_clock.delays) == pytest.approx(100)
    assert max(fake_clock.delays) <= 60


def test_retry_after_is_cut_to_the_time_left(stitch, client_for, fake_clock):
    stitch.script(http_response(b"", 429, Retry_After="3600"))
    client = client_for(retry_for=100, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)

    failure_of(client)

    assert fake_clock.delays == [100]
    assert len(stitch.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
def test_client_errors_are_not_retried(stitch, client_for, fake_clock, status):
    stitch.script(http_response(b"", status))

    failure_of(client_for(retry_for=600, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic))

    assert len(stitch.requests) == 1


def test_with_retries_does_not_change_the_original_client(stitch, client_for, fake_clock):
    stitch.script(http_response(b"", 503))
    client = client_for(sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)

    failure_of(client.with_retries(5))
    attempts_with_retries = len(stitch.requests)
    failure_of(client)

    assert attempts_with_retries > 1
    assert len(stitch.requests) == attempts_with_retries + 1


def test_retry_delays_grow_to_at_most_a_minute():
    for attempt in range(1, 2000):
        delay = seconds_before_retry(attempt, None)
        assert 1 <= delay <= 60
        assert delay <= 2**attempt
    assert seconds_before_retry(10_000, None) >= 30
    assert len({seconds_before_retry(3, None) for _ in range(50)}) > 1


def test_retry_delay_is_at_least_retry_after():
    assert seconds_before_retry(1, 500.0) == 500.0


def test_stitch_time_is_learned_from_error_responses(stitch, client_for):
    elapsed = 1000.0
    client = client_for(monotonic=lambda: elapsed)
    assert client.stitch_time is None
    stitch.script(http_response(b"", 500))

    failure_of(client)
    elapsed += 90

    assert client.stitch_time == datetime(2026, 8, 17, 6, 41, 42, tzinfo=timezone.utc)


def test_clients_of_one_base_url_share_stitch_time(stitch, client_for):
    one, other = client_for(), client_for()
    stitch.script(http_response(b"", 500))

    failure_of(one)

    assert other.stitch_time is not None
