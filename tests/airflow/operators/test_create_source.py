"""Tests for StitchCreateSourceOperator."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import CheckPlan
from tests.support.leak_scan import assert_no_secrets_left
from tests.support.setup_runs import GITHUB, create_source, requests_of

SECRET = "ghp_hush-hush-1234567890"


@pytest.fixture(autouse=True)
def vault(monkeypatch):
    """Add an Airflow connection that contains a secret."""
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", json.dumps({"conn_type": "generic", "password": SECRET}))


def test_source_is_created_once(airflow, stitch):
    first = create_source(airflow)
    second = create_source(airflow)

    created = first.xcom["task"]
    assert (first.state, second.state) == ("success", "success")
    assert (created["source_name"], created["created"]) == ("github", True)
    assert created["changed"] == ["access_token", "repository", "start_date"]
    assert created["url"].endswith(f"/sources/{created['source_id']}/summary")
    assert created["checked_after"].endswith("Z")
    assert (second.xcom["task"]["source_id"], second.xcom["task"]["created"]) == (created["source_id"], False)
    assert requests_of(stitch, "POST") == ["/v4/sources"]
    assert_no_secrets_left(first, SECRET, marker="dag_")


def test_connected_source_is_updated_only_if_properties_differ(airflow, stitch):
    create_source(airflow)
    stitch.advance(10)

    unchanged = create_source(airflow)
    changed = create_source(airflow, properties={**GITHUB, "repository": "acme/billing"})

    assert unchanged.xcom["task"]["changed"] == []
    assert changed.xcom["task"]["changed"] == ["access_token", "repository", "start_date"]
    assert len(requests_of(stitch, "PUT")) == 1
    [source] = StitchClient(stitch.access_token, base_url=stitch.url).list_sources()
    assert source.properties["repository"] == "acme/billing"


def test_source_is_sent_again_after_a_failed_check(airflow, stitch):
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
    assert [requests_of(stitch, method) for method in ("POST", "PUT")] == [
        ["/v4/sources"],
        [f"/v4/sources/{first.xcom['task']['source_id']}"],
    ]


def test_display_name_of_another_source_type_is_rejected(airflow, stitch):
    stitch.add_source("github", display_name="GitHub", type="platform.hubspot", streams={"a": 1})

    dag_run = create_source(airflow)

    assert dag_run.states == {"task": "failed"}
    assert "is of type platform.hubspot" in dag_run.output
    assert requests_of(stitch, "POST") == requests_of(stitch, "PUT") == []


def test_source_uses_the_named_destination(airflow, stitch):
    other = stitch.add_destination("snowflake")
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    [name] = [each.name for each in client.list_destinations() if each.id == other]

    dag_run = create_source(airflow, destination=name)
    again = create_source(airflow, destination=f"{{{{ {other} }}}}")

    source_id = dag_run.xcom["task"]["source_id"]
    assert [each.id for each in client.list_destinations(source_id=source_id)] == [other]
    assert again.state == "success"


def test_unknown_destination_is_rejected_with_candidates(airflow, stitch):
    dag_run = create_source(airflow, destination="Nowhere")

    assert dag_run.states == {"task": "failed"}
    assert "no destination 'Nowhere'. It has: Staging (155901)" in dag_run.output
    assert requests_of(stitch, "POST") == []


def test_empty_secret_is_rejected(airflow, stitch):
    dag_run = create_source(airflow, credentials={"access_token": "{{ '' }}"})

    assert dag_run.states == {"task": "failed"}
    assert "The secret 'access_token' is empty" in dag_run.output
    assert requests_of(stitch, "POST") == []
