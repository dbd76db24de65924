"""Operators that pause, unpause and select, in a real Airflow, against the emulator."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream
from airflow_provider_stitch.operators.stitch import (
    StitchPauseSourceOperator,
    StitchSelectStreamsOperator,
    StitchUnpauseSourceOperator,
)
from airflow_provider_stitch.replication import reader
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


#: What a firewall sends in Stitch's place.
FIREWALL = {"status": 403, "body": b"<html><body>Request blocked.</body></html>"}


@pytest.mark.parametrize("request_", ["GET /sources", "PUT /sources"])
@pytest.mark.parametrize("operator", [StitchPauseSourceOperator, StitchUnpauseSourceOperator])
def test_pausing_survives_one_response_of_a_firewall(airflow, stitch, github, operator, request_):
    if operator is StitchUnpauseSourceOperator:
        stitch.pause_source(github)
    struck = stitch.fail(*request_.split(), **FIREWALL)

    ran = run(airflow, operator, timeout=60)

    assert ran.state == "success"
    assert ran.xcom["task"]["changed"]
    assert struck.hits == 1


@pytest.mark.parametrize("request_", ["GET /sources", "PUT /sources"])
def test_pausing_fails_if_the_response_of_a_firewall_repeats(airflow, stitch, github, request_, monkeypatch):
    monkeypatch.setattr(reader, "pause_before_retry", lambda attempt, retry_after: 0.01)
    struck = stitch.fail(*request_.split(), times=None, **FIREWALL)

    ran = run(airflow, StitchPauseSourceOperator, timeout=60)

    assert ran.state == "failed"
    assert "403" in ran.output
    assert struck.hits == 5


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


@pytest.fixture
def new_source(stitch):
    """Return a function that creates a source through the API, so that discovery has to find its streams."""
    from airflow_provider_stitch.connect.client import StitchClient

    def create(check=None, properties=None):
        stitch.plan_new_sources("platform.github", streams={"commits": 1, "issues": 1}, check=check)
        client = StitchClient(stitch.access_token, base_url=stitch.url)
        given = {"access_token": "t", "repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
        return client.create_source("platform.github", "New", properties=properties or given).id

    return create


def test_structure_sync_of_a_new_source_is_waited_for(airflow, stitch, new_source):
    new_source(CheckPlan(seconds=300))

    ran = run(
        airflow, StitchSelectStreamsOperator, source="new", streams="all", poll_interval=0.05, timeout=60
    )

    assert ran.state == "success"
    assert set(ran.xcom["task"]["changes"]) == {"commits", "issues"}
    assert requests_of(stitch, "PUT")


def test_structure_sync_is_waited_for_until_the_timeout(airflow, stitch, new_source):
    new_source(CheckPlan(seconds=360_000))

    ran = run(
        airflow, StitchSelectStreamsOperator, source="new", streams="all", poll_interval=0.05, timeout=1
    )

    assert ran.state == "failed"
    assert "structure sync of source new" in ran.output
    assert "were not over in time" in ran.output


def test_failed_check_and_missing_properties_end_the_wait(airflow, stitch, new_source):
    new_source(CheckPlan(discovery_exit_status=1, discovery_error_message="bad credentials"))
    stitch.advance(10)
    failed = run(airflow, StitchSelectStreamsOperator, source="new", streams="all", timeout=60)
    stitch.delete_source(310442)
    new_source(properties={"repository": "acme/shop"})
    incomplete = run(airflow, StitchSelectStreamsOperator, source="New", streams="all", timeout=60)

    assert (failed.state, incomplete.state) == ("failed", "failed")
    assert "its connection check failed: bad credentials" in failed.output
    assert "is at the step 'form' of its configuration" in incomplete.output


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"items": {"fields": "keep", "replication_key": "updated"}}, "updated"),
        ({"items": {"fields": "keep", "view_key_properties": ["ids"]}}, "ids"),
        ({"items": {"replication_method": "INCREMENTAL", "replication_key": "changed"}}, "changed"),
    ],
)
def test_wrong_keys_of_a_database_stream_are_refused(airflow, stitch, shop, wanted, field):
    ran = run(airflow, StitchSelectStreamsOperator, source="shop", streams=wanted)

    assert ran.state == "failed"
    assert f"Stream 'items' has no field '{field}'. It has: " in ran.output
    assert requests_of(stitch, "PUT") == []


def test_streams_are_selected_by_pattern(airflow, stitch, shop):
    ran = run(airflow, StitchSelectStreamsOperator, source="shop", streams=["public.*"], deselect_others=True)

    changes = ran.xcom["task"]["changes"]
    assert changes["shop-public-orders"]["selected"] is True
    assert changes["shop-old-orders"] == {"selected": False}


@pytest.mark.parametrize("streams", ["all", ["public.*"], {"public.*": None, "items": None}])
def test_views_without_keys_are_left_out_of_a_pattern(airflow, stitch, streams):
    stitch.add_source(
        "shop",
        streams={
            "items": EmulatedStream(5, schema_name="public", selected=None),
            "totals": EmulatedStream(5, schema_name="public", selected=None, is_view=True),
        },
    )

    ran = run(airflow, StitchSelectStreamsOperator, source="shop", streams=streams, deselect_others=True)
    named = run(airflow, StitchSelectStreamsOperator, source="shop", streams=["items", "totals"])

    assert (ran.state, set(ran.xcom["task"]["changes"])) == ("success", {"items"})
    assert "because a view needs view_key_properties: totals" in ran.output
    assert named.state == "failed"
    assert "'totals' is a view, so it needs view_key_properties" in named.output


def test_1000_streams_are_selected_in_one_request(airflow, stitch):
    fields = {"id": "automatic", "name": "available"}
    streams = {f"table_{number}": EmulatedStream(1, selected=None, fields=fields) for number in range(1000)}
    stitch.add_source("many", streams=streams)

    ran = run(airflow, StitchSelectStreamsOperator, source="many", streams="all", timeout=600)

    assert len(ran.xcom["task"]["changes"]) == 1000
    assert len(requests_of(stitch, "PUT")) == 1


def test_a_source_that_was_never_connected_has_nothing_to_select(airflow, stitch):
    stream = EmulatedStream(1, selected=None)
    fails = CheckPlan(discovery_exit_status=1)
    stitch.add_source("new", streams={"a": stream}, current_step="discover_schema", check=fails)

    ran = run(airflow, StitchSelectStreamsOperator, source="new", streams=["a"])

    assert ran.states == {"task": "failed"}
    assert "SourceNotReady" in ran.output
    assert "discover_schema" in ran.output
