"""Tests for StitchCreateAccountOperator, which creates an account and stores its token."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from airflow_provider_stitch.operators import _token_storage as token_storage
from airflow_provider_stitch.operators._connections import store as connection_store
from airflow_provider_stitch.operators.stitch import StitchCreateAccountOperator
from tests.connect.scripted_server import http_response
from tests.support.account_creation import (
    ACCOUNT_CREATED,
    CUSTOMER,
    REJECTIONS,
    SECRETS,
    TOKEN,
    create_account,
)
from tests.support.airflow_connections import ON_AIRFLOW_2, ON_AIRFLOW_3, stored_connection
from tests.support.fake_vault import Vault
from tests.support.leak_scan import assert_no_secrets_left


def retry_without_pauses(monkeypatch):
    policy = token_storage.retry_policy
    monkeypatch.setattr(token_storage, "retry_policy", lambda limit: policy(limit, sleep=lambda _: None))


@ON_AIRFLOW_2
def test_task_stores_token_in_the_database_on_airflow_2(airflow, stitch, new_id):
    dag_run = create_account(airflow, connection_id=new_id)

    assert dag_run.state == "success"
    assert dag_run.xcom["create"] == {
        "stitch_account_id": 104857,
        "connection_id": new_id,
        "created": True,
    }
    assert stored_connection(new_id) == ("stitch", stitch.url, "104857", TOKEN)
    assert_no_secrets_left(dag_run, *SECRETS, marker="tenant_")


def test_email_in_use_error_names_the_attach_operator(airflow, stitch, new_id, storage):
    stitch.script(REJECTIONS["email in use"])

    dag_run = create_account(airflow, connection_id=new_id, **storage)

    assert "EmailInUse" in dag_run.output
    assert "StitchAttachAccountOperator" in dag_run.output


# SIGTERM is not tested, because Airflow replaces the handler for SIGTERM.
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGALRM])
def test_signal_is_handled_after_the_token_is_stored(airflow, stitch, new_id, storage, signal_number):
    stored_at_signal = []
    previous_handler = signal.signal(
        signal_number, lambda *_: stored_at_signal.append(stored_connection(new_id))
    )

    def create(connection):
        signal.pthread_kill(threading.main_thread().ident, signal_number)
        connection.sendall(ACCOUNT_CREATED)

    stitch.script(create)
    try:
        dag_run = create_account(airflow, connection_id=new_id, **storage)
    finally:
        signal.signal(signal_number, previous_handler)

    assert dag_run.state == "success"
    assert stored_at_signal == [("stitch", stitch.url, "104857", TOKEN)]


def test_storing_is_retried_until_it_succeeds(airflow, stitch, vault, new_id, monkeypatch):
    attempts = []
    retry_without_pauses(monkeypatch)

    def store(conn_id, text):
        if "password" in text:
            attempts.append(conn_id)
            if len(attempts) < 4:
                raise PermissionError(text)
        vault.write(conn_id, text)

    dag_run = create_account(airflow, connection_id=new_id, store=store)

    assert dag_run.state == "success"
    assert json.loads(vault.read(new_id))["password"] == TOKEN
    assert_no_secrets_left(dag_run, *SECRETS, marker="tenant_")


@ON_AIRFLOW_3
def test_no_account_is_created_without_token_storage_on_airflow_3(airflow, stitch, new_id):
    dag_run = create_account(airflow, connection_id=new_id)

    assert dag_run.states == {"create": "failed"}
    assert "airflow_api_conn_id" in dag_run.output
    assert "No account was created" in dag_run.output
    assert stitch.requests == []


@ON_AIRFLOW_3
def test_token_is_stored_once_through_airflows_rest_api(airflow, stitch, api_connection, new_id):
    stitch.script(http_response({"code": "ExistingUser", "message": "in use"}, 400), ACCOUNT_CREATED)
    rejected = create_account(airflow, connection_id=new_id, airflow_api_conn_id=api_connection)
    reserved = stored_connection(new_id)
    first = create_account(airflow, connection_id=new_id, airflow_api_conn_id=api_connection)
    second = create_account(airflow, connection_id=new_id, airflow_api_conn_id=api_connection)

    assert [dag_run.state for dag_run in (rejected, first, second)] == ["failed", "success", "success"]
    assert reserved == ("stitch", stitch.url, None, None), "the reservation stays if the email is in use"
    assert stored_connection(new_id) == ("stitch", stitch.url, "104857", TOKEN)
    assert first.xcom["create"]["created"] is True
    assert second.xcom["create"] == {
        "stitch_account_id": 104857,
        "connection_id": new_id,
        "created": False,
    }
    assert len(stitch.requests) == 2
    assert_no_secrets_left(first, *SECRETS, marker="tenant_")


def test_store_function_receives_probe_and_then_token(airflow, stitch, vault, new_id):
    writes = []

    def store(conn_id, text):
        writes.append((conn_id, json.loads(text)))
        vault.write(conn_id, text)

    dag_run = create_account(airflow, connection_id=new_id, store=store)

    assert dag_run.state == "success"
    assert [conn_id for conn_id, _ in writes] == [f"{new_id}__probe", new_id]
    probe, filled = (fields for _, fields in writes)
    assert "password" not in probe
    assert (filled["login"], filled["password"], filled["host"]) == ("104857", TOKEN, stitch.url)
    assert_no_secrets_left(dag_run, *SECRETS, marker="tenant_")


def test_no_account_is_created_if_the_store_function_fails(airflow, stitch, new_id):
    def store(conn_id, text):
        raise PermissionError("this vault is read-only")

    dag_run = create_account(airflow, connection_id=new_id, store=store)

    assert dag_run.states == {"create": "failed"}
    assert "read-only" in dag_run.output
    assert stitch.requests == []


def test_no_account_is_created_if_airflow_does_not_find_the_probe(
    airflow, stitch, tmp_path, new_id, monkeypatch
):
    monkeypatch.setattr(connection_store, "LOOKUP_TIMEOUT", 0.0)

    dag_run = create_account(airflow, connection_id=new_id, store=Vault(tmp_path).write)

    assert dag_run.states == {"create": "failed"}
    assert "Airflow does not find it" in dag_run.output
    assert stitch.requests == []


def test_storing_failure_is_reported_without_the_token(airflow, stitch, vault, new_id, monkeypatch):
    def store(conn_id, text):
        if "password" in text:
            raise RuntimeError(text)
        vault.write(conn_id, text)

    monkeypatch.setattr(token_storage, "STORING_TIMEOUT", 0.0)

    dag_run = create_account(airflow, connection_id=new_id, store=store)

    assert dag_run.states == {"create": "failed"}
    assert "Stitch account 104857 has a token that could not be stored" in dag_run.output
    assert "Create an API access key in that account" in dag_run.output
    assert vault.connections == {f"{new_id}__probe"}
    assert_no_secrets_left(dag_run, *SECRETS, marker="tenant_")


def test_two_ways_of_storing_the_token_are_rejected():
    with pytest.raises(ValueError, match="not both"):
        StitchCreateAccountOperator(
            task_id="create", connection_id="a", airflow_api_conn_id="b", store=print, **CUSTOMER
        )


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"host": "http://airflow.example:8080"}, id="plain HTTP"),
        pytest.param({"host": "airflow.example", "schema": "http"}, id="plain HTTP in two fields"),
        pytest.param({}, id="no address"),
    ],
)
def test_rest_api_over_plain_http_is_rejected(airflow, stitch, monkeypatch, new_id, fields):
    api = {"conn_type": "http", "login": "ada", "password": "a", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(api))

    dag_run = create_account(airflow, connection_id=new_id, airflow_api_conn_id="airflow_api")

    assert dag_run.states == {"create": "failed"}
    assert "must be an https:// address" in dag_run.output
    assert stitch.requests == []
