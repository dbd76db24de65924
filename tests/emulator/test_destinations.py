"""Test destinations in API v3 and v4, their effects on sources, and all documented errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import CheckPlan

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

V4, V3 = "/v4/destinations", "/v3/destinations"
PROPERTIES = {
    "host": "pg.acme.example",
    "port": "5432",
    "database": "shop",
    "username": "stitch",
    "password": "secret",
}
SHOWN = {
    **{name: value for name, value in PROPERTIES.items() if name != "password"},
    "encryption_type": "none",
    "ssl": "false",
}
NEW = {"type": "postgres", "properties": PROPERTIES}
D2 = "body must be a map with type = redshift, postgres, or snowflake. required-keys = type, connection"
D3 = (
    "POST body may only include a type, a name, a description, map of properties, "
    "and boolean for unmapped sources"
)
D4 = "this API endpoint does not support modifying destination type"
BAD = CheckPlan(discovery_exit_status=1, discovery_error_message="no such host")


def create(api: Api, **changes: Any) -> Any:
    response = api("POST", V4, json={**NEW, **changes})
    assert response.status_code == 200, response.text
    return response.json()


def test_creation_runs_a_connection_check(api: Api, stitch: StitchEmulator) -> None:
    created = create(api, description="Ours")
    check_path = f"{V4}/{created['id']}/last-connection-check"
    assert (created["name"], created["description"], created["display_name"]) == ("Postgres", "Ours", None)
    assert created["report_card"]["current_step_type"] == "form"
    check = api.get(check_path)
    assert (check["name"], check["status"]) == (created["check_job_name"], "running")
    stitch.advance(3)
    assert api.get(check_path)["status"] == "succeeded"
    (_, listed) = api.get(V4)
    assert (listed["id"], listed["report_card"]["current_step_type"]) == (created["id"], "fully_configured")
    assert "check_job_name" not in listed
    stitch.quirks.name_checks_in_reads = True
    assert api.get(V4)[1]["check_job_name"] == created["check_job_name"]


def test_credentials_are_never_returned(api: Api) -> None:
    created = create(api)
    assert "secret" not in str(created) + str(api.get(V4)) + str(api.get(V3))
    assert "password" not in created["properties"]
    form = {prop["name"]: prop for prop in created["report_card"]["steps"][0]["properties"]}
    assert (form["password"]["provided"], form["host"]["provided"], form["sslrootcert"]["provided"]) == (
        True,
        True,
        False,
    )


def test_destination_is_not_connected_until_a_check_succeeds(api: Api, stitch: StitchEmulator) -> None:
    stitch.plan_destination_check(BAD)
    created = create(api)
    stitch.advance(3)
    check = api.get(f"{V4}/{created['id']}/last-connection-check")
    assert (check["status"], check["error"], check["check_exit_status"]) == ("failed", True, None)
    stitch.quirks.failed_check_exit_status = 1
    assert api.get(f"{V4}/{created['id']}/last-connection-check")["check_exit_status"] == 1
    assert api.get(V4)[1]["report_card"]["current_step_type"] == "form"
    changed = api("PUT", f"{V4}/{created['id']}", json={"properties": {"host": "db.acme.example"}}).json()
    assert changed["properties"] == {**SHOWN, "host": "db.acme.example"}
    assert changed["check_job_name"] != created["check_job_name"]
    stitch.advance(3)
    assert api.get(V4)[1]["report_card"]["current_step_type"] == "fully_configured"


def test_check_of_an_update_can_be_planned(api: Api, stitch: StitchEmulator) -> None:
    stitch.plan_destination_check(BAD, 155901)
    api("PUT", f"{V4}/155901", json={"properties": {"host": "x"}})
    stitch.advance(3)
    assert api.get(f"{V4}/155901/last-connection-check")["discovery_error_message"] == "no such host"
    # A destination stays connected after its first successful connection check.
    assert api.get(V4)[0]["report_card"]["current_step_type"] == "fully_configured"


def test_deletion_pauses_sources_until_another_one_is_connected(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    response = api("DELETE", f"{V4}/155901")
    assert (response.status_code, response.json()) == (200, {})
    assert api.get(V4) == []
    stitch.quirks.list_deleted_destinations = True
    assert [d["deleted_at"] for d in api.get(V4)] == ["2026-08-17T06:00:02Z"]
    assert api.get(f"/v4/sources/{github}")["system_paused_at"] == "2026-08-17T06:00:02Z"
    assert api("POST", f"/v4/sources/{github}/sync").status_code == 400
    create(api)
    # The new destination is not connected yet.
    assert api.get(f"/v4/sources/{github}")["system_paused_at"] is not None
    stitch.advance(3)
    assert api.get(f"/v4/sources/{github}")["system_paused_at"] is None
    assert api.start(github)


def test_unmapped_sources_are_mapped_unless_ignored(api: Api, stitch: StitchEmulator, github: int) -> None:
    api("DELETE", f"{V4}/155901")
    first = create(api, ignore_unmapped_sources=True)["id"]
    assert api.get(f"{V4}?source_id={github}") == []
    second = create(api, ignore_unmapped_sources=False)["id"]
    create(api)  # a source that has a destination is not mapped to another destination
    assert [d["id"] for d in api.get(f"{V4}?source_id={github}")] == [second]
    assert [d["id"] for d in api.get(f"{V4}?destination_id={first}")] == [first]
    assert api.get(f"{V4}?source_id={github}&destination_id={first}") == []


def test_source_can_change_its_destination(api: Api, stitch: StitchEmulator, github: int) -> None:
    other = stitch.add_destination("snowflake")
    api("PUT", f"/v4/sources/{github}", json={"destination_id": other})
    assert [d["id"] for d in api.get(f"{V4}?source_id={github}")] == [other]
    assert api.get(f"/v4/sources/{github}")["system_paused_at"] is None
    stitch.quirks.pause_on_switch = True
    api("PUT", f"/v4/sources/{github}", json={"destination_id": 155901})
    assert api.get(f"/v4/sources/{github}")["system_paused_at"] is not None


def test_destinations_can_be_controlled_from_python(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.delete_destination(155901)
    created = stitch.add_destination(name="Mine", check=CheckPlan(seconds=60))
    assert [(d["id"], d["name"]) for d in api.get(V4)] == [(created, "Mine")]
    assert api("POST", f"/v4/sources/{github}/sync").status_code == 400
    stitch.advance(60)
    assert api.start(github)
    for bad in (lambda: stitch.add_destination("nope"), lambda: stitch.delete_destination(1)):
        with pytest.raises(ValueError, match="no destination"):
            bad()
    stitch.limit_destinations(1)
    with pytest.raises(ValueError, match="at your destination limit"):
        stitch.add_destination()


@pytest.mark.parametrize("body", [NEW, {"type": "postgres", "connection": PROPERTIES}])
def test_d1_plan_limits_the_number_of_destinations(api: Api, stitch: StitchEmulator, body: Any) -> None:
    stitch.limit_destinations(1)
    response = api("POST", V3 if "connection" in body else V4, json=body)
    assert (response.status_code, response.json()) == (400, "you are at your destination limit")


@pytest.mark.parametrize(
    "body",
    [
        {"type": "postgres"},
        {"connection": {}},
        {"type": "s3", "connection": {}},
        {"type": "postgres", "connection": []},
        {"type": "postgres", "connection": {}, "name": "x"},
        [],
    ],
)
def test_d2_v3_requires_type_and_connection(api: Api, body: Any) -> None:
    for method, path in (("POST", V3), ("PUT", f"{V3}/155901")):
        response = api(method, path, json=body)
        assert (response.status_code, response.json()) == (400, D2)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "postgres"},
        {"properties": {}},
        {**NEW, "type": "nope"},
        {**NEW, "connection": {}},
        {**NEW, "properties": {"port": 5432}},
        {**NEW, "ignore_unmapped_sources": "no"},
        {**NEW, "name": 7},
        {**NEW, "type": ["postgres"]},
        "x",
    ],
)
def test_d3_v4_accepts_no_other_arguments(api: Api, body: Any) -> None:
    response = api("POST", V4, json=body)
    assert (response.status_code, response.json()) == (400, D3)


def test_d4_type_cannot_change(api: Api) -> None:
    for path, body in (
        (f"{V4}/155901", NEW),
        (f"{V3}/155901", {"type": "redshift", "connection": PROPERTIES}),
    ):
        response = api("PUT", path, json=body)
        assert (response.status_code, response.json()) == (400, D4)


def test_d5_unknown_destination_cannot_be_updated(api: Api) -> None:
    for path, body in ((f"{V4}/1", {"properties": {}}), (f"{V3}/1", {"type": "postgres", "connection": {}})):
        response = api("PUT", path, json=body)
        assert (response.status_code, response.json()) == (400, "invalid connection id")


def test_d6_unknown_or_deleted_destination_cannot_be_deleted(api: Api) -> None:
    api("DELETE", f"{V4}/155901")
    for number in (1, 155901):
        response = api("DELETE", f"{V4}/{number}")
        message = f"Unable to locate dest ({number}) for client (104857) to delete"
        assert (response.status_code, response.json()) == (400, message)


def test_d7_list_accepts_only_two_parameters(api: Api) -> None:
    response = api("GET", f"{V4}?source_id=1&page=2")
    text = "GET may only include the params: source_id and/or destination_id"
    assert (response.status_code, response.json()) == (400, text)


@pytest.mark.parametrize("path", [V4, f"{V4}/12x", f"{V4}/-1", f"{V4}/{'9' * 30}"])
def test_d8_d9_invalid_id_is_a_404(api: Api, path: str) -> None:
    assert api("DELETE", path).status_code == 404


def test_single_destination_cannot_be_read(api: Api) -> None:
    assert api("GET", f"{V4}/155901").status_code == 404
    assert api("DELETE", f"{V3}/155901").status_code == 404


# API v3


def test_v3_destination_has_its_own_fields(api: Api, stitch: StitchEmulator) -> None:
    stitch.delete_destinations()
    assert api.get(V3) == []
    created = api("POST", V3, json={"type": "postgres", "connection": PROPERTIES}).json()
    running = {"error": False, "started_at": "2026-08-17T06:00:02Z", "completed_at": None}
    assert created["last_check"] == running
    assert set(created) == {"id", "type", "created_at", "updated_at", "connection", "last_check"}
    assert created["connection"] == SHOWN
    stitch.plan_destination_check(BAD, created["id"])
    body = {"type": "postgres", "connection": {"host": "x"}}
    assert api("PUT", f"{V3}/{created['id']}", json=body).json()["connection"]["host"] == "x"
    stitch.advance(3)
    failed = {"error": True, "started_at": "2026-08-17T06:00:02Z", "completed_at": "2026-08-17T06:00:05Z"}
    assert [d["last_check"] for d in api.get(V3)] == [failed]


def test_v3_lists_only_the_first_destination(api: Api, stitch: StitchEmulator) -> None:
    stitch.add_destination("snowflake")
    assert [d["id"] for d in api.get(V3)] == [155901]


def test_v3_declares_another_charset_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    assert api("GET", V3).headers["Content-Type"] == "application/json"
    stitch.quirks.v3_charset = True
    body = {"type": "postgres", "connection": {"database": "Größe"}}
    response = api("PUT", f"{V3}/155901", json=body)
    assert response.headers["Content-Type"] == "application/json;charset=ISO-8859-1"
    assert response.content.decode("utf-8").count("Größe") == 1


# Tests for the effects of destinations on loads.


def test_rows_wait_for_a_destination(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.start_job(github)
    stitch.advance(100)  # the rows are flushed but not yet loaded
    stitch.delete_destinations()
    stitch.advance(3600)
    assert api.loads() == []
    stitch.add_destination("snowflake")
    assert api.loaded_at() == {"commits": "2026-08-17T07:01:42Z"}


def test_load_is_unchanged_without_a_destination(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.complete_job(github)
    before = api.loaded_at()
    stitch.delete_destinations()
    stitch.quirks.reject_unready_starts = False
    api.start(github)
    stitch.advance(3600)
    assert api.extraction(github)["target_exit_status"] == 0
    assert api.loaded_at() == before


def test_waiting_rows_are_loaded_into_a_new_destination(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    other = stitch.add_destination("snowflake")
    stitch.start_job(github)
    stitch.delete_destination(155901)
    stitch.advance(3600)
    assert api.loads() == []
    api("PUT", f"/v4/sources/{github}", json={"destination_id": other})
    assert api.loaded_at() == {"commits": "2026-08-17T07:00:02Z"}


def test_excluded_type_has_no_access_and_cannot_be_created(api: Api, stitch: StitchEmulator) -> None:
    stitch.allow_destination_type("postgres", allowed=False)

    assert api.get("/v4/destination-types/postgres")["details"]["access"] is False
    access = {each["type"]: each["details"]["access"] for each in api.get("/v4/destination-types")}
    assert [name for name, allowed in access.items() if not allowed] == ["postgres"]
    refused = api("POST", V4, json=NEW)
    assert (refused.status_code, refused.json()) == (
        400,
        "you do not have access to destination type (postgres)",
    )
    stitch.allow_destination_type("postgres", allowed=True)
    create(api)
    with pytest.raises(ValueError, match="no destinations of type 'oracle'"):
        stitch.allow_destination_type("oracle", allowed=False)
