"""Sensors that begin and end in the triggerer: no worker is launched for them."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.task_context import LINK_KEY
from airflow_provider_stitch.triggers.abilities import RENDERS_IN_TRIGGERER, RETRIES_FROM_TRIGGERER

pytestmark = pytest.mark.skipif(not RENDERS_IN_TRIGGERER, reason="shown for Airflow 3.3 and later")

#: The tries that begin in a worker though they have templates only. All of them end in the triggerer.
BEGUN = [] if RENDERS_IN_TRIGGERER else ["attempt=1.log"]


def wait(airflow, stitch, source, dag_id="wait"):
    return airflow.run(dag_id, source, task_id="wait", started_after=stitch.now().isoformat())


def test_a_sensor_waits_for_a_job_without_any_worker(airflow, stitch, source):
    run = wait(airflow, stitch, source.name)
    run.until_it_waits()
    job = stitch.start_job(source.id)
    source.let_jobs_end()

    assert run.end() == "success"
    assert run.tries_in_workers() == BEGUN
    xcom = run.xcom()
    assert (xcom["job_name"], xcom["source_name"]) == (job.job_name, source.name)
    assert xcom["streams"]["commits"]["rows"] == 120
    assert run.xcom(LINK_KEY) == xcom["url"]


def test_a_sensor_without_templates_begins_in_the_triggerer_on_every_airflow(airflow, stitch):
    source_id = stitch.add_source("plain_source", streams={"commits": 3})
    run = airflow.run("wait_plainly", "", task_id="wait")
    run.until_it_waits()
    job = stitch.start_job(source_id)

    assert run.end() == "success"
    assert run.xcom()["job_name"] == job.job_name
    assert run.tries_in_workers() == []


def test_a_job_that_a_task_before_has_started_is_known_by_its_name(airflow, source):
    run = airflow.run("start_and_wait", source.name, task_id="wait")
    run.until_it_waits()
    source.let_jobs_end()

    assert run.end() == "success"
    assert run.tries_in_workers() == BEGUN
    assert run.xcom()["job_name"] == source.jobs[0].job_name


def test_a_failure_is_in_the_log_and_is_retried(airflow, stitch, source):
    run = wait(airflow, stitch, source.name, "wait_twice")
    run.until_it_waits()
    stitch.start_job(source.id, JobPlan(tap_exit_status=1, tap_description="no such table"))

    run.until_logged("no such table")
    run.until_it_waits(times=2)
    assert run.end() == "failed"
    assert run.log().count("ExtractionFailed: ") == 2
    assert run.tries_in_workers() == ([] if RETRIES_FROM_TRIGGERER else ["attempt=1.log", "attempt=2.log"])


def test_a_failure_that_no_retry_can_mend_is_not_retried(airflow, stitch, source):
    """Only a worker can tell Airflow so: there is one for the end."""
    stitch.pause_source(source.id)
    run = wait(airflow, stitch, source.name, "wait_twice")

    assert run.end() == "failed"
    assert "paused by a user" in run.log()
    assert run.waits == 1
    assert run.tries_in_workers() == ["attempt=1.log"]


def test_what_the_triggerer_can_not_begin_a_worker_does(airflow, stitch):
    run = wait(airflow, stitch, "no_such_source", "wait_twice")

    assert run.end() == "failed"
    assert "This Stitch account has no source 'no_such_source'" in run.log()
    assert run.tries_in_workers() == ["attempt=1.log"]


def test_with_soft_fail_the_task_is_skipped(airflow, stitch, source):
    run = wait(airflow, stitch, source.name, "wait_softly")
    run.until_it_waits()
    stitch.start_job(source.id, JobPlan(tap_exit_status=1))

    run.until_task_is("skipped")
    assert "Skipped, for soft_fail is set: ExtractionFailed" in run.log()
    assert run.tries_in_workers() == BEGUN


def test_a_timeout_is_kept_to(airflow, stitch, source):
    run = wait(airflow, stitch, source.name, "wait_briefly")

    assert run.end() == "failed"
    assert "took longer than this task may" in run.log()
    assert run.tries_in_workers() == BEGUN


def test_a_restarted_triggerer_goes_on_waiting(airflow, stitch, source):
    run = wait(airflow, stitch, source.name)
    run.until_it_waits()
    airflow.processes.kill("triggerer")
    airflow.processes.start_one("triggerer")
    run.until_it_waits(times=2)
    job = stitch.start_job(source.id)
    source.let_jobs_end()

    assert run.end() == "success"
    assert run.xcom()["job_name"] == job.job_name
    assert run.tries_in_workers() == BEGUN
