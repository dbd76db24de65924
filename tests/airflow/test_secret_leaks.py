"""The token is nowhere: not in what Airflow prints, nor in its database, nor in a trigger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_stitch.connect.errors import UnknownSource
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator
from airflow_provider_stitch.hooks.stitch import StitchHook
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger
from tests.support.leak_scan import read_files
from tests.support.secret_encodings import ENCODING_SENSITIVE_TOKEN, emulator_secrets, find_encodings

JOB = "104857.310442.sync.e2fe2520-9a00-11f1-95a2-0a3c5d7e9f11"


def run(airflow, **options):
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="replicate", source="github", **options)
    return airflow.run(dag)


def left_behind() -> bytes:
    """All files of Airflow's home: database, logs and rendered templates."""
    return read_files(Path(os.environ["AIRFLOW_HOME"]))


@pytest.fixture
def stitch(monkeypatch):
    with StitchEmulator(speed=600, access_token=ENCODING_SENSITIVE_TOKEN) as stitch:
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json())
        yield stitch


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
    remains = left_behind()
    assert b"replicate" in remains, "the database was looked at"
    for secret in emulator_secrets(stitch):
        assert find_encodings(secret, ran.output.encode()) == []
        assert find_encodings(secret, remains) == []


def test_the_log_host_is_never_given_the_token(airflow, stitch, github):
    run(airflow)

    assert stitch.log_host_requests
    assert not any(request.authorization for request in stitch.log_host_requests)


@pytest.mark.usefixtures("github")
@pytest.mark.parametrize(
    "source",
    [
        "../../v3/accounts",
        "..%2F..%2Fv3%2Faccounts",
        "310442/../../destinations",
        "310442%2Fsync",
        "310442?x=1",
        "310442#x",
        "//evil.example/x",
        "https://evil.example/v4/sources/310442",
        "@evil.example",
        "310442\r\nHost: evil.example",
        "\u0663\u0661\u0660\u0664\u0664\u0662/",
    ],
)
def test_a_source_that_looks_like_a_path_reaches_no_other_path(stitch, source):
    with pytest.raises(UnknownSource):
        StitchHook().resolve_source(source)

    assert {request.path for request in stitch.requests} == {"/v4/sources"}


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
        "resume_state": {},
        "stop_on_kill": False,
        "stop_at_deadline": False,
        "end_options": None,
    }
    assert StitchPhaseTrigger(**arguments).serialize() == (path, arguments)
