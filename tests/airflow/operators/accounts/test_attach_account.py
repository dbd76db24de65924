"""Tests for StitchAttachAccountOperator, which stores the token of an existing account as a connection."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.hooks.stitch import StitchHook
from airflow_provider_stitch.operators import _token_storage as token_storage
from airflow_provider_stitch.operators.stitch import StitchAttachAccountOperator
from tests.support.leak_scan import assert_no_secrets_left
from tests.support.secret_encodings import ENCODING_SENSITIVE_TOKEN


@pytest.fixture
def stitch(monkeypatch):
    # The emulator's clock runs at normal speed, because an authorization code expires after five minutes.
    with StitchEmulator(access_token=ENCODING_SENSITIVE_TOKEN) as stitch:
        extra = {"partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret}
        partner = {"conn_type": "stitch", "host": stitch.url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_PARTNER", json.dumps(partner))
        token_connection = {"conn_type": "generic", "password": stitch.access_token}
        monkeypatch.setenv("AIRFLOW_CONN_TOKEN", json.dumps(token_connection))
        yield stitch


def attach_account(airflow, vault, **options):
    with airflow.dag() as dag:
        StitchAttachAccountOperator(
            task_id="attach",
            retries=0,
            timeout=1,
            **{
                "connection_id": "tenant",
                "stitch_conn_id": "partner",
                "store": vault.write,
                **options,
            },
        )
    return airflow.run(dag)


def given_token(stitch):
    return {"access_token": "{{ conn.token.password }}", "base_url": stitch.url}


def test_authorization_url_has_the_documented_parameters(stitch):
    url = StitchHook("partner").partner.authorization_url(
        redirect_uri="https://acme.example/stitch?x=1", email="ada+1@acme.example", company="Acme & Co"
    )

    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://app.stitchdata.com/oauth/authorization"
    assert parse_qs(parts.query) == {
        "client_id": [stitch.partner_id],
        "redirect_uri": ["https://acme.example/stitch?x=1"],
        "email": ["ada+1@acme.example"],
        "company": ["Acme & Co"],
    }


def test_code_is_exchanged_for_a_token_once(airflow, stitch, vault):
    code = stitch.add_oauth_code()

    first = attach_account(airflow, vault, code=code)
    again = attach_account(airflow, vault, code=code)

    stored = json.loads(vault.read("tenant"))
    assert (stored["conn_type"], stored["login"], stored["host"]) == ("stitch", "104857", stitch.url)
    with StitchHook("tenant").client as client:
        assert client.list_destinations()
    expected = {"stitch_account_id": 104857, "connection_id": "tenant"}
    assert first.xcom["attach"] == {**expected, "attached": True}
    assert again.xcom["attach"] == {**expected, "attached": False}
    assert_no_secrets_left(first, stored["password"], code, marker="attach")


def test_given_token_is_stored(airflow, stitch, vault):
    dag_run = attach_account(airflow, vault, **given_token(stitch))

    stored = json.loads(vault.read("tenant"))
    assert (stored["login"], stored["password"]) == ("104857", stitch.access_token)
    assert dag_run.xcom["attach"]["attached"] is True
    assert_no_secrets_left(dag_run, stitch.access_token, marker="attach")


def test_account_id_can_be_given_if_the_account_is_empty(airflow, stitch, vault):
    stitch.delete_destinations()

    dag_run = attach_account(airflow, vault, stitch_account_id="104857", **given_token(stitch))

    assert dag_run.xcom["attach"]["stitch_account_id"] == 104857
    assert json.loads(vault.read("tenant"))["login"] == "104857"


@pytest.mark.parametrize("credential", ["token", "code"])
def test_token_of_another_account_is_rejected(airflow, stitch, vault, credential):
    options = given_token(stitch) if credential == "token" else {"code": stitch.add_oauth_code()}

    dag_run = attach_account(airflow, vault, stitch_account_id=7, **options)

    assert dag_run.states == {"attach": "failed"}
    assert "to Stitch account 104857, not 7" in dag_run.output
    assert vault.read("tenant") is None


def test_disabled_token_is_not_stored(airflow, stitch, vault):
    stitch.disable_token()

    dag_run = attach_account(airflow, vault, **given_token(stitch))

    assert "StitchUnauthorized" in dag_run.output
    assert vault.connections == set()


def test_used_code_fails_with_advice(airflow, stitch, vault):
    dag_run = attach_account(airflow, vault, code="used-up-code")

    assert dag_run.states == {"attach": "failed"}
    assert "authorize you again" in dag_run.output
    assert vault.read("tenant") is None


@pytest.mark.parametrize("credential", ["token", "code"])
def test_connection_of_another_type_is_not_overwritten(airflow, stitch, vault, credential):
    existing = json.dumps({"conn_type": "postgres", "password": "pg_hush"})
    vault.write("tenant", existing)
    options = given_token(stitch) if credential == "token" else {"code": stitch.add_oauth_code()}

    dag_run = attach_account(airflow, vault, **options)

    assert dag_run.states == {"attach": "failed"}
    assert vault.read("tenant") == existing
    assert "/oauth/token" not in {request.path for request in stitch.requests}


def test_connection_without_a_token_keeps_its_extras(airflow, stitch, vault):
    without_token = {"conn_type": "stitch", "login": "104857", "extra": {"request_timeout": 60}}
    vault.write("tenant", json.dumps(without_token))

    dag_run = attach_account(airflow, vault, code=stitch.add_oauth_code())

    assert dag_run.state == "success"
    assert StitchHook("tenant").client.request_timeout == 60


def test_storing_failure_fails_with_advice_and_without_the_token(airflow, stitch, vault, monkeypatch):
    monkeypatch.setattr(token_storage, "STORING_TIMEOUT", 0.0)

    def store(conn_id, text):
        if "password" in text:
            raise RuntimeError(text)
        vault.write(conn_id, text)

    dag_run = attach_account(airflow, vault, code=stitch.add_oauth_code(), store=store)

    assert dag_run.states == {"attach": "failed"}
    assert "authorize you again" in dag_run.output
    (token,) = set(stitch._state.accounts[104857].tokens) - {stitch.access_token}
    assert_no_secrets_left(dag_run, token, marker="attach")


def test_token_and_code_together_are_rejected():
    with pytest.raises(ValueError, match="not both"):
        StitchAttachAccountOperator(task_id="attach", connection_id="a", access_token="b", code="c")


@pytest.mark.parametrize("name", ["access_token", "code"])
def test_empty_token_is_rejected_before_anything_is_stored(airflow, stitch, vault, name):
    dag_run = attach_account(airflow, vault, **{name: "{{ '' }}"})

    assert dag_run.states == {"attach": "failed"}
    assert f"The secret '{name}' is empty" in dag_run.output
    assert vault.connections == set()
