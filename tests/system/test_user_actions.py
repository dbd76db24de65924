"""Test that a task's job is stopped if a user ends the task, unless `stop_on_kill` is false."""

from __future__ import annotations

import json
import os

import pytest

from local_airflow.processes import IS_AIRFLOW_2
from tests.system.harness import DAGS_FOLDER

NEW_ROWS = 7  #: number of rows that a source receives after the first job has started


@pytest.fixture(scope="module")
def waiting_runs(new_source):
    """DAG runs with waiting tasks, and the sources of these runs.

    All runs are started at once to save time, and each test ends one run. Tests that use these runs must
    precede other tests, because `finish_jobs` advances the clock for all sources.
    """
    variants = [("plain", "failed"), ("plain", "success"), ("left_running", "failed")]
    runs = {}
    for where in ("in_worker", "deferred"):
        for variant, state in variants:
            source = new_source()
            runs[variant, where, state] = source.run(f"{variant}_{where}"), source
    for run, _ in runs.values():
        run.wait_until_waiting()
    return runs


@pytest.mark.parametrize("state", ["failed", "success"])
def test_marking_a_task_stops_its_job(waiting_runs, where, state):
    run, source = waiting_runs["plain", where, state]
    run.mark(state)

    source.wait_until_stopped(source.jobs[0])
    assert run.wait_until_finished() == state
    assert len(source.jobs) == 1


def test_task_without_stop_on_kill_leaves_its_job_running(waiting_runs, where):
    run, source = waiting_runs["left_running", where, "failed"]
    run.mark("failed")

    assert run.wait_until_finished() == "failed"
    run.wait_until_released()
    assert not source.jobs[0].stopped


def assert_replicated_again(run, source):
    """Check that a cleared task has succeeded with a second job and has replicated the new rows."""
    assert run.wait_until_finished() == "success"
    _, second = source.jobs
    xcom = run.xcom()
    assert (xcom["job_name"], xcom["streams"]["commits"]["rows"]) == (second.job_name, NEW_ROWS)


def test_clearing_a_task_stops_its_job_and_starts_another(airflow, source, where):
    run = source.run_until_waiting(f"plain_{where}")
    source.set_new_rows(NEW_ROWS)
    run.clear()

    source.wait_until_stopped(source.jobs[0])
    assert_replicated_again(run, source)


def test_job_of_a_deferred_task_is_stopped_even_if_stitch_is_slow(airflow, stitch, source):
    run = source.run_until_waiting("plain_deferred")
    # Airflow cancels the trigger, including its method `on_kill`, again every second.
    stitch.fail("DELETE", f"/sources/{source.id}/sync", delay=3)
    stitch.fail("GET", "/extractions", times=1, delay=1.5)
    run.mark("failed")

    source.wait_until_stopped(source.jobs[0])


def test_job_is_stopped_if_task_is_marked_during_its_start(airflow, stitch, source):
    """Stitch responds to the start request while Airflow is ending the task."""
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=3, after_effect=True)
    run = source.run("plain_in_worker")
    job = source.wait_until_job()
    run.mark("failed")

    source.wait_until_stopped(job)
    assert run.wait_until_finished() == "failed"
    assert len(source.jobs) == 1


def test_job_is_stopped_if_task_is_cleared_during_its_start(airflow, stitch, source):
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=3, after_effect=True)
    run = source.run("plain_in_worker")
    first = source.wait_until_job()
    source.set_new_rows(NEW_ROWS)
    run.clear()

    source.wait_until_stopped(first)
    assert_replicated_again(run, source)


def test_cleared_task_queues_behind_the_job_that_it_left_running(airflow, source, where):
    run = source.run_until_waiting(f"left_running_{where}")
    source.set_new_rows(NEW_ROWS)
    run.clear()
    run.wait_until_logged("waiting for it to finish before starting a new job")
    source.finish_jobs()

    assert_replicated_again(run, source)
    assert not source.jobs[0].stopped


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2.11 may end the run before it adds the renamed task")
def test_renaming_a_task_stops_its_job_and_starts_another(airflow, new_source):
    """Airflow sets a task's state to `removed` if the DAG no longer contains the task."""
    sources = {"renamed_in_worker": new_source(), "renamed_deferred": new_source()}
    runs = {dag_id: source.run(dag_id) for dag_id, source in sources.items()}
    for dag_id, run in runs.items():
        run.wait_until_waiting()
        sources[dag_id].set_new_rows(NEW_ROWS)
    (airflow.processes.home / "new_task_id").write_text("renamed")
    os.utime(DAGS_FOLDER / "renamed.py")  # makes Airflow parse the file immediately

    for dag_id, run in runs.items():
        sources[dag_id].wait_until_stopped(sources[dag_id].jobs[0])
        run.task_id = "renamed"
        assert_replicated_again(run, sources[dag_id])
        states = airflow.control.states_of_tasks(dag_id, run.run_id)
        assert states == {"replicate": "removed", "renamed": "success"}


def test_job_of_a_deferred_task_is_stopped_without_its_connection(airflow, stitch, source):
    airflow.add_connection("stitch_removed", json.loads(stitch.connection_json()))
    run = airflow.run("plain_deferred", source.name, connection="stitch_removed")
    run.wait_until_waiting()
    run.wait_until_task_is("deferred")
    airflow.remove_connection("stitch_removed")
    run.mark("failed")

    source.wait_until_stopped(source.jobs[0])
