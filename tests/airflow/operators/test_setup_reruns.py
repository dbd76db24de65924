"""Reruns of setup operators: after a failed check, beside a concurrent run, with other credentials."""

from __future__ import annotations

import json
import threading

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream
from airflow_provider_stitch.operators.stitch import StitchSelectStreamsOperator
from tests.support.setup_runs import (
    GITHUB,
    WAREHOUSE,
    create_destination,
    create_source,
    requests_of,
    run_operator,
)

FAILED = CheckPlan(discovery_exit_status=1, discovery_error_message="password authentication failed")


@pytest.fixture(autouse=True)
def vault(monkeypatch):
    """Add an Airflow connection with a secret, and return a function that changes the secret."""

    def store(password):
        connection = {
            "conn_type": "generic",
            "password": password,
            "extra": {"key": {"private_key": password}},
        }
        monkeypatch.setenv("AIRFLOW_CONN_VAULT", json.dumps(connection))

    store("hush-first-1234567890")
    return store


@pytest.fixture
def client(stitch):
    return StitchClient(stitch.access_token, base_url=stitch.url)


@pytest.mark.parametrize("configured", ["after_check", "after_form"])
def test_destination_fails_until_its_credential_is_fixed(airflow, stitch, client, vault, configured):
    stitch.quirks.destination_configured = configured
    stitch.delete_destinations()
    stitch.plan_destination_check(FAILED)

    first = create_destination(airflow)
    stitch.plan_destination_check(FAILED, client.list_destinations()[0].id)
    second = create_destination(airflow)
    vault("hush-right-1234567890")
    third = create_destination(airflow)
    fourth = create_destination(airflow)

    assert [dag_run.state for dag_run in (first, second, third, fourth)] == [
        "failed",
        "failed",
        "success",
        "success",
    ]
    assert "password authentication failed" in second.output
    assert third.xcom["task"]["changed"] == ["database", "host", "password", "port", "username"]
    assert third.xcom["task"]["current_step"] == "fully_configured"
    assert fourth.xcom["task"]["changed"] == []
    assert len(requests_of(stitch, "PUT")) == 2


@pytest.mark.parametrize("steps_back", [False, True], ids=["stays connected", "steps back"])
def test_destination_is_sent_again_if_its_last_check_failed(airflow, stitch, client, steps_back):
    stitch.quirks.failed_check_steps_back = steps_back
    destination_id = create_destination(airflow).xcom["task"]["destination_id"]
    stitch.plan_destination_check(FAILED, destination_id)
    client.update_destination(destination_id, {"password": "hush-wrong"})
    stitch.advance(10)

    dag_run = create_destination(airflow)

    assert (dag_run.state, dag_run.xcom["task"]["changed"]) == (
        "success",
        [*sorted([*WAREHOUSE, "password"])],
    )
    assert client.get_last_destination_check(destination_id).status == "succeeded"


@pytest.mark.parametrize(
    ("check", "changed"), [(CheckPlan(seconds=60), 0), (FAILED, 5)], ids=["succeeds", "fails"]
)
def test_destination_task_waits_for_a_running_check(airflow, stitch, client, check, changed):
    stitch.delete_destinations()
    destination_id = create_destination(airflow).xcom["task"]["destination_id"]
    plan = CheckPlan(60, check.discovery_exit_status, check.discovery_error_message)
    stitch.plan_destination_check(plan, destination_id)
    client.update_destination(destination_id, {"host": WAREHOUSE["host"]})

    dag_run = create_destination(airflow)

    assert (dag_run.state, len(dag_run.xcom["task"]["changed"])) == ("success", changed)
    assert client.get_last_destination_check(destination_id).status == "succeeded"


def test_failed_check_counts_if_wait_for_check_is_false(airflow, stitch):
    stitch.delete_destinations()
    stitch.plan_destination_check(FAILED)
    create_destination(airflow, wait_for_check=False)
    stitch.advance(10)

    dag_run = create_destination(airflow, wait_for_check=False)

    assert (dag_run.state, len(dag_run.xcom["task"]["changed"])) == ("success", 5)


@pytest.mark.parametrize("steps_back", [False, True], ids=["stays connected", "steps back"])
def test_source_is_sent_again_if_its_last_check_failed(airflow, stitch, client, steps_back):
    stitch.quirks.failed_check_steps_back = steps_back
    stitch.plan_new_sources("platform.github", streams={"commits": 1})
    source_id = create_source(airflow).xcom["task"]["source_id"]
    stitch.advance(10)
    step_after_first = client.get_source(source_id).current_step
    stitch.plan_next_check(source_id, FAILED)
    client.update_source(source_id, properties={"access_token": "hush-wrong"})
    stitch.advance(10)

    again = create_source(airflow)
    stitch.advance(10)
    last = create_source(airflow)

    assert step_after_first == "field_selection"
    assert again.xcom["task"]["changed"] == ["access_token", "repository", "start_date"]
    assert last.xcom["task"]["changed"] == []
    assert client.get_last_connection_check(source_id).status == "succeeded"


