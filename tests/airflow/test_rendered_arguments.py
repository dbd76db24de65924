"""Test templates in the arguments of operators and sensors, rendered to strings and to native objects."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.emulator import Flush, JobPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor

NEVER_LOADED = JobPlan(flushes={"commits": [Flush(at=50, rows=120, prepare=10**7)]})

native = pytest.mark.parametrize("native", [False, True], ids=["strings", "native objects"])


@pytest.mark.parametrize(
    ("native", "streams"),
    [(False, ["pulls"]), (True, ["pulls"]), (False, '["pulls"]'), (False, "pulls,issues")],
    ids=["list as string", "native list", "JSON", "comma-separated"],
)
def test_operator_waits_only_for_the_streams_of_a_template(airflow, stitch, github, native, streams):
    stitch.plan_jobs(github, NEVER_LOADED)
    with airflow.dag(params={"streams": streams}, render_template_as_native_obj=native) as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate", source="github", streams="{{ params.streams }}", deferrable=True
        )

    dag_run = airflow.run(dag)

    assert dag_run.state == "success"
    assert list(dag_run.xcom["replicate"]["streams"]) == ["pulls"]


@pytest.mark.parametrize(
    ("native", "mode"),
    [(False, {"deferrable": True}), (True, {"deferrable": True}), (False, {"poke_interval": 0.2})],
    ids=["deferred, strings", "deferred, native objects", "poke, strings"],
)
def test_sensor_waits_only_for_the_streams_of_a_template(airflow, stitch, github, native, mode):
    job = stitch.start_job(github, NEVER_LOADED)
    params = {"streams": ["pulls"], "settle": 0, "timeout": 30}
    with airflow.dag(params=params, render_template_as_native_obj=native) as dag:
        StitchLoadingSensor(
            task_id="wait",
            source="github",
            job_name=job.job_name,
            streams="{{ params.streams }}",
            load_settle="{{ params.settle }}",
            quiet_period="{{ params.settle }}",
            timeout="{{ params.timeout }}",
            **mode,
        )

    dag_run = airflow.run(dag)

    assert dag_run.state == "success"
    assert list(dag_run.xcom["wait"]["streams"]) == ["pulls"]


@native
def test_operator_accepts_templates_in_all_arguments_of_its_wait(airflow, stitch, github, native):
    params = {"wait_for": "extraction", "settle": 5, "timeout": 30}
    with airflow.dag(params=params, render_template_as_native_obj=native) as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate",
            source="github",
            wait_for="{{ params.wait_for }}",
            load_settle="{{ params.settle }}",
            quiet_period="{{ params.settle }}",
            timeout="{{ params.timeout }}",
            deferrable=True,
        )

    dag_run = airflow.run(dag)

    assert dag_run.state == "success"
    assert dag_run.xcom["replicate"]["extraction_completed_at"] is not None
    assert dag_run.xcom["replicate"]["loaded_at"] is None


def test_template_decides_what_happens_if_a_job_is_running(airflow, stitch, github):
    stitch.start_job(github, JobPlan(tap_seconds=10**6))
    with airflow.dag(params={"if_running": "fail"}) as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate", source="github", if_running="{{ params.if_running }}"
        )

    dag_run = airflow.run(dag)

    assert dag_run.state == "failed"
    assert "already has a replication job in progress" in dag_run.output


def test_template_that_renders_none_starts_the_job_and_returns(airflow, stitch, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=10**6))
    with airflow.dag(params={"wait_for": None}) as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate", source="github", wait_for="{{ params.wait_for }}"
        )

    dag_run = airflow.run(dag)

    assert dag_run.xcom["replicate"]["job_name"] == stitch.jobs(github)[0].job_name


def test_invalid_rendered_argument_fails_before_a_job_starts(airflow, stitch, github):
    with airflow.dag(params={"value": "soon"}) as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate", source="github", retries=1, timeout="{{ params.value }}"
        )

    dag_run = airflow.run(dag)

    assert dag_run.state == "failed"
    assert "Task of source 'github': timeout is a number of seconds and must be positive" in dag_run.output
    assert "it was 'soon'." in dag_run.output
    assert dag_run.instances["replicate"].try_number == 1, "a retry cannot fix it"
    assert stitch.jobs(github) == []


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("wait_for", "wait_for must be one of structure_sync, extraction, preparation, loading, or None"),
        ("if_running", "if_running must be one of queue, join, restart, fail"),
        ("load_settle", "load_settle is a number of seconds and must be 0 or more"),
        ("quiet_period", "quiet_period is a number of seconds and must be 0 or more"),
        ("streams", "streams must be a list of stream names"),
    ],
)
def test_each_argument_is_validated_after_rendering(argument, message):
    operator = StitchRunReplicationJobOperator(
        task_id="replicate", source="github", **{argument: "{{ params.value }}"}
    )
    setattr(operator, argument, "[soon")  # Airflow assigns rendered values in the same way

    with pytest.raises(InvalidArgument, match=message):
        operator._parse_rendered_arguments()


@pytest.mark.parametrize("argument", ["timeout", "load_settle"])
def test_invalid_rendered_argument_of_a_sensor_fails_without_a_retry(airflow, stitch, github, argument):
    with airflow.dag(params={"value": "soon"}) as dag:
        StitchLoadingSensor(
            task_id="wait",
            source="github",
            retries=1,
            deferrable=True,
            **{argument: "{{ params.value }}"},
        )

    dag_run = airflow.run(dag)

    assert dag_run.state == "failed"
    assert f"InvalidArgument: {argument}" in dag_run.output
    assert dag_run.instances["wait"].try_number == 1
