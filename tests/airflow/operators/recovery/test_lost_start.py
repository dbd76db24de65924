"""Test that a task finds its job if Stitch's response to the start request was lost."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.replication import jobs
from tests.support.interrupted_runs import (
    LONG_JOB,
    before_each_wait,
    end_job_when_awaited,
    interrupt_before_start_response,
    run_job_operator,
)


@pytest.mark.parametrize("if_running", ["queue", "join", "restart", "fail"])
@pytest.mark.parametrize("has_ended", [True, False], ids=["job has ended", "job is running"])
def test_retry_finds_job_when_start_response_was_lost(stitch, github, context, mocker, if_running, has_ended):
    stitch.plan_jobs(github, LONG_JOB)
    interrupt_before_start_response(mocker, context, if_running=if_running)
    if has_ended:
        stitch.advance(81_000)
    else:
        end_job_when_awaited(stitch, mocker)

    result = run_job_operator(if_running=if_running).execute(context)

    (job,) = stitch.jobs(github)
    assert result["job_name"] == job.job_name
    assert not job.stopped


def test_retry_finds_job_when_start_response_was_lost_and_wait_for_is_none(stitch, github, context, mocker):
    stitch.plan_jobs(github, LONG_JOB)
    interrupt_before_start_response(mocker, context, wait_for=None)
    end_job_when_awaited(stitch, mocker)

    result = run_job_operator(wait_for=None).execute(context)

    assert [job.job_name for job in stitch.jobs(github)] == [result["job_name"]]


def test_retry_starts_the_job_if_no_start_was_sent(stitch, github, context, mocker):
    mocker.patch.object(jobs, "start_job", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run_job_operator().execute(context)
    mocker.stopall()

    result = run_job_operator().execute(context)

    assert [job.job_name for job in stitch.jobs(github)] == [result["job_name"]]


def test_retry_starts_new_job_if_the_lost_one_was_stopped(stitch, github, context, mocker):
    """The worker is killed, and the job is stopped before the next try finds the job."""
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    interrupt_before_start_response(mocker, context)
    stitch.stop_job(github)

    result = run_job_operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


@pytest.mark.parametrize("wait_for", [None, "loading"])
def test_task_starts_new_job_if_the_lost_one_is_stopped_while_awaited(
    stitch, github, context, mocker, wait_for
):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    stitch.fail("POST", "/sync$", after_effect=True, cut=True)

    def stop_first_job(_):
        if len(stitch.jobs(github)) == 1:
            stitch.stop_job(github)

    before_each_wait(mocker, stop_first_job)

    result = run_job_operator(wait_for=wait_for).execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name
