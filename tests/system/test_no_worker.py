"""Sensors that begin and end in the triggerer: no worker is launched for them."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_stitch.common.context import LINK_KEY
from airflow_provider_stitch.common.versions import RENDERS_IN_TRIGGERER, RETRIES_FROM_TRIGGERER
from airflow_provider_stitch.emulator import JobPlan

#: The tries that begin in a worker for they have templates. All of them end in the triggerer.
BEGUN = [] if RENDERS_IN_TRIGGERER else ["attempt=1.log"]
FAILING = JobPlan(tap_exit_status=1, tap_description="no such table")


def wait(airflow, stitch, source, dag_id="wait"):
    return airflow.run(dag_id, source, task_id="wait", started_after=stitch.now().isoformat())


@pytest.fixture(scope="module")
def sources(stitch, new_source):
    """A source for each of the runs."""
    names = ("succeeds", "is_started", "fails", "is_skipped", "is_late", "is_paused")
    sources = {name: new_source() for name in names}
    stitch.pause_source(sources["is_paused"].id)
    stitch.plan_jobs(sources["is_started"].id, JobPlan())
    return sources


@pytest.fixture(scope="module")
def runs(airflow, stitch, sources):
    """Runs that nobody has to see to, all at once."""
    plain_source = stitch.add_source("plain_source", streams={"commits": 3})
    runs = {
        "succeeds": wait(airflow, stitch, sources["succeeds"].name),
        "is_plain": airflow.run("wait_plainly", "", task_id="wait"),
        "is_started": airflow.run("start_and_wait", sources["is_started"].name, task_id="wait"),
        "fails": wait(airflow, stitch, sources["fails"].name, "wait_twice"),
        "is_skipped": wait(airflow, stitch, sources["is_skipped"].name, "wait_softly"),
        "is_late": wait(airflow, stitch, sources["is_late"].name, "wait_briefly"),
        "is_paused": wait(airflow, stitch, sources["is_paused"].name, "wait_twice"),
        "is_unknown": wait(airflow, stitch, "no_such_source", "wait_twice"),
    }
    stitch.start_job(plain_source)
    stitch.start_job(sources["succeeds"].id, JobPlan())
    stitch.start_job(sources["fails"].id, FAILING)
    stitch.start_job(sources["is_skipped"].id, FAILING)
    return runs


def test_a_sensor_waits_for_a_job_without_any_worker(runs, sources):
    run, source = runs["succeeds"], sources["succeeds"]

    assert run.end() == "success"
    assert run.tries_in_workers() == BEGUN
    xcom = run.xcom()
    assert (xcom["job_name"], xcom["source_name"]) == (source.jobs[0].job_name, source.name)
    assert xcom["streams"]["commits"]["rows"] == 120
    assert run.xcom(LINK_KEY) == xcom["url"]


def test_a_sensor_without_templates_begins_in_the_triggerer_on_every_airflow(runs):
    run = runs["is_plain"]

    assert run.end() == "success"
    assert run.xcom()["source_name"] == "plain_source"
    assert run.tries_in_workers() == []


def test_a_job_that_a_task_before_has_started_is_known_by_its_name(runs, sources):
    run = runs["is_started"]

    assert run.end() == "success"
    assert run.tries_in_workers() == BEGUN
    assert run.xcom()["job_name"] == sources["is_started"].jobs[0].job_name


def test_a_failure_is_in_the_log_and_is_retried(runs):
    run = runs["fails"]

    assert run.end() == "failed"
    assert run.waits == 2
    assert run.log().count("ExtractionFailed: ") >= 2
    assert "no such table" in run.log()
    assert run.tries_in_workers() == ([] if RETRIES_FROM_TRIGGERER else ["attempt=1.log", "attempt=2.log"])


def test_a_failure_that_no_retry_can_mend_is_not_retried(runs):
    """Only a worker can tell Airflow so: there is one for the end."""
    run = runs["is_paused"]

    assert run.end() == "failed"
    assert "paused by a user" in run.log()
    assert run.waits == 1
    assert run.tries_in_workers() == ["attempt=1.log"]


def test_what_the_triggerer_can_not_begin_a_worker_does(runs):
    run = runs["is_unknown"]

    assert run.end() == "failed"
    assert "This Stitch account has no source 'no_such_source'" in run.log()
    assert run.tries_in_workers() == ["attempt=1.log"]


def test_with_soft_fail_the_task_is_skipped(runs):
    run = runs["is_skipped"]

    run.until_task_is("skipped")
    assert "Skipped, for soft_fail is set: ExtractionFailed" in run.log()
    assert run.tries_in_workers() == BEGUN


def test_a_timeout_is_kept_to(runs):
    run = runs["is_late"]

    assert run.end() == "failed"
    assert "took longer than the task's timeout" in run.log()
    assert run.tries_in_workers() == BEGUN


def test_a_restarted_triggerer_goes_on_waiting(airflow, stitch, source):
    run = wait(airflow, stitch, source.name)
    run.until_it_waits()
    airflow.processes.kill("triggerer")
    airflow.processes.start_component("triggerer")
    run.until_it_waits(times=2)
    job = stitch.start_job(source.id, JobPlan())

    assert run.end() == "success"
    assert run.xcom()["job_name"] == job.job_name
    assert run.tries_in_workers() == BEGUN


# --- 200 of them ----------------------------------------------------------------------------------------

#: Of 200 jobs every twentieth fails.
EXPECTED = ["failed" if number % 20 == 0 else "success" for number in range(200)]
BY_HAND = pytest.mark.skipif("STITCH_TEST_200" not in os.environ, reason="200 workers take minutes")
JOBS = {"failed": JobPlan(tap_exit_status=1), "success": JobPlan()}


class BusyAccount:
    """An account of its own with 200 sources, and a connection to it."""

    def __init__(self, airflow, stitch):
        self.emulated = stitch.add_account()
        self.sources = [
            self.emulated.add_source(f"source_{number}", streams={"rows": 1}) for number in range(200)
        ]
        connection_id = f"stitch_{self.emulated.client_id}"
        connection = json.loads(stitch.connection_json(self.emulated))
        # In real minutes as well: so many jobs end long before another ten have passed.
        connection["extra"] = {"requests_per_10_minutes": 30}
        airflow.add_connection(connection_id, connection)
        self.conf = {"stitch_conn_id": connection_id, "started_after": stitch.now().isoformat()}

    def start_all_jobs(self):
        for source, state in zip(self.sources, EXPECTED, strict=True):
            self.emulated.start_job(source, JOBS[state])


@pytest.fixture
def account(airflow, stitch):
    return BusyAccount(airflow, stitch)


@pytest.mark.skipif(not RENDERS_IN_TRIGGERER, reason="Airflow renders templates in the triggerer from 3.3 on")
def test_200_sensors_without_a_worker_share_the_limit_of_their_account(airflow, account):
    runs = [
        airflow.run("wait_for_20", "", task_id="*", first=str(20 * number), **account.conf)
        for number in range(10)
    ]
    account.start_all_jobs()
    for run in runs:
        run.end(patience=200)

    states = []
    for run in runs:
        by_task = airflow.control.states_of_tasks(run.dag_id, run.run_id)
        states += [by_task[f"wait_{number}"] for number in range(20)]
    assert states == EXPECTED
    assert [run.tries_in_workers() for run in runs] == [[]] * len(runs)
    assert len(account.emulated.limited_requests) <= 30


@pytest.mark.skipif(not RENDERS_IN_TRIGGERER, reason="its account is one of those of Airflow 3")
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=BY_HAND)])
def test_mapped_sensors_begin_in_workers_and_end_in_the_triggerer(airflow, account, count):
    """Airflow starts no mapped task in the triggerer."""
    run = airflow.run(f"wait_for_{count}_mapped", "", task_id="wait", **account.conf)
    account.start_all_jobs()
    run.end(patience=10 * count)

    states = airflow.control.states_of_mapped_task(run.dag_id, run.run_id, run.task_id)
    assert states == EXPECTED[:count]
    assert run.tries_in_workers() == ["attempt=1.log"] * count
    assert run.log().count("start_from_trigger: not in the triggerer") == count
    assert len(account.emulated.limited_requests) <= 30
