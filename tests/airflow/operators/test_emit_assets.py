"""Test the asset events that tasks with `emit_assets` add to the installed Airflow."""

from __future__ import annotations

import pytest
from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_stitch.assets import stitch_source, stitch_stream
from airflow_provider_stitch.common.asset_events import MAX_STREAM_EVENTS
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor
from tests.support.asset_events import asset_events

AIRFLOW_2 = airflow_version.startswith("2.")

GITHUB = stitch_source("github").uri
COMMITS = stitch_stream("github", "commits").uri
ISSUES = stitch_stream("github", "issues").uri
PULLS = stitch_stream("github", "pulls").uri

SENSOR_MODES = {
    "poke": {"mode": "poke", "poke_interval": 0.2},
    "reschedule": {"mode": "reschedule", "poke_interval": 1},
    "deferred": {"deferrable": True, "end_from_trigger": True},
}


def replicate(airflow, **options):
    """Run a DAG with one operator that replicates the source `github`."""
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="replicate", **{"source": "github", **options})
    if AIRFLOW_2:
        dag.sync_to_db()  # Airflow 2 updates a dataset only after it has parsed the DAG
    run = airflow.run(dag)
    assert run.state == "success"
    return dag, run


def test_streams_with_rows_and_the_source_are_updated(airflow, github, deferrable):
    dag, run = replicate(airflow, emit_assets=True, deferrable=deferrable)

    xcom, events = run.xcom["replicate"], asset_events(dag.dag_id)
    assert set(events) == {GITHUB, COMMITS, PULLS}  # the stream `issues` has no rows and no event
    assert events[COMMITS] == {
        "job_name": xcom["job_name"],
        "rows": 120,
        "loaded_at": xcom["streams"]["commits"]["loaded_at"],
        "table_uri": "postgres://pg.acme.example:5432/staging/github/commits",
    }
    assert events[GITHUB] == {"job_name": xcom["job_name"], "rows": 127, "loaded_at": xcom["loaded_at"]}


@pytest.mark.parametrize("mode", SENSOR_MODES.values(), ids=SENSOR_MODES.keys())
def test_sensor_updates_the_assets(airflow, stitch, github, mode):
    job = stitch.start_job(github)
    with airflow.dag() as dag:
        StitchLoadingSensor(
            task_id="wait", source="github", job_name=job.job_name, emit_assets=True, timeout=60, **mode
        )

    run = airflow.run(dag)

    assert run.states == {"wait": "success"}
    events = asset_events(dag.dag_id)
    assert set(events) == {GITHUB, COMMITS, PULLS}
    assert {extra["job_name"] for extra in events.values()} == {job.job_name}


def test_list_restricts_the_streams(airflow, github):
    dag, _ = replicate(airflow, emit_assets=["pulls", "issues"])

    assert set(asset_events(dag.dag_id)) == {GITHUB, PULLS}


def test_empty_list_updates_the_source_only(airflow, github):
    dag, _ = replicate(airflow, emit_assets=[])

    assert set(asset_events(dag.dag_id)) == {GITHUB}


@pytest.mark.usefixtures("github")
def test_no_asset_is_updated_by_default(airflow):
    dag, _ = replicate(airflow)

    assert asset_events(dag.dag_id) == {}


def test_job_without_rows_updates_the_source_only(airflow, stitch):
    stitch.add_source("quiet", streams={"commits": 0})

    dag, _ = replicate(airflow, source="quiet", emit_assets=True)

    assert [(uri, extra["rows"]) for uri, extra in asset_events(dag.dag_id).items()] == [
        (stitch_source("quiet").uri, 0)
    ]


