"""StitchCreateHookOperator in a real Airflow, against the emulator: a post-load hook is created once."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.operators.stitch import StitchCreateHookOperator
from tests.airflow.test_secret_leaks import left_behind
from tests.support.secret_encodings import find_encodings

URL = "https://hooks.acme.example/stitch?key=hush%2Fhush+12345"


@pytest.fixture(autouse=True)
def webhook(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WEBHOOK", json.dumps({"conn_type": "generic", "password": URL}))


def run(airflow, **options):
    with airflow.dag() as dag:
        StitchCreateHookOperator(
            task_id="hook", retries=0, **{"url": "{{ conn.webhook.password }}", "timeout": 1, **options}
        )
    return airflow.run(dag)


def created_hooks(stitch):
    return [request for request in stitch.requests if request.method == "POST"]


def hooks_of(stitch):
    return stitch._account.notifications.hooks


def test_a_hook_is_created_once(airflow, stitch):
    first, second = run(airflow), run(airflow)

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
    assert len(created_hooks(stitch)) == 1
    for ran in (first, second):
        assert find_encodings(URL, ran.output.encode()) == []
    assert find_encodings(URL, left_behind()) == []


@pytest.mark.parametrize("shown", ["created", "top", "config"])
def test_each_destination_has_a_hook_of_its_own_where_stitch_names_them(airflow, stitch, shown):
    stitch.quirks.hook_destination = shown
    lake = stitch.add_destination("s3", name="Lake")
    other = run(airflow, destination="Lake")

    ran = run(airflow, destination=lake)

    assert other.xcom["hook"]["destination_id"] == lake
    assert (ran.xcom["hook"]["created"], ran.xcom["hook"]["hook_id"]) == (
        False,
        other.xcom["hook"]["hook_id"],
    )


def test_another_hook_of_the_account_is_left_alone(airflow, stitch):
    stitch.add_hook("https://hooks.acme.example/other")

    ran = run(airflow)

    assert ran.xcom["hook"]["created"] is True
    assert len(hooks_of(stitch)) == 2


def test_a_disabled_hook_is_reported_and_left_disabled(airflow, stitch):
    run(airflow)
    (hook,) = hooks_of(stitch).values()
    hook.disabled_at = hook.created_at

    ran = run(airflow)

    assert (ran.xcom["hook"]["created"], ran.xcom["hook"]["enabled"]) == (False, False)
    assert "is disabled" in ran.output
    assert [request for request in stitch.requests if request.method == "PUT"] == []


def test_a_lost_response_creates_no_second_hook(airflow, stitch):
    stitch.fail("POST", "/hooks", times=1, status=502, after_effect=True)

    ran = run(airflow)

    assert ran.xcom["hook"]["created"] is True
    assert len(hooks_of(stitch)) == 1


def test_the_younger_of_two_hooks_that_were_created_at_once_is_deleted(airflow, stitch, monkeypatch):
    from airflow_provider_stitch.connect.client import StitchClient

    create = StitchClient.create_post_load_hook

    def create_after_another_task(self, url, destination_id):
        create(self, url, destination_id)
        return create(self, url, destination_id)

    monkeypatch.setattr(StitchClient, "create_post_load_hook", create_after_another_task)

    ran = run(airflow)

    (hook,) = hooks_of(stitch).values()
    assert (ran.xcom["hook"]["created"], ran.xcom["hook"]["hook_id"]) == (False, hook.id)


@pytest.mark.parametrize(
    ("arrange", "options", "words"),
    [
        pytest.param(lambda s: s.allow_hooks(False), {}, "NotInPlan", id="not in the plan"),
        pytest.param(lambda s: None, {"destination": "Nowhere"}, "no destination 'Nowhere'", id="unknown"),
        pytest.param(lambda s: s.delete_destinations(), {}, "has none", id="no destination"),
        pytest.param(
            lambda s: s.add_destination("s3", name="Lake"), {}, "Name the destination", id="several"
        ),
        pytest.param(lambda s: None, {"url": "http://acme.example/hush"}, "must be an https://", id="HTTP"),
        pytest.param(lambda s: None, {"url": "{{ '' }}"}, "The secret 'url' is empty", id="empty"),
    ],
)
def test_a_hook_that_cannot_be_created_says_why(airflow, stitch, arrange, options, words):
    arrange(stitch)

    ran = run(airflow, **options)

    assert ran.states == {"hook": "failed"}
    assert words in ran.output
    assert "hush" not in ran.output
    assert hooks_of(stitch) == {}
