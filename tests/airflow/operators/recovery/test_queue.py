"""Test that a queued or resumed task uses its source and account even after they have been renamed."""

from __future__ import annotations

import asyncio

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import StitchConfigurationError
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication import jobs
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.waiter import Waiter
from tests.support.interrupted_runs import before_each_wait, interrupt_before_wait, run_job_operator


def swap_display_name(stitch, source_id):
    """Rename a source in Stitch, and add a second source with the former display name of the first source."""
    with StitchClient(stitch.access_token, base_url=stitch.url) as client:
        client.update_source(source_id, display_name="Archive")
    stitch.add_source("other", display_name="GitHub", streams={"commits": 1})


@pytest.fixture
def displayed(airflow_database, stitch):
    """Add a source that tasks identify by its display name."""
    return stitch.add_source("our_github", display_name="GitHub", streams={"commits": 120})


def test_retry_resumes_job_of_a_renamed_source(stitch, displayed, context, mocker):
    interrupt_before_wait(mocker, context, source="GitHub")
    swap_display_name(stitch, displayed)

    result = run_job_operator(source="GitHub").execute(context)

    assert [job.job_name for job in stitch.jobs(displayed)] == [result["job_name"]]


def queue_behind_another_job(stitch, source_id, mocker, action=lambda: None):
    """Start another job, and end this job as soon as the task is queued behind it.

    :param action: a function to call before the job ends.
    """
    stitch.start_job(source_id, tap_seconds=36_000)

    def end_job(waiter):
        if waiter.goal.phase == "extraction_end":
            action()
            stitch.advance(36_100)

    before_each_wait(mocker, end_job)


def run_until_dequeued(context, task, deferrable):
    """Run a queued task until its own job has started.

    The task waits in the worker or in a trigger.
    """
    if not deferrable:
        return task.execute(context)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    event = asyncio.run(deferred.value.trigger.run().__anext__())
    return task.execute_complete(context, event.payload)


def test_queued_task_starts_job_of_a_renamed_source(stitch, displayed, context, mocker, deferrable):
    queue_behind_another_job(stitch, displayed, mocker, lambda: swap_display_name(stitch, displayed))

    task = run_job_operator(source="GitHub", deferrable=deferrable, wait_for=None)
    result = run_until_dequeued(context, task, deferrable)

    assert result["source_id"] == displayed
    assert result["job_name"] == stitch.jobs(displayed)[1].job_name


def test_queued_task_starts_no_job_in_another_account(stitch, displayed, context, mocker, monkeypatch):
    other = stitch.add_account()
    other.add_source("our_github", display_name="GitHub", streams={"commits": 1})
    queue_behind_another_job(stitch, displayed, mocker)
    task = run_job_operator(source="GitHub", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    event = asyncio.run(deferred.value.trigger.run().__anext__())
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json(other))

    with pytest.raises(StitchConfigurationError, match=f"now belongs to Stitch account {other.client_id}"):
        run_job_operator(source="GitHub").execute_complete(context, event.payload)
    assert len(stitch.jobs(displayed)) == 1


def test_retry_starts_no_job_in_another_account_until_it_is_cleared(
    stitch, displayed, context, mocker, monkeypatch
):
    interrupt_before_wait(mocker, context, source="GitHub")
    other = stitch.add_account()
    source_id = other.add_source("our_github", display_name="GitHub", streams={"commits": 1})
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json(other))

    with pytest.raises(StitchConfigurationError, match=f"now belongs to Stitch account {other.client_id}"):
        run_job_operator(source="GitHub").execute(context)
    assert other.jobs(source_id) == []

    context["ti"].max_tries += 2  # Airflow increases this number when a user clears the task
    result = run_job_operator(source="GitHub").execute(context)

    assert result["job_name"] == other.jobs(source_id)[0].job_name


def test_queued_task_survives_400_rejected_starts(stitch, github, context, mocker):
    rejections = iter(range(400))
    start_job = jobs.start_job
    rejected_at = stitch.now()

    async def reject(*args, **options):
        if next(rejections, None) is None:
            return await start_job(*args, **options)
        return jobs.SourceBusy(rejected_at)

    async def end_at_once(waiter):
        return Outcome(waiter.goal.to_dict(), {})

    mocker.patch.object(jobs, "start_job", reject)
    mocker.patch.object(Waiter, "wait", end_at_once)
    mocker.patch.object(StitchRunReplicationJobOperator, "_check_preconditions", return_value=None)

    result = run_job_operator(wait_for=None).execute(context)

    assert result["job_name"] == stitch.jobs(github)[0].job_name
