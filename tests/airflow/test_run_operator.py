"""StitchRunReplicationJobOperator in a DAG, in a worker and deferred."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest

from airflow_provider_stitch.emulator import Flush, JobPlan, LoadError
from airflow_provider_stitch.operators.stitch import (
    StitchRunReplicationJobOperator,
    StitchStopReplicationJobOperator,
)
from airflow_provider_stitch.tasks import StitchTask


def run(airflow, **options):
    """Run a DAG of one task; a second try, if Airflow allows one, comes at once."""
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate", **{"source": "github", "retries": 1, "retry_delay": 0, **options}
        )
    return airflow.run(dag)


def test_the_rows_are_loaded_when_the_task_succeeds(airflow, stitch, github, deferrable):
    ran = run(airflow, deferrable=deferrable)

    (job,) = stitch.jobs(github)
    assert ran.states == {"replicate": "success"}
    result = ran.xcom["replicate"]
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


def test_the_task_log_reads_like_a_report(airflow, stitch, github, deferrable):
    ran = run(airflow, deferrable=deferrable)

    job = stitch.jobs(github)[0].job_name
    story = [
        f"Started job {job} of source github ({github})",
        "Extraction finished after 150 s",
        "2 streams to load: commits (120 rows), pulls (7 rows)",
        "Loaded commits: 120 rows at ",
        "Loaded pulls: 7 rows at ",
        f"Done: 127 rows in 2 streams of source github ({github}) are loaded, job {job}",
    ]
    places = [ran.output.index(line) for line in story]
    assert places == sorted(places)


@pytest.mark.parametrize("wait_for", ["structure_sync", "extraction", "preparation"])
def test_each_phase_can_be_waited_for(airflow, github, deferrable, wait_for):
    ran = run(airflow, wait_for=wait_for, deferrable=deferrable)

    assert ran.state == "success"
    assert ran.xcom["replicate"]["extraction_completed_at"] is not None


def test_wait_for_none_starts_and_returns(airflow, stitch, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=36_000))

    result = run(airflow, wait_for=None).xcom["replicate"]

    assert list(result) == ["job_name", "source_id", "source_name", "client_id", "started_at", "url"]
    assert result["job_name"] == stitch.jobs(github)[0].job_name


def test_a_failed_extraction_fails_the_task_and_its_log_ends_with_why(airflow, stitch, github, deferrable):
    stitch.plan_jobs(github, JobPlan(tap_exit_status=1, tap_description="401 Client Error: Unauthorized"))

    ran = run(airflow, deferrable=deferrable, retries=0)

    assert ran.state == "failed"
    end = ran.output[ran.output.rindex("ExtractionFailed") :]
    for words in (
        f"Extraction of source github ({github}) failed",
        stitch.jobs(github)[0].job_name,
        "401 Client Error: Unauthorized",
        "CRITICAL",
        "Exit status is: Discovery succeeded. Tap failed with code 1",
        "run the task again",
    ):
        assert words in end


def test_a_retry_after_a_failed_extraction_starts_a_job_of_its_own(airflow, stitch, github, deferrable):
    stitch.plan_next_job(github, JobPlan(tap_exit_status=1))

    ran = run(airflow, deferrable=deferrable)

    assert ran.state == "success"
    assert len(stitch.jobs(github)) == 2


def test_a_load_error_fails_the_task_in_the_destinations_words(airflow, stitch, github, deferrable):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("relation commits is locked")}))

    ran = run(airflow, deferrable=deferrable, retries=0)

    assert ran.state == "failed"
    assert "commits: relation commits is locked" in ran.output[ran.output.rindex("LoadingFailed") :]


def test_only_the_streams_asked_for_are_waited_for(airflow, stitch, github, deferrable):
    never = [Flush(at=50, rows=120, prepare=10**7)]
    stitch.plan_jobs(github, JobPlan(flushes={"commits": never}))

    ran = run(airflow, streams=["pulls"], deferrable=deferrable)

    assert ran.state == "success"
    assert list(ran.xcom["replicate"]["streams"]) == ["pulls"]


def test_a_timeout_fails_the_task_and_leaves_the_job_running(airflow, stitch, github, deferrable):
    stitch.plan_jobs(github, JobPlan(tap_seconds=36_000))

    ran = run(airflow, timeout=1, deferrable=deferrable, retries=0)

    assert ran.state == "failed"
    assert "PhaseTimedOut" in ran.output
    assert not stitch.jobs(github)[0].stopped


# --- if_running -----------------------------------------------------------------------------------------


@contextmanager
def a_job_that_ends_once_ours_was_refused(stitch, source_id):
    """Somebody else's job of ten hours, which pass as soon as a start was asked for."""
    job = stitch.start_job(source_id, tap_seconds=36_000)
    over = threading.Event()

    def let_it_end():
        while not over.wait(0.02):
            if any(request.method == "POST" for request in stitch.requests):
                stitch.advance(36_000)
                return

    thread = threading.Thread(target=let_it_end)
    thread.start()
    try:
        yield job
    finally:
        over.set()
        thread.join()


