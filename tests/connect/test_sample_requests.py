"""Sample requests from the documentation of the Connect API.

The emulator must accept each one, and the client must send the same body. `tests/airflow` sends the samples
for destinations, sources and streams through the operators.
"""

from __future__ import annotations

import pytest
import requests

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.objects import StreamUpdate
from airflow_provider_stitch.connect.partner import StitchPartner
from airflow_provider_stitch.emulator import EmulatedStream, StitchEmulator

POSTGRES = {
    "host": "pg.acme.example",
    "port": "5432",
    "username": "stitch",
    "password": "<PASSWORD>",
    "database": "staging",
}
SHOPIFY = {"shop": "acme", "start_date": "2025-01-01T00:00:00Z"}
SELECTION = {
    "streams": [
        {
            "tap_stream_id": "shopdb-public-orders",
            "metadata": [
                {
                    "breadcrumb": [],
                    "metadata": {
                        "selected": True,
                        "replication-method": "INCREMENTAL",
                        "replication-key": "updated_at",
                    },
                },
                {"breadcrumb": ["properties", "total"], "metadata": {"selected": True}},
            ],
        }
    ]
}
SHOP = "/v4/sources/310442"
EMAILS, HOOKS = "/notifications/public/v1/api/custom-emails", "/notifications/public/v1/api/hooks"
HOOK_URL = "https://hooks.acme.example/stitch"


@pytest.fixture
def stitch():
    with StitchEmulator() as stitch:
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
        yield stitch


SAMPLES = [
    pytest.param(
        "POST",
        "/v4/destinations",
        {"type": "postgres", "properties": POSTGRES},
        lambda client: client.create_destination("postgres", POSTGRES),
        id="create a destination",
    ),
    pytest.param(
        "PUT",
        "/v4/destinations/155901",
        {"properties": {"port": "5433"}},
        lambda client: client.update_destination(155901, {"port": "5433"}),
        id="update a destination",
    ),
    pytest.param(
        "PUT",
        "/v3/destinations/155901",
        {"type": "postgres", "connection": POSTGRES},
        lambda client: client.update_destination_v3(155901, "postgres", POSTGRES),
        id="update a destination in version 3",
    ),
    pytest.param(
        "POST",
        "/v4/sources",
        {"type": "platform.shopify", "display_name": "Shopify", "properties": SHOPIFY},
        lambda client: client.create_source("platform.shopify", "Shopify", properties=SHOPIFY),
        id="create a source",
    ),
    pytest.param(
        "PUT",
        SHOP,
        {"properties": {"frequency_in_minutes": "60"}},
        lambda client: client.update_source(310442, properties={"frequency_in_minutes": "60"}),
        id="update a source",
    ),
    pytest.param(
        "PUT", SHOP, {"paused_at": "2026-08-17T00:00:00Z"}, lambda c: c.pause_source(310442), id="pause"
    ),
    pytest.param("PUT", SHOP, {"paused_at": None}, lambda c: c.unpause_source(310442), id="unpause"),
    pytest.param("DELETE", SHOP, None, lambda c: c.delete_source(310442), id="delete a source"),
    pytest.param(
        "PUT",
        f"{SHOP}/streams/metadata",
        SELECTION,
        lambda client: client.update_streams(
            310442,
            [
                StreamUpdate(
                    "shopdb-public-orders",
                    selected=True,
                    replication_method="INCREMENTAL",
                    replication_key="updated_at",
                    fields={"total": True},
                )
            ],
        ),
        id="select a stream",
    ),
    pytest.param("POST", f"{SHOP}/sync", {}, lambda c: c.start_replication_job(310442), id="start a job"),
    pytest.param("DELETE", f"{SHOP}/sync", None, lambda c: c.stop_replication_job(310442), id="stop a job"),
    pytest.param(
        "POST",
        "/v4/sources/310443/tokens",
        None,
        lambda c: c.create_import_token(310443),
        id="create a token",
    ),
    pytest.param(
        "POST",
        EMAILS,
        {"email_address": "alerts@acme.example"},
        lambda client: client.create_custom_email("alerts@acme.example"),
        id="add an e-mail address",
    ),
    pytest.param(
        "POST",
        HOOKS,
        {"type": "post_load", "destination_id": 155901, "config": {"url": HOOK_URL}},
        lambda client: client.create_post_load_hook(HOOK_URL, 155901),
        id="add a hook",
    ),
    pytest.param(
        "POST", "/v3/sessions/ephemeral", None, lambda c: c.create_ephemeral_token(), id="open a session"
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "call"), SAMPLES)
def test_emulator_accepts_the_sample_and_the_client_sends_it(stitch, monkeypatch, method, path, body, call):
    headers = {"Authorization": f"Bearer {stitch.access_token}"}
    response = requests.request(method, stitch.url + path, json=body, headers=headers, timeout=10)
    assert (response.status_code, '"error":{' in response.text) == (200, False), response.text
    sent = []
    send = requests.Session.send

    def note(session, request, **options):
        sent.append((request.method, request.path_url, request.body))
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", note)
    with StitchEmulator() as other:
        orders = EmulatedStream(1, schema_name="public", fields={"id": "automatic", "total": "available"})
        other.add_source("shop", type="platform.hp-postgres", streams={"shopdb-public-orders": orders})
        other.add_source("events", type="import_api", streams={})
        call(StitchClient(other.access_token, base_url=other.url))

    [(sent_method, sent_path, content)] = sent
    assert (sent_method, sent_path) == (method, path)
    given = requests.models.complexjson.loads(content) if content else None
    if body is not None and body.get("paused_at"):
        assert list(given) == [
            "paused_at"
        ]  # Any time pauses the source immediately. The client sends the current time.
    else:
        assert given == body or not (given or body)


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


def test_sample_request_for_a_destination_of_version_3_is_accepted(stitch):
    stitch.delete_destinations()

    made = StitchClient(stitch.access_token, base_url=stitch.url).create_destination_v3("postgres", POSTGRES)

    assert made.connection["host"] == POSTGRES["host"]
