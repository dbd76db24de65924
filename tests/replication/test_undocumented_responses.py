"""Test that an undocumented response makes a wait, start or stop fail only if Stitch repeats it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_stitch.connect.errors import (
    ERROR_CLASSES,
    JobNotStarted,
    StitchError,
    StitchUnauthorized,
)
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.replication.jobs import SourceBusy, Started
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.waiter import Waiter

FIREWALL = b"<html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>"

PAGES = {
    "firewall": {"status": 403, "body": FIREWALL, "headers": {"Content-Type": "text/html"}},
    "403": {"status": 403},
    "403 JSON": {"status": 403, "body": {"message": "Forbidden"}},
    "401 page": {"status": 401, "body": FIREWALL},
    "400": {"status": 400},
    "404": {"status": 404},
    "404 page": {"status": 404, "body": FIREWALL},
    "405": {"status": 405},
    "418": {"status": 418},
}

READS = {
    "source": r"GET /v4/sources/\d+$",
    "streams": r"GET /v4/sources/\d+/streams$",
    "extractions": r"GET /v4/\d+/extractions\?page=1$",
    "log": r"GET /v4/\d+/extractions/[^?]+$",
    "loads": r"GET /v4/\d+/loads\?page=1$",
}


def arrange(stitch, read: str, fault: dict[str, Any], times: int | None) -> Any:
    method, path = READS[read].split(" ", 1)
    return stitch.fail(method, path, times=times, **fault)


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120, "issues": 0})


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("fault", PAGES)
def test_wait_survives_one_undocumented_response(stitch, waiter, github, read, fault):
    job = waiter.start(github)
    goal = waiter.goal(github, job.job_name)
    injected = arrange(stitch, read, PAGES[fault], times=1)

    outcome = waiter.wait(goal)

    assert outcome.error is None
    assert injected.hits == 1


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("status", [400, 404])
def test_wait_survives_one_rejection_of_a_read_in_a_documented_form(stitch, waiter, github, read, status):
    """Stitch rarely rejects requests for existing objects, so another request must confirm a rejection."""
    goal = waiter.goal(github, waiter.start(github).job_name)
    body = {"error": {"type": "invalid_source", "message": "There is no such source"}}
    injected = arrange(stitch, read, {"status": status, "body": body}, times=1)

    assert waiter.wait(goal).error is None
    assert injected.hits == 1


@pytest.mark.parametrize("read", ["source", "extractions", "loads"])
@pytest.mark.parametrize("fault", PAGES)
def test_wait_fails_if_an_undocumented_response_repeats(stitch, waiter, github, read, fault):
    job = waiter.start(github)
    goal = waiter.goal(github, job.job_name)
    injected = arrange(stitch, read, PAGES[fault], times=None)

    outcome = waiter.wait(goal)

    assert outcome.error["kind"] in ERROR_CLASSES
    assert outcome.error["kind"] not in ("PhaseTimedOut", "JobOutcomeUnknown")
    assert str(PAGES[fault]["status"]) in outcome.error["message"]
    assert injected.hits == 5


def test_wait_fails_at_once_if_the_token_is_rejected(stitch, waiter, github):
    """Stitch's documentation specifies a 401 response without a body."""
    goal = waiter.goal(github, waiter.start(github).job_name)
    injected = stitch.fail("GET", "/extractions", status=401, times=None)

    outcome = waiter.wait(goal)

    assert outcome.error["kind"] == StitchUnauthorized.__name__
    assert injected.hits == 1


def test_twenty_waits_survive_one_page_of_a_firewall(stitch, waiter):
    ids = [stitch.add_source(f"source_{number}", streams={"orders": 1}) for number in range(20)]
    goals = [waiter.goal(each, waiter.start(each).job_name) for each in ids]
    session = waiter.session()
    arrange(stitch, "extractions", PAGES["firewall"], times=1)

    async def wait_for_all(goals: list[Goal]) -> list[Any]:
        return await asyncio.gather(*(Waiter(session, goal).wait() for goal in goals))

    assert [outcome.error for outcome in asyncio.run(wait_for_all(goals))] == [None] * 20


@pytest.mark.parametrize("status", [200, 400, 404, 409, 422])
def test_start_reports_a_running_job_with_any_status(stitch, waiter, github, status):
    rejection = {"error": {"type": "already_running", "message": "Did not create job because one exists"}}
    stitch.fail("POST", "/sync", status=status, body=rejection, times=1)

    assert isinstance(waiter.start(github), SourceBusy)


