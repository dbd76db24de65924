"""Tests for StitchCreateHookOperator, which creates a post-load hook only once."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.operators.stitch import StitchCreateHookOperator
from tests.support.leak_scan import assert_no_secrets_left

URL = "https://hooks.acme.example/stitch?key=hush%2Fhush+12345"


@pytest.fixture(autouse=True)
def webhook(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WEBHOOK", json.dumps({"conn_type": "generic", "password": URL}))


def create_hook(airflow, **options):
    with airflow.dag() as dag:
        StitchCreateHookOperator(
            task_id="hook", retries=0, **{"url": "{{ conn.webhook.password }}", "timeout": 1, **options}
        )
    return airflow.run(dag)


def creation_requests(stitch):
    return [request for request in stitch.requests if request.method == "POST"]


def hooks_of(stitch):
    return stitch._account.notifications.hooks


def test_hook_is_created_once(airflow, stitch):
    first, second = create_hook(airflow), create_hook(airflow)

    (hook,) = hooks_of(stitch).values()
    expected = {
        "hook_id": hook.id,
        "destination_id": hook.destination_id,
        "client_id": 104857,
        "enabled": True,
    }
    assert first.xcom["hook"] == {**expected, "created": True}
    assert second.xcom["hook"] == {**expected, "created": False}
    assert hook.url == URL
    assert len(creation_requests(stitch)) == 1
    for dag_run in (first, second):
        assert_no_secrets_left(dag_run, URL, marker="dag_")


@pytest.mark.parametrize("shown", ["created", "top", "config"])
def test_each_destination_has_its_own_hook_if_stitch_returns_its_id(airflow, stitch, shown):
    stitch.quirks.hook_destination = shown
    lake = stitch.add_destination("s3", name="Lake")
    other = create_hook(airflow, destination="Lake")

    dag_run = create_hook(airflow, destination=lake)

    assert other.xcom["hook"]["destination_id"] == lake
    assert (dag_run.xcom["hook"]["created"], dag_run.xcom["hook"]["hook_id"]) == (
        False,
        other.xcom["hook"]["hook_id"],
    )


def test_hook_with_another_url_is_left_alone(airflow, stitch):
    stitch.add_hook("https://hooks.acme.example/other")

    dag_run = create_hook(airflow)

    assert dag_run.xcom["hook"]["created"] is True
    assert len(hooks_of(stitch)) == 2


def test_disabled_hook_is_reported_and_left_disabled(airflow, stitch):
    create_hook(airflow)
    (hook,) = hooks_of(stitch).values()
    hook.disabled_at = hook.created_at

    dag_run = create_hook(airflow)

    assert (dag_run.xcom["hook"]["created"], dag_run.xcom["hook"]["enabled"]) == (False, False)
    assert "is disabled" in dag_run.output
    assert [request for request in stitch.requests if request.method == "PUT"] == []


def test_lost_response_creates_no_second_hook(airflow, stitch):
    stitch.fail("POST", "/hooks", times=1, status=502, after_effect=True)

    dag_run = create_hook(airflow)

    assert dag_run.xcom["hook"]["created"] is True
    assert len(hooks_of(stitch)) == 1


def test_newer_of_two_concurrently_created_hooks_is_deleted(airflow, stitch, monkeypatch):
    from airflow_provider_stitch.connect.client import StitchClient

    create = StitchClient.create_post_load_hook

    def create_after_another_task(self, url, destination_id):
        create(self, url, destination_id)
        return create(self, url, destination_id)

    monkeypatch.setattr(StitchClient, "create_post_load_hook", create_after_another_task)

    dag_run = create_hook(airflow)

    (hook,) = hooks_of(stitch).values()
    assert (dag_run.xcom["hook"]["created"], dag_run.xcom["hook"]["hook_id"]) == (False, hook.id)


@pytest.mark.parametrize(
    ("arrange", "options", "message"),
    [
        pytest.param(lambda s: s.allow_hooks(False), {}, "NotInPlan", id="not in the plan"),
        pytest.param(
            lambda s: None, {"destination": "Nowhere"}, "no destination 'Nowhere'", id="unknown destination"
        ),
        pytest.param(lambda s: s.delete_destinations(), {}, "has none", id="no destination"),
        pytest.param(
            lambda s: s.add_destination("s3", name="Lake"),
            {},
            "Set the argument destination",
            id="several destinations",
        ),
        pytest.param(
            lambda s: None, {"url": "http://acme.example/hush"}, "must begin with https://", id="plain HTTP"
        ),
        pytest.param(lambda s: None, {"url": "{{ '' }}"}, "The secret 'url' is empty", id="empty URL"),
    ],
)
def test_failed_creation_reports_the_reason(airflow, stitch, arrange, options, message):
    arrange(stitch)

    dag_run = create_hook(airflow, **options)

    assert dag_run.states == {"hook": "failed"}
    assert message in dag_run.output
    assert "hush" not in dag_run.output
    assert hooks_of(stitch) == {}
