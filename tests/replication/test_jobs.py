"""Starting and stopping a job, over HTTP, against the emulator: never twice, and never somebody else's."""

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
        pytest.param({"cut": "mid-body"}, id="cut in the middle of the answer"),
        pytest.param({"status": 502, "body": "<html>"}, id="502"),
        pytest.param({"garbage": True}, id="a page of HTML"),
    ],
)
def test_a_start_whose_answer_is_lost_makes_exactly_one_job(stitch, waiter, github, fault):
    stitch.fail("POST", "/sync$", after_effect=True, **fault)

    answer = waiter.start(github)

    assert len(stitch.jobs(github)) == 1
    assert answer.first_attempt_at <= stitch.jobs(github)[0].start_time


def test_a_start_that_never_arrived_is_made_again(stitch, waiter, github):
    stitch.fail("POST", "/sync$", cut=True, times=3)

    answer = waiter.start(github)

    assert isinstance(answer, Started)
    assert [job.job_name for job in stitch.jobs(github)] == [answer.job_name]


def test_a_short_job_that_is_over_before_its_lost_start_is_asked_for_again_is_found(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(discovery_seconds=0.1, tap_seconds=0.1, target_seconds=0.1))
    stitch.fail("POST", "/sync$", after_effect=True, cut=True)

    answer = waiter.start(github)

    assert isinstance(answer, Started)
    assert [job.job_name for job in stitch.jobs(github)] == [answer.job_name]


def test_a_start_that_can_t_be_made_in_time_says_that_the_job_may_run(stitch, waiter, github):
    stitch.fail("POST", "/sync$", after_effect=True, cut=True, times=None)
    stitch.fail("GET", "/extractions", cut=True, times=None)

    with pytest.raises(JobNotStarted, match="may or may not run"):
        waiter.start(github, timeout=60)


def test_a_running_job_of_ours_is_stopped(stitch, waiter, github):
    started = waiter.start(github)

    assert waiter.stop(waiter.goal(github, started.job_name))
    assert stitch.jobs(github)[0].stopped


def test_a_later_job_is_not_stopped_in_our_job_s_stead(stitch, waiter, github):
    ours = stitch.complete_job(github, seconds_ago=60)
    later = stitch.start_job(github)

    assert not waiter.stop(waiter.goal(github, ours.job_name))
    assert not stitch.jobs(github)[-1].stopped
    assert stitch.jobs(github)[-1].job_name == later.job_name


def test_a_stop_does_not_wait_for_a_free_request(stitch, waiter, github, mocker):
    mocker.patch("airflow_provider_stitch.replication.jobs.STOP_POLL_TIMEOUT", 0.1)
    goal = waiter.goal(github, waiter.start(github).job_name)
    caller = StitchCaller(waiter.client, budget=RequestBudget(1))
    asyncio.run(caller.call_limited(waiter.client.list_loads))

    assert asyncio.run(stop_job(AccountSession(caller), goal))
    assert stitch.jobs(github)[0].stopped


def losing_its_response(mocker, client, method, then):
    """Let the first call of a method of the client have its effect, but not return."""
    call = getattr(client, method)
    lost = []

    def lose_first_response(source_id):
        result = call(source_id)
        if not lost:
            lost.append(result)
            then()
            raise StitchUnavailable("The response was lost.")
        return result

    mocker.patch.object(client, method, lose_first_response)


def test_stop_whose_response_is_lost_is_not_sent_to_the_next_job(stitch, waiter, github, mocker):
    goal = waiter.goal(github, waiter.start(github).job_name)
    losing_its_response(mocker, waiter.client, "stop_replication_job", lambda: stitch.start_job(github))

    assert waiter.stop(goal)
    assert [job.stopped for job in stitch.jobs(github)] == [True, False]


def test_start_does_not_take_a_terminated_job_for_its_own(stitch, waiter, github, mocker):
    losing_its_response(mocker, waiter.client, "start_replication_job", lambda: stitch.stop_job(github))

    answer = waiter.start(github)

    assert answer.job_name == stitch.jobs(github)[1].job_name
