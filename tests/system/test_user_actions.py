"""A user ends a task: its job is stopped in Stitch, unless the task is told to leave it."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("state", ["failed", "success"])
def test_marking_a_task_stops_its_job(airflow, source, where, state):
    run = source.run_until_it_waits(f"plain_{where}")
    run.mark(state)

    source.until_stopped(source.jobs[0])
    assert run.end() == state
    assert len(source.jobs) == 1


def test_clearing_a_task_stops_its_job_and_the_next_try_starts_another(airflow, source, where):
    run = source.run_until_it_waits(f"plain_{where}")
    run.clear()

    source.until_stopped(source.jobs[0])
    second = source.until_job(2)
    source.let_jobs_end()
    assert run.end() == "success"
    assert run.xcom()["job_name"] == second.job_name
    assert len(source.jobs) == 2


def test_a_slow_stitch_does_not_keep_the_job_of_a_deferred_task_from_being_stopped(airflow, stitch, source):
    run = source.run_until_it_waits("plain_deferred")
    # Airflow cancels a trigger, and its `on_kill` with it, anew each second.
    stitch.fail("DELETE", f"/sources/{source.id}/sync", delay=3)
    stitch.fail("GET", "/extractions", times=1, delay=1.5)
    run.mark("failed")

    source.until_stopped(source.jobs[0])


def test_a_task_that_is_told_to_leave_its_job_leaves_it(airflow, source, where):
    run = source.run_until_it_waits(f"left_running_{where}")
    run.mark("failed")

    assert run.end() == "failed"
    run.until_let_go()
    assert not source.jobs[0].stopped


def test_task_that_is_killed_while_its_start_is_in_flight_stops_its_job(airflow, stitch, source):
    """The response arrives while Airflow ends the task."""
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=3, after_effect=True)
    run = source.run("plain_in_worker")
    job = source.until_job()
    run.mark("failed")

    source.until_stopped(job)
    assert run.end() == "failed"
    assert len(source.jobs) == 1


def test_task_that_is_cleared_while_its_start_is_in_flight_stops_its_job(airflow, stitch, source):
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=3, after_effect=True)
    run = source.run("plain_in_worker")
    first = source.until_job()
    run.clear()

    source.until_stopped(first)
    second = source.until_job(2)
    source.let_jobs_end()
    assert run.end() == "success"
    assert run.xcom()["job_name"] == second.job_name


def test_cleared_task_starts_another_job_although_it_left_the_first(airflow, source, where):
    run = source.run_until_it_waits(f"left_running_{where}")
    run.clear()
    run.until_logged("ours starts when it has ended")
    source.let_jobs_end()

    assert run.end() == "success"
    first, second = source.jobs
    assert not first.stopped
    assert run.xcom()["job_name"] == second.job_name


def test_marking_a_deferred_task_stops_its_job_although_its_connection_is_gone(airflow, stitch, source):
    airflow.add_connection("stitch_removed", json.loads(stitch.connection_json()))
    run = airflow.run("plain_deferred", source.name, connection="stitch_removed")
    run.until_it_waits()
    run.until_task_is("deferred")
    airflow.remove_connection("stitch_removed")
    run.mark("failed")

    source.until_stopped(source.jobs[0])