def test_queue_waits_for_the_running_job_and_starts_its_own(airflow, stitch, github, deferrable):
    with a_job_that_ends_once_ours_was_refused(stitch, github) as running:
        ran = run(airflow, if_running="queue", deferrable=deferrable)

    first, ours = stitch.jobs(github)
    assert ran.state == "success"
    assert first.job_name == running.job_name
    assert first.completion_time <= ours.start_time
    assert ran.xcom["replicate"]["job_name"] == ours.job_name


def test_join_counts_the_running_job_as_ours(airflow, stitch, github, deferrable):
    with a_job_that_ends_once_ours_was_refused(stitch, github) as running:
        ran = run(airflow, if_running="join", deferrable=deferrable)

    assert len(stitch.jobs(github)) == 1
    assert ran.xcom["replicate"]["job_name"] == running.job_name
    assert ran.xcom["replicate"]["streams"]["commits"]["rows"] == 120


def test_restart_stops_the_running_job_first(airflow, stitch, github, deferrable):
    stitch.start_job(github, tap_seconds=80_000)

    ran = run(airflow, if_running="restart", deferrable=deferrable)

    first, ours = stitch.jobs(github)
    assert ran.state == "success"
    assert first.stopped
    assert not ours.stopped
    assert ran.xcom["replicate"]["job_name"] == ours.job_name


def test_fail_raises(airflow, stitch, github, deferrable):
    stitch.start_job(github, tap_seconds=80_000)

    ran = run(airflow, if_running="fail", deferrable=deferrable, retries=0)

    assert ran.state == "failed"
    assert "JobAlreadyRunning" in ran.output
    assert len(stitch.jobs(github)) == 1


@pytest.mark.parametrize("if_running", ["queue", "join", "restart", "fail"])
def test_a_lost_start_makes_exactly_one_job_whatever_if_running_says(
    airflow, stitch, github, deferrable, if_running
):
    stitch.plan_jobs(github, JobPlan(tap_seconds=1800))
    stitch.fail("POST", "/sync$", after_effect=True, cut=True)

    ran = run(airflow, if_running=if_running, deferrable=deferrable)

    (job,) = stitch.jobs(github)
    assert ran.state == "success"
    assert ran.xcom["replicate"]["job_name"] == job.job_name
    assert not job.stopped


# --- Bad input ------------------------------------------------------------------------------------------


def _deleted(stitch):
    stitch.delete_source(stitch.add_source("gone", streams={"a": 1}))


def _ambiguous(stitch):
    for name in ("one", "two"):
        stitch.add_source(name, display_name="Twins", streams={"a": 1})


