"""Test the five sensors in poke mode, in reschedule mode and in deferrable mode."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import CheckPlan, Flush, JobPlan, LoadError, LogPlan
from airflow_provider_stitch.hooks.stitch import airflow_home
from airflow_provider_stitch.sensors.stitch import (
    StitchConnectionCheckSensor,
    StitchExtractionSensor,
    StitchLoadingSensor,
    StitchPreparationSensor,
    StitchStructureSyncSensor,
)
from tests.support.interrupted_runs import FakeTaskInstance

SENSORS = [StitchStructureSyncSensor, StitchExtractionSensor, StitchPreparationSensor, StitchLoadingSensor]
MODES = {
    "poke": {"mode": "poke", "poke_interval": 0.2},
    "reschedule": {"mode": "reschedule", "poke_interval": 1},
    "deferred": {"deferrable": True},
}

LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.fixture(params=MODES.values(), ids=MODES.keys())
def mode(request):
    return request.param


def fake_context():
    """Return the context of a task that runs without a DAG.

    The context contains a DAG run that was queued just now.
    """
    return {"ti": FakeTaskInstance(), "dag_run": SimpleNamespace(queued_at=pendulum.now("UTC"))}


def run_sensor(airflow, sensor, **options):
    """Run a DAG with the single task `wait`, a sensor for the source `github`."""
    with airflow.dag() as dag:
        sensor(task_id="wait", **{"source": "github", "timeout": 600, **options})
    return airflow.run(dag)


@pytest.mark.parametrize("sensor", SENSORS)
def test_sensor_waits_for_a_job_by_name(airflow, stitch, github, mode, sensor):
    job = stitch.start_job(github)

    dag_run = run_sensor(airflow, sensor, job_name=job.job_name, **mode)

    assert dag_run.state == "success"
    assert dag_run.xcom["wait"]["job_name"] == job.job_name
    assert dag_run.xcom["wait"]["url"].endswith(f"/sources/{github}/summary")


@pytest.mark.parametrize("sensor", SENSORS)
def test_late_sensor_finishes_on_first_poll(airflow, stitch, github, mode, sensor):
    job = stitch.complete_job(github, seconds_ago=3600)

    assert run_sensor(airflow, sensor, job_name=job.job_name, **mode).state == "success"


def test_load_before_the_end_of_the_extraction_counts(airflow, stitch, github, mode):
    plan = JobPlan(tap_seconds=2000, flushes={"commits": [Flush(at=50, rows=9)], "pulls": []})
    stitch.plan_jobs(github, plan)

    dag_run = run_sensor(airflow, StitchLoadingSensor, job_name=stitch.start_job(github).job_name, **mode)

    assert dag_run.state == "success"
    assert dag_run.xcom["wait"]["loaded_at"] < dag_run.xcom["wait"]["extraction_completed_at"]


def test_sensor_takes_first_scheduled_job_after_started_after(airflow, stitch, mode):
    source = stitch.add_source("daily", streams={"commits": 3}, schedule_minutes=30 * 1440)
    stitch.complete_job(source, seconds_ago=60)
    instant = stitch.now()
    stitch.advance(30 * 86_400)  # starts the second job; the third job is due after 72 real minutes

    dag_run = run_sensor(
        airflow, StitchLoadingSensor, source="daily", started_after=instant.isoformat(), **mode
    )

    assert dag_run.state == "success"
    assert dag_run.xcom["wait"]["job_name"] == stitch.jobs(source)[1].job_name
    assert dag_run.xcom["wait"]["streams"]["commits"]["rows"] == 3


@pytest.mark.parametrize("sensor", [*SENSORS, StitchConnectionCheckSensor])
def test_started_after_accepts_a_datetime_and_has_a_default(airflow, stitch, mode, sensor):
    source = stitch.add_source("hourly", streams={"commits": 3}, schedule_minutes=30)
    stitch.advance(600)  # makes `instant` later than the start of both DAG runs
    instant = pendulum.instance(stitch.now())
    stitch.start_check(source)

    given = run_sensor(airflow, sensor, source="hourly", started_after=instant, **mode)
    omitted = run_sensor(airflow, sensor, source="hourly", **mode)

    assert (given.state, omitted.state) == ("success", "success")


def test_job_before_the_dag_run_does_not_count_by_default(airflow, stitch, github, mode):
    stitch.complete_job(github, seconds_ago=30 * 86_400)  # this job ended long before the DAG run

    dag_run = run_sensor(airflow, StitchExtractionSensor, timeout=2, **mode)

    assert dag_run.state == "failed"
    assert "AirflowSensorTimeout" in dag_run.output


def test_sensor_times_out_if_the_request_budget_is_used_up(airflow, stitch, github, mode, limit_requests):
    stitch.complete_job(github, seconds_ago=3600)
    limit_requests(1)
    with airflow.dag(default_args={"retries": 1}) as dag:
        first = StitchExtractionSensor(task_id="first", source="github", started_after=LONG_AGO, **mode)
        first >> StitchExtractionSensor(
            task_id="wait", source="github", started_after=LONG_AGO, timeout=2, **mode
        )

    dag_run = airflow.run(dag)

    assert dag_run.states == {"first": "success", "wait": "failed"}
    assert "requests for the last 10 minutes are used up" in dag_run.output


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_last_log_line_precedes_airflows_timeout_line(airflow, stitch, github, mode, soft_fail):
    dag_run = run_sensor(airflow, StitchExtractionSensor, timeout=1, soft_fail=soft_fail, **MODES[mode])

    last_line = dag_run.output.index("took longer than the task's timeout: ")
    assert last_line < dag_run.output.index("Sensor has timed out")
    assert dag_run.state == ("success" if soft_fail else "failed")


class ExpiringSensor(StitchExtractionSensor):
    """A sensor that fails after its first poke, as if `execution_timeout` had expired."""

    def poke(self, context):
        assert super().poke(context) is False
        raise AirflowTaskTimeout("Timeout")


def test_execution_timeout_is_reported_with_the_last_listed_job(airflow, stitch, github):
    listed = stitch.complete_job(github, seconds_ago=30 * 86_400)

    try:
        output = run_sensor(airflow, ExpiringSensor, mode="poke").output
    except AirflowTaskTimeout:  # `dag.test()` does not catch this error on Airflow 2
        output = airflow.read_output()

    assert "took longer than the task's execution_timeout: no extraction" in output
    assert f"the last finished job that Stitch lists is {listed.job_name}" in output


@pytest.mark.usefixtures("airflow_database")
def test_deferred_sensor_stores_which_timeout_ends_its_wait(github):
    for execution_timeout, limit in ((None, "timeout"), (timedelta(hours=1), "execution_timeout")):
        sensor = StitchExtractionSensor(
            task_id="wait",
            source="github",
            started_after=LONG_AGO,
            deferrable=True,
            execution_timeout=execution_timeout,
        )
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute(fake_context())
        assert deferred.value.trigger.serialize()[1]["time_limit"] == limit


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("other_requests", [0, 20])
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_poke_interval_respects_the_requests_of_other_processes(
    stitch, github, limit_requests, mode, other_requests
):
    """In one case, another process has already sent 20 of the account's 30 requests."""
    limit_requests(30)
    sensor = StitchExtractionSensor(task_id="wait", source="github", mode=mode, poke_interval=1)
    sensor.started_after = stitch.now().isoformat()

    assert not sensor.poke(fake_context())
    session = sensor._waiter.session
    script = ACQUIRE_REQUESTS.format(str(airflow_home()), session.account, other_requests)
    subprocess.run([sys.executable, "-c", script], check=True)

    pause = sensor._get_next_poke_interval(0, lambda: 1, 1)

    assert pause >= 600 / max(30 - other_requests, 30 / 2)


