"""One sensor per phase, in all three modes."""

from __future__ import annotations

import json
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


def run(airflow, sensor, **options):
    with airflow.dag() as dag:
        sensor(task_id="wait", **{"source": "github", "timeout": 30, **options})
    return airflow.run(dag)


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_job_that_was_started_is_waited_for_by_its_name(airflow, stitch, github, mode, sensor):
    job = stitch.start_job(github)

    ran = run(airflow, sensor, job_name=job.job_name, **mode)

    assert ran.state == "success"
    assert ran.xcom["wait"]["job_name"] == job.job_name
    assert ran.xcom["wait"]["url"].endswith(f"/sources/{github}/summary")


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_sensor_that_begins_late_passes_on_its_first_look(airflow, stitch, github, mode, sensor):
    job = stitch.complete_job(github, seconds_ago=3600)

    assert run(airflow, sensor, job_name=job.job_name, **mode).state == "success"


def test_a_stream_that_is_loaded_long_before_its_job_ends_counts(airflow, stitch, github, mode):
    plan = JobPlan(tap_seconds=2000, flushes={"commits": [Flush(at=50, rows=9)], "pulls": []})
    stitch.plan_jobs(github, plan)

    ran = run(airflow, StitchLoadingSensor, job_name=stitch.start_job(github).job_name, **mode)

    assert ran.state == "success"
    assert ran.xcom["wait"]["loaded_at"] < ran.xcom["wait"]["extraction_completed_at"]


def test_a_sensor_for_stitchs_own_schedule_takes_the_first_job_after_its_instant(airflow, stitch, mode):
    source = stitch.add_source("daily", streams={"commits": 3}, schedule_minutes=1440)
    stitch.complete_job(source, seconds_ago=60)
    instant = stitch.now()
    stitch.advance(86_400)  # the next job begins, and another one only after as long again

    ran = run(airflow, StitchLoadingSensor, source="daily", started_after=instant.isoformat(), **mode)

    assert ran.state == "success"
    assert ran.xcom["wait"]["job_name"] == stitch.jobs(source)[1].job_name
    assert ran.xcom["wait"]["streams"]["commits"]["rows"] == 3


@pytest.mark.parametrize("sensor", [*SENSORS, StitchConnectionCheckSensor])
def test_stitch_s_own_schedule_is_waited_for_since_an_instant_of_airflow_s(airflow, stitch, mode, sensor):
    source = stitch.add_source("hourly", streams={"commits": 3}, schedule_minutes=30)
    stitch.advance(600)  # the check is later than both runs begin, however long the first takes
    instant = pendulum.instance(stitch.now())
    stitch.start_check(source)

    given = run(airflow, sensor, source="hourly", started_after=instant, **mode)
    left_out = run(airflow, sensor, source="hourly", **mode)

    assert (given.state, left_out.state) == ("success", "success")


def test_without_a_job_an_extraction_since_the_run_began_is_meant(airflow, stitch, github, mode):
    stitch.complete_job(github, seconds_ago=30 * 86_400)  # long before the run

    ran = run(airflow, StitchExtractionSensor, timeout=2, **mode)

    assert ran.state == "failed"
    assert "AirflowSensorTimeout" in ran.output


def test_a_sensor_that_finds_no_request_left_times_out_as_sensors_do(
    airflow, stitch, github, mode, monkeypatch
):
    stitch.complete_job(github, seconds_ago=3600)
    connection = json.loads(stitch.connection_json())
    connection["extra"] = {"requests_per_10_minutes": 1}
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
    with airflow.dag(default_args={"retries": 1}) as dag:
        first = StitchExtractionSensor(task_id="first", source="github", started_after=LONG_AGO, **mode)
        first >> StitchExtractionSensor(
            task_id="wait", source="github", started_after=LONG_AGO, timeout=2, **mode
        )

    ran = airflow.run(dag)

    assert ran.states == {"first": "success", "wait": "failed"}
    assert "all requests of these 10 minutes are used" in ran.output


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_last_line_of_a_sensor_stands_before_that_of_airflow(airflow, stitch, github, mode, soft_fail):
    ran = run(airflow, StitchExtractionSensor, timeout=1, soft_fail=soft_fail, **MODES[mode])

    ours = ran.output.index("took longer than the task's timeout: ")
    assert ours < ran.output.index("Sensor has timed out")
    assert ran.state == ("success" if soft_fail else "failed")


