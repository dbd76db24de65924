"""Test that a waiting task continues with a new token after Stitch has disabled the old token."""

from __future__ import annotations

import json
import threading
import time

import pytest

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor

NEW_TOKEN = "ac_new_token"
JOB_SECONDS = 72_000.0  # long enough in Stitch's time that no job ends before Stitch rejects the old token
TASKS = {
    "operator in worker": (StitchRunReplicationJobOperator, {"wait_for": "extraction"}),
    "operator, deferred": (StitchRunReplicationJobOperator, {"wait_for": "extraction", "deferrable": True}),
    "poking sensor": (StitchExtractionSensor, {"poke_interval": 0.2}),
    "sensor, deferred": (StitchExtractionSensor, {"deferrable": True}),
}


@pytest.fixture
def source(stitch):
    return stitch.add_source("github", streams={"commits": 120}, job=JobPlan(tap_seconds=JOB_SECONDS))


@pytest.fixture
def replace_token(stitch, monkeypatch):
    """Return a function that replaces the token while a task waits, and then ends the task's job."""

    def replace_when_waiting():
        while not stitch.limited_requests:
            time.sleep(0.01)
        connection = json.loads(stitch.connection_json())
        stitch.add_token(NEW_TOKEN)
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps({**connection, "password": NEW_TOKEN}))
        stitch.disable_token()
        while 401 not in [request.status for request in stitch.requests]:
            time.sleep(0.01)
        stitch.advance(JOB_SECONDS)

    thread = threading.Thread(target=replace_when_waiting, daemon=True)
    yield thread.start
    thread.join(5)


@pytest.mark.parametrize(("kind", "options"), TASKS.values(), ids=TASKS.keys())
def test_wait_continues_with_the_new_token_of_the_connection(
    airflow, stitch, source, replace_token, kind, options
):
    if kind is StitchExtractionSensor:
        options = {**options, "job_name": stitch.start_job(source).job_name}
    with airflow.dag() as dag:
        kind(task_id="wait", source="github", timeout=600, **options)
    replace_token()

    dag_run = airflow.run(dag)

    assert dag_run.state == "success"
    assert 401 in [request.status for request in stitch.requests]
    assert "the connection 'stitch_default' has changed; continuing with its new token" in dag_run.output
    assert len(stitch.jobs(source)) == 1