ACQUIRE_REQUESTS = """
from pathlib import Path
from airflow_provider_stitch.replication.budget.store import BudgetStore
store = BudgetStore(Path({!r}), {!r})
assert not any(store.acquire(30) for _ in range({}))
"""


def test_sensor_waits_for_a_connection_check(airflow, stitch, github, mode):
    stitch.plan_next_check(github, CheckPlan(seconds=600))
    started_after = stitch.now().replace(microsecond=0)
    stitch.start_check(github)

    dag_run = run_sensor(
        airflow, StitchConnectionCheckSensor, started_after=started_after.isoformat(), **mode
    )

    assert dag_run.state == "success"


def test_check_in_the_same_second_as_started_after_counts(airflow, stitch, mode):
    started_after = stitch.now()
    stitch.add_source("new", streams={"rows": 1}, check=CheckPlan(seconds=60))

    dag_run = run_sensor(
        airflow, StitchConnectionCheckSensor, source="new", started_after=started_after.isoformat(), **mode
    )

    assert dag_run.state == "success"


def test_check_sensor_with_job_name_takes_the_last_check(airflow, stitch, github, mode):
    """Without `started_after`, the sensor accepts a check of any age, because no job starts a check."""
    job = stitch.complete_job(github)

    assert run_sensor(airflow, StitchConnectionCheckSensor, job_name=job.job_name, **mode).state == "success"


@pytest.mark.parametrize("sensor", [StitchConnectionCheckSensor, StitchStructureSyncSensor])
def test_sensor_fails_for_a_source_without_connection_checks(airflow, stitch, mode, sensor):
    stitch.add_source("pushed", type="import_api", streams={"events": 1})

    dag_run = run_sensor(airflow, sensor, source="pushed", started_after=LONG_AGO, **mode)

    assert dag_run.state == "failed"
    assert "are pushed to Stitch" in dag_run.output


