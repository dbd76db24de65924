"""Test the creation of sources: report card steps, source names, and documented errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream, JobPlan

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

GITHUB = {"access_token": "ghp_secret", "repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
OAUTH = {
    "client_id": "i",
    "client_secret": "s",
    "redirect_uri": "https://acme.example/oauth",
    "refresh_token": "r",
}
S3 = "POST body may only include a non-empty type, a non-empty display_name and map of string properties"
S4 = (
    "The name field must be under 50 characters, and can only contain lowercase letters, numbers, "
    "underscores, or dollar signs. It must begin with a letter or an underscore."
)


def post(api: Api, display_name: Any = "GitHub", source_type: Any = "platform.github", **more: Any) -> Any:
    return api("POST", "/v4/sources", json={"display_name": display_name, "type": source_type, **more})


def create(api: Api, *arguments: Any, **more: Any) -> Any:
    response = post(api, *arguments, **more)
    assert response.status_code == 200, response.text
    return response.json()


def step(api: Api, source_id: int) -> str:
    current: str = api.get(f"/v4/sources/{source_id}")["report_card"]["current_step_type"]
    return current


def error(code: str, message: str) -> Any:
    return (400, {"error": code, "data": {"message": message}})


def select(api: Api, source_id: int, tap_stream_id: str) -> None:
    item = {"breadcrumb": [], "metadata": {"selected": True}}
    body = {"streams": [{"tap_stream_id": tap_stream_id, "metadata": [item]}]}
    assert api("PUT", f"/v4/sources/{source_id}/streams/metadata", json=body).status_code == 200


# Steps


def test_source_passes_through_all_steps(api: Api, stitch: StitchEmulator) -> None:
    created = create(api)
    path = f"/v4/sources/{created['id']}"
    assert (created["name"], created["report_card"]["current_step_type"]) == ("github", "form")
    assert "check_job_name" not in created
    assert api("GET", f"{path}/last-connection-check").status_code == 404
    missing = [
        p["name"]
        for p in created["report_card"]["steps"][0]["properties"]
        if p["is_required"] and not p["provided"]
    ]
    assert missing == ["access_token", "repository", "start_date"]

    given = api("PUT", path, json={"properties": GITHUB}).json()
    assert given["report_card"]["current_step_type"] == "discover_schema"
    assert api.get(f"{path}/last-connection-check")["name"] == given["check_job_name"]
    assert api.get(f"{path}/streams") == []

    stitch.advance(3)
    assert step(api, created["id"]) == "field_selection"
    streams = api.get(f"{path}/streams")
    assert [(s["stream_name"], s["selected"]) for s in streams] == [
        ("commits", None),
        ("issues", None),
        ("pull_requests", None),
    ]
    assert api("POST", f"{path}/sync").status_code == 400

    select(api, created["id"], "commits")
    assert step(api, created["id"]) == "fully_configured"
    assert api.start(created["id"])


def test_all_properties_can_be_given_at_once(api: Api) -> None:
    created = create(api, properties=GITHUB)
    assert created["report_card"]["current_step_type"] == "discover_schema"
    assert created["check_job_name"].startswith(f"104857.{created['id']}.check.")


def test_check_name_is_absent_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    stitch.quirks.name_checks_in_updates = False
    assert "check_job_name" not in create(api, properties=GITHUB)


def test_credentials_are_never_returned(api: Api) -> None:
    created = create(api, properties=GITHUB)
    assert "ghp_secret" not in str(created)
    assert "access_token" not in created["properties"]
    assert created["report_card"]["steps"][0]["properties"][0]["provided"] is True


def test_oauth_and_profile_are_separate_steps(api: Api, stitch: StitchEmulator) -> None:
    created = create(api, "Ads", "platform.facebook", properties={"start_date": "2025-01-01T00:00:00Z"})
    path = f"/v4/sources/{created['id']}"
    assert created["report_card"]["current_step_type"] == "oauth"
    card = api("PUT", path, json={"properties": OAUTH}).json()["report_card"]
    assert (card["current_step"], card["current_step_type"]) == (3, "profile")
    card = api("PUT", path, json={"properties": {"account_id": "7"}}).json()["report_card"]
    assert card["current_step_type"] == "discover_schema"


def test_oauth_properties_can_be_given_with_the_form(api: Api) -> None:
    properties = {"start_date": "2025-01-01T00:00:00Z", **OAUTH}
    created = create(api, "HubSpot", "platform.hubspot", properties=properties)
    assert created["report_card"]["current_step_type"] == "discover_schema"


def test_failed_check_blocks_configuration_until_an_update(api: Api, stitch: StitchEmulator) -> None:
    plan = CheckPlan(discovery_exit_status=1, discovery_error_message="Bad credentials")
    stitch.plan_new_sources("platform.github", check=plan)
    created = create(api, properties=GITHUB)
    stitch.advance(60)
    assert step(api, created["id"]) == "discover_schema"
    assert api.get(f"/v4/sources/{created['id']}/streams") == []
    api("PUT", f"/v4/sources/{created['id']}", json={"properties": {"access_token": "better"}})
    stitch.advance(3)
    assert step(api, created["id"]) == "field_selection"


@pytest.mark.parametrize("kind", ["import_api", "webhook.zapier"])
def test_source_without_extractions_is_configured_immediately(api: Api, kind: str) -> None:
    created = create(api, "Events", kind)
    assert (created["properties"], created["schedule"], "check_job_name" in created) == ({}, None, False)
    card = created["report_card"]
    assert (card["current_step"], card["current_step_type"]) == (2, "fully_configured")


def test_step_position_is_always_1_with_quirk(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.quirks.steps_by_position = False
    card = api.get(f"/v4/sources/{github}")["report_card"]
    assert (card["current_step"], card["current_step_type"]) == (1, "fully_configured")


def test_selection_requires_a_field_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    stitch.quirks.selection_needs_a_field = True
    created = create(api, properties=GITHUB)
    stitch.advance(3)
    select(api, created["id"], "commits")
    assert step(api, created["id"]) == "field_selection"
    item = {"breadcrumb": ["properties", "name"], "metadata": {"selected": True}}
    body = {"streams": [{"tap_stream_id": "commits", "metadata": [item]}]}
    api("PUT", f"/v4/sources/{created['id']}/streams/metadata", json=body)
    assert step(api, created["id"]) == "fully_configured"


def test_discovery_and_jobs_of_new_sources_can_be_planned(api: Api, stitch: StitchEmulator) -> None:
    found = {"a": 7, "b": EmulatedStream(2)}
    stitch.plan_new_sources("platform.github", streams=found, job=JobPlan(rows={"b": 9}))
    created = create(api, properties=GITHUB)
    stitch.advance(3)
    streams = api.get(f"/v4/sources/{created['id']}/streams")
    assert [(s["stream_name"], s["selected"]) for s in streams] == [("a", None), ("b", True)]
    assert step(api, created["id"]) == "fully_configured"
    job_name = api.start(created["id"])
    stitch.advance(300)
    assert "Serializing batch with 9 messages for table b\n" in api.log(job_name)


def test_stitch_starts_jobs_of_a_new_source(api: Api, stitch: StitchEmulator) -> None:
    stitch.plan_new_sources("platform.github", streams={"a": EmulatedStream(1)})
    created = create(api, properties={**GITHUB, "frequency_in_minutes": "60"})
    assert created["schedule"] is None
    stitch.advance(3)
    schedule = api.get(f"/v4/sources/{created['id']}")["schedule"]
    assert (schedule["interval"], schedule["next_fire_time"]) == (60.0, "2026-08-17T06:30:05Z")
    stitch.advance(1801)
    stitch.advance(3600)
    assert [job.started_by for job in stitch.jobs(created["id"])] == ["schedule", "schedule"]


def test_new_tables_are_listed_after_the_next_job(api: Api, stitch: StitchEmulator, github: int) -> None:
    def names() -> list[str]:
        return [s["stream_name"] for s in api.get(f"/v4/sources/{github}/streams")]

    stitch.start_job(github)
    stitch.add_streams(github, {"releases": 5})
    stitch.advance(151)
    assert names() == ["commits", "issues"]  # the job's discovery had ended before the table was added
    stitch.start_job(github, discovery_exit_status=1)
    stitch.advance(151)
    assert names() == ["commits", "issues"]
    stitch.start_job(github)
    stitch.advance(100)
    assert names() == ["commits", "issues"]
    stitch.advance(51)
    assert names() == ["commits", "issues", "releases"]


def test_new_tables_of_an_import_api_source_are_listed_immediately(api: Api, stitch: StitchEmulator) -> None:
    created = create(api, "Events", "import_api")
    stitch.add_streams(created["id"], {"clicks": 0})
    stitch.record_load(created["id"], "clicks")
    assert [(row["source_name"], row["stream_name"]) for row in api.loads()] == [("events", "clicks")]


def test_unknown_source_type_can_be_planned(api: Api, stitch: StitchEmulator) -> None:
    assert post(api, "Jira", "platform.acme").status_code == 400
    stitch.plan_new_sources("platform.acme", streams={"tickets": 3})
    assert api.get("/v4/source-types/platform.acme")["type"] == "platform.acme"
    created = create(api, "Jira", "platform.acme", properties=GITHUB)
    stitch.advance(3)
    assert [s["stream_name"] for s in api.get(f"/v4/sources/{created['id']}/streams")] == ["tickets"]
    with pytest.raises(ValueError, match="no discovery"):
        stitch.plan_new_sources("import_api")


# Destinations


def test_new_source_is_mapped_to_a_destination(api: Api, stitch: StitchEmulator) -> None:
    other = stitch.add_destination("snowflake")
    first, second = create(api), create(api, "Second", destination_id=other)
    mapped = [api.get(f"/v4/destinations?source_id={created['id']}")[0]["id"] for created in (first, second)]
    assert mapped == [155901, other]
    stitch.quirks.accept_destination_id = False
    response = post(api, "Third", destination_id=other)
    assert (response.status_code, response.json()) == error("InvalidBody", S3)


# Errors


def test_s1_unknown_type(api: Api) -> None:
    response = post(api, "X", "platform.nope")
    expected = error("InvalidType", "invalid source type (platform.nope)")
    assert (response.status_code, response.json()) == expected


def test_s2_display_name_in_use(api: Api, stitch: StitchEmulator) -> None:
    created = create(api, "GitHub")
    assert (post(api).status_code, post(api).json()) == error("InvalidName", "non-unique name (GitHub)")
    api("DELETE", f"/v4/sources/{created['id']}")
    assert create(api)["name"] == "github"  # a new source can have the name of a deleted source


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"type": "platform.github"}, id="no display name"),
        pytest.param({"display_name": "x"}, id="no type"),
        pytest.param({"display_name": "", "type": "platform.github"}, id="empty display name"),
        pytest.param({"display_name": "x", "type": ""}, id="empty type"),
        pytest.param({"display_name": "x", "type": "platform.github", "paused_at": None}, id="other key"),
        pytest.param(
            {"display_name": "x", "type": "platform.github", "properties": []}, id="properties not a map"
        ),
        pytest.param({"display_name": "x", "type": "platform.github", "name": "x"}, id="name"),
        pytest.param({"display_name": "x", "type": "platform.github", "destination_id": 1}, id="destination"),
        pytest.param([], id="not an object"),
    ],
)
def test_s3_prohibited_arguments(api: Api, body: Any) -> None:
    response = api("POST", "/v4/sources", json=body)
    assert (response.status_code, response.json()) == error("InvalidBody", S3)


@pytest.mark.parametrize("display_name", ["x" * 50, "1 Shop"])
def test_s4_invalid_name(api: Api, display_name: str) -> None:
    response = post(api, display_name)
    assert (response.status_code, response.json()) == error("InvalidName", S4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("my$name", None, id="valid"),
        pytest.param("My", error("InvalidName", S4), id="uppercase"),
        pytest.param("taken", error("InvalidName", "non-unique name (taken)"), id="taken"),
        pytest.param(7, error("InvalidBody", S3), id="not a string"),
    ],
)
def test_source_name_is_accepted_with_quirk(
    api: Api, stitch: StitchEmulator, name: Any, expected: Any
) -> None:
    stitch.add_source("taken", streams={})
    stitch.quirks.accept_source_name = True
    response = post(api, "Shop", name=name)
    if expected is None:
        assert response.json()["name"] == name
    else:
        assert (response.status_code, response.json()) == expected


def test_s5_derived_name_in_use(api: Api) -> None:
    assert create(api, "My Shop")["name"] == "my_shop"
    message = "non-unique name after deriving it from display_name (My Shop!!! -> my_shop)"
    response = post(api, "My Shop!!!")
    assert (response.status_code, response.json()) == error("InvalidName", message)


def test_s6_derived_name_is_empty(api: Api) -> None:
    message = "invalid name after deriving it from display_name (#### -> )"
    response = post(api, "####")
    assert (response.status_code, response.json()) == error("InvalidDisplayName", message)


@pytest.mark.parametrize("kind", ["platform.stripe", "mysql"])
def test_s7_no_access_to_the_type(api: Api, stitch: StitchEmulator, kind: str) -> None:
    stitch.allow_source_type("platform.stripe", allowed=False)
    response = post(api, "X", kind)
    message = f"you do not have access to source type ({kind})"
    assert (response.status_code, response.json()) == error("AccessDenied", message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_date", "2025-01-01T06:00:00Z"),
        ("start_date", ["2025-01-01T00:00:00Z"]),
        ("frequency_in_minutes", "7"),
        ("frequency_in_minutes", 60),
        ("access_token", ""),
        ("anchor_time", "soon"),
        ("anything", True),
    ],
)
def test_s8_invalid_properties(api: Api, name: str, value: Any) -> None:
    response = post(api, properties={**GITHUB, name: value})
    assert (response.status_code, response.json()["error"]) == (400, "InvalidProperties")
    data = response.json()["data"]
    assert (data["message"], data["bad_properties"]) == ("properties do not match schema", [name])
    assert data["report_card"]["type"] == "platform.github"
    assert api.get("/v4/sources") == []


def test_s9_s10_invalid_or_unavailable_cron_expression(api: Api, stitch: StitchEmulator) -> None:
    both = {"cron_expression": "* * * * * *"}
    response = post(api, properties=both)
    message = (
        'cron_expression "* * * * * *" is invalid: Support for specifying both a day-of-week AND a '
        "day-of-month parameter is not implemented."
    )
    assert (response.status_code, response.json()) == error("InvalidCronExpression", message)
    stitch.allow_cron(allowed=False)
    response = post(api, properties=both)
    message = "access to cron_expression based scheduling is not permitted"
    assert (response.status_code, response.json()) == error("AccessDenied", message)


def test_system_pause_can_be_undone_with_quirk(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.pause_source(github, by_stitch=True)
    path = f"/v4/sources/{github}"
    assert api("PUT", path, json={"paused_at": None}).json()["system_paused_at"] is not None
    stitch.quirks.unpause_system_pauses = True
    assert api("PUT", path, json={"paused_at": None}).json()["system_paused_at"] is None
