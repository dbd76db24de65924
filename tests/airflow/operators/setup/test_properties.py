"""Test the credentials and properties of setup operators, and errors for properties that are missing."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.emulator import EmulatedStream
from airflow_provider_stitch.operators.stitch import StitchSelectStreamsOperator
from tests.support.setup_runs import (
    WAREHOUSE,
    create_destination,
    create_source,
    requests_of,
    run_operator,
)

# --- Credentials ----------------------------------------------------------------------------------------


def test_send_credentials_sends_credentials_in_every_run(airflow, stitch):
    stitch.delete_destinations()
    create_destination(airflow)

    rotated = create_destination(airflow, send_credentials=True)
    sourced = [create_source(airflow, send_credentials=True) for _ in range(2)]

    assert rotated.xcom["task"]["changed"] == ["password"]
    assert rotated.xcom["task"]["current_step"] == "fully_configured"
    assert sourced[0].xcom["task"]["created"] is True
    assert sourced[1].xcom["task"]["changed"] == ["access_token"]
    assert len(requests_of(stitch, "PUT")) == 2


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("{{ conn.vault.extra_dejson.key | tojson }}", id="JSON string"),
        pytest.param(
            {"type": "service_account", "private_key": "{{ conn.vault.password }}"},
            id="object with templates",
        ),
    ],
)
def test_credential_can_be_an_object(airflow, stitch, client, key):
    stitch.delete_destinations()
    options = {
        "destination_type": "bigquery_v2",
        "properties": {"cloud_storage_location": "US", "loading_mode": "upsert"},
        "credentials": {"service_account_credentials": key},
    }

    first, second = create_destination(airflow, **options), create_destination(airflow, **options)

    assert [dag_run.state for dag_run in (first, second)] == ["success", "success"]
    assert second.xcom["task"]["changed"] == []
    [created] = client.list_destinations()
    assert created.report_card.properties["service_account_credentials"].provided is True
    assert "hush" not in first.output + second.output


def test_malformed_object_is_rejected_without_showing_it(airflow, stitch):
    dag_run = create_destination(
        airflow,
        destination_type="bigquery_v2",
        credentials={"service_account_credentials": "{{ conn.vault.extra_dejson.key }}"},
    )

    assert dag_run.state == "failed"
    assert "'service_account_credentials' must be JSON" in dag_run.output
    assert "hush" not in dag_run.output
    assert requests_of(stitch, "POST") == []


# --- Types of values ------------------------------------------------------------------------------------


def test_property_marked_as_credential_is_not_compared(airflow, stitch):
    stitch.delete_destinations()
    options = {
        "destination_type": "snowflake",
        "properties": {**WAREHOUSE, "warehouse": "LOADING", "role": "STITCH"},
    }

    first, second = create_destination(airflow, **options), create_destination(airflow, **options)

    assert first.xcom["task"]["changed"] == [
        "database",
        "host",
        "password",
        "port",
        "role",
        "username",
        "warehouse",
    ]
    assert second.xcom["task"]["changed"] == []


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_numbers_and_booleans_are_sent_in_the_type_of_the_report_card(
    airflow, stitch, client, native, strict
):
    stitch.delete_destinations()
    stitch.quirks.strict_booleans = stitch.quirks.integer_properties = strict
    warehouse = {**WAREHOUSE, "port": "{{ 5432 }}", "ssl": "{{ true }}"}
    database = {
        "source_type": "platform.hp-mysql",
        "properties": {
            "host": "db.acme.example",
            "port": "{{ 3306 }}",
            "user": "stitch",
            "ssl": True,
            "frequency_in_minutes": 60,
            "start_date": "2025-01-01T00:00:00Z",
        },
        "credentials": {"password": "{{ conn.vault.password }}"},
    }

    for changed in (True, False):
        warehoused = create_destination(airflow, native=native, properties=warehouse)
        sourced = create_source(airflow, native=native, **database)
        assert [dag_run.state for dag_run in (warehoused, sourced)] == ["success", "success"]
        assert [bool(dag_run.xcom["task"]["changed"]) for dag_run in (warehoused, sourced)] == [
            changed,
            changed,
        ]
        stitch.advance(10)

    [destination], [source] = client.list_destinations(), client.list_sources()
    assert (destination.properties["port"], destination.properties["ssl"]) == ("5432", "true")
    shown = {name: source.properties[name] for name in ("port", "ssl", "frequency_in_minutes")}
    assert shown == {"port": "3306", "ssl": "true", "frequency_in_minutes": "60"}
    assert requests_of(stitch, "PUT") == []


def test_change_of_immutable_property_is_rejected(airflow, stitch):
    stitch.delete_destinations()
    stitch.quirks.immutable_properties = ("database",)
    create_destination(airflow)

    rejected = create_destination(airflow, properties={**WAREHOUSE, "database": "other"})
    changed = create_destination(airflow, properties={**WAREHOUSE, "host": "new.acme.example"})

    assert rejected.state == "failed"
    assert "cannot be changed once they are set: database" in rejected.output
    assert changed.xcom["task"]["changed"] == ["host", "password", "port", "username"]


def test_properties_must_be_a_dict(airflow, stitch):
    dag_run = create_destination(airflow, properties="{{ {'host': 'a'} }}")

    assert dag_run.state == "failed"
    assert "properties must be a dict that maps names to values, not a str" in dag_run.output


# --- Completeness ---------------------------------------------------------------------------------------


def test_documented_sample_requests_are_accepted(airflow, stitch):
    stitch.delete_destinations()

    warehouse = create_destination(airflow)
    shop = create_source(
        airflow,
        source_type="platform.shopify",
        display_name="Shopify",
        properties={"shop": "acme", "start_date": "2025-01-01T00:00:00Z"},
        credentials=None,
    )

    assert warehouse.xcom["task"]["missing_properties"] == {}
    assert shop.xcom["task"]["current_step"] == "oauth"
    orders = EmulatedStream(
        5,
        stream_name="orders",
        schema_name="public",
        selected=None,
        fields={"id": "automatic", "updated_at": "available", "total": "available"},
    )
    stitch.add_source("shop", type="platform.hp-postgres", streams={"shopdb-public-orders": orders})
    selection = {"fields": ["total"], "replication_method": "INCREMENTAL", "replication_key": "updated_at"}
    select = run_operator(
        airflow, StitchSelectStreamsOperator, source="shop", streams={"shopdb-public-orders": selection}
    )

    assert select.xcom["task"]["changes"]["orders"] == {
        "selected": True,
        "replication_method": "INCREMENTAL",
        "replication_key": "updated_at",
        "fields_selected": ["total"],
    }
    oauth = ["client_id", "client_secret", "redirect_uri", "refresh_token"]
    assert shop.xcom["task"]["missing_properties"] == {"oauth": oauth}


def test_incomplete_destination_fails_instead_of_waiting(airflow, stitch):
    stitch.delete_destinations()
    partial = {"properties": {"host": "pg.acme.example"}}

    waiting = create_destination(airflow, **partial)
    not_waiting = create_destination(airflow, wait_for_check=False, **partial)
    complete = create_destination(airflow)

    assert (waiting.state, not_waiting.state, complete.state) == ("failed", "success", "success")
    assert "Missing properties: step form: database, port, username" in waiting.output
    assert not_waiting.xcom["task"]["missing_properties"] == {"form": ["database", "port", "username"]}
    assert not_waiting.xcom["task"]["changed"] == []
    assert requests_of(stitch, "POST") == ["/v4/destinations"]


def test_source_type_outside_the_plan_is_not_created(airflow, stitch):
    stitch.allow_source_type("platform.github", allowed=False)

    dag_run = create_source(airflow)

    assert dag_run.state == "failed"
    assert "NotInPlan: The plan of this Stitch account does not include sources of type" in dag_run.output
    assert requests_of(stitch, "POST") == []


def test_destination_type_outside_the_plan_is_not_created(airflow, stitch):
    stitch.delete_destinations()
    stitch.allow_destination_type("postgres", allowed=False)

    dag_run = create_destination(airflow)

    assert dag_run.state == "failed"
    assert "NotInPlan: The plan of this Stitch account does not include destinations of" in dag_run.output
    assert requests_of(stitch, "POST") == []
