"""Test StitchRunReplicationJobOperator with extraction logs from each kind of target."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from tests.support.log_scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stitch(monkeypatch: pytest.MonkeyPatch) -> Iterator[StitchEmulator]:
    """Start an emulator that runs 6,000 times faster than real time, because some load lags take an hour.

    The connection has a low request limit. With the default limit of 180,000 requests at this speed, the
    budget would need a second of CPU time to compute when requests can be sent.
    """
    with StitchEmulator(speed=6000) as stitch:
        connection = json.loads(stitch.connection_json())
        connection["extra"] = {"requests_per_10_minutes": 1800}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
        yield stitch


@pytest.mark.parametrize("name", SCENARIOS)
def test_task_reports_the_rows_of_its_job(airflow, stitch, deferrable, name):
    scenario = SCENARIOS[name]
    source = scenario.add_to(stitch)
    streams = None if scenario.requested is None else list(scenario.requested)
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate", source=source, streams=streams, deferrable=deferrable, poll_interval=0.5
        )

    dag_run = airflow.run(dag)

    elapsed = (stitch.now() - stitch.jobs(source)[-1].start_time).total_seconds()
    if scenario.error is not None:
        assert dag_run.state == "failed"
        assert scenario.message in dag_run.output[dag_run.output.rindex(scenario.error) :]
        return
    assert dag_run.state == "success"
    result = dag_run.xcom["replicate"]
    assert {stream: each["rows"] for stream, each in result["streams"].items()} == scenario.expected_rows
    assert elapsed >= scenario.loaded_after
