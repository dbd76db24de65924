"""Test source types, destination types and Import API tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

DESTINATION_TYPES = [
    "azure_sqldw",
    "bigquery_v2",
    "databricks_delta",
    "dataworld",
    "mssql_server",
    "mysql_destination",
    "panoply",
    "postgres",
    "redshift",
    "s3",
    "snowflake",
]


def test_all_documented_destination_types_are_listed(api: Api) -> None:
    types = api.get("/v4/destination-types")
    assert [kind["type"] for kind in types] == DESTINATION_TYPES
    assert api.get("/v4/destination-types/snowflake") == types[-1]
    snowflake = types[-1]
    assert (snowflake["current_step"], snowflake["current_step_type"]) == (1, "form")
    assert [step["type"] for step in snowflake["steps"]] == ["form", "fully_configured"]
    assert "upgrade_available" not in snowflake
    assert all("tap_mutable" not in prop for prop in snowflake["steps"][0]["properties"])


def test_source_types_are_listed_with_their_steps(api: Api) -> None:
    types = {kind["type"]: kind for kind in api.get("/v4/source-types")}
    assert types["platform.hubspot"] == api.get("/v4/source-types/platform.hubspot")
    steps = {name: [step["type"] for step in kind.get("steps", [])] for name, kind in types.items()}
    later = ["discover_schema", "field_selection", "fully_configured"]
    assert steps["platform.github"] == ["form", *later]
    assert steps["platform.hubspot"] == ["form", "oauth", *later]
    assert steps["platform.facebook"] == ["form", "oauth", "profile", *later]
    assert steps["import_api"] == ["form", "fully_configured"]


def test_some_types_have_only_details(api: Api) -> None:
    bare = [kind for kind in api.get("/v4/source-types") if "steps" not in kind]
    assert {kind["type"] for kind in bare} == {"mysql", "redshift"}
    mysql = next(kind for kind in bare if kind["type"] == "mysql")
    assert set(mysql) == {"type", "details", "upgrade_available"}
    assert mysql["upgrade_available"] == {"type": "platform.hp-mysql"}
    assert (mysql["details"]["access"], mysql["details"]["pipeline_state"]) == (False, "deprecated")


def test_details_show_whether_the_plan_includes_the_type(api: Api, stitch: StitchEmulator) -> None:
    assert api.get("/v4/source-types/platform.stripe")["details"]["access"] is True
    stitch.allow_source_type("platform.stripe", allowed=False)
    assert api.get("/v4/source-types/platform.stripe")["details"]["access"] is False


@pytest.mark.parametrize("path", ["/v4/source-types/platform.nope", "/v4/destination-types/nope"])
def test_unknown_type_is_a_404(api: Api, path: str) -> None:
    assert api("GET", path).status_code == 404


# Tests for Import API tokens.


@pytest.fixture
def tokens(stitch: StitchEmulator) -> str:
    """Return the API path for the tokens of an Import API source."""
    return f"/v4/sources/{stitch.add_source('events', type='import_api', streams={'events': 0})}/tokens"


def test_token_is_returned_once(api: Api, tokens: str) -> None:
    created = api("POST", tokens).json()
    assert set(created) == {"id", "access_token"}
    listed = api("GET", tokens)
    assert listed.json() == [{"token_id": created["id"], "created_at": "2026-08-17T06:00:02Z"}]
    assert created["access_token"] not in listed.text


def test_tokens_are_listed_as_ids_with_quirk(api: Api, stitch: StitchEmulator, tokens: str) -> None:
    stitch.quirks.import_tokens = "ids"
    number = api("POST", tokens).json()["id"]
    assert api.get(tokens) == [number]


def test_source_has_at_most_two_tokens_with_increasing_ids(
    api: Api, stitch: StitchEmulator, tokens: str
) -> None:
    first, second = (api("POST", tokens).json()["id"] for _ in range(2))
    assert api("POST", tokens).status_code == 400
    revoked = api("DELETE", f"{tokens}/{second}")
    assert (revoked.status_code, revoked.json()["type"]) == (200, "import_api")
    third = api("POST", tokens).json()["id"]
    assert first < second < third
    source_id = int(re.findall(r"\d+", tokens)[1])
    assert stitch.import_tokens(source_id) == [first, third]


def test_import_token_gives_no_access_to_this_api(api: Api, tokens: str) -> None:
    token = api("POST", tokens).json()["access_token"]
    assert api("GET", "/v4/sources", headers={"Authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        pytest.param("DELETE", "/v4/sources/1/tokens/7", 400, "source not found (1)", id="revoking"),
        pytest.param("POST", "/v4/sources/1/tokens", 400, "source not found (1)", id="creating"),
        pytest.param("GET", "/v4/sources/1/tokens", 404, None, id="listing"),
        pytest.param("DELETE", "/v4/sources/310442/tokens/7", 404, None, id="token"),
    ],
)
def test_unknown_source_or_token_is_rejected(
    api: Api, github: int, method: str, path: str, status: int, error: Any
) -> None:
    response = api(method, path)
    assert response.status_code == status
    assert (response.json()["data"]["message"] if response.content else None) == error


def test_only_import_api_sources_have_tokens(api: Api, github: int) -> None:
    assert api("POST", f"/v4/sources/{github}/tokens").status_code == 400
    assert api.get(f"/v4/sources/{github}/tokens") == []


def test_invented_source_type_must_be_planned_first(stitch: StitchEmulator) -> None:
    with pytest.raises(ValueError, match=r"the source type 'platform.gitub'. Did you mean platform.github"):
        stitch.add_source("github", type="platform.gitub", streams={})
    with pytest.raises(ValueError, match=r"Did you mean .*platform.postgres"):
        stitch.add_source("shop", type="postgres", streams={})
    stitch.plan_new_sources("platform.acme")

    assert stitch.add_source("acme", type="platform.acme", streams={})
