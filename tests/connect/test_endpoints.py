"""Test that the client calls each documented endpoint correctly over HTTP."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.endpoints import ENDPOINTS
from airflow_provider_stitch.connect.errors import StitchError
from airflow_provider_stitch.connect.partner import StitchPartner

from .conftest import TOKEN
from .destination_calls import DESTINATION_CALLS
from .notification_calls import NOTIFICATION_CALLS, NOTIFICATIONS
from .scripted_server import http_response
from .source_calls import SOURCE_CALLS

# The order of the endpoints is the same as in Stitch's documentation. No endpoint appears twice.
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
    """Return an endpoint without its parameter names, which may differ from the documentation."""
    return f"{method} {re.sub('{[^}]*}', '{}', path)}"


def test_endpoints_match_the_documentation():
    assert {shape(each.method, each.path) for each in ENDPOINTS.values()} == {
        shape(*each) for each in DOCUMENTED
    }


def test_each_endpoint_has_a_method_of_client_or_partner():
    of_account = {name for name in ENDPOINTS if hasattr(StitchClient, name)}
    of_partner = {name for name in ENDPOINTS if hasattr(StitchPartner, name)}

    # Each of these updates has one client method that enables an object and another that disables an object.
    # No client method has the same name as one of these endpoints.
    split = {"update_custom_email", "update_post_load_hook"}
    assert of_partner == {"create_account", "exchange_code"}
    assert of_account == set(ENDPOINTS) - of_partner - split


CALLS = [*DESTINATION_CALLS, *SOURCE_CALLS, *NOTIFICATION_CALLS]


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