@pytest.mark.parametrize(
    ("arrange", "options", "words"),
    [
        pytest.param(
            None, {"source": "githob"}, "It has: github (", id="unknown source: candidates are listed"
        ),
        pytest.param(_ambiguous, {"source": "Twins"}, "2 sources of this account go by", id="ambiguous name"),
        pytest.param(_deleted, {"source": "gone"}, "was deleted", id="deleted source"),
        pytest.param(None, {"streams": ["comits"]}, "no stream 'comits'", id="unknown stream"),
        pytest.param(None, {"streams": []}, "streams is empty", id="no streams"),
        pytest.param(lambda s: s.delete_destinations(), {}, "no destination", id="no destination"),
        pytest.param(lambda s: s.disable_token(), {}, "StitchUnauthorized", id="disabled token"),
    ],
)
def test_bad_input_fails_without_a_retry_and_starts_nothing(airflow, stitch, github, arrange, options, words):
    if arrange is not None:
        arrange(stitch)

    ran = run(airflow, **options)

    assert ran.state == "failed"
    assert words in ran.output
    assert ran.instances["replicate"].try_number == 1
    assert not any(request.method == "POST" for request in stitch.requests)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"timeout": -1}, "timeout.*positive", id="negative timeout"),
        pytest.param({"timeout": float("nan")}, "timeout.*positive", id="timeout that is no number"),
        pytest.param({"timeout": "a day"}, "timeout.*positive", id="timeout in words"),
        pytest.param({"load_settle": -1}, "load_settle.*0 or more", id="negative load_settle"),
        pytest.param({"poll_interval": 0}, "poll_interval.*positive", id="no pause between polls"),
        pytest.param({"load_settle": -5}, "load_settle", id="negative time to settle"),
        pytest.param({"wait_for": "loaded"}, "wait_for is one of", id="a phase that there is not"),
        pytest.param({"if_running": "wait"}, "if_running is one of", id="a policy that there is not"),
        pytest.param({"timeout": float("inf")}, "timeout.*positive", id="an endless timeout, which is None"),
        pytest.param({"streams": "commits"}, "list of stream names", id="one stream as a text"),
    ],
)
def test_arguments_that_make_no_sense_fail_when_the_dag_is_parsed(options, words):
    with pytest.raises(ValueError, match=words):
        StitchRunReplicationJobOperator(task_id="replicate", source="github", **options)


# --- Killing and stopping -------------------------------------------------------------------------------


def time_is_up_once_the_task_waits(mocker):
    """Let the deadline of a task pass when it begins to wait, however long its start has taken."""
    wait, defer_until = StitchTask.wait, StitchTask.defer_until

    def wait_no_longer(task, goal, deadline, **options):
        return wait(task, goal, time.time(), **options)

    def defer_no_longer(task, goal, deadline, **options):
        return defer_until(task, goal, time.time(), **options)

    mocker.patch.object(StitchTask, "wait", wait_no_longer)
    mocker.patch.object(StitchTask, "defer_until", defer_no_longer)


@pytest.mark.parametrize("stop_on_kill", [True, False])
def test_execution_timeout_stops_the_job_unless_told_otherwise(
    airflow, stitch, github, deferrable, stop_on_kill, mocker
):
    stitch.plan_jobs(github, JobPlan(tap_seconds=80_000))
    time_is_up_once_the_task_waits(mocker)

    ran = run(
        airflow,
        execution_timeout=timedelta(hours=1),
        stop_on_kill=stop_on_kill,
        deferrable=deferrable,
        retries=0,
    )

    assert ran.state == "failed"
    assert stitch.jobs(github)[0].stopped is stop_on_kill
    assert "took longer than the task's execution_timeout" in ran.output
    assert "Raise the execution_timeout" in ran.output


def test_on_kill_leaves_a_job_that_is_over(airflow, stitch, github):
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


def test_the_stop_operator_stops_whichever_job_runs(airflow, stitch, github):
    stitch.start_job(github, tap_seconds=80_000)
    with airflow.dag() as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github")

    assert airflow.run(dag).xcom["stop"]["stopped"] is True
    assert stitch.jobs(github)[0].stopped


def test_a_job_name_that_came_to_nothing_stops_no_job(airflow, stitch, github):
    stitch.start_job(github, tap_seconds=80_000)
    with airflow.dag(render_template_as_native_obj=True) as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github", job_name="{{ none }}")

    ran = airflow.run(dag)

    assert ran.state == "failed"
    assert "did that task start a job?" in ran.output
    assert not stitch.jobs(github)[0].stopped


def test_the_stop_operator_leaves_another_job_alone(airflow, stitch, github):
    ours = stitch.complete_job(github)
    stitch.start_job(github, tap_seconds=80_000)
    with airflow.dag() as dag:
        StitchStopReplicationJobOperator(task_id="stop", source="github", job_name=ours.job_name)

    assert airflow.run(dag).xcom["stop"]["stopped"] is False
    assert not stitch.jobs(github)[-1].stopped
