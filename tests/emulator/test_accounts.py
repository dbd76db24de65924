"""Test accounts, sessions, OAuth, and the complete setup of a tenant through the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from .conftest import Api

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

BAD = {"code": "BadRequest", "message": "Invalid form data."}


def account_form(stitch: StitchEmulator, **changes: Any) -> dict[str, Any]:
    body = {
        "partner_id": stitch.partner_id,
        "partner_secret": stitch.partner_secret,
        "first_name": "Ada",
        "last_name": "Example",
        "company": "Acme",
        "region": "us-east-1",
        "email": "ada@acme.example",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def request_account(stitch: StitchEmulator, **options: Any) -> requests.Response:
    return requests.post(f"{stitch.url}/v3/accounts", timeout=10, **options)


def exchange(stitch: StitchEmulator, **form: str) -> requests.Response:
    body = {"client_secret": stitch.partner_secret, "grant_type": "authorization_code", **form}
    return requests.post(f"{stitch.url}/oauth/token", data=body, timeout=10)


# Accounts


def test_new_account_has_a_token_and_nothing_else(stitch: StitchEmulator) -> None:
    response = request_account(stitch, json=account_form(stitch))
    assert response.status_code == 200
    created = response.json()
    assert created["access_token"].startswith("at_")
    assert created == {"access_token": created["access_token"], "stitch_account_id": 104858}
    account = stitch.account(104858)
    assert (account.access_token, account.email) == (created["access_token"], "ada@acme.example")
    assert stitch.client_ids == [104857, 104858]
    api = Api(stitch, account)
    assert (api.get("/v4/sources"), api.get("/v4/destinations"), api.get("/v4/104858/loads")["total"]) == (
        [],
        [],
        0,
    )
    stitch.quirks.token_prefix = "ac_"
    other = request_account(stitch, json=account_form(stitch, email="b@acme.example")).json()
    assert other["access_token"].startswith("ac_")


def test_partner_credentials_can_be_chosen() -> None:
    from airflow_provider_stitch.emulator import StitchEmulator

    with StitchEmulator(partner_id="oc_me", partner_secret="oc_key") as stitch:
        assert (stitch.partner_id, stitch.partner_secret) == ("oc_me", "oc_key")
        assert request_account(stitch, json=account_form(stitch)).status_code == 200


@pytest.mark.parametrize("email", ["ada@acme.example", "ADA@acme.example"])
def test_a1_email_address_must_be_unique(stitch: StitchEmulator, email: str) -> None:
    request_account(stitch, json=account_form(stitch))
    response = request_account(stitch, json=account_form(stitch, email=email))
    message = "This email address is already associated with an active user."
    assert (response.status_code, response.json()) == (400, {"code": "ExistingUser", "message": message})


@pytest.mark.parametrize("body", ["{", "[]", "7", "", '{"email": "\\ud800"}'])
def test_a2_malformed_body_is_rejected(stitch: StitchEmulator, body: str) -> None:
    response = request_account(stitch, data=body)
    assert (response.status_code, response.json()) == (400, {**BAD, "errors": {}})


@pytest.mark.parametrize("key", ["partner_id", "partner_secret"])
@pytest.mark.parametrize("value", [None, "", "oc_wrong", 7, "ö"])
def test_a3_a4_invalid_partner_credentials_are_rejected(stitch: StitchEmulator, key: str, value: Any) -> None:
    response = request_account(stitch, json=account_form(stitch, **{key: value}))
    assert (response.status_code, response.json()) == (400, {**BAD, "errors": {key: "required"}})
    assert stitch.client_ids == [104857]


@pytest.mark.parametrize(
    ("key", "value"), [("company", None), ("email", " "), ("region", "mars"), ("region", ["us-east-1"])]
)
def test_all_fields_are_required(stitch: StitchEmulator, key: str, value: Any) -> None:
    response = request_account(stitch, json=account_form(stitch, **{key: value}))
    assert (response.status_code, response.json()) == (400, {**BAD, "errors": {key: "required"}})


def test_partner_credentials_are_not_a_token(stitch: StitchEmulator) -> None:
    for credential in (stitch.partner_id, stitch.partner_secret):
        headers = {"Authorization": f"Bearer {credential}"}
        assert requests.get(f"{stitch.url}/v4/sources", headers=headers, timeout=10).status_code == 401


def test_unknown_account_raises_value_error(stitch: StitchEmulator) -> None:
    with pytest.raises(ValueError, match="Account 7 does not exist"):
        stitch.account(7)


# Sessions


def test_ephemeral_token_requires_an_access_token(api: Api) -> None:
    token = api("POST", "/v3/sessions/ephemeral").json()["ephemeral_token"]
    assert len(token) > 20
    assert api("GET", "/v4/sources", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert requests.post(f"{api.stitch.url}/v3/sessions/ephemeral", timeout=10).status_code == 401


# OAuth


def test_code_can_be_exchanged_once(stitch: StitchEmulator) -> None:
    account = stitch.add_account()
    code = stitch.add_oauth_code(account)
    response = exchange(stitch, code=code)
    assert response.status_code == 200
    token = response.json()["access_token"]
    assert response.json() == {
        "token_type": "bearer",
        "access_token": token,
        "stitch_account_id": account.client_id,
    }
    assert token != account.access_token
    account.add_source("theirs", streams={})
    headers = {"Authorization": f"Bearer {token}"}
    sources = requests.get(f"{stitch.url}/v4/sources", headers=headers, timeout=10).json()
    assert [source["name"] for source in sources] == ["theirs"]
    again = exchange(stitch, code=code)
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})


def test_code_expires_after_five_minutes(stitch: StitchEmulator) -> None:
    code, other = stitch.add_oauth_code(), stitch.add_oauth_code()
    stitch.advance(299)
    assert exchange(stitch, code=code).status_code == 200
    stitch.advance(1)
    assert exchange(stitch, code=other).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        pytest.param({}, 400, "invalid_request", id="no code"),
        pytest.param({"code": "nope"}, 400, "invalid_grant", id="unknown code"),
        pytest.param({"code": "nope", "client_secret": "oc_x"}, 401, "invalid_client", id="wrong secret"),
        pytest.param({"code": "nope", "grant_type": "x"}, 400, "unsupported_grant_type", id="other grant"),
    ],
)
def test_invalid_exchange_is_rejected(
    stitch: StitchEmulator, form: dict[str, str], status: int, error: str
) -> None:
    response = exchange(stitch, **form)
    assert (response.status_code, response.json()) == (status, {"error": error})


def test_exchange_requires_a_form(stitch: StitchEmulator) -> None:
    body = {
        "client_secret": stitch.partner_secret,
        "grant_type": "authorization_code",
        "code": stitch.add_oauth_code(),
    }
    response = requests.post(f"{stitch.url}/oauth/token", json=body, timeout=10)
    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})


# Complete setup


WAREHOUSE = {
    "host": "pg.acme.example",
    "port": "5432",
    "database": "dwh",
    "username": "stitch",
    "password": "secret",
}


def test_tenant_can_be_set_up_until_loaded_rows_through_the_api(stitch: StitchEmulator) -> None:
    created = request_account(stitch, json=account_form(stitch)).json()
    client_id = created["stitch_account_id"]
    api = Api(stitch, stitch.account(client_id))

    destination = api("POST", "/v4/destinations", json={"type": "postgres", "properties": WAREHOUSE}).json()
    stitch.advance(5)
    assert api.get(f"/v4/destinations/{destination['id']}/last-connection-check")["status"] == "succeeded"

    source = api("POST", "/v4/sources", json={"display_name": "Our GitHub", "type": "platform.github"}).json()
    path = f"/v4/sources/{source['id']}"
    properties = {"access_token": "ghp", "repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
    check_name = api("PUT", path, json={"properties": properties}).json()["check_job_name"]
    stitch.advance(5)
    check = api.get(f"{path}/last-connection-check")
    assert (check["name"], check["status"], check["discovery_exit_status"]) == (check_name, "succeeded", 0)

    selected = [{"breadcrumb": [], "metadata": {"selected": True}}]
    found = [stream["tap_stream_id"] for stream in api.get(f"{path}/streams")]
    streams = [{"tap_stream_id": name, "metadata": selected} for name in found]
    assert api("PUT", f"{path}/streams/metadata", json={"streams": streams}).json() == {"status": 200}
    assert api.get(path)["report_card"]["current_step_type"] == "fully_configured"

    job_name = api.start(source["id"])
    stitch.advance(600)
    assert api.extraction(source["id"])["job_name"] == job_name
    assert {(row["source_name"], row["stream_name"]) for row in api.loads()} == {
        ("our_github", "commits"),
        ("our_github", "issues"),
        ("our_github", "pull_requests"),
    }
    assert all(row["stitch_client_id"] == client_id for row in api.loads())
