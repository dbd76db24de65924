"""Test setup operators that run again after a failed connection check, or at the same time as another run."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import CheckPlan
from tests.support.setup_runs import (
    GITHUB,
    WAREHOUSE,
    create_destination,
    create_source,
    requests_of,
)

FAILED = CheckPlan(discovery_exit_status=1, discovery_error_message="password authentication failed")


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
    stitch.quirks.failed_check_resets_step = steps_back
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


def test_failed_check_of_a_task_without_properties_fails_it(airflow, stitch, client):
    destination_id = create_destination(airflow).xcom["task"]["destination_id"]
    stitch.plan_destination_check(FAILED, destination_id)
    client.update_destination(destination_id, {"password": "hush-wrong"})
    stitch.advance(10)

    dag_run = create_destination(airflow, properties=None, credentials=None)

    assert dag_run.state == "failed"
    assert "password authentication failed" in dag_run.output
    assert len(requests_of(stitch, "PUT")) == 1


def test_failed_check_counts_if_wait_for_check_is_false(airflow, stitch):
    stitch.delete_destinations()
    stitch.plan_destination_check(FAILED)
    create_destination(airflow, wait_for_check=False)
    stitch.advance(10)

    dag_run = create_destination(airflow, wait_for_check=False)

    assert (dag_run.state, len(dag_run.xcom["task"]["changed"])) == ("success", 5)


@pytest.mark.parametrize("steps_back", [False, True], ids=["stays connected", "steps back"])
def test_source_is_sent_again_if_its_last_check_failed(airflow, stitch, client, steps_back):
    stitch.quirks.failed_check_resets_step = steps_back
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


def test_lowest_id_wins_among_destinations_of_one_name(airflow, stitch):
    stitch.delete_destinations()
    ids = [stitch.add_destination(name="Warehouse", properties=WAREHOUSE) for _ in range(2)]

    dag_run = create_destination(airflow)

    assert dag_run.xcom["task"]["destination_id"] == ids[0]
    assert f"Warehouse ({ids[0]}) and others with the same name: Warehouse ({ids[1]})" in dag_run.output
    assert "Delete the others in Stitch" in dag_run.output


def test_concurrent_runs_end_with_one_destination(airflow, stitch, client, monkeypatch):
    """The other run creates the destination after this run has listed all destinations."""
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
