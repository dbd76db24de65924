"""Test that a task waits for the job that it has joined, even if the task or the triggerer restarts."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import JobOutcomeUnknown
from tests.support.interrupted_runs import (
    LONG_JOB,
    before_each_wait,
    deferred_trigger,
    end_job_when_awaited,
    event_of,
    run_job_operator,
)


def test_restarted_triggerer_waits_for_the_joined_job(stitch, github, context):
    """When the task is deferred again, Stitch also lists a later job with rows that are never loaded."""
    stitch.start_job(github, tap_seconds=3600)
    task = run_job_operator(if_running="join", deferrable=True)
    first = deferred_trigger(lambda: task.execute(context))
    stitch.advance(7200)
    joined = stitch.jobs(github)[0].job_name

    second = deferred_trigger(lambda: task.execute_complete(context, event_of(first)))

    stitch.start_job(github, tap_seconds=80_000)
    assert second.goal.job_name == joined
    assert not second.stop_on_kill
    assert context["ti"].xcom["job_name"] == joined
    assert event_of(second)["result"]["job_name"] == joined


@pytest.mark.parametrize("is_lost", [False, True], ids=["joined", "lost start response"])
def test_retry_waits_for_the_joined_job(stitch, github, context, mocker, is_lost):
    """A worker is killed while its task waits for loads, and another job runs when the next try starts."""
    stitch.plan_next_job(github, LONG_JOB)
    if is_lost:
        stitch.fail("POST", "/sync$", after_effect=True, cut=True)
    else:
        stitch.start_job(github)
    end_job_when_awaited(stitch, mocker)

    def die_in_second_wait(waiter):
        if waiter.goal.phase == "loading":
            raise KeyboardInterrupt

    before_each_wait(mocker, die_in_second_wait)
    with pytest.raises(KeyboardInterrupt):
        run_job_operator(if_running="join").execute(context)
    mocker.stopall()
    first = stitch.jobs(github)[0].job_name
    stitch.start_job(github, tap_seconds=80_000)

    task = run_job_operator(if_running="join")
    result = task.execute(context)

    assert result["job_name"] == first
    assert len(stitch.jobs(github)) == 2
    task.on_kill()
    assert [job.stopped for job in stitch.jobs(github)] == [False, False]


@pytest.mark.parametrize("wait_for", ["structure_sync", "extraction", "preparation", "loading"])
def test_outcome_of_joined_job_is_unknown_if_only_a_later_one_is_listed(
    stitch, github, context, mocker, wait_for
):
    stitch.start_job(github, tap_seconds=3600)

    def end_both_jobs(_):
        stitch.advance(7200)
        stitch.complete_job(github, seconds_ago=60)

    before_each_wait(mocker, end_both_jobs)

    with pytest.raises(JobOutcomeUnknown):
        run_job_operator(if_running="join", wait_for=wait_for).execute(context)

    assert context["task_state_store"] == {}