def test_mapped_tasks_update_their_sources(airflow, stitch, deferrable):
    sources = [f"source_{number}" for number in range(3)]
    for source in sources:
        stitch.add_source(source, streams={"rows": 2, "quiet": 0})
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator.partial(
            task_id="replicate", emit_assets=True, deferrable=deferrable
        ).expand(source=sources)

    assert airflow.run(dag).state == "success"

    assert set(asset_events(dag.dag_id)) == {
        uri for source in sources for uri in (stitch_source(source).uri, stitch_stream(source, "rows").uri)
    }


def test_as_many_streams_as_allowed_are_updated(airflow, stitch):
    stitch.add_source("wide", streams={f"stream_{number}": 1 for number in range(MAX_STREAM_EVENTS)})

    dag, _ = replicate(airflow, source="wide", emit_assets=True)

    assert len(asset_events(dag.dag_id)) == MAX_STREAM_EVENTS + 1


def test_many_streams_update_the_source_only(airflow, stitch):
    streams = {f"stream_{number}": 1 for number in range(MAX_STREAM_EVENTS + 1)}
    stitch.add_source("large", streams=streams)

    dag, run = replicate(airflow, source="large", emit_assets=True)

    assert set(asset_events(dag.dag_id)) == {stitch_source("large").uri}
    assert "Updating only the asset of source large, because 51 of its streams had rows" in run.output


def test_names_of_streams_and_connections_are_encoded(airflow, stitch, monkeypatch):
    stitch.add_source("odd", streams={"Pull Requests/ä": 1})
    monkeypatch.setenv("AIRFLOW_CONN_TENANT_1", stitch.connection_json())

    dag, _ = replicate(
        airflow, source="odd", stitch_conn_id="{{ 'tenant_1' }}", emit_assets=True, load_settle=0
    )

    assert set(asset_events(dag.dag_id)) == {
        "stitch://tenant_1/odd",
        "stitch://tenant_1/odd/Pull%20Requests%2F%C3%A4",
    }


def test_outlets_of_the_author_get_the_same_extra(airflow, github, deferrable):
    report = Asset(uri="s3://acme/report")
    outlets = [
        report,
        stitch_source("github"),
        stitch_stream("github", "commits"),
        stitch_stream("github", "issues"),
    ]

    dag, run = replicate(airflow, outlets=outlets, emit_assets=["commits", "pulls"], deferrable=deferrable)

    events, job_name = asset_events(dag.dag_id), run.xcom["replicate"]["job_name"]
    assert {extra["job_name"] for extra in events.values()} == {job_name}
    assert {uri: extra["rows"] for uri, extra in events.items()} == {
        report.uri: 127,
        GITHUB: 127,
        COMMITS: 120,
        ISSUES: 0,  # this asset is in `outlets`, so Airflow updates it even without rows
        PULLS: 7,
    }


def test_alias_of_the_connection_is_an_outlet():
    def alias_of(**options):
        task = StitchRunReplicationJobOperator(task_id="a", source="b", emit_assets=True, **options)
        return [outlet.name for outlet in task.outlets]

    assert alias_of() == ["stitch://stitch_default"]
    assert alias_of(stitch_conn_id="{{ params.tenant }}") == ["stitch"]


@pytest.mark.parametrize("value", ["commits", [1], None, 1])
def test_emit_assets_must_be_a_boolean_or_a_list_of_names(value):
    with pytest.raises(ValueError, match="emit_assets must be True, False, or a list of stream names"):
        StitchRunReplicationJobOperator(task_id="a", source="b", emit_assets=value)
    with pytest.raises(ValueError, match="emit_assets must be True, False, or a list of stream names"):
        StitchLoadingSensor(task_id="a", source="b", emit_assets=value)


@pytest.mark.parametrize("phase", [None, "extraction", "preparation"])
@pytest.mark.parametrize("emit_assets", [True, ["commits"], []])
def test_emit_assets_needs_a_wait_for_loading(phase, emit_assets):
    with pytest.raises(ValueError, match="emit_assets needs wait_for="):
        StitchRunReplicationJobOperator(task_id="a", source="b", emit_assets=emit_assets, wait_for=phase)
