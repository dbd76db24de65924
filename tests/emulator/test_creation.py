"""Sources from nothing: each step of the report card, names, and the documented refusals."""

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
    answer = post(api, *arguments, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def step(api: Api, source_id: int) -> str:
    current: str = api.get(f"/v4/sources/{source_id}")["report_card"]["current_step_type"]
    return current


def refusal(code: str, message: str) -> Any:
    return (400, {"error": code, "data": {"message": message}})


def select(api: Api, source_id: int, tap_stream_id: str) -> None:
    item = {"breadcrumb": [], "metadata": {"selected": True}}
    body = {"streams": [{"tap_stream_id": tap_stream_id, "metadata": [item]}]}
    assert api("PUT", f"/v4/sources/{source_id}/streams/metadata", json=body).status_code == 200


# Steps


def test_a_source_goes_through_all_its_steps(api: Api, stitch: StitchEmulator) -> None:
    made = create(api)
    path = f"/v4/sources/{made['id']}"
    assert (made["name"], made["report_card"]["current_step_type"]) == ("github", "form")
    assert "check_job_name" not in made
    assert api("GET", f"{path}/last-connection-check").status_code == 404
    missing = [
        p["name"]
        for p in made["report_card"]["steps"][0]["properties"]
        if p["is_required"] and not p["provided"]
    ]
    assert missing == ["access_token", "repository", "start_date"]

    given = api("PUT", path, json={"properties": GITHUB}).json()
    assert given["report_card"]["current_step_type"] == "discover_schema"
    assert api.get(f"{path}/last-connection-check")["name"] == given["check_job_name"]
    assert api.get(f"{path}/streams") == []

    stitch.advance(3)
    assert step(api, made["id"]) == "field_selection"
    streams = api.get(f"{path}/streams")
    assert [(s["stream_name"], s["selected"]) for s in streams] == [
        ("commits", None),
        ("issues", None),
        ("pull_requests", None),
    ]
    assert api("POST", f"{path}/sync").status_code == 400

    select(api, made["id"], "commits")
    assert step(api, made["id"]) == "fully_configured"
    assert api.start(made["id"])


def test_all_properties_may_come_at_once(api: Api) -> None:
    made = create(api, properties=GITHUB)
    assert made["report_card"]["current_step_type"] == "discover_schema"
    assert made["check_job_name"].startswith(f"104857.{made['id']}.check.")


def test_the_check_may_go_unnamed(api: Api, stitch: StitchEmulator) -> None:
    stitch.quirks.name_checks_in_updates = False
    assert "check_job_name" not in create(api, properties=GITHUB)


def test_credentials_are_never_shown(api: Api) -> None:
    made = create(api, properties=GITHUB)
    assert "ghp_secret" not in str(made)
    assert "access_token" not in made["properties"]
    assert made["report_card"]["steps"][0]["properties"][0]["provided"] is True


def test_oauth_and_profile_are_steps_of_their_own(api: Api, stitch: StitchEmulator) -> None:
    made = create(api, "Ads", "platform.facebook", properties={"start_date": "2025-01-01T00:00:00Z"})
    path = f"/v4/sources/{made['id']}"
    assert made["report_card"]["current_step_type"] == "oauth"
    card = api("PUT", path, json={"properties": OAUTH}).json()["report_card"]
    assert (card["current_step"], card["current_step_type"]) == (3, "profile")
    card = api("PUT", path, json={"properties": {"account_id": "7"}}).json()["report_card"]
    assert card["current_step_type"] == "discover_schema"


def test_properties_of_oauth_may_come_with_those_of_the_form(api: Api) -> None:
    properties = {"start_date": "2025-01-01T00:00:00Z", **OAUTH}
    made = create(api, "HubSpot", "platform.hubspot", properties=properties)
    assert made["report_card"]["current_step_type"] == "discover_schema"


def test_a_failed_check_stays_until_an_update(api: Api, stitch: StitchEmulator) -> None:
    plan = CheckPlan(discovery_exit_status=1, discovery_error_message="Bad credentials")
    stitch.plan_new_sources("platform.github", check=plan)
    made = create(api, properties=GITHUB)
    stitch.advance(60)
    assert step(api, made["id"]) == "discover_schema"
    assert api.get(f"/v4/sources/{made['id']}/streams") == []
    api("PUT", f"/v4/sources/{made['id']}", json={"properties": {"access_token": "better"}})
    stitch.advance(3)
    assert step(api, made["id"]) == "field_selection"


@pytest.mark.parametrize("kind", ["import_api", "webhook.zapier"])
def test_what_is_not_extracted_is_configured_at_once(api: Api, kind: str) -> None:
    made = create(api, "Events", kind)
    assert (made["properties"], made["schedule"], "check_job_name" in made) == ({}, None, False)
    card = made["report_card"]
    assert (card["current_step"], card["current_step_type"]) == (2, "fully_configured")


def test_the_position_of_a_step_may_be_useless(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.quirks.steps_by_position = False
    card = api.get(f"/v4/sources/{github}")["report_card"]
    assert (card["current_step"], card["current_step_type"]) == (1, "fully_configured")


def test_a_stream_alone_may_not_be_enough(api: Api, stitch: StitchEmulator) -> None:
    stitch.quirks.selection_needs_a_field = True
    made = create(api, properties=GITHUB)
    stitch.advance(3)
    select(api, made["id"], "commits")
    assert step(api, made["id"]) == "field_selection"
    item = {"breadcrumb": ["properties", "name"], "metadata": {"selected": True}}
    body = {"streams": [{"tap_stream_id": "commits", "metadata": [item]}]}
    api("PUT", f"/v4/sources/{made['id']}/streams/metadata", json=body)
    assert step(api, made["id"]) == "fully_configured"


def test_what_discovery_finds_and_how_jobs_go_can_be_planned(api: Api, stitch: StitchEmulator) -> None:
    found = {"a": 7, "b": EmulatedStream(2)}
    stitch.plan_new_sources("platform.github", streams=found, job=JobPlan(rows={"b": 9}))
    made = create(api, properties=GITHUB)
    stitch.advance(3)
    streams = api.get(f"/v4/sources/{made['id']}/streams")
    assert [(s["stream_name"], s["selected"]) for s in streams] == [("a", None), ("b", True)]
    assert step(api, made["id"]) == "fully_configured"
    job_name = api.start(made["id"])
    stitch.advance(300)
    assert "Serializing batch with 9 messages for table b\n" in api.log(job_name)


def test_stitch_starts_a_new_source_by_itself(api: Api, stitch: StitchEmulator) -> None:
    stitch.plan_new_sources("platform.github", streams={"a": EmulatedStream(1)})
    made = create(api, properties={**GITHUB, "frequency_in_minutes": "60"})
    assert made["schedule"] is None
    stitch.advance(3)
    schedule = api.get(f"/v4/sources/{made['id']}")["schedule"]
    assert (schedule["interval"], schedule["next_fire_time"]) == (60.0, "2026-08-17T06:30:05Z")
    stitch.advance(1801)
    stitch.advance(3600)
    assert [job.started_by for job in stitch.jobs(made["id"])] == ["schedule", "schedule"]


def test_new_tables_show_after_the_next_job(api: Api, stitch: StitchEmulator, github: int) -> None:
    def names() -> list[str]:
        return [s["stream_name"] for s in api.get(f"/v4/sources/{github}/streams")]

    stitch.start_job(github)
    stitch.add_streams(github, {"releases": 5})
    stitch.advance(151)
    assert names() == ["commits", "issues"]  # its discovery was over before the table came
    stitch.start_job(github, discovery_exit_status=1)
    stitch.advance(151)
    assert names() == ["commits", "issues"]
    stitch.start_job(github)
    stitch.advance(100)
    assert names() == ["commits", "issues"]
    stitch.advance(51)
    assert names() == ["commits", "issues", "releases"]


def test_an_import_api_source_has_tables_as_soon_as_there_are_rows(api: Api, stitch: StitchEmulator) -> None:
    made = create(api, "Events", "import_api")
    stitch.add_streams(made["id"], {"clicks": 0})
    stitch.record_load(made["id"], "clicks")
    assert [(row["source_name"], row["stream_name"]) for row in api.loads()] == [("events", "clicks")]


def test_a_type_that_is_not_modelled_can_be(api: Api, stitch: StitchEmulator) -> None:
    assert post(api, "Jira", "platform.acme").status_code == 400
    stitch.plan_new_sources("platform.acme", streams={"tickets": 3})
    assert api.get("/v4/source-types/platform.acme")["type"] == "platform.acme"
    made = create(api, "Jira", "platform.acme", properties=GITHUB)
    stitch.advance(3)
    assert [s["stream_name"] for s in api.get(f"/v4/sources/{made['id']}/streams")] == ["tickets"]
    with pytest.raises(ValueError, match="no discovery"):
        stitch.plan_new_sources("import_api")


# Destinations


def test_a_source_is_mapped_to_a_destination(api: Api, stitch: StitchEmulator) -> None:
    other = stitch.add_destination("snowflake")
    first, second = create(api), create(api, "Second", destination_id=other)
    mapped = [api.get(f"/v4/destinations?source_id={made['id']}")[0]["id"] for made in (first, second)]
    assert mapped == [155901, other]
    stitch.quirks.accept_destination_id = False
    answer = post(api, "Third", destination_id=other)
    assert (answer.status_code, answer.json()) == refusal("InvalidBody", S3)


# Refusals


def test_s1_unknown_type(api: Api) -> None:
    answer = post(api, "X", "platform.nope")
    expected = refusal("InvalidType", "invalid source type (platform.nope)")
    assert (answer.status_code, answer.json()) == expected


def test_s2_display_name_in_use(api: Api, stitch: StitchEmulator) -> None:
    made = create(api, "GitHub")
    assert (post(api).status_code, post(api).json()) == refusal("InvalidName", "non-unique name (GitHub)")
    api("DELETE", f"/v4/sources/{made['id']}")
    assert create(api)["name"] == "github"  # of a deleted source it can be used again


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"type": "platform.github"}, id="no display name"),
        pytest.param({"display_name": "x"}, id="no type"),
        pytest.param({"display_name": "", "type": "platform.github"}, id="empty display name"),
        pytest.param({"display_name": "x", "type": ""}, id="empty type"),
        pytest.param({"display_name": "x", "type": "platform.github", "paused_at": None}, id="other key"),
        pytest.param({"display_name": "x", "type": "platform.github", "properties": []}, id="no map"),
        pytest.param({"display_name": "x", "type": "platform.github", "name": "x"}, id="name"),
        pytest.param({"display_name": "x", "type": "platform.github", "destination_id": 1}, id="destination"),
        pytest.param([], id="no object"),
    ],
)
def test_s3_prohibited_arguments(api: Api, body: Any) -> None:
    answer = api("POST", "/v4/sources", json=body)
    assert (answer.status_code, answer.json()) == refusal("InvalidBody", S3)


