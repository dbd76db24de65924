"""Test sensors that start and end in the triggerer, without a worker."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.triggers.task_context import LINK_KEY
from airflow_provider_stitch.triggers.versions import RENDERS_IN_TRIGGERER, RETRIES_FROM_TRIGGERER
from tests.system.harness import TIMEOUT

#: Number of workers that Airflow needs to start a sensor with templates. Before Airflow 3.3, such a sensor
#: starts in a worker, but ends in the triggerer. Tests compare the number of workers with this constant. The
#: tests do not check try numbers, because Airflow may lose a try before a worker starts.
WORKER_COUNT = 0 if RENDERS_IN_TRIGGERER else 1
FAILING_JOB = JobPlan(tap_exit_status=1, tap_description="no such table")


def start_sensor(airflow, stitch, source, dag_id="wait", **conf):
    return airflow.run(dag_id, source, task_id="wait", started_after=stitch.now().isoformat(), **conf)


@pytest.fixture(scope="module")
def sources(stitch, new_source):
    """Add a separate source for each sensor."""
    names = ("succeeds", "is_started", "fails", "is_skipped", "is_late", "is_paused")
    sources = {name: new_source() for name in names}
    stitch.pause_source(sources["is_paused"].id)
    stitch.plan_jobs(sources["is_started"].id, JobPlan())
    return sources


@pytest.fixture(scope="module")
def runs(airflow, stitch, sources):
    """DAG runs that finish without an action from a test.

    All runs are started at once to save time.
    """
    empty_source = stitch.add_source("empty_source", streams={"commits": 3, "issues": 0})
    plain_source = stitch.add_source("plain_source", streams={"commits": 3})
    runs = {
        "succeeds": start_sensor(airflow, stitch, sources["succeeds"].name),
        "is_plain": airflow.run("wait_plainly", "", task_id="wait"),
        "is_started": airflow.run("start_and_wait", sources["is_started"].name, task_id="wait"),
        "fails": start_sensor(airflow, stitch, sources["fails"].name, "wait_twice"),
        "is_skipped": start_sensor(airflow, stitch, sources["is_skipped"].name, "wait_softly"),
        "is_late": start_sensor(airflow, stitch, sources["is_late"].name, "wait_briefly"),
        "is_paused": start_sensor(airflow, stitch, sources["is_paused"].name, "wait_twice"),
        "is_empty": start_sensor(
            airflow, stitch, "empty_source", "wait_for_rows", streams="issues", load_settle="0"
        ),
        "is_unknown": start_sensor(airflow, stitch, "no_such_source", "wait_twice"),
    }
    stitch.start_job(plain_source)
    stitch.start_job(sources["succeeds"].id, JobPlan())
    stitch.start_job(sources["fails"].id, FAILING_JOB)
    stitch.start_job(sources["is_skipped"].id, FAILING_JOB)
    stitch.start_job(empty_source)
    return runs


def test_sensor_waits_without_a_worker(runs, sources):
    run, source = runs["succeeds"], sources["succeeds"]

    assert run.wait_until_finished() == "success"
    assert len(run.tries_in_workers()) == WORKER_COUNT
    xcom = run.xcom()
    assert (xcom["job_name"], xcom["source_name"]) == (source.jobs[0].job_name, source.name)
    assert xcom["streams"]["commits"]["rows"] == 120
    assert run.xcom(LINK_KEY) == xcom["url"]


def test_sensor_without_templates_starts_in_the_triggerer(runs):
    run = runs["is_plain"]

    assert run.wait_until_finished() == "success"
    assert run.xcom()["source_name"] == "plain_source"
    assert run.tries_in_workers() == []


def test_sensor_waits_for_the_job_of_an_upstream_task(runs, sources):
    run = runs["is_started"]

    assert run.wait_until_finished() == "success"
    assert len(run.tries_in_workers()) == WORKER_COUNT
    assert run.xcom()["job_name"] == sources["is_started"].jobs[0].job_name


def test_failure_is_logged_and_retried(runs):
    run = runs["fails"]

    assert run.wait_until_finished() == "failed"
    assert run.waiter_count == 2
    assert run.log().count("ExtractionFailed: ") >= 2
    assert "no such table" in run.log()
    assert run.tries_in_workers() == ([] if RETRIES_FROM_TRIGGERER else ["attempt=1.log", "attempt=2.log"])


def test_failure_that_no_retry_can_fix_is_not_retried(runs):
    """A worker ends the task, because only a worker can prevent a retry."""
    run = runs["is_paused"]

    assert run.wait_until_finished() == "failed"
    assert "a user paused it" in run.log()
    assert run.waiter_count == 1
    assert run.tries_in_workers() == ["attempt=1.log"]


def test_worker_starts_what_the_triggerer_cannot_start(runs):
    run = runs["is_unknown"]

    assert run.wait_until_finished() == "failed"
    assert "This Stitch account has no source 'no_such_source'" in run.log()
    assert run.tries_in_workers() == ["attempt=1.log"]


def test_soft_fail_skips_the_task(runs):
    run = runs["is_skipped"]

    run.wait_until_task_is("skipped")
    assert "Skipped because soft_fail is set: ExtractionFailed" in run.log()
    assert len(run.tries_in_workers()) == WORKER_COUNT


def test_job_without_rows_in_the_requested_stream_skips_the_task(airflow, runs):
    run = runs["is_empty"]

    assert run.wait_until_finished() == "success"
    states = airflow.control.states_of_tasks(run.dag_id, run.run_id)
    assert states == {"wait": "skipped", "transform": "skipped"}
    assert "had no new rows to load" in run.log()
    assert (run.xcom()["source_name"], run.xcom()["streams"]) == ("empty_source", {})
    assert len(run.tries_in_workers()) == WORKER_COUNT


def test_timeout_fails_the_task(runs):
    run = runs["is_late"]

    assert run.wait_until_finished() == "failed"
    assert "took longer than the task's timeout" in run.log()
    assert len(run.tries_in_workers()) == WORKER_COUNT


IN_WORKER = ["before execute", "execute"]  #: the callbacks that Airflow calls when a worker starts
STARTED = IN_WORKER * WORKER_COUNT


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        pytest.param("is_late", [*STARTED, *(["failure"] if RETRIES_FROM_TRIGGERER else [])], id="fails"),
        pytest.param(
            "fails",
            ["retry", "failure"]
            if RETRIES_FROM_TRIGGERER
            else [*2 * IN_WORKER, "retry ExtractionFailed", *2 * IN_WORKER, "failure ExtractionFailed"],
            id="fails after a retry",
        ),
        pytest.param("is_paused", [*STARTED, *IN_WORKER, "failure CannotFinish"], id="fails in a worker"),
        pytest.param("is_skipped", STARTED, id="is skipped"),
        pytest.param("succeeds", STARTED, id="succeeds"),
    ],
)
def test_callbacks_of_a_task_that_ends_in_the_triggerer(airflow, runs, name, calls):
    """Airflow 3.3 calls callbacks in its DAG processor, and only after a failure.

    Airflow 2.11 does not call any callbacks. Runs without a failure are checked last. If Airflow called
    callbacks for these runs, it would do so before it calls the callbacks of the other runs.
    """
    run = runs[name]
    run.wait_until_finished()

    airflow.wait_until(lambda: run.callbacks() == calls, f"the callbacks {calls}")


def test_restarted_triggerer_resumes_the_wait(airflow, stitch, source):
    run = start_sensor(airflow, stitch, source.name)
    run.wait_until_waiting()
    airflow.processes.kill("triggerer")
    airflow.processes.start_component("triggerer")
    run.wait_until_waiting(waiter=2)
    job = stitch.start_job(source.id, JobPlan())

    assert run.wait_until_finished() == "success"
    assert run.xcom()["job_name"] == job.job_name
    assert len(run.tries_in_workers()) == WORKER_COUNT


# --- 200 sensors ----------------------------------------------------------------------------------------

#: The expected states of 200 tasks. Every twentieth job fails.
EXPECTED_STATES = ["failed" if number % 20 == 0 else "success" for number in range(200)]
ON_REQUEST = pytest.mark.skipif("STITCH_TEST_200" not in os.environ, reason="takes minutes")
PLANS = {"failed": JobPlan(tap_exit_status=1), "success": JobPlan()}


class BusyAccount:
    """A separate account with 200 sources, and an Airflow connection to this account."""

    def __init__(self, airflow, stitch):
        self.emulated = stitch.add_account()
        self.sources = [
            self.emulated.add_source(f"source_{number}", streams={"rows": 1}) for number in range(200)
        ]
        connection_id = f"stitch_{self.emulated.client_id}"
        connection = json.loads(stitch.connection_json(self.emulated))
        # The request budget uses real time, so the whole test must fit into one window of 10 real minutes.
        connection["extra"] = {"requests_per_10_minutes": 30}
        airflow.add_connection(connection_id, connection)
        self.conf = {"stitch_conn_id": connection_id, "started_after": stitch.now().isoformat()}

    def start_all_jobs(self):
        for source, state in zip(self.sources, EXPECTED_STATES, strict=True):
            self.emulated.start_job(source, PLANS[state])


@pytest.fixture
def account(airflow, stitch):
    return BusyAccount(airflow, stitch)


@pytest.mark.skipif(not RENDERS_IN_TRIGGERER, reason="Airflow renders templates in the triggerer since 3.3")
def test_200_sensors_without_a_worker_share_the_rate_limit(airflow, account):
    runs = [
        airflow.run("wait_for_20", "", task_id="*", first=str(20 * number), **account.conf)
        for number in range(10)
    ]
    account.start_all_jobs()
    for run in runs:
        run.wait_until_finished()

    states = []
    for run in runs:
        by_task = airflow.control.states_of_tasks(run.dag_id, run.run_id)
        states += [by_task[f"wait_{number}"] for number in range(20)]
    assert states == EXPECTED_STATES
    assert [run.tries_in_workers() for run in runs] == [[]] * len(runs)
    assert len(account.emulated.limited_requests) <= 30


@pytest.mark.skipif(not RENDERS_IN_TRIGGERER, reason="it needs the list of mapped tasks of Airflow 3")
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=ON_REQUEST)])
def test_mapped_sensors_start_in_workers_and_end_in_the_triggerer(airflow, account, count):
    """Airflow cannot start mapped tasks in the triggerer."""
    run = airflow.run(f"wait_for_{count}_mapped", "", task_id="wait", **account.conf)
    account.start_all_jobs()
    run.wait_until_finished(timeout=max(TIMEOUT, 10 * count))

    states = airflow.control.states_of_mapped_task(run.dag_id, run.run_id, run.task_id)
    assert states == EXPECTED_STATES[:count]
    assert run.tries_in_workers() == ["attempt=1.log"] * count
    assert run.log().count("Starting in a worker despite start_from_trigger") == count
    assert len(account.emulated.limited_requests) <= 30
