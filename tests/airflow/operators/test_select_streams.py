"""Tests for StitchSelectStreamsOperator."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream
from airflow_provider_stitch.operators import select_streams as select_streams_module
from airflow_provider_stitch.operators.stitch import StitchSelectStreamsOperator
from tests.support.setup_runs import requests_of, run_operator


def select_streams(airflow, **options):
    """Run a DAG with a single task that selects streams."""
    return run_operator(airflow, StitchSelectStreamsOperator, **{"timeout": 5, **options})


@pytest.fixture
def shop(stitch):
    return stitch.add_source(
        "shop",
        streams={
            "shop-public-orders": EmulatedStream(
                5, stream_name="orders", schema_name="public", selected=None
            ),
            "shop-public-items": EmulatedStream(5, stream_name="items", schema_name="public", selected=True),
            "shop-old-orders": EmulatedStream(5, stream_name="orders", schema_name="old", selected=True),
        },
    )


ORDERS = {
    "shop-public-orders": {
        "replication_method": "INCREMENTAL",
        "replication_key": "updated_at",
    }
}


@pytest.fixture
def new_source(stitch):
    """Return a function that creates a source through the API.

    The streams of the source become known only when discovery finds them.
    """
    from airflow_provider_stitch.connect.client import StitchClient

    def create(check=None, properties=None):
        stitch.plan_new_sources("platform.github", streams={"commits": 1, "issues": 1}, check=check)
        client = StitchClient(stitch.access_token, base_url=stitch.url)
        complete = {"access_token": "t", "repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
        return client.create_source("platform.github", "New", properties=properties or complete).id

    return create


def test_streams_are_selected_once_and_others_deselected(airflow, stitch, shop):
    options = {"source": "shop", "streams": ORDERS, "deselect_others": True}
    first = select_streams(airflow, **options)
    second = select_streams(airflow, **options)

    assert (first.state, second.state) == ("success", "success")
    changes = first.xcom["task"]["changes"]
    assert set(changes) == {"shop-public-orders", "items", "shop-old-orders"}
    assert changes["items"] == {"selected": False}
    assert changes["shop-public-orders"]["selected"] is True
    assert changes["shop-public-orders"]["replication_key"] == "updated_at"
    assert changes["shop-public-orders"]["fields_selected"]
    assert "Changed stream items of source shop" in first.output
    assert (second.xcom["task"]["changed"], second.xcom["task"]["changes"]) == (False, {})
    assert len(requests_of(stitch, "PUT")) == 1


def test_unknown_stream_name_changes_nothing(airflow, stitch, shop):
    dag_run = select_streams(airflow, source="shop", streams=["items", "ordres"])

    assert dag_run.states == {"task": "failed"}
    assert "no stream 'ordres'. It has: orders" in dag_run.output
    assert requests_of(stitch, "PUT") == []


def test_fields_keep_leaves_the_fields_unchanged(airflow, stitch, shop):
    dag_run = select_streams(airflow, source="shop", streams={"items": {"fields": "keep"}})

    assert dag_run.xcom["task"]["changed"] is False


def test_streams_can_be_a_template(airflow, stitch, github):
    with airflow.dag(user_defined_macros={"tables": ["commits"]}, render_template_as_native_obj=True) as dag:
        StitchSelectStreamsOperator(
            task_id="task", source="{{ 'github' }}", streams="{{ tables }}", timeout=5
        )

    assert airflow.run(dag).xcom["task"]["source_id"] == github


def test_task_waits_for_structure_sync_of_a_new_source(airflow, stitch, new_source, mocker):
    new_source(CheckPlan(seconds=360_000))
    time = SimpleNamespace(sleep=lambda _: stitch.advance(360_000))
    mocker.patch.object(select_streams_module, "time", time)

    dag_run = select_streams(airflow, source="new", streams="all", poll_interval=0.05, timeout=600)

    assert dag_run.state == "success"
    assert set(dag_run.xcom["task"]["changes"]) == {"commits", "issues"}
    assert requests_of(stitch, "PUT")


def test_task_times_out_during_a_long_structure_sync(airflow, stitch, new_source):
    new_source(CheckPlan(seconds=360_000))

    dag_run = select_streams(airflow, source="new", streams="all", poll_interval=0.05, timeout=1)

    assert dag_run.state == "failed"
    assert "structure sync of source new" in dag_run.output
    assert "did not finish before the timeout" in dag_run.output


def test_failed_check_and_missing_properties_end_the_wait(airflow, stitch, new_source):
    new_source(CheckPlan(discovery_exit_status=1, discovery_error_message="bad credentials"))
    stitch.advance(10)
    failed = select_streams(airflow, source="new", streams="all", timeout=600)
    stitch.delete_source(310442)
    new_source(properties={"repository": "acme/shop"})
    incomplete = select_streams(airflow, source="New", streams="all", timeout=600)

    assert (failed.state, incomplete.state) == ("failed", "failed")
    assert "its connection check failed: bad credentials" in failed.output
    assert "is at the step 'form' of its configuration" in incomplete.output


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        ({"items": {"fields": "keep", "replication_key": "updated"}}, "updated"),
        ({"items": {"fields": "keep", "view_key_properties": ["ids"]}}, "ids"),
        ({"items": {"replication_method": "INCREMENTAL", "replication_key": "changed"}}, "changed"),
    ],
)
def test_unknown_key_of_a_database_stream_is_rejected(airflow, stitch, shop, selection, field):
    dag_run = select_streams(airflow, source="shop", streams=selection)

    assert dag_run.state == "failed"
    assert f"Stream 'items' has no field '{field}'. It has: " in dag_run.output
    assert requests_of(stitch, "PUT") == []


def test_streams_are_selected_by_pattern(airflow, stitch, shop):
    dag_run = select_streams(airflow, source="shop", streams=["public.*"], deselect_others=True)

    changes = dag_run.xcom["task"]["changes"]
    assert changes["shop-public-orders"]["selected"] is True
    assert changes["shop-old-orders"] == {"selected": False}


@pytest.mark.parametrize("streams", ["all", ["public.*"], {"public.*": None, "items": None}])
def test_patterns_skip_views_without_keys(airflow, stitch, streams):
    stitch.add_source(
        "shop",
        streams={
            "items": EmulatedStream(5, schema_name="public", selected=None),
            "totals": EmulatedStream(5, schema_name="public", selected=None, is_view=True),
        },
    )

    dag_run = select_streams(airflow, source="shop", streams=streams, deselect_others=True)
    named = select_streams(airflow, source="shop", streams=["items", "totals"])

    assert (dag_run.state, set(dag_run.xcom["task"]["changes"])) == ("success", {"items"})
    assert "because a view needs view_key_properties: totals" in dag_run.output
    assert named.state == "failed"
    assert "'totals' is a view, so it needs view_key_properties" in named.output


def test_1000_streams_are_selected_in_one_request(airflow, stitch):
    fields = {"id": "automatic", "name": "available"}
    streams = {f"table_{number}": EmulatedStream(1, selected=None, fields=fields) for number in range(1000)}
    stitch.add_source("many", streams=streams)

    dag_run = select_streams(airflow, source="many", streams="all", timeout=600)

    assert len(dag_run.xcom["task"]["changes"]) == 1000
    assert len(requests_of(stitch, "PUT")) == 1


def test_source_that_was_never_connected_is_rejected(airflow, stitch):
    stream = EmulatedStream(1, selected=None)
    failing = CheckPlan(discovery_exit_status=1)
    stitch.add_source("new", streams={"a": stream}, current_step="discover_schema", check=failing)

    dag_run = select_streams(airflow, source="new", streams=["a"])

    assert dag_run.states == {"task": "failed"}
    assert "SourceNotReady" in dag_run.output
    assert "discover_schema" in dag_run.output
