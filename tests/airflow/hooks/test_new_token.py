"""A connection gets a new token while tasks wait, and then the old one is disabled in Stitch."""

from __future__ import annotations

import json
import threading
import time

import pytest

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor

NEW_TOKEN = "ac_that_comes_in_mid_wait"
TAKES = 72_000.0  # Stitch's seconds: no job ends before its token is refused, however slow this machine is
WAITING = {
    "operator in a worker": (StitchRunReplicationJobOperator, {"wait_for": "extraction"}),
    "operator, deferred": (StitchRunReplicationJobOperator, {"wait_for": "extraction", "deferrable": True}),
    "sensor that pokes": (StitchExtractionSensor, {"poke_interval": 0.2}),
    "sensor, deferred": (StitchExtractionSensor, {"deferrable": True}),
}


@pytest.fixture
def source(stitch):
    return stitch.add_source("github", streams={"commits": 120}, job=JobPlan(tap_seconds=TAKES))


@pytest.fixture
def exchange(stitch, monkeypatch):
    """Return what gives the connection a new token once somebody waits, and disables the old one."""

    def disable():
        while not stitch.limited_requests:
            time.sleep(0.01)
        connection = json.loads(stitch.connection_json())
        stitch.add_token(NEW_TOKEN)
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps({**connection, "password": NEW_TOKEN}))
        stitch.disable_token()
        while 401 not in [request.status for request in stitch.requests]:
            time.sleep(0.01)
        stitch.advance(TAKES)

    thread = threading.Thread(target=disable, daemon=True)
    yield thread.start
    thread.join(5)


@pytest.mark.parametrize(("kind", "options"), WAITING.values(), ids=WAITING.keys())
def test_a_wait_goes_on_with_the_connection_s_new_token(airflow, stitch, source, exchange, kind, options):
    if kind is StitchExtractionSensor:
        options = {**options, "job_name": stitch.start_job(source).job_name}
    with airflow.dag() as dag:
        kind(task_id="wait", source="github", timeout=30, **options)
    exchange()

    dag_run = airflow.run(dag)

    assert dag_run.state == "success"
    assert 401 in [request.status for request in stitch.requests]
    assert "The connection 'stitch_default' has changed meanwhile" in dag_run.output
    assert len(stitch.jobs(source)) == 1
