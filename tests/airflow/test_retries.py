"""What a later try of a task does with the job of an earlier one, and that no outage makes it start two."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from airflow_provider_stitch.connect.errors import PhaseTimedOut, StitchUnavailable
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.kept_job import JOB_KEY
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator


class Store(dict):
    """Airflow's `task_state_store` (3.3 and later) as one task sees it."""

    def set(self, key, value):
        self[key] = json.loads(json.dumps(value))  # it keeps JSON

    def delete(self, key):
        self.pop(key, None)


class TaskInstance:
    start_date = None
    max_tries = 1

    def __init__(self):
        self.xcom = {}

    def xcom_push(self, key, value):
        self.xcom[key] = value


@pytest.fixture
def context():
    return {"ti": TaskInstance(), "task_state_store": Store()}


@pytest.fixture
def github(_database, stitch):
    return stitch.add_source("github", streams={"commits": 120})


def operator(**options):
    return StitchRunReplicationJobOperator(
        **{"task_id": "replicate", "source": "github", "timeout": 60, **options}
    )


def killed_before_it_waits(mocker, context):
    """Run a try whose worker dies between the start and the wait."""
    mocker.patch.object(StitchRunReplicationJobOperator, "_wait", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        operator().execute(context)
    mocker.stopall()


def test_a_retry_picks_up_the_job_of_a_try_that_was_killed(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)

    result = operator().execute(context)

    (job,) = stitch.jobs(github)
    assert result["job_name"] == job.job_name
    assert context["ti"].xcom["job_name"] == job.job_name
    assert JOB_KEY not in context["task_state_store"]


def test_a_retry_waits_for_what_is_asked_for_now(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)

    result = operator(wait_for="extraction").execute(context)

    assert result["loaded_at"] is None
    assert len(stitch.jobs(github)) == 1


def test_a_task_of_another_source_leaves_the_stored_job_alone(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)
    shop = stitch.add_source("shop", streams={"orders": 1})

    assert operator(source="shop").execute(context)["source_id"] == shop


def test_a_cleared_task_starts_a_job_of_its_own(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)
    context["ti"].max_tries += 2

    result = operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_a_job_that_was_stopped_is_not_picked_up(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    killed_before_it_waits(mocker, context)
    stitch.stop_job(github)

    result = operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_a_timeout_leaves_the_job_for_the_next_try(stitch, github, context):
    stitch.plan_next_job(github, JobPlan(tap_seconds=1200))
    with pytest.raises(PhaseTimedOut, match="took longer than this task may"):
        operator(timeout=0.5).execute(context)

    assert operator().execute(context)["job_name"] == stitch.jobs(github)[0].job_name
    assert len(stitch.jobs(github)) == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_no_request_after_the_start_can_lose_the_job(stitch, github, context, monkeypatch, deferrable):
    """Without a client id in the connection the account is asked for it: before the start, with patience."""
    connection = json.loads(stitch.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps({**connection, "login": ""}))
    stitch.fail("GET", "/v4/sources$", times=1, status=503)

    result = operator(wait_for=None, deferrable=deferrable).execute(context)

    assert [job.job_name for job in stitch.jobs(github)] == [result["job_name"]]
    started = next(number for number, request in enumerate(stitch.requests) if request.method == "POST")
    assert started == len(stitch.requests) - 1


def test_a_start_that_is_refused_by_an_outage_says_so_when_time_is_up(stitch, github, context):
    stitch.fail(times=None, status=503)

    with pytest.raises(StitchUnavailable, match="503"):
        operator(timeout=2).execute(context)
    assert stitch.jobs(github) == []


# Airflow keeps a task's state from 3.3 on.
if tuple(int(part) for part in version("apache-airflow").split(".")[:2]) >= (3, 3):

    def test_in_a_real_airflow_the_next_try_goes_on_with_the_job_of_the_last(airflow, stitch, github):
        stitch.plan_jobs(github, JobPlan(tap_seconds=1800))
        with airflow.dag() as dag:
            StitchRunReplicationJobOperator(
                task_id="replicate", source="github", timeout=1, retries=9, retry_delay=0
            )

        ran = airflow.run(dag)

        (job,) = stitch.jobs(github)
        assert ran.state == "success"
        assert f"An earlier try of this task started job {job.job_name}: going on with it" in ran.output
        assert ran.xcom["replicate"]["job_name"] == job.job_name
