"""Test that a task starts its job exactly once, and stops only its own job."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.connect.errors import JobNotStarted, StitchUnavailable
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.jobs import Started, stop_job
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.session import AccountSession


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"cut": True}, id="connection cut"),
        pytest.param({"cut": "mid-body"}, id="connection cut in the middle of the response"),
        pytest.param({"status": 502, "body": "<html>"}, id="502"),
        pytest.param({"garbage": True}, id="an HTML page"),
    ],
)
def test_start_with_a_lost_response_starts_exactly_one_job(stitch, waiter, github, fault):
    stitch.fail("POST", "/sync$", after_effect=True, **fault)

    started = waiter.start(github)

    assert len(stitch.jobs(github)) == 1
    assert started.first_attempt_at <= stitch.jobs(github)[0].start_time


def test_start_that_did_not_reach_stitch_is_sent_again(stitch, waiter, github):
    stitch.fail("POST", "/sync$", cut=True, times=3)

    started = waiter.start(github)

    assert isinstance(started, Started)
    assert [job.job_name for job in stitch.jobs(github)] == [started.job_name]


def test_start_finds_a_short_job_that_ended_before_the_retry(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(discovery_seconds=0.1, tap_seconds=0.1, target_seconds=0.1))
    stitch.fail("POST", "/sync$", after_effect=True, cut=True)

    started = waiter.start(github)

    assert isinstance(started, Started)
    assert [job.job_name for job in stitch.jobs(github)] == [started.job_name]


def test_error_of_an_unconfirmed_start_says_that_the_job_may_run(stitch, waiter, github):
    stitch.fail("POST", "/sync$", after_effect=True, cut=True, times=None)
    stitch.fail("GET", "/extractions", cut=True, times=None)

    with pytest.raises(JobNotStarted, match="may be running"):
        waiter.start(github, timeout=60)


def test_error_of_a_start_names_the_limit_that_ended_the_retries(stitch, waiter, github):
    stitch.fail("POST", "/sync$", status=503, times=None)

    with pytest.raises(JobNotStarted, match="Retries ended at the task's execution_timeout"):
        waiter.start(github, timeout=60, time_limit="execution_timeout")


def test_error_of_a_stop_names_the_limit_that_ended_the_retries(stitch, waiter, github):
    goal = waiter.goal(github, waiter.start(github).job_name)
    stitch.fail("DELETE", "/sync$", status=503, times=None)

    with pytest.raises(StitchUnavailable, match="Retries ended at the task's execution_timeout"):
        asyncio.run(stop_job(waiter.session(10, time_limit="execution_timeout"), goal))


def test_stop_stops_our_running_job(stitch, waiter, github):
    started = waiter.start(github)

    assert waiter.stop(waiter.goal(github, started.job_name))
    assert stitch.jobs(github)[0].stopped


def test_stop_leaves_a_later_job_running(stitch, waiter, github):
    ours = stitch.complete_job(github, seconds_ago=60)
    later = stitch.start_job(github)

    assert not waiter.stop(waiter.goal(github, ours.job_name))
    assert not stitch.jobs(github)[-1].stopped
    assert stitch.jobs(github)[-1].job_name == later.job_name


def test_stop_does_not_wait_for_the_budget(stitch, waiter, github, mocker):
    mocker.patch("airflow_provider_stitch.replication.jobs.STOP_POLL_TIMEOUT", 0.1)
    goal = waiter.goal(github, waiter.start(github).job_name)
    caller = StitchCaller(waiter.client, budget=RequestBudget(1))
    asyncio.run(caller.call_limited(waiter.client.list_loads))

    assert asyncio.run(stop_job(AccountSession(caller), goal))
    assert stitch.jobs(github)[0].stopped


def lose_first_response(mocker, client, method, then):
    """Make the first call of a client method raise an error after the call has taken effect."""
    call = getattr(client, method)
    lost = []

    def call_and_fail_once(source_id):
        result = call(source_id)
        if not lost:
            lost.append(result)
            then()
            raise StitchUnavailable("The response was lost.")
        return result

    mocker.patch.object(client, method, call_and_fail_once)


def test_stop_whose_response_is_lost_is_not_sent_to_the_next_job(stitch, waiter, github, mocker):
    goal = waiter.goal(github, waiter.start(github).job_name)
    lose_first_response(mocker, waiter.client, "stop_replication_job", lambda: stitch.start_job(github))

    assert waiter.stop(goal)
    assert [job.stopped for job in stitch.jobs(github)] == [True, False]


def test_stop_of_any_job_whose_response_is_lost_is_not_sent_to_the_next_job(stitch, waiter, github, mocker):
    stitch.start_job(github)
    lose_first_response(mocker, waiter.client, "stop_replication_job", lambda: stitch.start_job(github))

    assert waiter.stop(waiter.goal(github, phase="extraction_end", running_at=stitch.now()))
    assert [job.stopped for job in stitch.jobs(github)] == [True, False]


def test_stop_of_any_job_that_did_not_reach_stitch_is_sent_again(stitch, waiter, github):
    stitch.complete_job(github)
    stitch.start_job(github)
    stitch.fail("DELETE", "/sync$", status=503, times=3)

    assert waiter.stop(waiter.goal(github, phase="extraction_end", running_at=stitch.now()))
    assert [job.stopped for job in stitch.jobs(github)] == [False, True]


def test_start_does_not_adopt_a_terminated_job(stitch, waiter, github, mocker):
    lose_first_response(mocker, waiter.client, "start_replication_job", lambda: stitch.stop_job(github))

    started = waiter.start(github)

    assert started.job_name == stitch.jobs(github)[1].job_name