@pytest.mark.parametrize("display_name", ["x" * 50, "1 Shop"])
def test_s4_invalid_name(api: Api, display_name: str) -> None:
    answer = post(api, display_name)
    assert (answer.status_code, answer.json()) == refusal("InvalidName", S4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("my$name", None, id="good"),
        pytest.param("My", refusal("InvalidName", S4), id="uppercase"),
        pytest.param("taken", refusal("InvalidName", "non-unique name (taken)"), id="taken"),
        pytest.param(7, refusal("InvalidBody", S3), id="no text"),
    ],
)
def test_a_name_may_be_an_argument(api: Api, stitch: StitchEmulator, name: Any, expected: Any) -> None:
    stitch.add_source("taken", streams={})
    stitch.quirks.accept_source_name = True
    answer = post(api, "Shop", name=name)
    if expected is None:
        assert answer.json()["name"] == name
    else:
        assert (answer.status_code, answer.json()) == expected


def test_s5_derived_name_in_use(api: Api) -> None:
    assert create(api, "My Shop")["name"] == "my_shop"
    message = "non-unique name after deriving it from display_name (My Shop!!! -> my_shop)"
    answer = post(api, "My Shop!!!")
    assert (answer.status_code, answer.json()) == refusal("InvalidName", message)


def test_s6_nothing_left_of_the_name(api: Api) -> None:
    message = "invalid name after deriving it from display_name (#### -> )"
    answer = post(api, "####")
    assert (answer.status_code, answer.json()) == refusal("InvalidDisplayName", message)


