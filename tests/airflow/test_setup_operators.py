"""Operators that pause, unpause and select, in a real Airflow, against the emulator."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream
from airflow_provider_stitch.operators.stitch import (
    StitchPauseSourceOperator,
    StitchSelectStreamsOperator,
    StitchUnpauseSourceOperator,
)
from airflow_provider_stitch.task_context import LINK_KEY
from tests.airflow.conftest import xcom_of


def run(airflow, operator, **options):
    options = {"source": "github", "timeout": 5, **options}
    with airflow.dag() as dag:
        operator(task_id="task", retries=0, **options)
    return airflow.run(dag)


def requests_of(stitch, method):
    return [request.path for request in stitch.requests if request.method == method]


def test_a_source_is_paused_once(airflow, stitch, github):
    first = run(airflow, StitchPauseSourceOperator)
    second = run(airflow, StitchPauseSourceOperator, source=str(github))

    assert (first.state, second.state) == ("success", "success")
    assert first.xcom["task"]["changed"] is True
    assert second.xcom["task"] == {
        "source_id": github,
        "source_name": "github",
        "client_id": 104857,
        "url": f"https://app.stitchdata.com/client/104857/pipeline/v2/sources/{github}/summary",
        "paused_at": first.xcom["task"]["paused_at"],
        "changed": False,
    }
    assert xcom_of(second.instances["task"], LINK_KEY) == second.xcom["task"]["url"]
    assert len(requests_of(stitch, "PUT")) == 1


def test_a_source_is_unpaused_once(airflow, stitch, github):
    stitch.pause_source(github)

    first = run(airflow, StitchUnpauseSourceOperator)
    second = run(airflow, StitchUnpauseSourceOperator)

    assert [ran.xcom["task"]["changed"] for ran in (first, second)] == [True, False]
    assert second.xcom["task"]["paused_at"] is None
    assert len(requests_of(stitch, "PUT")) == 1


def test_a_pause_by_stitch_itself_is_told_and_left(airflow, stitch, github):
    stitch.pause_source(github, by_stitch=True)

    ran = run(airflow, StitchUnpauseSourceOperator)

    assert ran.states == {"task": "failed"}
    assert "PausedByStitch: Source github" in ran.output
    assert "Mend the cause" in ran.output
    assert requests_of(stitch, "PUT") == []


@pytest.mark.parametrize("operator", [StitchPauseSourceOperator, StitchUnpauseSourceOperator])
def test_a_deleted_source_is_refused(airflow, stitch, github, operator):
    stitch.delete_source(github)

    ran = run(airflow, operator)

    assert ran.states == {"task": "failed"}
    assert "DeletedSource" in ran.output
    assert requests_of(stitch, "PUT") == []


def test_an_outage_is_waited_out(airflow, stitch, github):
    stitch.fail("GET", "/v4/sources", times=1, status=502)
    stitch.fail("PUT", "/v4/sources", times=1, status=502)

    ran = run(airflow, StitchPauseSourceOperator, timeout=60)

    assert ran.xcom["task"]["changed"] is True


# Selecting.


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


def test_streams_are_selected_once_and_others_deselected(airflow, stitch, shop):
    options = {"source": "shop", "streams": ORDERS, "deselect_others": True}
    first = run(airflow, StitchSelectStreamsOperator, **options)
    second = run(airflow, StitchSelectStreamsOperator, **options)

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


def test_nothing_is_written_if_a_name_is_wrong(airflow, stitch, shop):
    ran = run(airflow, StitchSelectStreamsOperator, source="shop", streams=["items", "ordres"])

    assert ran.states == {"task": "failed"}
    assert "no stream 'ordres'. It has: orders" in ran.output
    assert requests_of(stitch, "PUT") == []


def test_fields_may_be_left_as_they_are(airflow, stitch, shop):
    ran = run(airflow, StitchSelectStreamsOperator, source="shop", streams={"items": {"fields": "keep"}})

    assert ran.xcom["task"]["changed"] is False


def test_streams_may_be_a_template(airflow, stitch, github):
    with airflow.dag(user_defined_macros={"wanted": ["commits"]}, render_template_as_native_obj=True) as dag:
        StitchSelectStreamsOperator(
            task_id="task", source="{{ 'github' }}", streams="{{ wanted }}", timeout=5
        )

    assert airflow.run(dag).xcom["task"]["source_id"] == github


def test_a_source_that_was_never_connected_has_nothing_to_select(airflow, stitch):
    stream = EmulatedStream(1, selected=None)
    fails = CheckPlan(discovery_exit_status=1)
    stitch.add_source("new", streams={"a": stream}, current_step="discover_schema", check=fails)

    ran = run(airflow, StitchSelectStreamsOperator, source="new", streams=["a"])

    assert ran.states == {"task": "failed"}
    assert "SourceNotReady" in ran.output
    assert "discover_schema" in ran.output