MALFORMED = {
    "extractions": [{"source_id": 1, "job_name": None}, {"source_id": "1"}, 7, None],
    "loads": [{"source_name": "foreign", "stream_name": 3}, {"source_name": None}, 7, None],
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_wait_survives_malformed_records_of_other_sources(stitch, waiter, github, kind):
    """A malformed record can remain on a page for 60 days."""
    goal = waiter.goal(github, waiter.start(github).job_name)
    list_page = getattr(type(waiter.client), f"list_{kind}")
    request = waiter.client._transport.request

    def request_with_malformed_records(*args: Any, **options: Any) -> Any:
        response = request(*args, **options)
        if f"/{kind}" in response.request_line:
            response.body["data"][:0] = MALFORMED[kind]
        return response

    waiter.client._transport.request = request_with_malformed_records

    assert list_page(waiter.client, 1).malformed
    assert waiter.wait(goal).error is None


@pytest.mark.parametrize("times", [1, None])
def test_wait_fails_only_if_its_own_record_stays_malformed(stitch, waiter, github, times):
    goal = waiter.goal(github, waiter.start(github).job_name)
    page = {"data": [{"source_id": github, "job_name": 3}], "page": 1, "total": 1, "links": {}}
    injected = stitch.fail("GET", "/extractions", status=200, body=page, times=times)

    outcome = waiter.wait(goal)

    if times == 1:
        assert outcome.error is None
    else:
        assert "`job_name` should be a string" in outcome.error["message"]
        assert injected.hits == 5


# --- Requests that change something ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", PAGES)
def test_start_survives_one_undocumented_response(stitch, waiter, github, fault):
    injected = stitch.fail("POST", "/sync$", times=1, **PAGES[fault])

    started = waiter.start(github)

    assert isinstance(started, Started)
    assert [job.job_name for job in stitch.jobs(github)] == [started.job_name]
    assert injected.hits == 1


@pytest.mark.parametrize("fault", PAGES)
def test_start_finds_its_job_after_an_undocumented_response(stitch, waiter, github, fault):
    """Stitch has started the job, but a proxy or firewall has replaced Stitch's response."""
    stitch.plan_jobs(github, JobPlan(discovery_seconds=0.1, tap_seconds=0.1, target_seconds=0.1))
    stitch.fail("POST", "/sync$", times=1, after_effect=True, **PAGES[fault])

    started = waiter.start(github)

    assert isinstance(started, Started)
    assert [job.job_name for job in stitch.jobs(github)] == [started.job_name]


@pytest.mark.parametrize("fault", PAGES)
def test_start_fails_if_an_undocumented_response_repeats(stitch, waiter, github, fault):
    injected = stitch.fail("POST", "/sync$", times=None, **PAGES[fault])

    with pytest.raises(JobNotStarted, match=str(PAGES[fault]["status"])):
        waiter.start(github)

    assert injected.hits == 5


def test_start_fails_at_once_if_the_token_is_rejected(stitch, waiter, github):
    injected = stitch.fail("POST", "/sync$", times=None, status=401)

    with pytest.raises(StitchUnauthorized):
        waiter.start(github)

    assert injected.hits == 1


@pytest.mark.parametrize("fault", PAGES)
def test_stop_survives_one_undocumented_response(stitch, waiter, github, fault):
    goal = waiter.goal(github, waiter.start(github).job_name)
    injected = stitch.fail("DELETE", "/sync$", times=1, **PAGES[fault])

    assert waiter.stop(goal)
    assert [job.stopped for job in stitch.jobs(github)] == [True]
    assert injected.hits == 1


@pytest.mark.parametrize("fault", PAGES)
def test_stop_fails_if_an_undocumented_response_repeats(stitch, waiter, github, fault):
    goal = waiter.goal(github, waiter.start(github).job_name)
    injected = stitch.fail("DELETE", "/sync$", times=None, **PAGES[fault])

    with pytest.raises(StitchError, match=str(PAGES[fault]["status"])):
        waiter.stop(goal)

    assert injected.hits == 5


@pytest.mark.parametrize("read", ["source", "extractions", "loads"])
def test_wait_survives_a_page_of_a_firewall_after_an_outage(stitch, waiter, github, read):
    """Attempts that fail during an outage do not count as repetitions of the firewall's page."""
    goal = waiter.goal(github, waiter.start(github).job_name)
    arrange(stitch, read, {"status": 502}, times=8)
    injected = arrange(stitch, read, PAGES["firewall"], times=1)

    assert waiter.wait(goal).error is None
    assert injected.hits == 1


def test_start_survives_a_page_of_a_firewall_after_an_outage(stitch, waiter, github):
    stitch.fail("POST", "/sync$", status=502, times=8)
    injected = stitch.fail("POST", "/sync$", times=1, **PAGES["firewall"])

    assert isinstance(waiter.start(github), Started)
    assert injected.hits == 1