def test_failed_connection_check_is_reported_with_its_reason(airflow, stitch, github, mode):
    stitch.plan_next_check(github, CheckPlan(discovery_exit_status=1, discovery_error_message="no such host"))
    started_after = stitch.now().replace(microsecond=0)
    stitch.start_check(github)

    dag_run = run_sensor(
        airflow, StitchConnectionCheckSensor, started_after=started_after.isoformat(), **mode
    )

    assert dag_run.state == "failed"
    assert "no such host" in dag_run.output


def test_old_load_error_fails_only_the_loading_sensor(airflow, stitch, github, mode):
    stitch.complete_job(github, seconds_ago=7200)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("relation is locked")}))
    job = stitch.complete_job(github, seconds_ago=3600)

    prepared = run_sensor(airflow, StitchPreparationSensor, job_name=job.job_name, **mode)
    loaded = run_sensor(airflow, StitchLoadingSensor, job_name=job.job_name, **mode)

    assert prepared.state == "success"
    assert loaded.state == "failed"
    assert "commits: relation is locked" in loaded.output


def test_loading_sensor_succeeds_with_a_warning_without_a_log(airflow, stitch, github, mode):
    job = stitch.complete_job(github, seconds_ago=7200, log=LogPlan(available=False))

    dag_run = run_sensor(airflow, StitchLoadingSensor, job_name=job.job_name, **mode)

    assert dag_run.state == "success"
    assert "streams that had rows are unknown" in dag_run.output


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        pytest.param(lambda stitch, source: stitch.pause_source(source), "a user paused it", id="paused"),
        pytest.param(lambda stitch, source: stitch.delete_source(source), "was deleted", id="deleted"),
        pytest.param(
            lambda stitch, source: stitch.set_step(source, "form"), "step 'form'", id="unconfigured"
        ),
    ],
)
def test_phase_that_cannot_finish_fails_without_a_retry(airflow, stitch, github, mode, arrange, message):
    arrange(stitch, github)

    dag_run = run_sensor(
        airflow, StitchLoadingSensor, started_after=stitch.now().isoformat(), retries=1, **mode
    )

    assert dag_run.state == "failed"
    assert message in dag_run.output
    assert dag_run.instances["wait"].try_number == 1


def test_started_after_accepts_a_datetime_rendered_with_a_space(airflow, stitch, github):
    job = stitch.start_job(github)
    instant = "{{ dag_run.logical_date.replace(year=2020) }}"  # the rendered time contains a space

    dag_run = run_sensor(airflow, StitchExtractionSensor, started_after=instant, deferrable=True)

    assert dag_run.xcom["wait"]["job_name"] == job.job_name


def test_rescheduled_sensor_sends_no_loads_request_before_the_end(airflow, stitch):
    for number in range(4):
        other = stitch.add_source(f"other_{number}", streams={f"stream_{n}": 1 for n in range(100)})
        stitch.complete_job(other, seconds_ago=600)
    source = stitch.add_source("slow", streams={"commits": 3})
    job = stitch.start_job(source, tap_seconds=3000)

    dag_run = run_sensor(
        airflow, StitchLoadingSensor, source="slow", job_name=job.job_name, **MODES["reschedule"]
    )

    assert dag_run.state == "success"
    completed_at = stitch.jobs(source)[0].completion_time
    assert not any(
        "/loads" in request.path for request in stitch.limited_requests if request.at < completed_at
    )


@pytest.mark.parametrize("failure", ["timeout", "failed job"])
def test_soft_fail_skips_the_task(airflow, stitch, github, mode, failure):
    plan = JobPlan(tap_seconds=36_000) if failure == "timeout" else JobPlan(tap_exit_status=1)
    job = stitch.start_job(github, plan)

    dag_run = run_sensor(
        airflow, StitchExtractionSensor, job_name=job.job_name, soft_fail=True, timeout=3, **mode
    )

    assert dag_run.states == {"wait": "skipped"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"timeout": -1}, "timeout", id="negative timeout"),
        pytest.param({"job_name": "a", "started_after": "b"}, "not both", id="job_name and started_after"),
        pytest.param({"streams": "commits,,pulls"}, "list of stream names", id="empty name in streams"),
        pytest.param({"load_settle": -1}, "load_settle", id="negative load_settle"),
    ],
)
def test_invalid_arguments_fail_when_the_dag_is_parsed(options, message):
    with pytest.raises(ValueError, match=message):
        StitchLoadingSensor(task_id="wait", source="github", **options)


@pytest.mark.parametrize("sensor", [StitchConnectionCheckSensor, StitchStructureSyncSensor])
def test_sensor_fails_at_once_if_the_source_lacks_properties(airflow, stitch, mode, sensor):
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    client.create_source("platform.github", "Incomplete", properties={"repository": "acme/shop"})

    dag_run = run_sensor(airflow, sensor, source="Incomplete", started_after=LONG_AGO, timeout=5, **mode)

    assert dag_run.state == "failed"
    assert "AirflowSensorTimeout" not in dag_run.output
    assert "Missing properties: step form: access_token, start_date" in dag_run.output
