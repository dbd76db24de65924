"""Each documented endpoint, called by the client over HTTP."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.endpoints import ENDPOINTS
from airflow_provider_stitch.connect.errors import StitchError
from airflow_provider_stitch.connect.objects import StreamUpdate
from airflow_provider_stitch.connect.partner import StitchPartner

from . import endpoint_samples as more
from . import samples
from .conftest import TOKEN
from .scripted_server import http_response

NOTIFICATIONS = "/notifications/public/v1/api"

# The endpoints in the order of Stitch's documentation; rows with the same method and path appear once.
DOCUMENTED = [
    ("POST", "/v3/accounts"),
    ("POST", "/v3/sessions/ephemeral"),
    ("POST", "/oauth/token"),
    ("GET", "/v4/destination-types"),
    ("GET", "/v4/destination-types/{destination_type}"),
    ("GET", "/v4/destinations"),
    ("POST", "/v4/destinations"),
    ("PUT", "/v4/destinations/{destination_id}"),
    ("DELETE", "/v4/destinations/{destination_id}"),
    ("GET", "/v4/destinations/{destination_id}/last-connection-check"),
    ("GET", "/v3/destinations"),
    ("POST", "/v3/destinations"),
    ("PUT", "/v3/destinations/{destination_id}"),
    ("GET", "/v4/source-types"),
    ("GET", "/v4/source-types/{source_type}"),
    ("GET", "/v4/sources"),
    ("GET", "/v4/sources/{source_id}"),
    ("POST", "/v4/sources"),
    ("PUT", "/v4/sources/{source_id}"),
    ("DELETE", "/v4/sources/{source_id}"),
    ("POST", "/v4/sources/{source_id}/tokens"),
    ("GET", "/v4/sources/{source_id}/tokens"),
    ("DELETE", "/v4/sources/{source_id}/tokens/{token_id}"),
    ("GET", "/v4/sources/{source_id}/last-connection-check"),
    ("GET", "/v4/sources/{source_id}/streams"),
    ("GET", "/v4/sources/{source_id}/streams/{stream_id}"),
    ("PUT", "/v4/sources/{source_id}/streams/metadata"),
    ("POST", "/v4/sources/{source_id}/sync"),
    ("DELETE", "/v4/sources/{source_id}/sync"),
    ("GET", "/v4/{stitch_client_id}/extractions"),
    ("GET", "/v4/{stitch_client_id}/extractions/{job_name}"),
    ("GET", "/v4/{stitch_client_id}/loads"),
    ("POST", f"{NOTIFICATIONS}/custom-emails"),
    ("GET", f"{NOTIFICATIONS}/custom-emails"),
    ("PUT", f"{NOTIFICATIONS}/custom-emails/{{id}}"),
    ("DELETE", f"{NOTIFICATIONS}/custom-emails/{{id}}"),
    ("POST", f"{NOTIFICATIONS}/hooks"),
    ("GET", f"{NOTIFICATIONS}/hooks"),
    ("PUT", f"{NOTIFICATIONS}/hooks/{{id}}"),
    ("DELETE", f"{NOTIFICATIONS}/hooks/{{id}}"),
]


def shape(method, path):
    """Return an endpoint without its parameter names, which may differ."""
    return f"{method} {re.sub('{[^}]*}', '{}', path)}"


def test_endpoints_match_the_documentation():
    assert {shape(each.method, each.path) for each in ENDPOINTS.values()} == {
        shape(*each) for each in DOCUMENTED
    }


def test_each_endpoint_has_a_method_of_client_or_partner():
    of_account = {name for name in ENDPOINTS if hasattr(StitchClient, name)}
    of_partner = {name for name in ENDPOINTS if hasattr(StitchPartner, name)}

    # These updates have two methods each (enable and disable), and none with the endpoint's own name.
    split = {"update_custom_email", "update_post_load_hook"}
    assert of_partner == {"create_account", "exchange_code"}
    assert of_account == set(ENDPOINTS) - of_partner - split


# Name, call, expected request, expected JSON, body of the response, check of the result.
CALLS = [
    (
        "create_ephemeral_token",
        lambda c: c.create_ephemeral_token(),
        "POST /v3/sessions/ephemeral",
        None,
        more.EPHEMERAL,
        lambda token: (
            token.ephemeral_token.reveal() == "eph-0011223344"
            and token.expires_at == datetime(2026, 8, 17, 7, 40, 12, tzinfo=timezone.utc)
        ),
    ),
    (
        "list_destination_types",
        lambda c: c.list_destination_types(),
        "GET /v4/destination-types",
        None,
        [more.REPORT_CARD, more.OLD_TYPE],
        lambda types: (
            [each.type for each in types] == ["platform.closeio", "platform.old"] and types[1].steps == ()
        ),
    ),
    (
        "get_destination_type",
        lambda c: c.get_destination_type("snow flake"),
        "GET /v4/destination-types/snow%20flake",
        None,
        more.REPORT_CARD,
        lambda card: card.details.access is True,
    ),
    (
        "list_destinations",
        lambda c: c.list_destinations(source_id=310442, destination_id=155901),
        "GET /v4/destinations?source_id=310442&destination_id=155901",
        None,
        [samples.DESTINATION],
        lambda found: [each.label for each in found] == ["Staging (155901)"],
    ),
    (
        "create_destination",
        lambda c: c.create_destination(
            "postgres",
            {"host": "pg.acme.example", "port": "5432"},
            name="Staging",
            description="Of the staging environment.",
            ignore_unmapped_sources=True,
        ),
        "POST /v4/destinations",
        {
            "type": "postgres",
            "properties": {"host": "pg.acme.example", "port": "5432"},
            "name": "Staging",
            "description": "Of the staging environment.",
            "ignore_unmapped_sources": True,
        },
        samples.DESTINATION,
        lambda destination: (
            destination.id == 155901
            and destination.properties["port"] == "5432"
            and destination.report_card.current_step == "fully_configured"
        ),
    ),
    (
        "update_destination",
        lambda c: c.update_destination(155901, {"port": "5433"}),
        "PUT /v4/destinations/155901",
        {"properties": {"port": "5433"}},
        {**samples.DESTINATION, "check_job_name": "104857.155901.check.x"},
        lambda destination: destination.check_job_name == "104857.155901.check.x",
    ),
    (
        "delete_destination",
        lambda c: c.delete_destination(155901),
        "DELETE /v4/destinations/155901",
        None,
        {},
        lambda nothing: nothing is None,
    ),
    (
        "get_last_destination_check",
        lambda c: c.get_last_destination_check(155901),
        "GET /v4/destinations/155901/last-connection-check",
        None,
        more.DESTINATION_CHECK,
        lambda check: check.status == "succeeded",
    ),
    (
        "list_destinations_v3",
        lambda c: c.list_destinations_v3(),
        "GET /v3/destinations",
        None,
        [more.DESTINATION_V3],
        lambda found: found[0].connection["port"] == "5432" and found[0].last_check["error"] is False,
    ),
    (
        "create_destination_v3",
        lambda c: c.create_destination_v3("postgres", {"port": "5432"}),
        "POST /v3/destinations",
        {"type": "postgres", "connection": {"port": "5432"}},
        more.DESTINATION_V3,
        lambda destination: destination.id == 155901,
    ),
    (
        "update_destination_v3",
        lambda c: c.update_destination_v3(155901, "postgres", {"port": "5433"}),
        "PUT /v3/destinations/155901",
        {"type": "postgres", "connection": {"port": "5433"}},
        more.DESTINATION_V3,
        lambda destination: destination.type == "postgres",
    ),
    (
        "list_source_types",
        lambda c: c.list_source_types(),
        "GET /v4/source-types",
        None,
        [more.REPORT_CARD, more.OLD_TYPE],
        lambda types: (
            types[0].upgrade_available == "platform.closeio-2" and types[0].missing_properties == ("api_key",)
        ),
    ),
    (
        "get_source_type",
        lambda c: c.get_source_type("platform.hubspot"),
        "GET /v4/source-types/platform.hubspot",
        None,
        more.REPORT_CARD,
        lambda card: [step.type for step in card.steps][-1] == "fully_configured",
    ),
    (
        "list_sources",
        lambda c: c.list_sources(),
        "GET /v4/sources",
        None,
        [samples.SOURCE],
        lambda sources: sources[0].report_card.current_step == "fully_configured",
    ),
    (
        "get_source",
        lambda c: c.get_source(310442),
        "GET /v4/sources/310442",
        None,
        samples.SOURCE,
        lambda source: source.label == "github (310442)",
    ),
    (
        "create_source",
        lambda c: c.create_source(
            "platform.github",
            "GitHub",
            properties={"start_date": "2025-01-01T00:00:00Z", "cron_expression": None},
            destination_id=155901,
        ),
        "POST /v4/sources",
        {
            "type": "platform.github",
            "display_name": "GitHub",
            "properties": {"start_date": "2025-01-01T00:00:00Z", "cron_expression": None},
            "destination_id": 155901,
        },
        samples.SOURCE,
        lambda source: source.id == 310442,
    ),
    (
        "update_source",
        lambda c: c.update_source(310442, display_name="Code", properties={"frequency_in_minutes": "30"}),
        "PUT /v4/sources/310442",
        {"display_name": "Code", "properties": {"frequency_in_minutes": "30"}},
        samples.SOURCE,
        lambda source: source.check_job_name.endswith("9f11"),
    ),
    (
        "pause_source",
        lambda c: c.pause_source(310442),
        "PUT /v4/sources/310442",
        lambda sent: set(sent) == {"paused_at"} and re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", sent["paused_at"]),
        {**samples.SOURCE, "paused_at": "2026-08-17T00:00:00Z"},
        lambda source: source.paused_at is not None,
    ),
    (
        "unpause_source",
        lambda c: c.unpause_source(310442),
        "PUT /v4/sources/310442",
        {"paused_at": None},
        samples.SOURCE,
        lambda source: source.paused_at is None,
    ),
    (
        "delete_source",
        lambda c: c.delete_source(310442),
        "DELETE /v4/sources/310442",
        None,
        {**samples.SOURCE, "deleted_at": "2026-08-17T00:00:00Z"},
        lambda source: source.deleted_at is not None,
    ),
    (
        "create_import_token",
        lambda c: c.create_import_token(310445),
        "POST /v4/sources/310445/tokens",
        None,
        more.IMPORT_TOKEN,
        lambda token: token.id == 828804411 and token.access_token.reveal() == "imp-5566778899",
    ),
    (
        "list_import_tokens",
        lambda c: c.list_import_tokens(310445),
        "GET /v4/sources/310445/tokens",
        None,
        [828804410, {"token_id": 828804411, "created_at": "2026-08-12T15:22:12Z"}],
        lambda tokens: (
            [(each.id, each.created_at and each.created_at.day) for each in tokens]
            == [(828804410, None), (828804411, 12)]
        ),
    ),
    (
        "revoke_import_token",
        lambda c: c.revoke_import_token(310445, 828804411),
        "DELETE /v4/sources/310445/tokens/828804411",
        None,
        samples.SOURCE,
        lambda source: source.id == 310442,
    ),
    (
        "get_last_connection_check",
        lambda c: c.get_last_connection_check(310444),
        "GET /v4/sources/310444/last-connection-check",
        None,
        samples.CHECK_FAILED,
        lambda check: check.status == "failed",
    ),
    (
        "list_streams",
        lambda c: c.list_streams(310442),
        "GET /v4/sources/310442/streams",
        None,
        samples.STREAMS,
        lambda streams: [each.stream_id for each in streams] == [5120771, 5120902],
    ),
    (
        "get_stream_schema",
        lambda c: c.get_stream_schema(310442, 5120771),
        "GET /v4/sources/310442/streams/5120771",
        None,
        more.STREAM_SCHEMA,
        lambda found: (
            found.metadata["table-key-properties"] == ["sha"]
            and set(found.schema["properties"]) == {"sha", "message"}
            and {name: each.is_replicated for name, each in found.fields.items()}
            == {"sha": True, "message": True, "tree": True, "geo": False, "url": False}
            and "replication-key" in found.writable_keys
        ),
    ),
    (
        "update_streams",
        lambda c: c.update_streams(
            310444,
            [
                StreamUpdate(
                    "shopdb-public-orders",
                    selected=True,
                    replication_method="INCREMENTAL",
                    replication_key="updated_at",
                    fields={"total": True},
                ),
                StreamUpdate("shopdb-public-order_view", view_key_properties=["id"]),
            ],
        ),
        "PUT /v4/sources/310444/streams/metadata",
        {
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
                },
                {
                    "tap_stream_id": "shopdb-public-order_view",
                    "metadata": [{"breadcrumb": [], "metadata": {"view-key-properties": ["id"]}}],
                },
            ]
        },
        {"status": 200},
        lambda nothing: nothing is None,
    ),
    (
        "start_replication_job",
        lambda c: c.start_replication_job(310442),
        "POST /v4/sources/310442/sync",
        {},
        {"job_name": samples.JOB_NAME},
        lambda job: job.job_name == samples.JOB_NAME,
    ),
    (
        "stop_replication_job",
        lambda c: c.stop_replication_job(310442),
        "DELETE /v4/sources/310442/sync",
        None,
        {"status": 200},
        lambda nothing: nothing is None,
    ),
    (
        "list_extractions",
        lambda c: c.list_extractions(2),
        "GET /v4/104857/extractions?page=2",
        None,
        {"data": [samples.EXTRACTION_GOOD], "page": 2, "total": 101, "links": {}},
        lambda page: page.records[0].tap_exit_status == 0,
    ),
    (
        "get_extraction_log",
        lambda c: c.get_extraction_log(samples.JOB_NAME),
        f"GET /v4/104857/extractions/{samples.JOB_NAME}",
        None,
        (
            b"2026-08-17 06:04:51,012Z   main - INFO Exit status is: Discovery succeeded. Tap succeeded. "
            b"Target succeeded.\n"
        ),
        lambda log: log.succeeded is True,
    ),
    (
        "list_loads",
        lambda c: c.list_loads(),
        "GET /v4/104857/loads?page=1",
        None,
        {"data": [samples.LOAD_GOOD], "page": 1, "total": 1, "links": {}},
        lambda page: page.records[0].stream_name == "commits",
    ),
    (
        "list_custom_emails",
        lambda c: c.list_custom_emails(),
        f"GET {NOTIFICATIONS}/custom-emails",
        None,
        [more.CUSTOM_EMAIL],
        lambda emails: emails[0].email_address == "alerts@acme.example",
    ),
    (
        "create_custom_email",
        lambda c: c.create_custom_email("alerts@acme.example"),
        f"POST {NOTIFICATIONS}/custom-emails",
        {"email_address": "alerts@acme.example"},
        more.CUSTOM_EMAIL,
        lambda email: email.id == 22,
    ),
    (
        "update_custom_email",
        lambda c: c.disable_custom_email(22),
        f"PUT {NOTIFICATIONS}/custom-emails/22",
        lambda sent: set(sent) == {"disabled_at"} and sent["disabled_at"].endswith("Z"),
        {"disabled_at": "2026-08-17T00:00:00Z"},
        lambda nothing: nothing is None,
    ),
    (
        "update_custom_email",
        lambda c: c.enable_custom_email(22),
        f"PUT {NOTIFICATIONS}/custom-emails/22",
        {"disabled_at": None},
        {"disabled_at": None},
        lambda nothing: nothing is None,
    ),
    (
        "delete_custom_email",
        lambda c: c.delete_custom_email(22),
        f"DELETE {NOTIFICATIONS}/custom-emails/22",
        None,
        [1],
        lambda nothing: nothing is None,
    ),
    (
        "list_post_load_hooks",
        lambda c: c.list_post_load_hooks(),
        f"GET {NOTIFICATIONS}/hooks",
        None,
        {
            "post_load": [
                more.LISTED_HOOK,
                {**more.LISTED_HOOK, "config": {"destination_id": "destination_9"}},
            ]
        },
        lambda hooks: [(each.id, each.destination_id) for each in hooks] == [(8, None), (8, 9)],
    ),
    (
        "create_post_load_hook",
        lambda c: c.create_post_load_hook("https://hooks.acme.example/stitch", 155901),
        f"POST {NOTIFICATIONS}/hooks",
        {
            "type": "post_load",
            "destination_id": 155901,
            "config": {"url": "https://hooks.acme.example/stitch"},
        },
        more.HOOK,
        lambda hook: (hook.destination_id, hook.url) == (155901, "https://hooks.acme.example/stitch"),
    ),
    (
        "update_post_load_hook",
        lambda c: c.disable_post_load_hook(8),
        f"PUT {NOTIFICATIONS}/hooks/8",
        {"enable": False},
        {**more.LISTED_HOOK, "disabled_at": "2026-08-17T00:00:00Z"},
        lambda hook: hook.disabled_at is not None,
    ),
    (
        "update_post_load_hook",
        lambda c: c.enable_post_load_hook(8),
        f"PUT {NOTIFICATIONS}/hooks/8",
        {"enable": True},
        more.LISTED_HOOK,
        lambda hook: hook.disabled_at is None,
    ),
    (
        "delete_post_load_hook",
        lambda c: c.delete_post_load_hook(8),
        f"DELETE {NOTIFICATIONS}/hooks/8",
        None,
        b"null",
        lambda nothing: nothing is None,
    ),
]


@pytest.mark.parametrize(
    ("name", "call", "request_line", "sent", "body", "check"),
    [pytest.param(*call, id=f"{call[0]}-{number}") for number, call in enumerate(CALLS)],
)
def test_method_sends_request_and_parses_response(
    stitch, client, name, call, request_line, sent, body, check
):
    stitch.script(http_response(body))

    result = call(client)

    [request] = stitch.requests
    endpoint = ENDPOINTS[name]
    assert f"{request.method} {request.target}" == request_line
    assert endpoint.method == request.method
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(endpoint.path))
    assert re.fullmatch(pattern, request.target.partition("?")[0])
    given = json.loads(request.body) if request.body else None
    assert sent(given) if callable(sent) else given == sent
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert check(result)


def test_table_covers_every_endpoint_of_the_client():
    assert {call[0] for call in CALLS} == set(ENDPOINTS) - {"create_account", "exchange_code"}


INVALID = [
    http_response(b"[" * 100_000),
    http_response(b"<html>"),
    http_response(b"\xff\xfe"),
    *[
        http_response(body, status)
        for status in (200, 400, 404)
        for body in (
            b"",
            b"null",
            [],
            {},
            [[]],
            [5],
            [{}],
            5,
            "text",
            {"error": []},
            {"error": "InvalidProperties", "data": {"report_card": {"type": "a", "steps": [5]}}},
            {"error": {"type": {}, "message": [{}]}},
            {"data": [{}], "total": []},
            {"post_load": {}},
            {"id": 1, "name": "\ud800", "schema": "[", "config": []},
        )
    ],
]


@pytest.mark.parametrize("call", [pytest.param(call[1], id=f"{call[0]}-{n}") for n, call in enumerate(CALLS)])
def test_invalid_responses_raise_only_stitch_errors(stitch, client, call):
    stitch.script(*INVALID)

    for _ in INVALID:
        error = failure_of(call, client)
        assert error is None or str(error).encode()

    assert len(stitch.requests) == len(INVALID)


def failure_of(call, client):
    try:
        call(client)
    except StitchError as error:
        return error
    return None
