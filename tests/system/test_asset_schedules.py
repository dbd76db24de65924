"""Test that a stream's asset starts a DAG once for each job with rows."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.assets import stitch_source, stitch_stream
from tests.system.harness import FINISHED_STATES

MAPPED_SOURCES = [f"assets_mapped_{number}" for number in range(5)]


@pytest.fixture(scope="module")
def sources(stitch):
    """Add the sources that the DAGs replicate.

    Most sources have one stream with rows and one stream without rows.
    """
    for name in ("assets_in_worker", "assets_deferred", *MAPPED_SOURCES):
        stitch.add_source(name, streams={"commits": 12, "quiet": 0})
    stitch.add_source("assets_many", streams={f"stream_{number}": 1 for number in range(1000)})


@pytest.fixture(scope="module")
def first_runs(airflow, sources):
    """Start all DAGs that update assets at once, because they spend most of their time waiting."""
    airflow.wait_until(lambda: airflow.control.has_dag("assets_mapped"), "Airflow to parse these DAGs")
    dag_ids = ("assets_in_worker", "assets_deferred", "assets_mapped", "assets_many")
    return {dag_id: airflow.run(dag_id, "") for dag_id in dag_ids}


def consumer_runs(airflow, source, stream="commits"):
    """Return the states of all DAG runs that the asset of a stream has started."""
    dag_id = f"on_{source}_{stream}"
    return [airflow.control.state_of_run(dag_id, run_id) for run_id in airflow.control.runs(dag_id)]


def wait_for_consumers(airflow, source, count):
    """Wait until a stream's asset has started the given number of DAG runs, and the runs have finished."""

    def have_finished():
        states = consumer_runs(airflow, source)
        return len(states) >= count and set(states) <= set(FINISHED_STATES)

    airflow.wait_until(have_finished, f"{count} runs that {source} starts", timeout=200)


@pytest.mark.parametrize("source", ["assets_in_worker", "assets_deferred"])
def test_consumer_runs_once_per_job_with_rows(airflow, first_runs, source):
    assert first_runs[source].wait_until_finished(timeout=200) == "success", first_runs[source].log()
    wait_for_consumers(airflow, source, 1)

    assert airflow.run(source, "").wait_until_finished(timeout=200) == "success"
    wait_for_consumers(airflow, source, 2)

    assert consumer_runs(airflow, source) == ["success", "success"]
    assert consumer_runs(airflow, source, "quiet") == []
    assert airflow.control.updated_assets(source) == [
        *[stitch_source(source).uri] * 2,
        *[stitch_stream(source, "commits").uri] * 2,
    ]


def test_mapped_tasks_start_the_consumers_of_their_sources(airflow, first_runs):
    assert first_runs["assets_mapped"].wait_until_finished(timeout=200) == "success"
    for source in MAPPED_SOURCES:
        wait_for_consumers(airflow, source, 1)

    assert [consumer_runs(airflow, source) for source in MAPPED_SOURCES] == [["success"]] * 5
    assert [consumer_runs(airflow, source, "quiet") for source in MAPPED_SOURCES] == [[]] * 5


def test_job_with_a_thousand_streams_succeeds_with_one_event(airflow, first_runs):
    assert first_runs["assets_many"].wait_until_finished(timeout=300) == "success"

    assert airflow.control.updated_assets("assets_many") == [stitch_source("assets_many").uri]
