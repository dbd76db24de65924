"""Whatever an HTTP server can do wrong becomes one kind of StitchError that says what and where."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.connect import transport
from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    RateLimited,
    StitchBadRequest,
    StitchConfigurationError,
    StitchError,
    StitchNotFound,
    StitchUnauthorized,
    StitchUnavailable,
    UnexpectedAnswer,
)
from airflow_provider_stitch.connect.transport import pause_before_retry

from .conftest import TOKEN
from .server import answer, cut_after, running_server

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def failure_of(client, call="list_sources"):
    with pytest.raises(StitchError) as caught:
        getattr(client, call)()
    error = caught.value
    assert TOKEN not in str(error)
    # The libraries' exceptions hold the request, and with it the token.
    led_to_it: BaseException | None = error
    while led_to_it is not None:
        assert type(led_to_it).__module__.partition(".")[0] not in ("requests", "urllib3")
        led_to_it = led_to_it.__context__
    return error


@pytest.mark.parametrize(
    ("raw", "kind", "says"),
    [
        pytest.param(answer(b"", 401), StitchUnauthorized, "refuses the access token", id="401"),
        pytest.param(answer(b"", 403), StitchUnauthorized, "refuses the access token", id="403"),
        pytest.param(answer(b"", 404), StitchNotFound, "nothing more", id="404"),
        pytest.param(
            answer("you are at your limit", 400), StitchBadRequest, "at your limit", id="400, quoted text"
        ),
        pytest.param(
            answer(b"invalid request", 400), StitchBadRequest, "invalid request", id="400, bare text"
        ),
        pytest.param(answer(b"", 429), RateLimited, "too many requests", id="429"),
        pytest.param(answer(b"", 408), StitchUnavailable, "HTTP 408", id="408"),
        pytest.param(answer(b"", 500), StitchUnavailable, "HTTP 500", id="500"),
        pytest.param(answer(HTML, 502), StitchUnavailable, "<h1>502 Bad Gateway</h1>", id="502 with HTML"),
        pytest.param(answer(HTML), UnexpectedAnswer, "not JSON: '<html>", id="200 with HTML"),
        pytest.param(
            answer(b'[{"id": 310442, "na'), UnexpectedAnswer, 'not JSON: \'[{"id": 3104', id="cut JSON"
        ),
        pytest.param(answer(b"[NaN]"), UnexpectedAnswer, "not JSON", id="a number that JSON has not"),
        pytest.param(answer(b"[" * 100_000), UnexpectedAnswer, "not JSON", id="nested too deep"),
        pytest.param(answer(b"[" + b"9" * 5000 + b"]"), UnexpectedAnswer, "not JSON|JSON object", id="long"),
        pytest.param(answer({"id": 1}), UnexpectedAnswer, "array is due: '{\"id\":1}'", id="another type"),
        pytest.param(answer(["github"]), UnexpectedAnswer, "should be a JSON object: 'github'", id="texts"),
        pytest.param(
            answer([{"id": 1}]), UnexpectedAnswer, "`name` is missing: '{\"id\":1}'", id="a missing key"
        ),
        pytest.param(answer(b""), UnexpectedAnswer, "the answer is empty", id="empty"),
        pytest.param(answer(b"null"), UnexpectedAnswer, "the answer is empty", id="null"),
        pytest.param(
            answer(b"not gzip", Content_Encoding="gzip"), UnexpectedAnswer, "garbled", id="gzip that is none"
        ),
        pytest.param(
            answer(b"", 302, Location="https://evil.example/v4/sources"),
            UnexpectedAnswer,
            "redirect to 'evil.example'",
            id="a redirect to another host",
        ),
        pytest.param(
            answer(b"", 307, Location="/v4/sources"),
            UnexpectedAnswer,
            "redirect to the same host",
            id="a redirect loop",
        ),
        pytest.param(answer(b"", 304), UnexpectedAnswer, "redirect to nowhere", id="304"),
        pytest.param(
            answer(b"", 302, Location="https://[evil"),
            UnexpectedAnswer,
            "redirect to",
            id="a redirect to no URL",
        ),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", StitchUnavailable, "connection failed", id="not HTTP"),
        pytest.param(b"", StitchUnavailable, "connection failed", id="closed without a word"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[",
            StitchUnavailable,
            "connection failed",
            id="too short",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            StitchUnavailable,
            "connection failed",
            id="chunks that are none",
        ),
    ],
)
def test_a_bad_answer_becomes_its_kind_and_names_what_and_where(stitch, client, raw, kind, says):
    stitch.script(raw)

    error = failure_of(client)

    assert type(error) is kind
    assert f"GET {stitch.url}/v4/sources" in str(error)
    assert any(each in str(error) for each in says.split("|"))
    assert len(str(error)) < 600
    assert len(stitch.requests) == 1


def test_a_refused_connection_cannot_have_been_received(client_for):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    error = failure_of(client_for(base_url=f"http://127.0.0.1:{port}"))

    assert type(error) is StitchUnavailable
    assert "Connection refused" in str(error)
    assert error.maybe_received is False


def test_an_unknown_host_cannot_have_been_reached(client_for):
    error = failure_of(client_for(base_url="https://stitch.invalid"))

    assert type(error) is StitchUnavailable
    assert error.maybe_received is False
    assert "stitch.invalid" in str(error)


def test_a_host_that_cannot_exist_is_a_matter_of_configuration(client_for):
    error = failure_of(client_for(base_url=f"https://{'a' * 70}.example"))

    assert type(error) is StitchConfigurationError


def test_a_reset_in_the_middle_of_the_body_may_have_been_received(stitch, client):
    stitch.script(cut_after(answer(b"[" + b" " * 200_000)[:1000]))

    error = failure_of(client)

    assert type(error) is StitchUnavailable
    assert error.maybe_received is True


def test_request_timeout_reaches_the_socket(stitch, client_for):
    stitch.script(stitch.hang)

    error = failure_of(client_for(request_timeout=0.15))

    assert type(error) is StitchUnavailable
    assert "no answer within 0.15 s" in str(error)
    assert error.maybe_received is True


def test_a_body_that_drips_does_not_go_on_for_ever(stitch, client_for):
    stitch.script(stitch.drip)

    # Far longer than from a drop to the next, on however busy a machine.
    error = failure_of(client_for(request_timeout=0.5))

    assert type(error) is StitchUnavailable
    assert "not complete after 2 s" in str(error)


@pytest.mark.parametrize("behaviour", ["drip_head", "not_yet"])
def test_a_head_that_drips_does_not_go_on_for_ever(stitch, client_for, behaviour):
    stitch.script(getattr(stitch, behaviour))

    error = failure_of(client_for(request_timeout=0.1))

    assert type(error) is StitchUnavailable
    assert "no answer within 0.1 s" in str(error)


class Ticking:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


JOB_NAME = "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d"


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["Stitch", "the log host"])
def test_a_log_that_trickles_is_given_up_after_the_request_timeout(
    stitch, other_host, client_for, is_elsewhere
):
    """It holds one of two places in which logs are read."""
    (other_host if is_elsewhere else stitch).script(other_host.drip if is_elsewhere else stitch.drip)
    if is_elsewhere:
        stitch.script(answer(b"", 302, Location=f"{other_host.url}/log"))
    clock = Ticking()

    with pytest.raises(StitchUnavailable, match="not complete after 30 s"):
        client_for(request_timeout=30, monotonic=clock).get_extraction_log(JOB_NAME)

    assert clock.now < 40


def test_a_long_log_that_arrives_steadily_is_read(stitch, client_for, monkeypatch):
    monkeypatch.setattr(transport, "MIN_LOG_RATE", 10)
    line = b"2026-08-17 06:04:51,012Z    tap - INFO nothing to see\n"
    stitch.script(answer(line * 100_000, Content_Type="text/plain"))

    clock = Ticking()
    client_for(request_timeout=10, monotonic=clock).get_extraction_log(JOB_NAME)

    assert clock.now > 10


def test_a_log_that_nobody_waits_for_is_not_read_to_its_end(stitch, client):
    stitch.script(stitch.drip)
    pieces = []

    def enough():
        pieces.append(1)
        return len(pieces) == 3

    with pytest.raises(StitchUnavailable, match="nobody waits for it"):
        client.get_extraction_log("104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d", given_up=enough)
    assert len(pieces) == 3


@pytest.mark.parametrize(
    "compressed", [False, True], ids=["plain", "a small body that unpacks to a large one"]
)
def test_a_body_that_is_too_large_is_not_kept(stitch, client, monkeypatch, compressed):
    monkeypatch.setattr(transport, "LARGEST_BODY", 100_000)
    body = b"[" + b" " * 300_000 + b"]"
    stitch.script(answer(gzip.compress(body), Content_Encoding="gzip") if compressed else answer(body))

    error = failure_of(client)

    assert type(error) is UnexpectedAnswer
    assert "more than 100000 bytes. It begins: '[   " in str(error)


def test_a_body_up_to_the_limit_is_read(stitch, client):
    stitch.script(answer(gzip.compress(b"[" + b" " * 3_000_000 + b"]"), Content_Encoding="gzip"))

    assert client.list_sources() == []


def test_json_is_utf8_whatever_the_header_says(stitch, client):
    source = {"id": 1, "name": "caf\u00e9"}
    stitch.script(
        answer(
            b"\xef\xbb\xbf" + json.dumps([source], ensure_ascii=False).encode(),
            Content_Type="application/json;charset=ISO-8859-1",
        )
    )

    assert client.list_sources()[0].name == "caf\u00e9"


def test_a_token_that_comes_back_in_an_error_is_not_repeated(stitch, client):
    stitch.script(answer(f"Authorization: Bearer {TOKEN}".encode(), 500))

    assert "Bearer <secret>" in str(failure_of(client))


@given(raw=st.binary(max_size=300))
@settings(max_examples=40, deadline=None)
def test_no_bytes_from_the_other_end_escape_as_anything_else(raw):
    with running_server() as server, StitchClient(TOKEN, base_url=server.url, request_timeout=1.0) as client:
        server.script(b"HTTP/1.1 " + raw, b"HTTP/1.1 200 OK\r\n" + raw)
        for _ in range(2):
            with suppress(StitchError):
                client.list_sources()


# What Stitch says, in all its shapes.


@pytest.mark.parametrize(
    ("body", "says"),
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
            id="D6 bare",
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
        pytest.param({"message": "Forbidden"}, "says: Forbidden", id="a gateway's"),
        pytest.param([1, 2], "says: 1, 2", id="an array"),
        pytest.param(7, "says: 7", id="a number"),
        pytest.param("a\nb\x1b[31m", "says: a b [31m", id="control characters"),
        pytest.param(b"", "says: nothing more", id="nothing"),
        pytest.param({"error": None, "data": None}, 'says: {"error":null,"data":null}', id="nulls"),
    ],
)
def test_an_error_body_becomes_one_readable_line(stitch, client, body, says):
    stitch.script(answer(body, 400))

    message = str(failure_of(client, "list_destinations"))

    assert says in message
    assert "\n" not in message


# Patience.


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("Mon, 17 Aug 2026 06:41:12 GMT", 60.0, id="a date, by Stitch's own clock"),
        pytest.param("Mon, 17 Aug 2026 06:00:00 GMT", 0.0, id="a date gone by"),
        pytest.param("99999999", 86400.0, id="more than a day"),
        pytest.param("soon", None, id="neither"),
        pytest.param("-5", None, id="negative"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_in_both_forms(stitch, client, status, header, seconds):
    stitch.script(answer(b"", status, Retry_After=header))

    error = failure_of(client)

    assert error.retry_after == seconds
    assert error.maybe_received is (status != 429)


def test_a_get_is_repeated_until_stitch_is_back(stitch, client_for, fake_time):
    stitch.script(answer(b"", 503), answer(b"", 429, Retry_After="30"), answer(b'[{"id'), answer([]))
    client = client_for(retry_for=600, sleep=fake_time.sleep, monotonic=fake_time.monotonic)

    assert client.list_sources() == []
    first, second, third = fake_time.pauses
    assert 1 <= first <= 2
    assert second == 30
    assert 4 <= third <= 8


def test_the_last_error_is_raised_when_patience_is_over(stitch, client_for, fake_time):
    stitch.script(answer(b"", 502), answer(b"", 500))
    client = client_for(retry_for=100, sleep=fake_time.sleep, monotonic=fake_time.monotonic)

    error = failure_of(client)

    assert "HTTP 500" in str(error)
    assert sum(fake_time.pauses) == pytest.approx(100)
    assert max(fake_time.pauses) <= 60


def test_a_long_retry_after_is_cut_at_the_time_left(stitch, client_for, fake_time):
    stitch.script(answer(b"", 429, Retry_After="3600"))
    client = client_for(retry_for=100, sleep=fake_time.sleep, monotonic=fake_time.monotonic)

    failure_of(client)

    assert fake_time.pauses == [100]
    assert len(stitch.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_a_repetition_cannot_mend_is_not_repeated(stitch, client_for, fake_time, status):
    stitch.script(answer(b"", status))

    failure_of(client_for(retry_for=600, sleep=fake_time.sleep, monotonic=fake_time.monotonic))

    assert len(stitch.requests) == 1


def test_another_patience_shares_the_session_and_leaves_the_first_alone(stitch, client_for, fake_time):
    stitch.script(answer(b"", 503))
    client = client_for(sleep=fake_time.sleep, monotonic=fake_time.monotonic)

    failure_of(client.with_retries(5))
    tried_with_patience = len(stitch.requests)
    failure_of(client)

    assert tried_with_patience > 1
    assert len(stitch.requests) == tried_with_patience + 1


def test_pauses_grow_to_a_minute_and_no_further():
    for attempt in range(1, 2000):
        pause = pause_before_retry(attempt, None)
        assert 1 <= pause <= 60
        assert pause <= 2**attempt
    assert pause_before_retry(10_000, None) >= 30
    assert len({pause_before_retry(3, None) for _ in range(50)}) > 1


def test_a_pause_is_not_shorter_than_stitch_asks():
    assert pause_before_retry(1, 500.0) == 500.0


def test_stitch_time_is_known_from_error_responses_too(stitch, client_for):
    elapsed = 1000.0
    client = client_for(monotonic=lambda: elapsed)
    assert client.stitch_time is None
    stitch.script(answer(b"", 500))

    failure_of(client)
    elapsed += 90

    assert client.stitch_time == datetime(2026, 8, 17, 6, 41, 42, tzinfo=timezone.utc)


def test_clients_of_one_stitch_share_its_time(stitch, client_for):
    one, other = client_for(), client_for()
    stitch.script(answer(b"", 500))

    failure_of(one)

    assert other.stitch_time is not None
