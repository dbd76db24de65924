"""Test that Airflow's output, its database and the arguments of triggers do not contain the access token."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import UnknownSource
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator
from airflow_provider_stitch.hooks.stitch import StitchHook
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger
from tests.support.leak_scan import assert_no_secrets_left
from tests.support.secret_encodings import ENCODING_SENSITIVE_TOKEN, emulator_secrets

JOB = "104857.310442.sync.e2fe2520-9a00-11f1-95a2-0a3c5d7e9f11"


def run_job(airflow, **options):
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="replicate", source="github", **options)
    return airflow.run(dag)


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
        pytest.param(lambda stitch, source: stitch.disable_token(), id="disabled token"),
        pytest.param(lambda stitch, source: stitch.fail(times=3, status=502, body="<html>"), id="outage"),
    ],
)
def test_dag_run_leaves_no_token_in_output_or_database(airflow, stitch, github, deferrable, arrange):
    arrange(stitch, github)

    dag_run = run_job(airflow, deferrable=deferrable, timeout=600)

    assert "replicate" in dag_run.output, "the output was not read"
    assert_no_secrets_left(dag_run, *emulator_secrets(stitch), marker="replicate")


def test_log_host_never_receives_the_token(airflow, stitch, github):
    run_job(airflow)

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
def test_source_name_that_looks_like_a_path_is_not_requested(stitch, source):
    with pytest.raises(UnknownSource):
        StitchHook().resolve_source(source)

    assert {request.path for request in stitch.requests} == {"/v4/sources"}


def test_trigger_stores_the_connection_id_only():
    goal = Goal("loading", 310442, "github", 104857, job_name=JOB)
    trigger = StitchPhaseTrigger(stitch_conn_id="stitch_default", goal=goal.to_dict(), deadline=1.0)

    path, arguments = trigger.serialize()

    assert path == "airflow_provider_stitch.triggers.stitch.StitchPhaseTrigger"
    assert arguments == {
        "stitch_conn_id": "stitch_default",
        "goal": goal.to_dict(),
        "poll_interval": None,
        "deadline": 1.0,
        "time_limit": "timeout",
        "resume_state": {},
        "stop_on_kill": False,
        "stop_at_deadline": False,
        "end_options": None,
    }
    assert StitchPhaseTrigger(**arguments).serialize() == (path, arguments)
