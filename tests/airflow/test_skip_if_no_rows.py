"""Test that a task without new rows and its downstream tasks are skipped with `skip_if_no_rows`."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import task
from airflow.triggers.base import TaskSkippedEvent, TaskSuccessEvent

from airflow_provider_stitch.emulator import JobPlan, LogPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor
from airflow_provider_stitch.triggers.task_context import TaskEndOptions
from airflow_provider_stitch.triggers.task_end import end_event
from tests.support.dag_runs import xcom_of


@pytest.fixture
def empty(stitch) -> int:
    """Add a source with jobs that have no new rows."""
    return stitch.add_source("empty", streams={"commits": 0})


@task
def transform() -> None:
    """Do nothing in a downstream task."""


def run_then_transform(airflow, **options):
    with airflow.dag() as dag:
        replicate = StitchRunReplicationJobOperator(task_id="replicate", skip_if_no_rows=True, **options)
        replicate >> transform()
    return airflow.run(dag)


def test_operator_skips_itself_and_its_downstream_tasks(airflow, stitch, empty, deferrable):
    dag_run = run_then_transform(airflow, source="empty", deferrable=deferrable)

    assert dag_run.states == {"replicate": "skipped", "transform": "skipped"}
    assert dag_run.xcom["replicate"]["job_name"] == stitch.jobs(empty)[0].job_name
    assert dag_run.xcom["replicate"]["streams"] == {}
    assert f"source empty ({empty}) had no new rows to load" in dag_run.output


def test_operator_with_new_rows_succeeds(airflow, stitch, github, deferrable):
    dag_run = run_then_transform(airflow, source="github", deferrable=deferrable)

    assert dag_run.states == {"replicate": "success", "transform": "success"}


def test_operator_skips_if_the_requested_streams_had_no_rows(airflow, stitch, github):
    dag_run = run_then_transform(airflow, source="github", streams="issues")

    assert dag_run.states == {"replicate": "skipped", "transform": "skipped"}


def test_task_without_proof_of_no_rows_is_not_skipped(airflow, stitch, empty, deferrable):
    stitch.plan_jobs(empty, JobPlan(log=LogPlan(available=False)))

    dag_run = run_then_transform(airflow, source="empty", deferrable=deferrable)

    assert dag_run.states == {"replicate": "success", "transform": "success"}
    assert dag_run.xcom["replicate"]["streams"] == {}


def test_skipped_task_with_multiple_outputs_has_all_of_them(airflow, stitch, empty):
    dag_run = run_then_transform(airflow, source="empty", multiple_outputs=True)

    assert dag_run.states["replicate"] == "skipped"
    assert xcom_of(dag_run.instances["replicate"], "streams") == {}
    assert xcom_of(dag_run.instances["replicate"], "source_name") == "empty"


def test_skipped_task_without_xcom_writes_no_return_value(airflow, stitch, empty):
    dag_run = run_then_transform(airflow, source="empty", do_xcom_push=False)

    assert dag_run.states["replicate"] == "skipped"
    assert dag_run.xcom["replicate"] is None


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("empty", {"mode": "poke", "poke_interval": 0.2}),
        ("empty", {"mode": "reschedule", "poke_interval": 1}),
        ("empty", {"deferrable": True}),
        ("github", {"deferrable": True}),
    ],
    ids=["poke", "reschedule", "deferred", "deferred with rows"],
)
def test_sensor_skips_only_without_new_rows(airflow, stitch, empty, github, mode, name):
    job = stitch.start_job(empty if name == "empty" else github)
    with airflow.dag() as dag:
        wait = StitchLoadingSensor(
            task_id="wait", source=name, job_name=job.job_name, skip_if_no_rows=True, timeout=30, **mode
        )
        wait >> transform()

    dag_run = airflow.run(dag)

    state = "skipped" if name == "empty" else "success"
    assert dag_run.states == {"wait": state, "transform": state}
    assert dag_run.xcom["wait"]["job_name"] == job.job_name


@pytest.mark.parametrize(
    ("streams", "assumes_no_rows", "skip_if_no_rows", "event"),
    [
        ({}, False, True, TaskSkippedEvent),
        ({}, True, True, TaskSuccessEvent),
        ({}, False, False, TaskSuccessEvent),
        ({"commits": {"rows": 1}}, False, True, TaskSuccessEvent),
    ],
)
def test_task_that_ends_in_the_triggerer_is_skipped_without_rows(
    streams, assumes_no_rows, skip_if_no_rows, event
):
    options = TaskEndOptions(
        soft_fail=False, has_retries=True, do_xcom_push=True, skip_if_no_rows=skip_if_no_rows
    )

    outcome = Outcome({}, {"streams": streams}, assumes_no_rows=assumes_no_rows)

    assert type(end_event(outcome, options)) is event


def test_skip_if_no_rows_needs_the_phase_loading():
    with pytest.raises(ValueError, match='skip_if_no_rows needs wait_for="loading"'):
        StitchRunReplicationJobOperator(
            task_id="replicate", source="github", wait_for="extraction", skip_if_no_rows=True
        )
