"""StitchAttachAccountOperator in a real Airflow: the token of an existing account becomes a connection."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.hooks.stitch import StitchHook
from airflow_provider_stitch.operators import _token_storage as token_storage
from airflow_provider_stitch.operators.stitch import StitchAttachAccountOperator
from tests.airflow.test_secret_leaks import left_behind
from tests.support.fake_vault import FOLDER, Vault
from tests.support.secret_encodings import ENCODING_SENSITIVE_TOKEN, find_encodings


@pytest.fixture
def stitch(monkeypatch):
    # In real time, because a code works for five minutes.
    with StitchEmulator(access_token=ENCODING_SENSITIVE_TOKEN) as stitch:
        extra = {"partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret}
        partner = {"conn_type": "stitch", "host": stitch.url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_PARTNER", json.dumps(partner))
        in_hand = {"conn_type": "generic", "password": stitch.access_token}
        monkeypatch.setenv("AIRFLOW_CONN_IN_HAND", json.dumps(in_hand))
        yield stitch


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """A secrets backend of Airflow, in which the operator stores connections."""
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "tests.support.fake_vault.VaultBackend")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return Vault(tmp_path)


def run(airflow, vault, **options):
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


def in_hand(stitch):
    return {"access_token": "{{ conn.in_hand.password }}", "base_url": stitch.url}


def test_the_address_for_an_authorization_has_what_stitch_documents(stitch):
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


def test_a_code_is_exchanged_and_the_token_stored(airflow, stitch, vault):
    code = stitch.add_oauth_code()

    first = run(airflow, vault, code=code)
    again = run(airflow, vault, code=code)

    stored = json.loads(vault.read("tenant"))
    assert (stored["conn_type"], stored["login"], stored["host"]) == ("stitch", "104857", stitch.url)
    with StitchHook("tenant").client as client:
        assert client.list_destinations()
    expected = {"stitch_account_id": 104857, "connection_id": "tenant"}
    assert first.xcom["attach"] == {**expected, "attached": True}
    assert again.xcom["attach"] == {**expected, "attached": False}
    assert leaves_no_trace(first, stored["password"], code)


def test_a_token_in_hand_is_stored(airflow, stitch, vault):
    ran = run(airflow, vault, **in_hand(stitch))

    stored = json.loads(vault.read("tenant"))
    assert (stored["login"], stored["password"]) == ("104857", stitch.access_token)
    assert ran.xcom["attach"]["attached"] is True
    assert leaves_no_trace(ran, stitch.access_token)


def test_the_account_of_a_token_without_sources_is_given(airflow, stitch, vault):
    stitch.delete_destinations()

    ran = run(airflow, vault, stitch_account_id="104857", **in_hand(stitch))

    assert ran.xcom["attach"]["stitch_account_id"] == 104857
    assert json.loads(vault.read("tenant"))["login"] == "104857"


@pytest.mark.parametrize("way", ["token", "code"])
def test_the_token_of_another_account_is_refused(airflow, stitch, vault, way):
    options = in_hand(stitch) if way == "token" else {"code": stitch.add_oauth_code()}

    ran = run(airflow, vault, stitch_account_id=7, **options)

    assert ran.states == {"attach": "failed"}
    assert "of Stitch account 104857, not 7" in ran.output
    assert vault.read("tenant") is None


def test_a_token_that_stitch_refuses_is_not_stored(airflow, stitch, vault):
    stitch.disable_token()

    ran = run(airflow, vault, **in_hand(stitch))

    assert "StitchUnauthorized" in ran.output
    assert vault.connections == set()


def test_a_code_that_was_used_says_what_to_do(airflow, stitch, vault):
    ran = run(airflow, vault, code="used-up-code")

    assert ran.states == {"attach": "failed"}
    assert "authorize you again" in ran.output
    assert vault.read("tenant") is None


@pytest.mark.parametrize("way", ["token", "code"])
def test_a_connection_of_another_type_is_not_overwritten(airflow, stitch, vault, way):
    existing = json.dumps({"conn_type": "postgres", "password": "pg_hush"})
    vault.write("tenant", existing)
    options = in_hand(stitch) if way == "token" else {"code": stitch.add_oauth_code()}

    ran = run(airflow, vault, **options)

    assert ran.states == {"attach": "failed"}
    assert vault.read("tenant") == existing
    assert "/oauth/token" not in {request.path for request in stitch.requests}


def test_a_connection_without_a_token_is_filled_and_keeps_its_extras(airflow, stitch, vault):
    waiting = {"conn_type": "stitch", "login": "104857", "extra": {"request_timeout": 60}}
    vault.write("tenant", json.dumps(waiting))

    ran = run(airflow, vault, code=stitch.add_oauth_code())

    assert ran.state == "success"
    assert StitchHook("tenant").client.request_timeout == 60


def test_a_token_that_cannot_be_stored_says_how_to_obtain_another(airflow, stitch, vault, monkeypatch):
    monkeypatch.setattr(token_storage, "STORING_TIMEOUT", 0.0)

    def store(conn_id, text):
        if "password" in text:
            raise RuntimeError(text)
        vault.write(conn_id, text)

    ran = run(airflow, vault, code=stitch.add_oauth_code(), store=store)

    assert ran.states == {"attach": "failed"}
    assert "authorize you again" in ran.output
    (token,) = set(stitch._world.accounts[104857].tokens) - {stitch.access_token}
    assert leaves_no_trace(ran, token)


def test_a_token_comes_from_one_place():
    with pytest.raises(ValueError, match="not both"):
        StitchAttachAccountOperator(task_id="attach", connection_id="a", access_token="b", code="c")


@pytest.mark.parametrize("name", ["access_token", "code"])
def test_no_token_is_refused_before_anything_is_written(airflow, stitch, vault, name):
    ran = run(airflow, vault, **{name: "{{ '' }}"})

    assert ran.states == {"attach": "failed"}
    assert f"The secret '{name}' is empty" in ran.output
    assert vault.connections == set()


def leaves_no_trace(ran, *secrets):
    remains = left_behind()
    assert b"attach" in remains, "the database was looked at"
    for secret in secrets:
        assert find_encodings(secret, ran.output.encode()) == []
        assert find_encodings(secret, remains) == []
    return True
