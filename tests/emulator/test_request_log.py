"""Test how requests are recorded, and the limit of 30 requests in 10 minutes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.emulator.model.request_log import WINDOW, busiest_window

from .conftest import START, Api


def test_requests_are_recorded_with_whether_they_count(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = stitch.complete_job(github).job_name
    for path in (
        "/v4/sources",
        "/v4/104857/extractions?page=2",
        "/v4/104857/loads",
        f"/v4/104857/extractions/{job_name}",
        "/v4/99/loads",
    ):
        api("GET", path)
    api.start(github)
    seen = [(r.method, r.path.partition(job_name)[0], r.status, r.counted) for r in stitch.requests]
    assert seen == [
        ("GET", "/v4/sources", 200, False),
        ("GET", "/v4/104857/extractions?page=2", 200, True),
        ("GET", "/v4/104857/loads", 200, True),
        ("GET", "/v4/104857/extractions/", 302, True),
        ("GET", "/v4/99/loads", 401, False),
        ("POST", f"/v4/sources/{github}/sync", 200, False),
    ]
    assert stitch.requests[0].at - START < timedelta(milliseconds=1)
    assert stitch.limited_requests == [r for r in stitch.requests if r.counted]


def test_request_to_the_log_host_does_not_count(api: Api, stitch: StitchEmulator, github: int) -> None:
    api.log(stitch.complete_job(github).job_name)
    assert stitch.busiest_window() == 1


def test_window_slides(api: Api, stitch: StitchEmulator) -> None:
    for seconds in (0, 300, 299, 1, 599):
        stitch.advance(seconds)
        api.get("/v4/104857/loads")
    # The requests are sent at 0, 300, 599, 600 and 1199 s. At 600 s, the window no longer contains the first
    # request.
    assert stitch.busiest_window() == 3


def test_each_account_has_its_own_limit(api: Api, stitch: StitchEmulator) -> None:
    other = Api(stitch, stitch.add_account())
    for _ in range(2):
        api.loads()
    other.loads()
    assert (stitch.busiest_window(), other.account.busiest_window()) == (2, 1)


def test_limit_is_not_enforced_by_default(api: Api, stitch: StitchEmulator) -> None:
    for _ in range(31):
        api.loads()
    assert stitch.busiest_window() == 31


def test_enforced_limit_rejects_the_31st_request_in_a_window(api: Api, stitch: StitchEmulator) -> None:
    stitch.enforce_limit()
    for _ in range(29):
        api.loads()
    stitch.advance(100)
    api.loads()
    assert api("GET", "/v4/104857/extractions").status_code == 429
    assert api("GET", "/v4/sources").status_code == 200
    stitch.advance(499)
    assert api("GET", "/v4/104857/loads").status_code == 429
    stitch.advance(1)
    assert api("GET", "/v4/104857/loads").status_code == 200


@pytest.mark.parametrize(
    ("speed", "expected"),
    [pytest.param(1.0, range(590, 601), id="real time"), pytest.param(60.0, range(5, 11), id="60 times")],
)
def test_retry_after_is_in_real_seconds(speed: float, expected: range) -> None:
    with StitchEmulator(speed=speed) as stitch:
        api = Api(stitch, stitch)
        stitch.enforce_limit()
        for _ in range(30):
            api("GET", f"/v4/{stitch.client_id}/loads")
        assert int(api("GET", f"/v4/{stitch.client_id}/loads").headers["Retry-After"]) in expected
        stitch.quirks.retry_after = False
        assert "Retry-After" not in api("GET", f"/v4/{stitch.client_id}/loads").headers


@given(st.lists(st.integers(0, 3000), max_size=60))
def test_busiest_window_is_the_maximum_in_ten_minutes(seconds: list[int]) -> None:
    zero = datetime(2026, 8, 17, tzinfo=timezone.utc)
    instants = [zero + timedelta(seconds=s) for s in seconds]
    expected = max((sum(at <= other < at + WINDOW for other in instants) for at in instants), default=0)
    assert busiest_window(instants) == expected
