"""Test sensors with `end_from_trigger=True` that nevertheless have to end in a worker."""

from __future__ import annotations

import pytest
from airflow.listeners.listener import get_listener_manager
from airflow.providers.common.compat.sdk import hookimpl

from airflow_provider_stitch.assets import stitch_source
from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor
from tests.support.dag_runs import load_dag

IN_TRIGGERER = {"deferrable": True, "end_from_trigger": True}
FINISHED_JOB = {"source": "github", "started_after": "2020-01-01T00:00:00Z", "load_settle": 0}
DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor

with DAG("{dag_id}", schedule=None):
    StitchLoadingSensor(task_id="wait", source="github", deferrable=True, end_from_trigger=True)
    StitchLoadingSensor.partial(task_id="mapped", deferrable=True, end_from_trigger=True).expand(source=["a"])
"""


class Listener:
    """A listener of the kind that a plugin can register."""

    @hookimpl
    def on_starting(self, component):
        """Do nothing."""


@pytest.fixture
def listener():
    """Register a listener with Airflow's listener manager."""
    manager, listener = get_listener_manager(), Listener()
    manager.add_listener(listener)
    yield
    manager.pm.unregister(listener)
    assert not manager.has_listeners


def test_task_ends_in_the_triggerer_without_listeners():
    assert StitchLoadingSensor(task_id="wait", source="github", **IN_TRIGGERER).end_from_trigger is True


@pytest.mark.usefixtures("listener", "airflow_database")
def test_dag_file_is_imported_although_airflow_has_listeners(tmp_path):
    """If listeners exist, Airflow refuses to import a DAG file with a task that ends in the triggerer."""
    file = tmp_path / "with_listener.py"
    file.write_text(DAG_FILE.format(dag_id="with_listener"))

    assert load_dag(file).get_task("wait").end_from_trigger is False


@pytest.mark.usefixtures("listener")
def test_worker_ends_the_task_and_logs_why_if_airflow_has_listeners(airflow, stitch, github):
    with airflow.dag() as dag:
        StitchLoadingSensor(task_id="wait", **FINISHED_JOB, **IN_TRIGGERER)
    stitch.complete_job(github)

    run = airflow.run(dag)

    assert run.states == {"wait": "success"}
    assert "Ending in a worker despite end_from_trigger: Airflow has listeners" in run.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"outlets": [stitch_source("github")]}, "the task has outlets", id="outlets"),
        pytest.param({"multiple_outputs": True}, "the task has multiple_outputs", id="multiple outputs"),
    ],
)
def test_worker_ends_a_task_with(options, reason, airflow, stitch, github):
    with airflow.dag() as dag:
        StitchLoadingSensor(task_id="wait", **FINISHED_JOB, **IN_TRIGGERER, **options)
    stitch.complete_job(github)

    run = airflow.run(dag)

    assert run.states == {"wait": "success"}
    assert f"Ending in a worker despite end_from_trigger: {reason}" in run.output