@pytest.mark.parametrize("kind", ["platform.stripe", "mysql"])
def test_s7_no_access_to_the_type(api: Api, stitch: StitchEmulator, kind: str) -> None:
    stitch.allow_source_type("platform.stripe", allowed=False)
    answer = post(api, "X", kind)
    message = f"you do not have access to source type ({kind})"
    assert (answer.status_code, answer.json()) == refusal("AccessDenied", message)


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
def test_s8_properties_of_a_wrong_form(api: Api, name: str, value: Any) -> None:
    answer = post(api, properties={**GITHUB, name: value})
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidProperties")
    data = answer.json()["data"]
    assert (data["message"], data["bad_properties"]) == ("properties do not match schema", [name])
    assert data["report_card"]["type"] == "platform.github"
    assert api.get("/v4/sources") == []


def test_s9_s10_cron(api: Api, stitch: StitchEmulator) -> None:
    both = {"cron_expression": "* * * * * *"}
    answer = post(api, properties=both)
    message = (
        'cron_expression "* * * * * *" is invalid: Support for specifying both a day-of-week AND a '
        "day-of-month parameter is not implemented."
    )
    assert (answer.status_code, answer.json()) == refusal("InvalidCronExpression", message)
    stitch.allow_cron(allowed=False)
    answer = post(api, properties=both)
    message = "access to cron_expression based scheduling is not permitted"
    assert (answer.status_code, answer.json()) == refusal("AccessDenied", message)


def test_a_pause_by_stitch_may_be_taken_back(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.pause_source(github, by_stitch=True)
    path = f"/v4/sources/{github}"
    assert api("PUT", path, json={"paused_at": None}).json()["system_paused_at"] is not None
    stitch.quirks.unpause_system_pauses = True
    assert api("PUT", path, json={"paused_at": None}).json()["system_paused_at"] is None
