"""Tests for StitchRunReplicationJobOperator, both in a worker and in deferrable mode."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest

from airflow_provider_stitch.emulator import Flush, JobPlan, LoadError
from airflow_provider_stitch.operators.stitch import (
    StitchRunReplicationJobOperator,
    StitchStopReplicationJobOperator,
)
from tests.support.interrupted_runs import expire_deadline_when_waiting


def run_job(airflow, **options):
    """Run a DAG with one task, which Airflow retries without a delay."""
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate", **{"source": "github", "retries": 1, "retry_delay": 0, **options}
        )
    return airflow.run(dag)


def test_result_describes_the_job_and_its_rows(airflow, stitch, github, deferrable):
    dag_run = run_job(airflow, deferrable=deferrable)

    (job,) = stitch.jobs(github)
    assert dag_run.states == {"replicate": "success"}
    result = dag_run.xcom["replicate"]
    assert {name: stream["rows"] for name, stream in result["streams"].items()} == {
        "commits": 120,
        "pulls": 7,
    }
    assert set(result) == {
        *("job_name", "source_id", "source_name", "client_id", "started_at", "extraction_completed_at"),
        *("loaded_at", "streams", "url"),
    }
    assert result["job_name"] == job.job_name
    assert (result["source_id"], result["source_name"], result["client_id"]) == (github, "github", 104857)
    assert result["url"] == f"https://app.stitchdata.com/client/104857/pipeline/v2/sources/{github}/summary"


def test_task_log_reports_each_phase_in_order(airflow, stitch, github, deferrable):
    dag_run = run_job(airflow, deferrable=deferrable)

    job = stitch.jobs(github)[0].job_name
    expected_lines = [
        f"Started job {job} of source github ({github})",
        "Extraction finished after 150 s",
        "2 streams to load: commits (120 rows), pulls (7 rows)",
        "Loaded commits: 120 rows at ",
        "Loaded pulls: 7 rows at ",
        f"Done: 127 rows in 2 streams of source github ({github}) are loaded (job {job})",
    ]
    positions = [dag_run.output.index(line) for line in expected_lines]
    assert positions == sorted(positions)


@pytest.mark.parametrize("wait_for", ["structure_sync", "extraction", "preparation"])
def test_wait_for_each_other_phase_succeeds(airflow, github, deferrable, wait_for):
    dag_run = run_job(airflow, wait_for=wait_for, deferrable=deferrable)

    assert dag_run.state == "success"
    assert dag_run.xcom["replicate"]["extraction_completed_at"] is not None


def test_wait_for_none_returns_after_the_start(airflow, stitch, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=36_000))

    result = run_job(airflow, wait_for=None).xcom["replicate"]

    assert list(result) == ["job_name", "source_id", "source_name", "client_id", "started_at", "url"]
    assert result["job_name"] == stitch.jobs(github)[0].job_name


def test_failed_extraction_fails_the_task_with_the_reason(airflow, stitch, github, deferrable):
    stitch.plan_jobs(github, JobPlan(tap_exit_status=1, tap_description="401 Client Error: Unauthorized"))

    dag_run = run_job(airflow, deferrable=deferrable, retries=0)

    assert dag_run.state == "failed"
    message = dag_run.output[dag_run.output.rindex("ExtractionFailed") :]
    for part in (
        f"Extraction of source github ({github}) failed",
        stitch.jobs(github)[0].job_name,
        "401 Client Error: Unauthorized",
        "CRITICAL",
        "Exit status is: Discovery succeeded. Tap failed with code 1",
        "run the task again",
    ):
        assert part in message


def test_retry_after_failed_extraction_starts_new_job(airflow, stitch, github, deferrable):
    stitch.plan_next_job(github, JobPlan(tap_exit_status=1))

    dag_run = run_job(airflow, deferrable=deferrable)

    assert dag_run.state == "success"
    assert len(stitch.jobs(github)) == 2


def test_load_error_fails_the_task_with_the_destinations_message(airflow, stitch, github, deferrable):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("relation commits is locked")}))

    dag_run = run_job(airflow, deferrable=deferrable, retries=0)

    assert dag_run.state == "failed"
    assert "commits: relation commits is locked" in dag_run.output[dag_run.output.rindex("LoadingFailed") :]


def test_streams_argument_limits_the_expected_loads(airflow, stitch, github, deferrable):
    never_loaded = [Flush(at=50, rows=120, prepare=10**7)]
    stitch.plan_jobs(github, JobPlan(flushes={"commits": never_loaded}))

    dag_run = run_job(airflow, streams=["pulls"], deferrable=deferrable)

    assert dag_run.state == "success"
    assert list(dag_run.xcom["replicate"]["streams"]) == ["pulls"]


def test_timeout_fails_the_task_and_leaves_the_job_running(airflow, stitch, github, deferrable, mocker):
    stitch.plan_jobs(github, JobPlan(tap_seconds=36_000))
    expire_deadline_when_waiting(mocker)

    dag_run = run_job(airflow, timeout=600, deferrable=deferrable, retries=0)

    assert dag_run.state == "failed"
    assert "PhaseTimedOut" in dag_run.output
    assert not stitch.jobs(github)[0].stopped


# --- if_running -----------------------------------------------------------------------------------------


@contextmanager
def running_job_until_start_is_rejected(stitch, source_id):
    """Start another job that takes ten hours, and end this job once the task has sent a start request."""
    job = stitch.start_job(source_id, tap_seconds=36_000)
    done = threading.Event()

    def end_job():
        while not done.wait(0.02):
            if any(request.method == "POST" for request in stitch.requests):
                stitch.advance(36_000)
                return

    thread = threading.Thread(target=end_job)
    thread.start()
    try:
        yield job
    finally:
        done.set()
        thread.join()


def test_queue_starts_own_job_after_the_running_one(airflow, stitch, github, deferrable):
    with running_job_until_start_is_rejected(stitch, github) as running:
        dag_run = run_job(airflow, if_running="queue", deferrable=deferrable)

    first, ours = stitch.jobs(github)
    assert dag_run.state == "success"
    assert first.job_name == running.job_name
    assert first.completion_time <= ours.start_time
    assert dag_run.xcom["replicate"]["job_name"] == ours.job_name


def test_join_waits_for_the_running_job(airflow, stitch, github, deferrable):
    with running_job_until_start_is_rejected(stitch, github) as running:
        dag_run = run_job(airflow, if_running="join", deferrable=deferrable)

    assert len(stitch.jobs(github)) == 1
    assert dag_run.xcom["replicate"]["job_name"] == running.job_name
    assert dag_run.xcom["replicate"]["streams"]["commits"]["rows"] == 120


def test_restart_stops_the_running_job_first(airflow, stitch, github, deferrable):
    stitch.start_job(github, tap_seconds=80_000)

    dag_run = run_job(airflow, if_running="restart", deferrable=deferrable)

    first, ours = stitch.jobs(github)
    assert dag_run.state == "success"
    assert first.stopped
    assert not ours.stopped
    assert dag_run.xcom["replicate"]["job_name"] == ours.job_name


def test_fail_raises_if_a_job_is_running(airflow, stitch, github, deferrable):
    stitch.start_job(github, tap_seconds=80_000)

    dag_run = run_job(airflow, if_running="fail", deferrable=deferrable, retries=0)

    assert dag_run.state == "failed"
    assert "JobAlreadyRunning" in dag_run.output
    assert len(stitch.jobs(github)) == 1


@pytest.mark.parametrize("if_running", ["queue", "join", "restart", "fail"])
def test_lost_start_response_creates_exactly_one_job(airflow, stitch, github, deferrable, if_running):
    stitch.plan_jobs(github, JobPlan(tap_seconds=1800))
    stitch.fail("POST", "/sync$", after_effect=True, cut=True)

    dag_run = run_job(airflow, if_running=if_running, deferrable=deferrable)

    (job,) = stitch.jobs(github)
    assert dag_run.state == "success"
    assert dag_run.xcom["replicate"]["job_name"] == job.job_name
    assert not job.stopped


# --- Invalid input --------------------------------------------------------------------------------------


def _delete_source(stitch):
    stitch.delete_source(stitch.add_source("gone", streams={"a": 1}))


def _add_namesakes(stitch):
    for name in ("one", "two"):
        stitch.add_source(name, display_name="Twins", streams={"a": 1})


@pytest.mark.parametrize(
    ("arrange", "options", "message"),
    [
        pytest.param(None, {"source": "githob"}, "It has: github (", id="unknown source"),
        pytest.param(
            _add_namesakes, {"source": "Twins"}, "2 sources of this Stitch account match", id="ambiguous name"
        ),
        pytest.param(_delete_source, {"source": "gone"}, "was deleted", id="deleted source"),
        pytest.param(None, {"streams": ["comits"]}, "no stream 'comits'", id="unknown stream"),
        pytest.param(None, {"streams": []}, "streams is empty", id="empty list of streams"),
        pytest.param(lambda s: s.delete_destinations(), {}, "no destination", id="no destination"),
        pytest.param(lambda s: s.disable_token(), {}, "StitchUnauthorized", id="disabled token"),
    ],
)
def test_invalid_input_fails_without_a_retry_and_starts_no_job(
    airflow, stitch, github, arrange, options, message
):
    if arrange is not None:
        arrange(stitch)

    dag_run = run_job(airflow, **options)

    assert dag_run.state == "failed"
    assert message in dag_run.output
    assert dag_run.instances["replicate"].try_number == 1
    assert not any(request.method == "POST" for request in stitch.requests)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"timeout": -1}, "timeout.*positive", id="negative timeout"),
        pytest.param({"timeout": float("nan")}, "timeout.*positive", id="NaN timeout"),
        pytest.param({"timeout": "a day"}, "timeout.*positive", id="string as timeout"),
        pytest.param({"load_settle": -1}, "load_settle.*0 or more", id="negative load_settle"),
        pytest.param({"poll_interval": 0}, "poll_interval.*positive", id="poll_interval of 0"),
        pytest.param({"load_settle": -5}, "load_settle", id="load_settle of -5"),
        pytest.param({"wait_for": "loaded"}, "wait_for must be one of", id="unknown phase"),
        pytest.param({"if_running": "wait"}, "if_running must be one of", id="unknown policy"),
        pytest.param({"timeout": float("inf")}, "timeout.*positive", id="infinite timeout"),
        pytest.param({"streams": "commits,,pulls"}, "list of stream names", id="empty name in streams"),
    ],
)
def test_invalid_arguments_fail_when_the_dag_is_parsed(options, message):
    with pytest.raises(ValueError, match=message):
        StitchRunReplicationJobOperator(task_id="replicate", source="github", **options)


# --- Killing and stopping -------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_on_kill", [True, False])
def test_execution_timeout_stops_the_job_if_stop_on_kill(
    airflow, stitch, github, deferrable, stop_on_kill, mocker
):
    stitch.plan_jobs(github, JobPlan(tap_seconds=80_000))
    expire_deadline_when_waiting(mocker)

    dag_run = run_job(
        airflow,
        execution_timeout=timedelta(hours=1),
        stop_on_kill=stop_on_kill,
        deferrable=deferrable,
        retries=0,
    )

    assert dag_run.state == "failed"
    assert stitch.jobs(github)[0].stopped is stop_on_kill
    assert "took longer than the task's execution_timeout" in dag_run.output
    assert "Raise the execution_timeout" in dag_run.output


def test_on_kill_does_not_stop_a_later_job(airflow, stitch, github):
    operator = StitchRunReplicationJobOperator(task_id="replicate", source="github", wait_for=None)
    with airflow.dag() as dag:
        dag.add_task(operator)
    airflow.run(dag)
    ours = stitch.jobs(github)[0]
    stitch.advance(36_000)
    later = stitch.start_job(github)

    operator.on_kill()

    assert not stitch.jobs(github)[-1].stopped
    assert stitch.jobs(github)[-1].job_name == later.job_name != ours.job_name


def test_stop_operator_without_job_name_stops_the_running_job(airflow, stitch, github):
    stitch.start_job(github, tap_seconds=80_000)
    with airflow.dag() as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github")

    assert airflow.run(dag).xcom["stop"]["stopped"] is True
    assert stitch.jobs(github)[0].stopped


def test_stop_operator_rejects_an_empty_job_name(airflow, stitch, github):
    stitch.start_job(github, tap_seconds=80_000)
    with airflow.dag(render_template_as_native_obj=True) as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github", job_name="{{ none }}")

    dag_run = airflow.run(dag)

    assert dag_run.state == "failed"
    assert "check that the task started a job" in dag_run.output
    assert not stitch.jobs(github)[0].stopped


def test_stop_operator_does_not_stop_another_job(airflow, stitch, github):
    ours = stitch.complete_job(github)
    stitch.start_job(github, tap_seconds=80_000)
    with airflow.dag() as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github", job_name=ours.job_name)

    assert airflow.run(dag).xcom["stop"]["stopped"] is False
    assert not stitch.jobs(github)[-1].stopped
