"""Setup operators that run again: after a failed check, beside another run, and with other credentials."""

from __future__ import annotations

import json
import threading

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream
from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
    StitchSelectStreamsOperator,
)

WAREHOUSE = {"host": "pg.acme.example", "port": "5432", "database": "dwh", "username": "stitch"}
GITHUB = {"repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
FAILED = CheckPlan(discovery_exit_status=1, discovery_error_message="password authentication failed")


@pytest.fixture(autouse=True)
def vault(monkeypatch):
    """An Airflow connection with the secret, which a test can change."""

    def keep(password):
        connection = {
            "conn_type": "generic",
            "password": password,
            "extra": {"key": {"private_key": password}},
        }
        monkeypatch.setenv("AIRFLOW_CONN_VAULT", json.dumps(connection))

    keep("hush-first-1234567890")
    return keep


@pytest.fixture
def client(stitch):
    return StitchClient(stitch.access_token, base_url=stitch.url)


def run(airflow, operator, *, native=False, **options):
    with airflow.dag(render_template_as_native_obj=native) as dag:
        operator(task_id="task", retries=0, **options)
    return airflow.run(dag)


def destination(airflow, **options):
    options = {
        "destination_type": "postgres",
        "name": "Warehouse",
        "properties": WAREHOUSE,
        "credentials": {"password": "{{ conn.vault.password }}"},
        "poll_interval": 0.05,
        "timeout": 30,
        **options,
    }
    return run(airflow, StitchCreateDestinationOperator, **options)


def source(airflow, **options):
    options = {
        "source_type": "platform.github",
        "display_name": "GitHub",
        "properties": GITHUB,
        "credentials": {"access_token": "{{ conn.vault.password }}"},
        "timeout": 30,
        **options,
    }
    return run(airflow, StitchCreateSourceOperator, **options)


def requests_of(stitch, method):
    return [request.path for request in stitch.requests if request.method == method]


# A check that failed.


@pytest.mark.parametrize("configured", ["after_check", "after_form"])
def test_destination_with_a_failed_check_fails_until_its_credential_is_corrected(
    airflow, stitch, client, vault, configured
):
    stitch.quirks.destination_configured = configured
    stitch.delete_destinations()
    stitch.plan_destination_check(FAILED)

    first = destination(airflow)
    stitch.plan_destination_check(FAILED, client.list_destinations()[0].id)
    second = destination(airflow)
    vault("hush-right-1234567890")
    third = destination(airflow)
    fourth = destination(airflow)

    assert [ran.state for ran in (first, second, third, fourth)] == ["failed", "failed", "success", "success"]
    assert "password authentication failed" in second.output
    assert third.xcom["task"]["changed"] == ["database", "host", "password", "port", "username"]
    assert third.xcom["task"]["current_step"] == "fully_configured"
    assert fourth.xcom["task"]["changed"] == []
    assert len(requests_of(stitch, "PUT")) == 2


@pytest.mark.parametrize("back", [False, True])
def test_connected_destination_whose_last_check_failed_is_sent_again(airflow, stitch, client, back):
    stitch.quirks.failed_check_steps_back = back
    made = destination(airflow).xcom["task"]["destination_id"]
    stitch.plan_destination_check(FAILED, made)
    client.update_destination(made, {"password": "hush-wrong"})
    stitch.advance(10)

    ran = destination(airflow)

    assert (ran.state, ran.xcom["task"]["changed"]) == ("success", [*sorted([*WAREHOUSE, "password"])])
    assert client.get_last_destination_check(made).status == "succeeded"


@pytest.mark.parametrize(("ends", "changed"), [(CheckPlan(seconds=60), 0), (FAILED, 5)])
def test_running_check_of_a_destination_is_waited_for(airflow, stitch, client, ends, changed):
    stitch.delete_destinations()
    made = destination(airflow).xcom["task"]["destination_id"]
    plan = CheckPlan(60, ends.discovery_exit_status, ends.discovery_error_message)
    stitch.plan_destination_check(plan, made)
    client.update_destination(made, {"host": WAREHOUSE["host"]})

    ran = destination(airflow)

    assert (ran.state, len(ran.xcom["task"]["changed"])) == ("success", changed)
    assert client.get_last_destination_check(made).status == "succeeded"


def test_failed_check_counts_if_the_task_does_not_wait(airflow, stitch):
    stitch.delete_destinations()
    stitch.plan_destination_check(FAILED)
    destination(airflow, wait_for_check=False)
    stitch.advance(10)

    ran = destination(airflow, wait_for_check=False)

    assert (ran.state, len(ran.xcom["task"]["changed"])) == ("success", 5)


@pytest.mark.parametrize("back", [False, True])
def test_source_whose_last_check_failed_is_sent_again(airflow, stitch, client, back):
    stitch.quirks.failed_check_steps_back = back
    stitch.plan_new_sources("platform.github", streams={"commits": 1})
    made = source(airflow).xcom["task"]["source_id"]
    stitch.advance(10)
    connected = client.get_source(made).current_step
    stitch.plan_next_check(made, FAILED)
    client.update_source(made, properties={"access_token": "hush-wrong"})
    stitch.advance(10)

    again = source(airflow)
    stitch.advance(10)
    last = source(airflow)

    assert connected == "field_selection"
    assert again.xcom["task"]["changed"] == ["access_token", "repository", "start_date"]
    assert last.xcom["task"]["changed"] == []
    assert client.get_last_connection_check(made).status == "succeeded"


def test_running_check_of_a_source_is_left_to_the_sensor(airflow, stitch, client):
    made = source(airflow).xcom["task"]
    stitch.advance(10)
    stitch.plan_next_check(made["source_id"], CheckPlan(seconds=360_000, discovery_exit_status=1))
    client.update_source(made["source_id"], properties={"repository": GITHUB["repository"]})

    again = source(airflow).xcom["task"]

    assert again["changed"] == []
    assert again["checked_after"] > made["checked_after"]


def test_source_that_moves_to_another_destination_is_checked_again(airflow, stitch, client):
    other = stitch.add_destination("redshift", name="Other")
    made = source(airflow).xcom["task"]
    stitch.advance(3600)

    moved = source(airflow, destination="Other").xcom["task"]
    again = source(airflow, destination=str(other)).xcom["task"]

    assert (moved["changed"], again["changed"]) == (["destination"], [])
    assert moved["checked_after"] > made["checked_after"]
    assert [each.id for each in client.list_destinations(source_id=made["source_id"])] == [other]


# Credentials.


def test_credentials_are_sent_in_every_run_if_the_task_says_so(airflow, stitch):
    stitch.delete_destinations()
    destination(airflow)

    rotated = destination(airflow, send_credentials=True)
    of_source = [source(airflow, send_credentials=True) for _ in range(2)]

    assert rotated.xcom["task"]["changed"] == ["password"]
    assert rotated.xcom["task"]["current_step"] == "fully_configured"
    assert of_source[0].xcom["task"]["created"] is True
    assert of_source[1].xcom["task"]["changed"] == ["access_token"]
    assert len(requests_of(stitch, "PUT")) == 2


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("{{ conn.vault.extra_dejson.key | tojson }}", id="a string of JSON"),
        pytest.param(
            {"type": "service_account", "private_key": "{{ conn.vault.password }}"},
            id="an object of templates",
        ),
    ],
)
def test_credential_may_be_an_object(airflow, stitch, client, key):
    stitch.delete_destinations()
    options = {
        "destination_type": "bigquery_v2",
        "properties": {"cloud_storage_location": "US", "loading_mode": "upsert"},
        "credentials": {"service_account_credentials": key},
    }

    first, second = destination(airflow, **options), destination(airflow, **options)

    assert [ran.state for ran in (first, second)] == ["success", "success"]
    assert second.xcom["task"]["changed"] == []
    [made] = client.list_destinations()
    assert made.report_card.properties["service_account_credentials"].provided is True
    assert "hush" not in first.output + second.output


