"""Test the report cards of all documented types, and how values are validated against report cards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import CheckPlan

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

D3 = (
    "POST body may only include a type, a name, a description, map of properties, "
    "and boolean for unmapped sources"
)
POSTGRES = {
    "host": "pg.acme.example",
    "port": "5432",
    "database": "dwh",
    "username": "stitch",
    "password": "hush-warehouse",
}
DATABASE = {"host": "db.acme.example", "port": "3306", "user": "stitch", "password": "hush-source"}
KEY = {"type": "service_account", "private_key": "-----BEGIN hush-----"}
BIGQUERY = {"cloud_storage_location": "US", "loading_mode": "upsert", "service_account_credentials": KEY}
FAILED = CheckPlan(discovery_exit_status=1, discovery_error_message="no such host")


def step_properties(card: Any, step: str = "form") -> dict[str, Any]:
    """Return the properties of one step in a report card, by property name."""
    return {
        prop["name"]: prop for each in card["steps"] if each["type"] == step for prop in each["properties"]
    }


def required(card: Any) -> set[str]:
    return {name for name, prop in step_properties(card).items() if prop["is_required"]}


def credentials(card: Any) -> set[str]:
    return {name for name, prop in step_properties(card).items() if prop["is_credential"]}


def create_destination(api: Api, kind: str, properties: Any) -> Any:
    response = api("POST", "/v4/destinations", json={"type": kind, "properties": properties})
    assert response.status_code == 200, response.text
    return response.json()


def create_source(api: Api, kind: str, properties: Any) -> Any:
    body = {"display_name": "Shop", "type": kind, "properties": properties}
    response = api("POST", "/v4/sources", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("kind", "needed", "secret"),
    [
        (
            "postgres",
            {"database", "encryption_type", "host", "password", "port", "ssl", "username"},
            {"password"},
        ),
        (
            "snowflake",
            {"database", "host", "password", "port", "username", "warehouse"},
            {"password", "username"},
        ),
        (
            "azure_sqldw",
            {
                "azure_storage_account_token",
                "azure_storage_sas_url",
                "database",
                "encryption_type",
                "host",
                "password",
                "port",
                "username",
            },
            {"azure_storage_account_token", "azure_storage_sas_url", "password"},
        ),
        ("s3", {"output_file_format", "s3_bucket", "s3_key_format_string", "sentinel_key"}, {"sentinel_key"}),
        (
            "bigquery_v2",
            {"cloud_storage_location", "loading_mode", "project_id", "service_account_credentials"},
            {"service_account_credentials"},
        ),
    ],
)
def test_destination_type_shows_documented_properties(
    api: Api, kind: str, needed: set[str], secret: set[str]
) -> None:
    card = api.get(f"/v4/destination-types/{kind}")

    assert (required(card), credentials(card)) == (needed, secret)


@pytest.mark.parametrize(
    ("kind", "needed", "secret"),
    [
        (
            "platform.github",
            {"access_token", "image_version", "repository", "start_date"},
            {"access_token"},
        ),
        ("platform.shopify", {"image_version", "shop", "start_date"}, set()),
        ("platform.mysql", {"host", "image_version", "password", "port", "user"}, {"password"}),
        (
            "platform.hp-postgres",
            {
                "dbname",
                "host",
                "image_version",
                "include_schemas_in_destination_stream_name",
                "password",
                "port",
                "user",
            },
            {"password"},
        ),
    ],
)
def test_source_type_shows_documented_properties(
    api: Api, kind: str, needed: set[str], secret: set[str]
) -> None:
    card = api.get(f"/v4/source-types/{kind}")

    assert (required(card), credentials(card)) == (needed, secret)


def test_source_types_are_the_130_documented_ones_and_3_old_ones(api: Api) -> None:
    types = [card["type"] for card in api.get("/v4/source-types")]

    assert len(types) == len(set(types)) == 133


def test_type_without_credentials_has_the_documented_oauth_step(api: Api) -> None:
    oauth = step_properties(api.get("/v4/source-types/platform.shopify"), "oauth")

    assert set(oauth) == {"client_id", "client_secret", "redirect_uri", "refresh_token"}
    assert {prop["property_type"] for prop in oauth.values()} == {"system_provided_by_default"}
    assert all(prop["is_credential"] and prop["system_provided"] for prop in oauth.values())


def test_stitch_sets_defaults_of_a_destination(api: Api) -> None:
    connection = create_destination(api, "postgres", POSTGRES)

    shown = {name: value for name, value in POSTGRES.items() if name != "password"}
    assert connection["properties"] == {**shown, "encryption_type": "none", "ssl": "false"}
    assert all(
        step_properties(connection["report_card"])[name]["provided"] for name in ("encryption_type", "ssl")
    )


def test_incomplete_destination_is_checked_once_it_is_complete(api: Api, stitch: StitchEmulator) -> None:
    connection = create_destination(api, "postgres", {"host": "pg.acme.example"})
    path = f"/v4/destinations/{connection['id']}"

    assert "check_job_name" not in connection
    assert connection["report_card"]["current_step_type"] == "form"
    assert api("GET", f"{path}/last-connection-check").status_code == 404
    changed = api("PUT", path, json={"properties": POSTGRES}).json()
    stitch.advance(3)
    assert api.get(f"{path}/last-connection-check")["name"] == changed["check_job_name"]
    assert api.get("/v4/destinations")[1]["report_card"]["current_step_type"] == "fully_configured"
    unchecked = api("PUT", path, json={"properties": {"host": None}}).json()
    assert "check_job_name" not in unchecked
    assert api.get(f"{path}/last-connection-check")["name"] == changed["check_job_name"]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("postgres", "port", 5432),
        ("postgres", "port", "five"),
        ("postgres", "host", "https://pg.acme.example"),
        ("postgres", "host", ""),
        ("postgres", "encryption_type", "tls"),
        ("postgres", "ssl", "yes"),
        ("postgres", "database", {"name": "dwh"}),
        ("bigquery_v2", "service_account_credentials", json.dumps(KEY)),
        ("s3", "output_file_format", "xml"),
        ("s3", "s3_bucket", True),
    ],
)
def test_invalid_destination_value_is_rejected(api: Api, kind: str, name: str, value: Any) -> None:
    response = api("POST", "/v4/destinations", json={"type": kind, "properties": {name: value}})

    assert (response.status_code, response.json()) == (400, D3)
    assert "hush" not in response.text


@pytest.mark.parametrize(("given", "kept"), [(True, "true"), (False, "false"), ("true", "true")])
def test_boolean_of_a_destination_is_stored_as_a_string(api: Api, given: Any, kept: str) -> None:
    connection = create_destination(api, "postgres", {**POSTGRES, "ssl": given})

    assert connection["properties"]["ssl"] == kept


def test_string_for_a_boolean_is_rejected_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    stitch.quirks.strict_booleans = True

    body = {"type": "postgres", "properties": {**POSTGRES, "ssl": "true"}}
    assert api("POST", "/v4/destinations", json=body).status_code == 400
    assert create_destination(api, "postgres", {**POSTGRES, "ssl": True})["properties"]["ssl"] == "true"


def test_object_of_a_destination_is_accepted_and_not_returned(api: Api) -> None:
    connection = create_destination(api, "bigquery_v2", BIGQUERY)

    assert step_properties(connection["report_card"])["service_account_credentials"]["provided"] is True
    assert "hush" not in json.dumps(connection)


def test_string_for_an_integer_is_rejected_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    path = "/v4/source-types/platform.hp-mysql"
    assert step_properties(api.get(path))["port"]["json_schema"] == {"type": "string", "pattern": "^\\d+$"}
    body = {"display_name": "Shop", "type": "platform.hp-mysql", "properties": {**DATABASE, "port": 3306}}
    assert api("POST", "/v4/sources", json=body).status_code == 400

    stitch.quirks.integer_properties = True

    assert step_properties(api.get(path))["port"]["json_schema"] == {"type": "integer"}
    connection = create_source(api, "platform.hp-mysql", {**DATABASE, "port": 3306})
    assert connection["properties"]["port"] == "3306"
    response = api("PUT", f"/v4/sources/{connection['id']}", json={"properties": {"port": "3307"}})
    assert response.json()["data"]["bad_properties"] == ["port"]


def test_array_property_accepts_only_arrays(api: Api) -> None:
    connection = create_source(api, "platform.hp-mysql", {**DATABASE, "filter_dbs": ["shop"]})

    assert connection["properties"]["filter_dbs"] == ["shop"]
    response = api("PUT", f"/v4/sources/{connection['id']}", json={"properties": {"filter_dbs": "shop"}})
    assert response.status_code == 400


@pytest.mark.parametrize("name", ["client_secret", "db_password", "apiKey", "private_key"])
def test_undocumented_secret_is_not_returned(api: Api, name: str) -> None:
    connection = create_source(api, "platform.closeio", {"api_key": "hush-key", name: "hush-more"})

    assert "hush" not in json.dumps([connection, api.get("/v4/sources")])
    refused = api(
        "PUT", f"/v4/sources/{connection['id']}", json={"properties": {name: 5, "start_date": "hush"}}
    )
    assert refused.status_code == 400
    assert "hush" not in refused.text


def test_undocumented_property_is_rejected_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    stitch.quirks.refuse_unknown_properties = True

    for path, body in (
        ("/v4/sources", {"display_name": "S", "type": "platform.closeio", "properties": {"colour": "red"}}),
        ("/v4/destinations", {"type": "postgres", "properties": {**POSTGRES, "colour": "red"}}),
    ):
        assert api("POST", path, json=body).status_code == 400


def test_read_only_property_is_set_only_by_stitch(api: Api) -> None:
    connection = create_source(api, "platform.closeio", {"api_key": "hush-key", "image_version": "9.latest"})

    assert connection["properties"]["image_version"] == "1.latest"


def test_immutable_property_can_be_set_only_once(api: Api, stitch: StitchEmulator) -> None:
    stitch.quirks.immutable_properties = ("database", "repository")
    destination = create_destination(api, "postgres", POSTGRES)
    path = f"/v4/destinations/{destination['id']}"

    assert (
        step_properties(destination["report_card"])["database"]["property_type"] == "user_provided_immutable"
    )
    assert api("PUT", path, json={"properties": {"database": "other"}}).status_code == 400
    assert api("PUT", path, json={"properties": {"database": "dwh", "host": "new"}}).status_code == 200
    source = create_source(api, "platform.github", {"repository": "acme/shop"})
    refused = api("PUT", f"/v4/sources/{source['id']}", json={"properties": {"repository": "acme/other"}})
    assert refused.json()["data"]["bad_properties"] == ["repository"]


# Tests for the current step after a creation and after a connection check.


def step(api: Api, path: str) -> Any:
    return next(each for each in api.get(path))["report_card"]["current_step_type"]


@pytest.mark.parametrize(
    ("quirk", "created", "failed"),
    [("after_check", "form", "form"), ("after_form", "fully_configured", "fully_configured")],
)
def test_destination_is_configured_after_its_check_or_its_form(
    api: Api, stitch: StitchEmulator, quirk: Any, created: str, failed: str
) -> None:
    stitch.delete_destinations()
    stitch.quirks.destination_configured = quirk
    stitch.plan_destination_check(FAILED)
    connection = create_destination(api, "postgres", POSTGRES)
    stitch.advance(3)

    assert connection["report_card"]["current_step_type"] == created
    assert step(api, "/v4/destinations") == failed


@pytest.mark.parametrize(
    ("back", "of_destination", "of_source"),
    [(False, "fully_configured", "fully_configured"), (True, "form", "discover_schema")],
)
def test_failed_check_resets_the_configuration_with_quirk(
    api: Api, stitch: StitchEmulator, github: int, back: bool, of_destination: str, of_source: str
) -> None:
    stitch.quirks.failed_check_resets_step = back
    stitch.plan_destination_check(FAILED, 155901)
    stitch.plan_next_check(github, FAILED)
    api("PUT", "/v4/destinations/155901", json={"properties": {"host": "wrong"}})
    api("PUT", f"/v4/sources/{github}", json={"properties": {"repository": "acme/wrong"}})
    stitch.advance(3)

    assert (step(api, "/v4/destinations"), step(api, "/v4/sources")) == (of_destination, of_source)
    api("PUT", "/v4/destinations/155901", json={"properties": {"host": "right"}})
    api("PUT", f"/v4/sources/{github}", json={"properties": {"repository": "acme/right"}})
    stitch.advance(3)
    assert (step(api, "/v4/destinations"), step(api, "/v4/sources")) == ("fully_configured",) * 2
