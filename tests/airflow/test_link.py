"""Test the link from a task in Airflow to the task's source in Stitch."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor
from airflow_provider_stitch.triggers.task_context import LINK_KEY
from tests.support.dag_runs import xcom_of


@pytest.mark.parametrize("fails", [False, True], ids=["task succeeds", "task fails"])
def test_task_pushes_the_link_to_its_source(airflow, stitch, github, deferrable, fails):
    from airflow_provider_stitch.emulator import JobPlan

    stitch.plan_jobs(github, JobPlan(tap_exit_status=int(fails)))
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="replicate", source="github", deferrable=deferrable)

    dag_run = airflow.run(dag)

    url = f"https://app.stitchdata.com/client/104857/pipeline/v2/sources/{github}/summary"
    assert dag_run.state == ("failed" if fails else "success")
    assert xcom_of(dag_run.instances["replicate"], LINK_KEY) == url


@pytest.mark.parametrize("operator", [StitchRunReplicationJobOperator, StitchExtractionSensor])
def test_operators_and_sensors_have_the_link(operator):
    assert [type(link) for link in operator.operator_extra_links] == [StitchSourceLink]
    # Airflow 3 reads the URL of the link from an XCom, whose key Airflow derives from the name of the link
    # class.
    assert getattr(StitchSourceLink(), "xcom_key", LINK_KEY) == LINK_KEY