def test_object_that_is_not_json_is_refused_without_its_value(airflow, stitch):
    ran = destination(
        airflow,
        destination_type="bigquery_v2",
        credentials={"service_account_credentials": "{{ conn.vault.extra_dejson.key }}"},
    )

    assert ran.state == "failed"
    assert "'service_account_credentials' must be JSON" in ran.output
    assert "hush" not in ran.output
    assert requests_of(stitch, "POST") == []


# Values that Stitch stores in another type.


def test_property_that_the_report_card_calls_a_credential_is_not_compared(airflow, stitch):
    stitch.delete_destinations()
    options = {
        "destination_type": "snowflake",
        "properties": {**WAREHOUSE, "warehouse": "LOADING", "role": "STITCH"},
    }

    first, second = destination(airflow, **options), destination(airflow, **options)

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
def test_numbers_and_booleans_are_sent_as_the_report_card_asks(airflow, stitch, client, native, strict):
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
        },
        "credentials": {"password": "{{ conn.vault.password }}"},
    }

    for changed in (True, False):
        warehoused = destination(airflow, native=native, properties=warehouse)
        sourced = source(airflow, native=native, **database)
        assert [ran.state for ran in (warehoused, sourced)] == ["success", "success"]
        assert [bool(ran.xcom["task"]["changed"]) for ran in (warehoused, sourced)] == [changed, changed]
        stitch.advance(10)

    [destination_made], [source_made] = client.list_destinations(), client.list_sources()
    assert (destination_made.properties["port"], destination_made.properties["ssl"]) == ("5432", "true")
    shown = {name: source_made.properties[name] for name in ("port", "ssl", "frequency_in_minutes")}
    assert shown == {"port": "3306", "ssl": "true", "frequency_in_minutes": "60"}
    assert requests_of(stitch, "PUT") == []


