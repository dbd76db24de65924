"""Operators that create sources and destinations, in a real Airflow, against the emulator."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import CheckPlan
from airflow_provider_stitch.operators._masking import rendered_secrets
from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
)
from tests.airflow.test_secret_leaks import left_behind

GITHUB = {"repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
WAREHOUSE = {"host": "pg.acme.example", "port": "5432", "database": "dwh", "username": "stitch"}
SECRET = "ghp_hush-hush-1234567890"


@pytest.fixture(autouse=True)
def vault(monkeypatch):
    """An Airflow connection that holds the secret."""
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", json.dumps({"conn_type": "generic", "password": SECRET}))


def create_source(airflow, **options):
    options = {
        "source_type": "platform.github",
        "display_name": "GitHub",
        "properties": GITHUB,
        "credentials": {"access_token": "{{ conn.vault.password }}"},
        "timeout": 5,
        **options,
    }
    with airflow.dag() as dag:
        StitchCreateSourceOperator(task_id="task", retries=0, **options)
    return airflow.run(dag)


def create_destination(airflow, **options):
    options = {
        "destination_type": "postgres",
        "name": "Warehouse",
        "properties": WAREHOUSE,
        "credentials": {"password": "{{ conn.vault.password }}"},
        "poll_interval": 0.05,
        "timeout": 30,
        **options,
    }
    with airflow.dag() as dag:
        StitchCreateDestinationOperator(task_id="task", retries=0, **options)
    return airflow.run(dag)


def sent(stitch, method):
    return [request.path for request in stitch.requests if request.method == method]


def leaves_no_trace(ran):
    assert SECRET not in ran.output
    remains = left_behind()
    assert b"dag_" in remains, "the database was looked at"
    assert SECRET.encode() not in remains
    return True


def test_a_source_is_created_once(airflow, stitch):
    first = create_source(airflow)
    second = create_source(airflow)

    found = first.xcom["task"]
    assert (first.state, second.state) == ("success", "success")
    assert (found["source_name"], found["created"]) == ("github", True)
    assert found["changed"] == ["access_token", "repository", "start_date"]
    assert found["url"].endswith(f"/sources/{found['source_id']}/summary")
    assert found["checked_after"].endswith("Z")
    assert (second.xcom["task"]["source_id"], second.xcom["task"]["created"]) == (found["source_id"], False)
    assert sent(stitch, "POST") == ["/v4/sources"]
    assert leaves_no_trace(first)


def test_a_source_that_is_connected_is_sent_only_what_differs(airflow, stitch):
    create_source(airflow)
    stitch.advance(10)

    same = create_source(airflow)
    other = create_source(airflow, properties={**GITHUB, "repository": "acme/billing"})

    assert same.xcom["task"]["changed"] == []
    assert other.xcom["task"]["changed"] == ["access_token", "repository", "start_date"]
    assert len(sent(stitch, "PUT")) == 1
    [source] = StitchClient(stitch.access_token, base_url=stitch.url).list_sources()
    assert source.properties["repository"] == "acme/billing"


def test_a_source_that_could_not_be_connected_is_sent_all_again(airflow, stitch):
    stitch.plan_new_sources("platform.github", check=CheckPlan(discovery_exit_status=1))
    create_source(airflow)
    stitch.advance(10)

    again = create_source(airflow)

    assert again.xcom["task"]["created"] is False
    assert again.xcom["task"]["changed"] == ["access_token", "repository", "start_date"]
    assert again.xcom["task"]["current_step"] == "discover_schema"


def test_incomplete_source_is_created_and_completed_by_a_later_run(airflow, stitch):
    first = create_source(airflow, properties={"repository": "acme/shop"}, credentials=None)
    second = create_source(airflow, properties={"repository": "acme/shop"}, credentials=None)
    third = create_source(airflow)

    assert (first.state, second.state, third.state) == ("success", "success", "success")
    assert first.xcom["task"]["missing_properties"] == {"form": ["access_token", "start_date"]}
    assert "Missing properties: step form: access_token, start_date. Add them to" in first.output
    assert second.xcom["task"]["changed"] == []
    assert third.xcom["task"]["changed"] == ["access_token", "repository", "start_date"]
    assert third.xcom["task"]["missing_properties"] == {}
    assert third.xcom["task"]["current_step"] == "discover_schema"
    assert [sent(stitch, method) for method in ("POST", "PUT")] == [
        ["/v4/sources"],
        [f"/v4/sources/{first.xcom['task']['source_id']}"],
    ]


def test_a_display_name_of_another_type_is_refused(airflow, stitch):
    stitch.add_source("github", display_name="GitHub", type="platform.hubspot", streams={"a": 1})

    ran = create_source(airflow)

    assert ran.states == {"task": "failed"}
    assert "is of type platform.hubspot" in ran.output
    assert sent(stitch, "POST") == sent(stitch, "PUT") == []


def test_a_source_goes_to_the_destination_that_is_named(airflow, stitch):
    other = stitch.add_destination("snowflake")
    [name] = [
        each.name
        for each in StitchClient(stitch.access_token, base_url=stitch.url).list_destinations()
        if each.id == other
    ]

    ran = create_source(airflow, destination=name)
    again = create_source(airflow, destination=f"{{{{ {other} }}}}")

    source_id = ran.xcom["task"]["source_id"]
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    assert [each.id for each in client.list_destinations(source_id=source_id)] == [other]
    assert again.state == "success"


def test_an_unknown_destination_is_refused_with_candidates(airflow, stitch):
    ran = create_source(airflow, destination="Nowhere")

    assert ran.states == {"task": "failed"}
    assert "no destination 'Nowhere'. It has: Staging (155901)" in ran.output
    assert sent(stitch, "POST") == []


def test_an_empty_secret_is_refused(airflow, stitch):
    ran = create_source(airflow, credentials={"access_token": "{{ '' }}"})

    assert ran.states == {"task": "failed"}
    assert "The secret 'access_token' is empty" in ran.output
    assert sent(stitch, "POST") == []


# Destinations.


def test_a_destination_is_created_once_and_checked(airflow, stitch):
    stitch.delete_destinations()

    first = create_destination(airflow)
    second = create_destination(airflow)

    found = first.xcom["task"]
    assert (first.state, second.state) == ("success", "success")
    assert (found["destination_name"], found["created"]) == ("Warehouse", True)
    assert "Stitch can connect to destination Warehouse" in first.output
    assert found["current_step"] == "fully_configured"
    assert second.xcom["task"] == {**found, "created": False, "changed": []}
    assert sent(stitch, "POST") == ["/v4/destinations"]
    assert sent(stitch, "PUT") == []
    assert leaves_no_trace(first)


def test_a_destination_that_stitch_cannot_connect_to_fails_the_task(airflow, stitch):
    failing = CheckPlan(discovery_exit_status=1, discovery_error_message="no such host")
    stitch.delete_destinations()
    stitch.plan_destination_check(failing)

    first = create_destination(airflow)
    stitch.plan_destination_check(CheckPlan())
    second = create_destination(airflow, properties={**WAREHOUSE, "host": "right.acme.example"})

    assert first.states == {"task": "failed"}
    assert "ConnectionCheckFailed" in first.output
    assert "no such host" in first.output
    assert (second.state, second.xcom["task"]["created"]) == ("success", False)


def test_a_destination_of_another_type_is_refused(airflow, stitch):
    ran = create_destination(airflow, name="Staging", destination_type="snowflake")

    assert ran.states == {"task": "failed"}
    assert "is of type postgres, not snowflake" in ran.output
    assert sent(stitch, "POST") == sent(stitch, "PUT") == []


def test_a_destination_need_not_be_waited_for(airflow, stitch):
    stitch.delete_destinations()
    stitch.plan_destination_check(CheckPlan(discovery_exit_status=1))

    ran = create_destination(airflow, wait_for_check=False)

    assert ran.state == "success"


def test_what_a_secret_renders_to_is_masked_wherever_airflow_shows_it(airflow):
    from airflow.providers.common.compat.sdk import redact

    with airflow.dag(user_defined_macros={"secret": "macro-hush-1234567890"}) as dag:
        task = StitchCreateSourceOperator(task_id="task", source_type="a", display_name="a")
    assert dag.task_dict["task"] is task

    rendered = rendered_secrets(task, {"password": "{{ secret }}"}, {})

    assert rendered == {"password": "macro-hush-1234567890"}
    assert redact("it is macro-hush-1234567890") == "it is ***"
