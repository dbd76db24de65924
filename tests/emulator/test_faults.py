"""Test that a fault affects only the requests that match its conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from .conftest import Api

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture
def api(stitch: StitchEmulator) -> Api:
    """Return an API client that does not validate responses.

    The responses that a fault causes do not match the OpenAPI description.
    """
    return Api(stitch, stitch, check_schema=False)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        pytest.param({}, 500, "", id="default"),
        pytest.param({"status": 502}, 502, "", id="status"),
        pytest.param({"status": 400, "body": "plain"}, 400, "plain", id="text"),
        pytest.param({"status": 400, "body": {"error": "x"}}, 400, '{"error": "x"}', id="json"),
        pytest.param({"status": 200, "body": b"\xff"}, 200, "\ufffd", id="bytes"),
        pytest.param({"garbage": "{cut"}, 200, "{cut", id="garbage"),
        pytest.param({"garbage": b"x", "status": 503}, 503, "x", id="garbage with a status"),
    ],
)
def test_response_can_be_replaced_once(
    api: Api, stitch: StitchEmulator, fault: dict[str, Any], status: int, text: str
) -> None:
    arranged = stitch.fail("get", "/sources", **fault)
    assert api("GET", "/v4/destinations").status_code == 200
    response = api("GET", "/v4/sources")
    assert (response.status_code, response.content.decode(errors="replace")) == (status, text)
    assert "Date" in response.headers
    assert api("GET", "/v4/sources").status_code == 200
    assert arranged.hits == 1
    assert [r.status for r in stitch.requests] == [200, status, 200]


def test_gateway_page_is_html_with_200(api: Api, stitch: StitchEmulator) -> None:
    stitch.fail(garbage=True)
    response = api("GET", "/v4/sources")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html")
    assert response.text.startswith("<html>")


def test_fault_can_set_headers(api: Api, stitch: StitchEmulator) -> None:
    stitch.fail(status=429, headers={"Retry-After": "7"})
    assert api("GET", "/v4/sources").headers["Retry-After"] == "7"


def test_fault_applies_for_times_requests_or_until_cancelled(api: Api, stitch: StitchEmulator) -> None:
    stitch.fail(times=2, status=500)
    assert [api("GET", "/v4/sources").status_code for _ in range(3)] == [500, 500, 200]
    lasting = stitch.fail(times=None, status=503)
    assert [api("GET", "/v4/sources").status_code for _ in range(3)] == [503] * 3
    lasting.cancel()
    assert api("GET", "/v4/sources").status_code == 200
    stitch.fail(times=None)
    stitch.clear_faults()
    assert api("GET", "/v4/sources").status_code == 200


def test_start_can_be_lost_before_its_effect(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.fail("POST", "/sync", cut=True)
    with pytest.raises(requests.ConnectionError):
        api.start(github)
    assert stitch.jobs(github) == []
    assert stitch.requests[-1].status is None


def test_start_can_be_lost_after_its_effect(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.fail("POST", "/sync", cut=True, after_effect=True)
    with pytest.raises(requests.ConnectionError):
        api.start(github)
    assert len(stitch.jobs(github)) == 1
    response = api("POST", f"/v4/sources/{github}/sync").json()
    assert response["error"]["type"] == "already_running"


@pytest.mark.parametrize("fault", [{"status": 502}, {"garbage": True}, {"delay": 30.0}])
def test_response_can_be_replaced_after_the_effect(
    api: Api, stitch: StitchEmulator, github: int, fault: dict[str, Any]
) -> None:
    stitch.fail("POST", "/sync", after_effect=True, **fault)
    try:
        assert "job_name" not in api("POST", f"/v4/sources/{github}/sync", timeout=0.3).text
    except requests.ReadTimeout:
        assert "delay" in fault
    assert len(stitch.jobs(github)) == 1


def test_delayed_start_has_no_effect_if_the_client_disconnects(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.fail("POST", "/sync", delay=30)
    with pytest.raises(requests.ReadTimeout):
        api("POST", f"/v4/sources/{github}/sync", timeout=0.1)
    assert api("GET", "/v4/sources").status_code == 200
    assert stitch.jobs(github) == []


def test_abandoned_request_is_recorded_without_status(api: Api, stitch: StitchEmulator) -> None:
    stitch.fail(status=503, delay=30)
    with pytest.raises(requests.ReadTimeout):
        api("GET", "/v4/sources", timeout=0.1)
    api("GET", "/v4/sources")
    assert sorted((r.status for r in stitch.requests), key=str) == [200, None]


def test_short_delay_changes_nothing_else(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.fail("POST", "/sync", delay=0.05)
    assert api.start(github) == stitch.jobs(github)[0].job_name


def test_response_can_be_cut_in_the_middle(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.fail("POST", "/sync", cut="mid-body")
    with pytest.raises(LOST):
        api.start(github)
    assert len(stitch.jobs(github)) == 1


def test_response_can_be_sent_byte_by_byte(api: Api, stitch: StitchEmulator) -> None:
    stitch.fail(status=200, body="[1, 2]", drip=0.001)
    assert api("GET", "/v4/sources").json() == [1, 2]
    stitch.fail(drip=30)
    with pytest.raises((requests.ConnectionError, requests.ReadTimeout)):
        api("GET", "/v4/sources", timeout=0.1)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 503}, id="status"),
        pytest.param({"cut": True}, id="cut"),
        pytest.param({"cut": "mid-body"}, id="cut in the middle"),
    ],
)
def test_log_host_can_fail(api: Api, stitch: StitchEmulator, github: int, fault: dict[str, Any]) -> None:
    job_name = stitch.complete_job(github).job_name
    location = api.log_response(job_name).headers["Location"]
    stitch.fail(host="log", **fault)
    assert api.get("/v4/sources")
    try:
        assert requests.get(location, timeout=10).status_code == 503
    except LOST:
        assert "cut" in fault
    assert "Exit status is" in requests.get(location, timeout=10).text


def test_stop_does_not_wait_for_delayed_responses(stitch: StitchEmulator, api: Api) -> None:
    stitch.fail(delay=600)
    with pytest.raises(requests.ReadTimeout):
        api("GET", "/v4/sources", timeout=0.1)
    stitch.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = stitch.url
