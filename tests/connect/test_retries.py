"""Test retries of failed requests, and times in response headers."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_provider_stitch.connect.transport.retry import seconds_before_retry
from tests.connect.failures import failure_of

from .scripted_server import http_response

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