class EndedByAirflow(StitchExtractionSensor):
    """Airflow ends this sensor after its first poke, as it does at the end of `execution_timeout`."""

    def poke(self, context):
        assert super().poke(context) is False
        raise AirflowTaskTimeout("Timeout")


def test_sensor_that_its_execution_timeout_ends_says_so(airflow, stitch, github):
    listed = stitch.complete_job(github, seconds_ago=30 * 86_400)

    ran = run(airflow, EndedByAirflow, mode="poke")

    assert ran.state == "failed"
    assert "took longer than the task's execution_timeout: no extraction" in ran.output
    assert f"the last finished job that Stitch lists is {listed.job_name}" in ran.output


@pytest.mark.usefixtures("_database")
def test_deferred_sensor_names_the_limit_that_ends_its_wait(github):
    for execution_timeout, limit in ((None, "timeout"), (timedelta(hours=1), "execution_timeout")):
        sensor = StitchExtractionSensor(
            task_id="wait",
            source="github",
            started_after=LONG_AGO,
            deferrable=True,
            execution_timeout=execution_timeout,
        )
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute({"ti": TaskInstance(), "dag_run": SimpleNamespace(queued_at=pendulum.now("UTC"))})
        assert deferred.value.trigger.serialize()[1]["time_limit"] == limit


class TaskInstance:
    start_date = None

    def xcom_push(self, key, value):
        pass


@pytest.mark.usefixtures("_database")
@pytest.mark.parametrize("others", [0, 20])
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_pokes_take_no_more_than_a_fair_share(stitch, github, monkeypatch, mode, others):
    """Another process has sent some of the 30 requests."""
    connection = json.loads(stitch.connection_json())
    connection["extra"] = {"requests_per_10_minutes": 30}
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
    sensor = StitchExtractionSensor(task_id="wait", source="github", mode=mode, poke_interval=1)
    sensor.started_after = stitch.now().isoformat()

    assert not sensor.poke({"ti": TaskInstance(), "dag_run": SimpleNamespace(queued_at=pendulum.now("UTC"))})
    reader = sensor._watch.reader
    sends = SENDS_REQUESTS.format(str(airflow_home()), reader.account, others)
    subprocess.run([sys.executable, "-c", sends], check=True)

    pause = sensor._get_next_poke_interval(0, lambda: 1, 1)

    assert pause >= 600 / max(30 - others, 30 / 2)


SENDS_REQUESTS = """
from pathlib import Path
from airflow_provider_stitch.replication.budget_file import BudgetFile
file = BudgetFile(Path({!r}), {!r})
assert not any(file.take(30) for _ in range({}))
"""


def test_a_connection_check_is_waited_for(airflow, stitch, github, mode):
    stitch.plan_next_check(github, CheckPlan(seconds=600))
    began = stitch.now().replace(microsecond=0)
    stitch.start_check(github)

    ran = run(airflow, StitchConnectionCheckSensor, started_after=began.isoformat(), **mode)

    assert ran.state == "success"


def test_a_check_that_begins_in_the_same_second_as_the_waiting_counts(airflow, stitch, mode):
    began = stitch.now()
    stitch.add_source("new", streams={"rows": 1}, check=CheckPlan(seconds=60))

    ran = run(airflow, StitchConnectionCheckSensor, source="new", started_after=began.isoformat(), **mode)

    assert ran.state == "success"


def test_whoever_waits_for_the_check_of_a_job_s_source_takes_the_last_one(airflow, stitch, github, mode):
    """Only an instant makes a check too old, and a job brings no new one."""
    job = stitch.complete_job(github)

    assert run(airflow, StitchConnectionCheckSensor, job_name=job.job_name, **mode).state == "success"


@pytest.mark.parametrize("sensor", [StitchConnectionCheckSensor, StitchStructureSyncSensor])
def test_nobody_waits_for_a_check_of_a_source_that_rows_are_pushed_to(airflow, stitch, mode, sensor):
    stitch.add_source("pushed", type="import_api", streams={"events": 1})

    ran = run(airflow, sensor, source="pushed", started_after=LONG_AGO, **mode)

    assert ran.state == "failed"
    assert "whose rows are pushed to Stitch" in ran.output


def test_a_failed_connection_check_says_why(airflow, stitch, github, mode):
    stitch.plan_next_check(github, CheckPlan(discovery_exit_status=1, discovery_error_message="no such host"))
    began = stitch.now().replace(microsecond=0)
    stitch.start_check(github)

    ran = run(airflow, StitchConnectionCheckSensor, started_after=began.isoformat(), **mode)

    assert ran.state == "failed"
    assert "no such host" in ran.output


