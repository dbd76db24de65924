"""Test documented error bodies, documented status codes, and authentication."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_stitch.emulator import EmulatedStream, Quirks, StitchEmulator
from airflow_provider_stitch.emulator.server.routes.table import ENDPOINTS

from .conftest import Api

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.server.routes.endpoint import Endpoint

STREAMS_BODY = "body must contain a 'streams' property with a list of metadatas by tap_stream_id"
PUT_BODY = {
    "error": "InvalidBody",
    "data": {"message": "PUT body many only include the keys: display_name, properties, and paused_at"},
}
CRON = (
    'cron_expression "0 0 12 * * MON *" is invalid: Support for specifying both a day-of-week AND a '
    "day-of-month parameter is not implemented."
)


def selection(tap_stream_id: str | None, breadcrumb: list[str], **metadata: Any) -> dict[str, Any]:
    """Return the request body for a metadata update of one stream and one breadcrumb."""
    entry: dict[str, Any] = {"metadata": [{"breadcrumb": breadcrumb, "metadata": metadata}]}
    if tap_stream_id is not None:
        entry["tap_stream_id"] = tap_stream_id
    return {"streams": [entry]}


@pytest.fixture
def api(stitch: StitchEmulator) -> Api:
    """Return an API client for an account in which source 310442 is active and source 310443 is deleted."""
    fields = {"id": "automatic", "name": "available", "blob": "unsupported"}
    stitch.add_source("github", streams={"commits": EmulatedStream(1, fields=fields)})
    stitch.delete_source(stitch.add_source("gone", streams={"a": 1}))
    return Api(stitch, stitch)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        pytest.param(
            "POST",
            "/v4/sources/1/sync",
            {},
            400,
            {
                "error": {
                    "type": "invalid_source",
                    "message": "Unable to locate source(1) for client (104857)",
                }
            },
            id="start of an unknown source",
        ),
        pytest.param(
            "POST",
            "/v4/sources/310443/sync",
            {},
            400,
            {"error": {"type": "invalid_source", "message": "Integration is deleted."}},
            id="start of a deleted source",
        ),
        pytest.param("PUT", "/v4/sources/310442", {"type": "x"}, 400, PUT_BODY, id="prohibited key"),
        pytest.param("PUT", "/v4/sources/310442", [], 400, PUT_BODY, id="body is not an object"),
        pytest.param(
            "PUT",
            "/v4/sources/310442",
            {"display_name": " "},
            400,
            {"error": "InvalidDisplayName", "data": {"message": "invalid display_name ( )"}},
            id="blank display name",
        ),
        pytest.param(
            "PUT",
            "/v4/sources/1",
            {"display_name": "x"},
            400,
            {"error": "InvalidId", "data": {"message": "source not found (1)"}},
            id="update of an unknown source",
        ),
        pytest.param(
            "DELETE",
            "/v4/sources/1",
            None,
            400,
            {"error": "InvalidId", "data": {"message": "source not found (1)"}},
            id="deletion of an unknown source",
        ),
        pytest.param(
            "PUT",
            "/v4/sources/310442",
            {"properties": {"cron_expression": "0 0 12 * * MON *"}},
            400,
            {"error": "InvalidCronExpression", "data": {"message": CRON}},
            id="both days in a cron expression",
        ),
        pytest.param(
            "GET", "/v4/sources/310442/streams/7", None, 400, "invalid stream-id: 7", id="unknown stream"
        ),
        pytest.param(
            "GET",
            "/v4/sources/1/streams/7",
            None,
            400,
            "invalid stream-id: 7",
            id="unknown source's stream",
        ),
        pytest.param(
            "PUT",
            "/v4/sources/310442/streams/metadata",
            selection(None, [], selected=True),
            400,
            {"invalid_fields": "invalid tap-stream-ids:  [nil]"},
            id="no tap_stream_id",
        ),
        pytest.param(
            "PUT",
            "/v4/sources/310442/streams/metadata",
            selection("nope", [], selected=True),
            400,
            {"invalid_fields": "invalid tap-stream-ids:  [nope]"},
            id="unknown tap_stream_id",
        ),
        pytest.param(
            "PUT",
            "/v4/sources/310442/streams/metadata",
            selection("commits", [], inclusion="automatic"),
            400,
            {"invalid_fields": 'only non-discoverable metadata can be produced by the UI: #{"inclusion"}'},
            id="read-only key",
        ),
        pytest.param(
            "PUT",
            "/v4/sources/310442/streams/metadata",
            selection("commits", ["properties", "blob"], selected=True),
            400,
            {"invalid_fields": "Unsupported fields cannot be selected by default"},
            id="unsupported field",
        ),
        pytest.param(
            "PUT", "/v4/sources/310442/streams/metadata", {}, 400, STREAMS_BODY, id="no streams in the body"
        ),
        pytest.param(
            "PUT",
            "/v4/sources/310442/streams/metadata",
            {"streams": [{"tap_stream_id": "commits", "metadata": [{"metadata": {}}]}]},
            400,
            STREAMS_BODY,
            id="no breadcrumb",
        ),
        pytest.param(
            "GET",
            "/v4/destinations?page=1",
            None,
            400,
            "GET may only include the params: source_id and/or destination_id",
            id="other query parameter",
        ),
        pytest.param("GET", "/v4/104857/extractions/nope", None, 404, None, id="unknown job"),
        pytest.param("GET", "/v4/99/extractions", None, 401, None, id="foreign client's extractions"),
        pytest.param("GET", "/v4/99/loads", None, 401, None, id="foreign client's loads"),
        pytest.param("GET", "/v4/99/extractions/nope", None, 401, None, id="foreign client's log"),
        pytest.param("GET", "/v4/sources/1", None, 404, None, id="unknown source"),
        pytest.param("GET", "/v4/sources/abc", None, 404, None, id="source id is not a number"),
        pytest.param("GET", "/v4/nothing", None, 404, None, id="unknown path"),
        pytest.param("PATCH", "/v4/sources", None, 404, None, id="unsupported method"),
        pytest.param("DELETE", "/v4/104857/loads", None, 404, None, id="unsupported method for loads"),
    ],
)
def test_error_has_the_documented_body(
    api: Api, method: str, path: str, body: Any, status: int, expected: Any
) -> None:
    response = api(method, path, **({} if body is None else {"json": body}))
    assert response.status_code == status
    assert (response.json() if response.content else None) == expected


def test_second_start_is_rejected_with_200(api: Api) -> None:
    api.start(310442)
    response = api("POST", "/v4/sources/310442/sync")
    assert response.status_code == 200
    assert response.json() == {
        "error": {
            "type": "already_running",
            "message": "Did not create job for client-id: 104857; connection-id: 310442 "
            "because one already exists",
        }
    }


def test_invalid_properties_error_contains_the_report_card(api: Api) -> None:
    response = api(
        "PUT", "/v4/sources/310442", json={"properties": {"start_date": "", "ok": "1", "flag": True}}
    )
    assert response.status_code == 400
    assert response.json()["error"] == "InvalidProperties"
    data = response.json()["data"]
    assert (data["message"], data["bad_properties"]) == (
        "properties do not match schema",
        ["flag", "start_date"],
    )
    assert data["report_card"]["type"] == "platform.github"
    assert "ok" not in api.get("/v4/sources/310442")["properties"]


def test_cron_is_rejected_if_the_plan_excludes_it(api: Api, stitch: StitchEmulator) -> None:
    stitch.allow_cron(allowed=False)
    response = api("PUT", "/v4/sources/310442", json={"properties": {"cron_expression": "0 0 12 ? * MON *"}})
    assert response.json() == {
        "error": "AccessDenied",
        "data": {"message": "access to cron_expression based scheduling is not permitted"},
    }


def test_string_errors_are_plain_text_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    quoted = api("GET", "/v4/sources/310442/streams/7")
    stitch.quirks.string_errors = "text"
    bare = api("GET", "/v4/sources/310442/streams/7")
    assert (quoted.text, bare.text) == ('"invalid stream-id: 7"', "invalid stream-id: 7")
    assert api("PUT", "/v4/sources/310442/streams/metadata", json={}).text == STREAMS_BODY


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="missing"),
        pytest.param("Bearer wrong", id="wrong"),
        pytest.param("", id="empty"),
        pytest.param("Basic dXNlcjpwYXNz", id="another scheme"),
        pytest.param("Bearer: {token}", id="colon after the scheme"),
        pytest.param("{token}", id="no scheme"),
    ],
)
@pytest.mark.parametrize("path", ["/v4/sources", "/v4/104857/loads", "/v4/nothing"])
def test_invalid_token_returns_401_without_a_body(api: Api, authorization: str | None, path: str) -> None:
    headers = (
        {}
        if authorization is None
        else {"Authorization": authorization.format(token=api.stitch.access_token)}
    )
    response = requests.get(api.stitch.url + path, headers=headers, timeout=10)
    assert (response.status_code, response.content) == (401, b"")


@pytest.mark.parametrize("endpoint", [pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS])
def test_each_endpoint_that_needs_a_token_rejects_its_absence(api: Api, endpoint: Endpoint) -> None:
    url = api.stitch.url + re.sub(r"\{\w+\}", "310442", endpoint.path)
    response = requests.request(endpoint.method, url, json={}, timeout=10, allow_redirects=False)
    assert (response.status_code == 401) == endpoint.needs_token


def test_disabled_token_is_rejected_until_it_is_enabled(api: Api, stitch: StitchEmulator) -> None:
    stitch.add_token("at_second")
    stitch.disable_token()
    assert api("GET", "/v4/sources").status_code == 401
    assert api("GET", "/v4/sources", headers={"Authorization": "Bearer at_second"}).status_code == 200
    stitch.enable_token()
    assert api("GET", "/v4/sources").status_code == 200


@pytest.fixture
def other(stitch: StitchEmulator, api: Api) -> Api:
    """Return an API client for a second account, which has its own source."""
    account = stitch.add_account()
    account.add_source("other", streams={"a": 1})
    return Api(stitch, account)


def test_accounts_are_isolated(stitch: StitchEmulator, api: Api, other: Api) -> None:
    (theirs,) = other.get("/v4/sources")
    assert theirs["stitch_client_id"] == other.account.client_id == 104858
    assert theirs["id"] not in {source["id"] for source in api.get("/v4/sources")}
    assert api("GET", f"/v4/sources/{theirs['id']}").status_code == 404
    assert api("GET", f"/v4/{other.account.client_id}/loads").status_code == 401
    assert api("POST", f"/v4/sources/{theirs['id']}/sync").status_code == 400
    job_name = other.start(theirs["id"])
    stitch.advance(200)
    assert other.log(job_name)
    assert api("GET", f"/v4/104857/extractions/{job_name}").status_code == 404
    assert api.extractions() == []


@pytest.mark.parametrize(
    "hopeless",
    [
        pytest.param({"type": "import_api", "current_step": "fully_configured"}, id="import api"),
        pytest.param({"current_step": "form"}, id="not configured"),
    ],
)
def test_start_of_a_source_that_cannot_run_is_rejected(
    stitch: StitchEmulator, api: Api, hopeless: dict[str, Any]
) -> None:
    source_id = stitch.add_source("hopeless", streams={"a": 1}, **hopeless)
    response = api("POST", f"/v4/sources/{source_id}/sync")
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "generic"


def test_quirk_allows_starts_of_sources_that_cannot_run() -> None:
    with StitchEmulator(quirks=Quirks(reject_unready_starts=False)) as stitch:
        source_id = stitch.add_source("github", streams={"a": 1})
        stitch.delete_destinations()
        api = Api(stitch, stitch)
        assert api.get("/v4/destinations") == []
        assert api.start(source_id)
        stitch.quirks.reject_unready_starts = True
        stitch.stop_job(source_id)
        assert "error" in api("POST", f"/v4/sources/{source_id}/sync").json()
