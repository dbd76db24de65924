"""Test the sample requests for all endpoints in the documentation of the Connect API.

The emulator must accept each sample request, and the client must send the same request. The tests in
tests/airflow/operators/test_sample_requests.py use operators to send the sample requests for destinations,
sources and streams.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.objects import StreamUpdate
from airflow_provider_stitch.connect.partner import StitchPartner
from airflow_provider_stitch.emulator import EmulatedStream, StitchEmulator
from airflow_provider_stitch.emulator.server.routes.table import ENDPOINTS, match
from tests.support.documented import FIXTURES

SAMPLES: list[dict[str, Any]] = json.loads((FIXTURES / "sample_requests.json").read_text("utf-8"))

SHOP, EVENTS, DESTINATION = 310442, 310443, 155901

#: Endpoints with credentials in the request body. Separate tests at the end of this module
#: cover the endpoints with credentials.
WITH_CREDENTIALS = {"/v3/accounts", "/oauth/token"}


def add_account(stitch: StitchEmulator) -> dict[str, int | str]:
    """Add the sources that the sample requests refer to. Return the ids that replace placeholders."""
    orders = EmulatedStream(
        5,
        stream_name="orders",
        schema_name="public",
        database_name="shopdb",
        selected=None,
        fields={"id": "automatic", "updated_at": "available", "total": "available"},
    )
    stitch.add_source("shop", type="platform.hp-postgres", streams={"shopdb-public-orders": orders})
    stitch.add_source("events", type="import_api", streams={})
    stitch.complete_job(SHOP, seconds_ago=600)
    with StitchClient(stitch.access_token, base_url=stitch.url) as client:
        # After each of these updates, Stitch checks the connection.
        client.update_destination(DESTINATION, {"port": "5432"})
        client.update_source(SHOP, properties={"ssl": "true"})
        return {
            "job": stitch.jobs(SHOP)[0].job_name,
            "stream": client.list_streams(SHOP)[0].stream_id,
            "import_token": client.create_import_token(EVENTS).id,
            "email": client.create_custom_email("team@acme.example").id,
            "hook": client.create_post_load_hook("https://hooks.acme.example/other", DESTINATION).id,
        }


def fill(value: Any, ids: dict[str, int | str]) -> Any:
    """Return the id for a placeholder such as `{job}`. Return any other value unchanged."""
    if isinstance(value, str) and (found := re.fullmatch(r"\{(\w+)\}", value)):
        return ids[found[1]]
    return value


def call_client(client: StitchClient, sample: dict[str, Any], ids: dict[str, int | str]) -> None:
    """Call the client method that sends a sample request."""
    arguments = [fill(argument, ids) for argument in sample.get("arguments", [])]
    if sample["client"] == "update_streams":
        source_id, updates = arguments
        arguments = [source_id, [StreamUpdate(**update) for update in updates]]
    getattr(client, sample["client"])(*arguments, **sample.get("keywords", {}))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["endpoint"])
def test_emulator_accepts_the_sample_and_the_client_sends_it(monkeypatch, sample):
    method, path = sample["endpoint"].split()
    body = sample.get("body")
    sent: list[tuple[str, str, Any]] = []
    send = requests.Session.send

    def record(session, request, **options):
        content = json.loads(request.body) if request.body else None
        sent.append((request.method, request.path_url, content))
        return send(session, request, **options)

    with StitchEmulator() as stitch:
        path = path.format(**add_account(stitch))
        headers = {"Authorization": f"Bearer {stitch.access_token}", "Content-Type": "application/json"}
        url = stitch.url + path
        response = requests.request(
            method, url, json=body, headers=headers, allow_redirects=False, timeout=10
        )
    assert response.status_code == sample.get("status", 200), response.text
    assert '"error":{' not in response.text.replace(" ", "")

    with StitchEmulator() as other:
        ids = add_account(other)
        path = sample["endpoint"].split()[1].format(**ids)
        with StitchClient(other.access_token, base_url=other.url, client_id=other.client_id) as client:
            monkeypatch.setattr(requests.Session, "send", record)
            call_client(client, sample, ids)

    sent_method, sent_path, sent_body = sent[0]
    assert (sent_method, sent_path) == (method, path)
    if sample["client"] in ("pause_source", "disable_custom_email"):
        # Stitch accepts any time. The client sends the current time instead of the time in the sample.
        assert list(sent_body) == list(body)
    else:
        assert sent_body == body or not (sent_body or body)


def test_each_endpoint_has_a_sample():
    sampled = set()
    for sample in SAMPLES:
        method, path = sample["endpoint"].split()
        found = match(method, urlsplit(re.sub(r"[{}]", "", path)).path)
        assert found is not None
        sampled.add((method, found.endpoint.path))
    endpoints = {(each.method, each.path) for each in ENDPOINTS if each.path not in WITH_CREDENTIALS}
    # An account can have only one API v3 destination, so a separate test creates an API v3 destination.
    assert endpoints - sampled == {("POST", "/v3/destinations")}


@pytest.fixture
def stitch():
    with StitchEmulator() as stitch:
        yield stitch


APPLICATION = {
    "company": "Acme",
    "email": "ada@acme.example",
    "first_name": "Ada",
    "last_name": "Example",
    "region": "us-east-1",
}


@pytest.mark.parametrize("by_client", [False, True])
def test_sample_request_for_an_account_is_accepted(stitch, by_client):
    if by_client:
        partner = StitchPartner(stitch.partner_id, stitch.partner_secret, base_url=stitch.url)
        assert partner.create_account(**APPLICATION).stitch_account_id
        return
    body = {**APPLICATION, "partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret}
    assert requests.post(f"{stitch.url}/v3/accounts", json=body, timeout=10).status_code == 200


@pytest.mark.parametrize("by_client", [False, True])
def test_sample_request_for_a_token_is_accepted(stitch, by_client):
    code = stitch.add_oauth_code()
    if by_client:
        partner = StitchPartner(stitch.partner_id, stitch.partner_secret, base_url=stitch.url)
        assert partner.exchange_code(code).stitch_account_id == stitch.client_id
        return
    form = {"client_secret": stitch.partner_secret, "code": code, "grant_type": "authorization_code"}
    response = requests.post(f"{stitch.url}/oauth/token", data=form, timeout=10)
    assert response.status_code == 200
    assert response.json()["token_type"] == "bearer"


def test_sample_request_for_a_destination_of_version_3_is_accepted(stitch):
    stitch.delete_destinations()
    sample = next(each for each in SAMPLES if each["client"] == "create_destination")

    made = StitchClient(stitch.access_token, base_url=stitch.url).create_destination_v3(*sample["arguments"])

    assert made.connection["host"] == sample["arguments"][1]["host"]
