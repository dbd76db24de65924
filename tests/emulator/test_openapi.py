"""Test that the OpenAPI description and the emulator contain exactly the documented endpoints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests
from jsonschema import Draft202012Validator

from airflow_provider_stitch.emulator.server.routes.table import ENDPOINTS, match

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

#: All endpoints that the documentation of the Stitch Connect API lists.
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
    ("POST", "/notifications/public/v1/api/custom-emails"),
    ("GET", "/notifications/public/v1/api/custom-emails"),
    ("PUT", "/notifications/public/v1/api/custom-emails/{id}"),
    ("DELETE", "/notifications/public/v1/api/custom-emails/{id}"),
    ("POST", "/notifications/public/v1/api/hooks"),
    ("GET", "/notifications/public/v1/api/hooks"),
    ("PUT", "/notifications/public/v1/api/hooks/{id}"),
    ("DELETE", "/notifications/public/v1/api/hooks/{id}"),
]


@pytest.fixture
def document(stitch: StitchEmulator) -> Any:
    """Return the OpenAPI description, which requires no token because it contains no account data."""
    response = requests.get(f"{stitch.url}/openapi.json", timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    return response.json()


def test_description_contains_exactly_the_documented_endpoints(document: Any) -> None:
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == set(DOCUMENTED)
    assert len(DOCUMENTED) == len(set(DOCUMENTED)) == 40


def test_router_finds_every_documented_endpoint() -> None:
    for method, path in DOCUMENTED:
        matched = match(method, re.sub(r"\{\w+\}", "7", path))
        assert matched is not None, path
        assert (matched.endpoint.method, matched.endpoint.path) == (method, path)


def test_every_documented_endpoint_responds(api: Api, stitch: StitchEmulator) -> None:
    stitch.add_source("github", streams={"a": 1}, source_id=7)
    known = {"{stitch_client_id}": "104857", "{source_type}": "import_api", "{destination_type}": "s3"}
    for method, path in DOCUMENTED:
        response = api(method, re.sub(r"\{\w+\}", lambda found: known.get(found[0], "7"), path))
        assert response.status_code in (200, 400, 404), (method, path)


def test_schemas_are_valid(document: Any) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = str(document["paths"])
    used = set(re.findall(r"#/components/schemas/(\w+)", text + str(document["components"])))
    assert used == set(document["components"]["schemas"])


def test_operation_ids_are_unique(document: Any) -> None:
    names = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(set(names)) == len(names)


def test_groups_have_the_order_of_the_reference() -> None:
    groups = list(dict.fromkeys(endpoint.group for endpoint in ENDPOINTS))
    assert groups == [
        "Accounts, sessions, OAuth",
        "Destinations and destination types",
        "Sources, source types, Import API tokens",
        "Connection checks, streams",
        "Replication jobs, extractions, loads",
        "Notifications",
    ]


def test_exactly_three_endpoints_are_limited() -> None:
    limited = {endpoint.path for endpoint in ENDPOINTS if endpoint.limited}
    assert limited == {
        "/v4/{stitch_client_id}/extractions",
        "/v4/{stitch_client_id}/extractions/{job_name}",
        "/v4/{stitch_client_id}/loads",
    }