def test_change_of_an_immutable_property_is_refused_and_others_are_sent(airflow, stitch):
    stitch.delete_destinations()
    stitch.quirks.immutable_properties = ("database",)
    destination(airflow)

    refused = destination(airflow, properties={**WAREHOUSE, "database": "other"})
    changed = destination(airflow, properties={**WAREHOUSE, "host": "new.acme.example"})

    assert refused.state == "failed"
    assert "cannot be changed after they are set: database" in refused.output
    assert changed.xcom["task"]["changed"] == ["host", "password", "port", "username"]


def test_properties_that_are_not_a_mapping_are_refused(airflow, stitch):
    ran = destination(airflow, properties="{{ {'host': 'a'} }}")

    assert ran.state == "failed"
    assert "properties must be a dict from names to values; they are of type str" in ran.output


# Completeness and access.


def test_sample_requests_of_the_documentation_are_created(airflow, stitch):
    stitch.delete_destinations()

    warehouse = destination(airflow)
    shop = source(
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
    wanted = {"fields": ["total"], "replication_method": "INCREMENTAL", "replication_key": "updated_at"}
    select = run(
        airflow, StitchSelectStreamsOperator, source="shop", streams={"shopdb-public-orders": wanted}
    )

    assert select.xcom["task"]["changes"]["orders"] == {
        "selected": True,
        "replication_method": "INCREMENTAL",
        "replication_key": "updated_at",
        "fields_selected": ["total"],
    }
    oauth = ["client_id", "client_secret", "redirect_uri", "refresh_token"]
    assert shop.xcom["task"]["missing_properties"] == {"oauth": oauth}


def test_incomplete_destination_is_reported_instead_of_waited_for(airflow, stitch):
    stitch.delete_destinations()
    partial = {"properties": {"host": "pg.acme.example"}}

    waiting = destination(airflow, **partial)
    not_waiting = destination(airflow, wait_for_check=False, **partial)
    complete = destination(airflow)

    assert (waiting.state, not_waiting.state, complete.state) == ("failed", "success", "success")
    assert "Missing properties: step form: database, port, username" in waiting.output
    assert not_waiting.xcom["task"]["missing_properties"] == {"form": ["database", "port", "username"]}
    assert not_waiting.xcom["task"]["changed"] == []
    assert requests_of(stitch, "POST") == ["/v4/destinations"]


def test_type_without_access_is_not_created(airflow, stitch):
    stitch.allow_source_type("platform.github", allowed=False)

    ran = source(airflow)

    assert ran.state == "failed"
    assert "NotInPlan: The plan of this Stitch account does not include sources of type" in ran.output
    assert requests_of(stitch, "POST") == []


# Several of one name.


def test_destination_with_the_lowest_id_is_used_and_the_others_are_reported(airflow, stitch):
    stitch.delete_destinations()
    numbers = [stitch.add_destination(name="Warehouse", properties=WAREHOUSE) for _ in range(2)]

    ran = destination(airflow)

    assert ran.xcom["task"]["destination_id"] == numbers[0]
    assert f"Warehouse ({numbers[0]}) and others of this name: Warehouse ({numbers[1]})" in ran.output
    assert "Delete the others in Stitch" in ran.output


def test_two_runs_at_once_end_with_one_destination(airflow, stitch, client, monkeypatch):
    """The other run creates its destination while this one is between its list and its creation."""
    stitch.delete_destinations()
    other = []
    create = StitchClient.create_destination

    def create_after_another(self, *args, **options):
        if not other:
            other.append(create(client, *args, **options).id)
        return create(self, *args, **options)

    monkeypatch.setattr(StitchClient, "create_destination", create_after_another)

    ran = destination(airflow)

    assert ran.state == "success"
    assert (ran.xcom["task"]["destination_id"], ran.xcom["task"]["created"]) == (other[0], False)
    assert [each.id for each in client.list_destinations()] == other


def test_limit_that_another_run_reached_is_no_failure(airflow, stitch, client, monkeypatch):
    stitch.delete_destinations()
    stitch.limit_destinations(1)
    create = StitchClient.create_destination
    once = threading.Lock()

    def create_after_another(self, *args, **options):
        if once.acquire(blocking=False):
            create(client, *args, **options)
        return create(self, *args, **options)

    monkeypatch.setattr(StitchClient, "create_destination", create_after_another)

    assert destination(airflow).xcom["task"]["created"] is False


def test_two_runs_at_once_end_with_one_source(airflow, stitch, client, monkeypatch):
    create = StitchClient.create_source
    once = threading.Lock()

    def create_after_another(self, *args, **options):
        if once.acquire(blocking=False):
            create(client, *args, **options)
        return create(self, *args, **options)

    monkeypatch.setattr(StitchClient, "create_source", create_after_another)

    ran = source(airflow)

    assert (ran.state, ran.xcom["task"]["created"]) == ("success", False)
    assert len(client.list_sources()) == 1


def test_name_of_another_source_stays_an_error(airflow, stitch):
    stitch.add_source("git_hub", display_name="Git  Hub!", streams={})

    ran = source(airflow, display_name="Git Hub")

    assert ran.state == "failed"
    assert "NameInUse" in ran.output


def test_names_that_native_rendering_turns_into_numbers_are_strings(airflow, stitch):
    stitch.delete_destinations()

    warehouse = destination(airflow, native=True, name="{{ 2024 }}", description="{{ 7 }}")
    again = destination(airflow, native=True, name="{{ 2024 }}")
    shop = source(airflow, native=True, display_name="s_{{ 1 }}", destination="{{ 2024 }}")

    assert [ran.state for ran in (warehouse, again, shop)] == ["success"] * 3
    assert (warehouse.xcom["task"]["destination_name"], again.xcom["task"]["created"]) == ("2024", False)
