"""Test that a retry resumes the job that an earlier try has started."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.connect.errors import JobAlreadyRunning, PhaseTimedOut, StitchUnavailable
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.job_checkpoint import JOB_KEY
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from tests.support.interrupted_runs import (
    LONG_JOB,
    expire_deadline_when_waiting,
    interrupt_before_wait,
    run_job_operator,
)
from tests.support.task_state import STORES_TASK_STATE


def test_retry_resumes_job_of_killed_try(stitch, github, context, mocker):
    interrupt_before_wait(mocker, context)

    result = run_job_operator().execute(context)

    (job,) = stitch.jobs(github)
    assert result["job_name"] == job.job_name
    assert context["ti"].xcom["job_name"] == job.job_name


@pytest.mark.parametrize("wait_for", [None, "loading"])
def test_retry_returns_same_result_if_airflow_lost_the_success(stitch, github, context, wait_for):
    """The worker dies after `execute` has returned, so Airflow runs the task again."""
    first = run_job_operator(wait_for=wait_for).execute(context)

    again = run_job_operator(wait_for=wait_for).execute(context)

    assert again["job_name"] == first["job_name"]
    assert len(stitch.jobs(github)) == 1


def test_retry_waits_for_the_phase_in_its_arguments(stitch, github, context, mocker):
    interrupt_before_wait(mocker, context)

    result = run_job_operator(wait_for="extraction").execute(context)

    assert result["loaded_at"] is None
    assert len(stitch.jobs(github)) == 1


def test_retry_with_another_source_ignores_the_stored_job(stitch, github, context, mocker):
    interrupt_before_wait(mocker, context)
    shop = stitch.add_source("shop", streams={"orders": 1})

    assert run_job_operator(source="shop").execute(context)["source_id"] == shop


def test_retry_starts_new_job_if_the_stored_one_was_stopped(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    interrupt_before_wait(mocker, context)
    stitch.stop_job(github)

    result = run_job_operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_retry_after_timeout_resumes_the_job(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=1200))
    expire_deadline_when_waiting(mocker, times=1)
    with pytest.raises(PhaseTimedOut, match="took longer than the task's timeout"):
        run_job_operator().execute(context)

    assert run_job_operator().execute(context)["job_name"] == stitch.jobs(github)[0].job_name
    assert len(stitch.jobs(github)) == 1


def test_rejected_start_stores_no_job(stitch, github, context):
    stitch.start_job(github, LONG_JOB)

    with pytest.raises(JobAlreadyRunning, match="already has a replication job in progress"):
        run_job_operator(if_running="fail").execute(context)
    assert JOB_KEY not in context["task_state_store"]


@pytest.mark.parametrize("deferrable", [False, True])
def test_start_is_the_last_request_if_wait_for_is_none(stitch, github, context, monkeypatch, deferrable):
    """The task sends no request after the start request, because a failed request would lose the job.

    The connection contains no client ID. The task requests the ID from Stitch before it starts the job, and
    sends this request again if it fails.
    """
    connection = json.loads(stitch.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps({**connection, "login": ""}))
    stitch.fail("GET", "/v4/sources$", times=1, status=503)

    result = run_job_operator(wait_for=None, deferrable=deferrable).execute(context)

    assert [job.job_name for job in stitch.jobs(github)] == [result["job_name"]]
    started = next(number for number, request in enumerate(stitch.requests) if request.method == "POST")
    assert started == len(stitch.requests) - 1


def test_start_during_outage_fails_with_status_code_at_timeout(stitch, github, context):
    stitch.fail(times=None, status=503)

    with pytest.raises(StitchUnavailable, match="503"):
        run_job_operator(timeout=2).execute(context)
    assert stitch.jobs(github) == []


@STORES_TASK_STATE
def test_retry_in_a_dag_resumes_the_job(airflow, stitch, github, mocker):
    expire_deadline_when_waiting(mocker, times=1)
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="replicate", source="github", retries=1, retry_delay=0)

    dag_run = airflow.run(dag)

    (job,) = stitch.jobs(github)
    assert dag_run.state == "success"
    assert f"Resuming job {job.job_name}, which an earlier try of this task started" in dag_run.output
    assert dag_run.xcom["replicate"]["job_name"] == job.job_name
