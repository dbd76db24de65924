"""Test that StitchCreateAccountOperator never overwrites a connection that is already in use."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.operators._connections import store as connection_store
from tests.support.account_creation import (
    ACCOUNT_CREATED,
    PARTNER,
    REJECTIONS,
    SECRETS,
    TOKEN,
    create_account,
)
from tests.support.airflow_connections import (
    add_connection,
    delete_connection,
    hide_connection,
    stored_connection,
    update_connection,
)
from tests.support.leak_scan import assert_no_secrets_left

EXISTING = {
    "token": {"conn_type": "stitch", "login": "7", "password": "ac_of_tenant_7"},
    "another type": {"conn_type": "postgres", "host": "pg", "login": "stitch", "password": "pg_hush"},
    "partner credentials": {"conn_type": "stitch", "extra": json.dumps(PARTNER)},
    "account": {"conn_type": "stitch", "login": "7"},
}


@pytest.mark.parametrize(
    ("rejection", "is_kept"), [("bad request", False), ("email in use", True), ("server error", True)]
)
def test_reservation_is_deleted_if_no_account_was_created(
    airflow, stitch, new_id, storage, rejection, is_kept
):
    stitch.script(REJECTIONS[rejection])

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert stored_connection(new_id) == (("stitch", stitch.url, None, None) if is_kept else None)


@pytest.mark.parametrize("rejection", REJECTIONS)
def test_connection_reserved_by_a_user_is_never_deleted(airflow, stitch, new_id, storage, rejection):
    add_connection(new_id, conn_type="stitch", extra='{"request_timeout": 60}')
    stitch.script(REJECTIONS[rejection])

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert stored_connection(new_id) == ("stitch", None, None, None)


@pytest.mark.parametrize("kind", EXISTING)
@pytest.mark.parametrize("rejection", [*REJECTIONS, None])
def test_connection_hidden_by_a_failed_lookup_is_not_overwritten(
    airflow, stitch, new_id, storage, monkeypatch, kind, rejection
):
    add_connection(new_id, **EXISTING[kind])
    existing = stored_connection(new_id)
    if rejection is not None:
        stitch.script(REJECTIONS[rejection])
    hide_connection(new_id, monkeypatch)

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert stored_connection(new_id) == existing
    assert stitch.requests == []


@pytest.mark.parametrize("kind", ["another type", "partner credentials", "account"])
def test_connection_in_other_use_is_not_overwritten(airflow, stitch, new_id, storage, kind):
    add_connection(new_id, **EXISTING[kind])
    existing = stored_connection(new_id)

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert stored_connection(new_id) == existing
    assert stitch.requests == []


def test_connection_reserved_for_another_email_is_rejected(airflow, stitch, new_id, storage):
    stitch.script(REJECTIONS["server error"])
    create_account(airflow, connection_id=new_id, **storage)
    existing = stored_connection(new_id)

    dag_run = create_account(airflow, connection_id=new_id, **{**storage, "user_email": "bob@acme.example"})
    again = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert "reserved for the account of another user_email" in dag_run.output
    assert stored_connection(new_id) == existing
    assert "HTTP 500" in again.output, "the second run uses the reservation of the first one"
    assert len(stitch.requests) == 2


def test_no_account_is_created_if_airflow_rejects_the_connection_id(airflow, stitch, storage):
    dag_run = create_account(airflow, connection_id="tenant with spaces", **storage)

    assert dag_run.states == {"create": "failed"}
    assert "only connection ids of" in dag_run.output
    assert stitch.requests == []


def test_no_account_is_created_if_a_variable_would_hide_the_token(
    airflow, stitch, new_id, storage, monkeypatch
):
    monkeypatch.setenv(f"AIRFLOW_CONN_{new_id.upper()}", json.dumps({"conn_type": "stitch"}))

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert "would hide the token" in dag_run.output
    assert stored_connection(new_id) is None
    assert stitch.requests == []


def test_variable_that_hides_the_stored_token_is_reported(airflow, stitch, new_id, storage, monkeypatch):
    other = json.dumps({"conn_type": "stitch", "password": "ac_other"})

    def create(connection):
        monkeypatch.setenv(f"AIRFLOW_CONN_{new_id.upper()}", other)
        connection.sendall(ACCOUNT_CREATED)

    stitch.script(create)

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert f"AIRFLOW_CONN_{new_id.upper()}" in dag_run.output
    assert stored_connection(new_id) == ("stitch", stitch.url, "104857", TOKEN)
    assert_no_secrets_left(dag_run, *SECRETS, marker="tenant_")


def test_token_stored_by_a_concurrent_run_is_not_overwritten(airflow, stitch, new_id, storage):
    """Two concurrent DAG runs find no existing connection.

    While Stitch creates an account for the first run, the second run stores a token.
    """

    def create(connection):
        update_connection(new_id, login="7", password="ac_of_tenant_7")
        connection.sendall(ACCOUNT_CREATED)

    stitch.script(create)

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.states == {"create": "failed"}
    assert "Stitch account 104857 has a token that could not be stored" in dag_run.output
    assert stored_connection(new_id)[2:] == ("7", "ac_of_tenant_7")


def test_deleted_reservation_is_created_again(airflow, stitch, new_id, storage):
    def create(connection):
        delete_connection(new_id)
        connection.sendall(ACCOUNT_CREATED)

    stitch.script(create)

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert dag_run.state == "success"
    assert stored_connection(new_id) == ("stitch", stitch.url, "104857", TOKEN)


@pytest.mark.parametrize("response", [ACCOUNT_CREATED, *REJECTIONS.values()], ids=["created", *REJECTIONS])
def test_token_in_an_unreadable_vault_is_not_overwritten(
    airflow, stitch, vault, new_id, monkeypatch, response
):
    monkeypatch.setattr(connection_store, "LOOKUP_TIMEOUT", 0.0)
    existing = json.dumps({"conn_type": "stitch", "login": "7", "password": "ac_of_tenant_7"})
    vault.write(new_id, existing)
    vault.seal()
    stitch.script(response)

    dag_run = create_account(airflow, connection_id=new_id, store=vault.write)

    assert dag_run.states == {"create": "failed"}
    assert "could not be looked up" in dag_run.output
    assert vault.read(new_id) == existing
    assert stitch.requests == []


def test_no_account_is_created_if_the_connection_has_a_token(airflow, stitch, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TENANT", json.dumps({"conn_type": "stitch", "password": "ac_there"}))

    dag_run = create_account(airflow, connection_id="tenant", store=lambda *_: None)

    assert dag_run.xcom["create"] == {"stitch_account_id": None, "connection_id": "tenant", "created": False}
    assert stitch.requests == []


def test_store_function_is_not_called_for_a_connection_of_another_type(airflow, stitch, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TENANT", json.dumps({"conn_type": "postgres"}))

    dag_run = create_account(
        airflow, connection_id="tenant", store=lambda *_: pytest.fail("the connection was overwritten")
    )

    assert dag_run.states == {"create": "failed"}
    assert "of type postgres" in dag_run.output
    assert stitch.requests == []