def test_an_old_load_error_fails_the_loading_sensor_and_not_that_for_preparation(
    airflow, stitch, github, mode
):
    stitch.complete_job(github, seconds_ago=7200)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("relation is locked")}))
    job = stitch.complete_job(github, seconds_ago=3600)

    prepared = run(airflow, StitchPreparationSensor, job_name=job.job_name, **mode)
    loaded = run(airflow, StitchLoadingSensor, job_name=job.job_name, **mode)

    assert prepared.state == "success"
    assert loaded.state == "failed"
    assert "commits: relation is locked" in loaded.output


def test_a_log_that_never_comes_is_given_up(airflow, stitch, github, mode):
    job = stitch.complete_job(github, seconds_ago=7200, log=LogPlan(available=False))

    ran = run(airflow, StitchLoadingSensor, job_name=job.job_name, **mode)

    assert ran.state == "success"
    assert "not known which streams had rows" in ran.output


@pytest.mark.parametrize(
    ("arrange", "words"),
    [
        pytest.param(lambda stitch, source: stitch.pause_source(source), "paused by a user", id="paused"),
        pytest.param(lambda stitch, source: stitch.delete_source(source), "was deleted", id="deleted"),
        pytest.param(
            lambda stitch, source: stitch.set_step(source, "form"), "step 'form'", id="unconfigured"
        ),
    ],
)
def test_what_can_never_finish_fails_at_once_and_without_a_retry(
    airflow, stitch, github, mode, arrange, words
):
    arrange(stitch, github)

    ran = run(airflow, StitchLoadingSensor, started_after=stitch.now().isoformat(), retries=1, **mode)

    assert ran.state == "failed"
    assert words in ran.output
    assert ran.instances["wait"].try_number == 1


def test_the_runs_data_interval_can_be_the_instant(airflow, stitch, github):
    job = stitch.start_job(github)
    instant = "{{ dag_run.logical_date.replace(year=2020) }}"  # rendered with a blank between date and time

    ran = run(airflow, StitchExtractionSensor, started_after=instant, deferrable=True)

    assert ran.xcom["wait"]["job_name"] == job.job_name


def test_a_rescheduled_sensor_stays_within_the_limit_of_the_looks_it_takes(airflow, stitch):
    for number in range(4):
        other = stitch.add_source(f"other_{number}", streams={f"stream_{n}": 1 for n in range(100)})
        stitch.complete_job(other, seconds_ago=600)
    source = stitch.add_source("slow", streams={"commits": 3})
    job = stitch.start_job(source, tap_seconds=3000)

    ran = run(airflow, StitchLoadingSensor, source="slow", job_name=job.job_name, **MODES["reschedule"])

    assert ran.state == "success"
    ended = stitch.jobs(source)[0].completion_time
    assert not any("/loads" in request.path for request in stitch.limited_requests if request.at < ended)


@pytest.mark.parametrize("failure", ["timeout", "failed job"])
def test_with_soft_fail_the_task_is_skipped(airflow, stitch, github, mode, failure):
    plan = JobPlan(tap_seconds=36_000) if failure == "timeout" else JobPlan(tap_exit_status=1)
    job = stitch.start_job(github, plan)

    ran = run(airflow, StitchExtractionSensor, job_name=job.job_name, soft_fail=True, timeout=3, **mode)

    assert ran.states == {"wait": "skipped"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"timeout": -1}, "timeout", id="negative timeout"),
        pytest.param({"job_name": "a", "started_after": "b"}, "not both", id="two jobs"),
        pytest.param({"streams": "commits"}, "list of stream names", id="one stream as a text"),
        pytest.param({"load_settle": -1}, "load_settle", id="negative time to settle"),
    ],
)
def test_arguments_that_make_no_sense_fail_when_the_dag_is_parsed(options, words):
    with pytest.raises(ValueError, match=words):
        StitchLoadingSensor(task_id="wait", source="github", **options)


@pytest.mark.parametrize("sensor", [StitchConnectionCheckSensor, StitchStructureSyncSensor])
def test_sensor_fails_at_once_for_a_source_that_lacks_properties(airflow, stitch, mode, sensor):
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    client.create_source("platform.github", "Incomplete", properties={"repository": "acme/shop"})

    ran = run(airflow, sensor, source="Incomplete", started_after=LONG_AGO, timeout=5, **mode)

    assert ran.state == "failed"
    assert "AirflowSensorTimeout" not in ran.output
    assert "Missing properties: step form: access_token, start_date" in ran.output
