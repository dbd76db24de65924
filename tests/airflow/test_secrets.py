"""The token is nowhere: not in what Airflow prints, nor in its database, nor in a trigger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger

JOB = "104857.310442.sync.e2fe2520-9a00-11f1-95a2-0a3c5d7e9f11"


def run(airflow, **options):
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="replicate", source="github", **options)
    return airflow.run(dag)


def left_behind() -> bytes:
    """All files of Airflow's home: database, logs and rendered templates."""
    home = Path(os.environ["AIRFLOW_HOME"])
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != ".cfg")


@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(lambda stitch, source: None, id="success"),
        pytest.param(
            lambda stitch, source: stitch.plan_jobs(source, JobPlan(tap_exit_status=1)), id="failed job"
        ),
        pytest.param(lambda stitch, source: stitch.disable_token(), id="refused token"),
        pytest.param(lambda stitch, source: stitch.fail(times=3, status=502, body="<html>"), id="outage"),
    ],
)
def test_a_run_leaves_no_token_behind(airflow, stitch, github, deferrable, arrange):
    arrange(stitch, github)

    ran = run(airflow, deferrable=deferrable, timeout=60)

    assert "replicate" in ran.output, "the output was looked at"
    assert stitch.access_token not in ran.output
    remains = left_behind()
    assert b"replicate" in remains, "the database was looked at"
    assert stitch.access_token.encode() not in remains


def test_the_log_host_is_never_given_the_token(airflow, stitch, github):
    run(airflow)

    assert stitch.log_host_requests
    assert not any(request.authorization for request in stitch.log_host_requests)


def test_a_trigger_stores_no_more_than_the_id_of_its_connection():
    goal = Goal("loading", 310442, "github", 104857, job_name=JOB)
    trigger = StitchPhaseTrigger(stitch_conn_id="stitch_default", goal=goal.to_dict(), deadline=1.0)

    path, arguments = trigger.serialize()

    assert path == "airflow_provider_stitch.triggers.stitch.StitchPhaseTrigger"
    assert arguments == {
        "stitch_conn_id": "stitch_default",
        "goal": goal.to_dict(),
        "poll_interval": None,
        "deadline": 1.0,
        "carried": {},
        "stop_on_kill": False,
        "stop_at_deadline": False,
        "ending": None,
    }
    assert StitchPhaseTrigger(**arguments).serialize() == (path, arguments)
