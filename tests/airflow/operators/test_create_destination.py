"""Tests for StitchCreateDestinationOperator."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.emulator import CheckPlan
from tests.support.leak_scan import assert_no_secrets_left
from tests.support.setup_runs import WAREHOUSE, create_destination, requests_of

SECRET = "ghp_hush-hush-1234567890"


@pytest.fixture(autouse=True)
def vault(monkeypatch):
    """Add an Airflow connection that contains a secret."""
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", json.dumps({"conn_type": "generic", "password": SECRET}))


def test_destination_is_created_once_and_checked(airflow, stitch):
    stitch.delete_destinations()

    first = create_destination(airflow)
    second = create_destination(airflow)

    created = first.xcom["task"]
    assert (first.state, second.state) == ("success", "success")
    assert (created["destination_name"], created["created"]) == ("Warehouse", True)
    assert "Stitch can connect to destination Warehouse" in first.output
    assert created["current_step"] == "fully_configured"
    assert second.xcom["task"] == {**created, "created": False, "changed": []}
    assert requests_of(stitch, "POST") == ["/v4/destinations"]
    assert requests_of(stitch, "PUT") == []
    assert_no_secrets_left(first, SECRET, marker="dag_")


def test_task_fails_if_stitch_cannot_connect_to_the_destination(airflow, stitch):
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


def test_name_of_another_destination_type_is_rejected(airflow, stitch):
    dag_run = create_destination(airflow, name="Staging", destination_type="snowflake")

    assert dag_run.states == {"task": "failed"}
    assert "is of type postgres, not snowflake" in dag_run.output
    assert requests_of(stitch, "POST") == requests_of(stitch, "PUT") == []


def test_wait_for_check_false_ignores_a_failing_check(airflow, stitch):
    stitch.delete_destinations()
    stitch.plan_destination_check(CheckPlan(discovery_exit_status=1))

    dag_run = create_destination(airflow, wait_for_check=False)

    assert dag_run.state == "success"