def test_source_task_does_not_wait_for_a_running_check(airflow, stitch, client):
    created = create_source(airflow).xcom["task"]
    stitch.advance(10)
    stitch.plan_next_check(created["source_id"], CheckPlan(seconds=360_000, discovery_exit_status=1))
    client.update_source(created["source_id"], properties={"repository": GITHUB["repository"]})

    again = create_source(airflow).xcom["task"]

    assert again["changed"] == []
    assert again["checked_after"] > created["checked_after"]


def test_source_is_checked_again_after_a_change_of_destination(airflow, stitch, client):
    other = stitch.add_destination("redshift", name="Other")
    created = create_source(airflow).xcom["task"]
    stitch.advance(3600)

    moved = create_source(airflow, destination="Other").xcom["task"]
    again = create_source(airflow, destination=str(other)).xcom["task"]

    assert (moved["changed"], again["changed"]) == (["destination"], [])
    assert moved["checked_after"] > created["checked_after"]
    assert [each.id for each in client.list_destinations(source_id=created["source_id"])] == [other]


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
    assert "properties must be a dict from names to values; they are of type str" in dag_run.output


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


# --- Names that are in use ------------------------------------------------------------------------------


def test_lowest_id_wins_among_destinations_of_one_name(airflow, stitch):
    stitch.delete_destinations()
    ids = [stitch.add_destination(name="Warehouse", properties=WAREHOUSE) for _ in range(2)]

    dag_run = create_destination(airflow)

    assert dag_run.xcom["task"]["destination_id"] == ids[0]
    assert f"Warehouse ({ids[0]}) and others of that name: Warehouse ({ids[1]})" in dag_run.output
    assert "Delete the others in Stitch" in dag_run.output


def test_concurrent_runs_end_with_one_destination(airflow, stitch, client, monkeypatch):
    """The other run creates its destination after this one has listed the destinations."""
    stitch.delete_destinations()
    created_by_other = []
    create = StitchClient.create_destination

    def create_after_another(self, *args, **options):
        if not created_by_other:
            created_by_other.append(create(client, *args, **options).id)
        return create(self, *args, **options)

    monkeypatch.setattr(StitchClient, "create_destination", create_after_another)

    dag_run = create_destination(airflow)

    assert dag_run.state == "success"
    assert (dag_run.xcom["task"]["destination_id"], dag_run.xcom["task"]["created"]) == (
        created_by_other[0],
        False,
    )
    assert [each.id for each in client.list_destinations()] == created_by_other


def test_destination_of_a_concurrent_run_is_used_at_the_limit(airflow, stitch, client, monkeypatch):
    stitch.delete_destinations()
    stitch.limit_destinations(1)
    create = StitchClient.create_destination
    first_call = threading.Lock()

    def create_after_another(self, *args, **options):
        if first_call.acquire(blocking=False):
            create(client, *args, **options)
        return create(self, *args, **options)

    monkeypatch.setattr(StitchClient, "create_destination", create_after_another)

    assert create_destination(airflow).xcom["task"]["created"] is False


def test_concurrent_runs_end_with_one_source(airflow, stitch, client, monkeypatch):
    create = StitchClient.create_source
    first_call = threading.Lock()

    def create_after_another(self, *args, **options):
        if first_call.acquire(blocking=False):
            create(client, *args, **options)
        return create(self, *args, **options)

    monkeypatch.setattr(StitchClient, "create_source", create_after_another)

    dag_run = create_source(airflow)

    assert (dag_run.state, dag_run.xcom["task"]["created"]) == ("success", False)
    assert len(client.list_sources()) == 1


def test_name_in_use_by_another_source_is_rejected(airflow, stitch):
    stitch.add_source("git_hub", display_name="Git  Hub!", streams={})

    dag_run = create_source(airflow, display_name="Git Hub")

    assert dag_run.state == "failed"
    assert "NameInUse" in dag_run.output


def test_native_rendering_keeps_numeric_names_as_strings(airflow, stitch):
    stitch.delete_destinations()

    warehouse = create_destination(airflow, native=True, name="{{ 2024 }}", description="{{ 7 }}")
    again = create_destination(airflow, native=True, name="{{ 2024 }}")
    shop = create_source(airflow, native=True, display_name="s_{{ 1 }}", destination="{{ 2024 }}")

    assert [dag_run.state for dag_run in (warehouse, again, shop)] == ["success"] * 3
    assert (warehouse.xcom["task"]["destination_name"], again.xcom["task"]["created"]) == ("2024", False)
