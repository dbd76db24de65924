"""Test updates to sources and to stream selections, and the effects of these updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


def select(api: Api, source_id: int, tap_stream_id: str, breadcrumb: list[str], **metadata: Any) -> Any:
    """Change the metadata of one stream or field, and return the response."""
    entry = {"tap_stream_id": tap_stream_id, "metadata": [{"breadcrumb": breadcrumb, "metadata": metadata}]}
    return api("PUT", f"/v4/sources/{source_id}/streams/metadata", json={"streams": [entry]})


@pytest.fixture
def half_selected(stitch: StitchEmulator) -> int:
    """Return a source with one selected stream and one stream that has never been selected."""
    return stitch.add_source("github", streams={"a": 1, "b": EmulatedStream(1, selected=None)})


def test_only_selected_streams_are_extracted(api: Api, stitch: StitchEmulator, half_selected: int) -> None:
    assert [s["selected"] for s in api.get(f"/v4/sources/{half_selected}/streams")] == [True, None]
    stitch.complete_job(half_selected)
    assert set(api.loaded_at()) == {"a"}


def test_selected_stream_is_extracted_by_the_next_job(
    api: Api, stitch: StitchEmulator, half_selected: int
) -> None:
    response = select(api, half_selected, "b", [], selected=True)
    assert (response.status_code, response.json()) == (200, {"status": 200})
    assert [s["selected"] for s in api.get(f"/v4/sources/{half_selected}/streams")] == [True, True]
    stitch.complete_job(half_selected)
    assert set(api.loaded_at()) == {"a", "b"}


def test_deselected_stream_keeps_its_loads(api: Api, stitch: StitchEmulator, half_selected: int) -> None:
    stitch.complete_job(half_selected, seconds_ago=3600)
    before = api.loaded_at()
    select(api, half_selected, "a", [], selected=False)
    stitch.complete_job(half_selected)
    assert api.loaded_at() == before


def test_fields_have_selected_only_if_their_stream_is_selected(api: Api, half_selected: int) -> None:
    stream_id = api.get(f"/v4/sources/{half_selected}/streams")[1]["stream_id"]

    def selected() -> list[Any]:
        fields = api.get(f"/v4/sources/{half_selected}/streams/{stream_id}")["metadata"]
        return [field["metadata"].get("selected", "absent") for field in fields if field["breadcrumb"]]

    assert selected() == ["absent"] * 3
    select(api, half_selected, "b", [], selected=True)
    assert selected() == [False] * 3
    select(api, half_selected, "b", ["properties", "name"], selected=True)
    assert selected() == [False, False, True]
    select(api, half_selected, "b", [], selected=False)
    assert selected() == ["absent"] * 3
    select(api, half_selected, "b", [], selected=True)
    assert selected() == [False, False, True]


def test_invalid_selection_changes_nothing(api: Api, half_selected: int) -> None:
    entries = [
        {"tap_stream_id": name, "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}]}
        for name in ("b", "unknown")
    ]
    response = api("PUT", f"/v4/sources/{half_selected}/streams/metadata", json={"streams": entries})
    assert response.status_code == 400
    assert api.get(f"/v4/sources/{half_selected}/streams")[1]["selected"] is None


@pytest.mark.parametrize(
    ("step", "status"), [("form", 400), ("field_selection", 200), ("fully_configured", 200)]
)
def test_streams_can_be_selected_only_in_later_steps(
    api: Api, stitch: StitchEmulator, step: str, status: int
) -> None:
    unselected = {"a": EmulatedStream(1, selected=None)}
    source_id = stitch.add_source("github", streams=unselected, current_step=step)
    assert select(api, source_id, "a", [], selected=True).status_code == status


def test_first_selection_completes_the_configuration(api: Api, stitch: StitchEmulator) -> None:
    unselected = {"a": EmulatedStream(1, selected=None)}
    source_id = stitch.add_source("github", streams=unselected, current_step="field_selection")
    select(api, source_id, "a", [], selected=True)
    card = api.get(f"/v4/sources/{source_id}")["report_card"]
    assert card["current_step_type"] == "fully_configured"


def test_deleted_source_cannot_be_updated(api: Api, stitch: StitchEmulator, half_selected: int) -> None:
    stitch.delete_source(half_selected)
    response = api("PUT", f"/v4/sources/{half_selected}", json={"paused_at": None})
    assert (response.status_code, response.json()["error"]) == (400, "InvalidId")


def test_new_frequency_reschedules_the_next_job(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"a": 1}, schedule_minutes=30)
    body = {"properties": {"frequency_in_minutes": "60"}}
    schedule = api("PUT", f"/v4/sources/{source_id}", json=body).json()["schedule"]
    assert (schedule["interval"], schedule["next_fire_time"]) == (60.0, "2026-08-17T07:00:02Z")
    stitch.advance(3599)
    assert stitch.jobs(source_id) == []
    stitch.advance(1)
    assert len(stitch.jobs(source_id)) == 1


def test_update_runs_the_planned_check(api: Api, stitch: StitchEmulator, half_selected: int) -> None:
    stitch.plan_next_check(half_selected, CheckPlan(discovery_exit_status=1, discovery_error_message="no"))
    api("PUT", f"/v4/sources/{half_selected}", json={"display_name": "x"})
    stitch.advance(3)
    assert api.get(f"/v4/sources/{half_selected}/last-connection-check")["discovery_error_message"] == "no"


@pytest.mark.parametrize("checks", [True, False])
def test_pausing_runs_a_check_unless_quirk_disables_it(
    api: Api, stitch: StitchEmulator, half_selected: int, checks: bool
) -> None:
    stitch.quirks.checks_on_pause = checks
    path = f"/v4/sources/{half_selected}"
    before = api.get(f"{path}/last-connection-check")["name"]
    paused = api("PUT", path, json={"paused_at": "2026-08-17T00:00:00Z"}).json()
    assert ("check_job_name" in paused) is checks
    assert (api.get(f"{path}/last-connection-check")["name"] != before) is checks


@pytest.mark.parametrize(("accepted", "status"), [(True, 200), (False, 400)])
def test_destination_id_is_rejected_with_quirk(
    api: Api, stitch: StitchEmulator, half_selected: int, accepted: bool, status: int
) -> None:
    stitch.quirks.accept_destination_id = accepted
    assert api("PUT", f"/v4/sources/{half_selected}", json={"destination_id": 155901}).status_code == status


@pytest.mark.parametrize("value", [7, "soon", True, {}])
def test_paused_at_must_be_a_time(api: Api, half_selected: int, value: Any) -> None:
    response = api("PUT", f"/v4/sources/{half_selected}", json={"paused_at": value})
    assert (response.status_code, response.json()["error"]) == (400, "InvalidBody")


def test_deleting_all_destinations_pauses_every_source(
    api: Api, stitch: StitchEmulator, half_selected: int
) -> None:
    stitch.delete_destinations()
    assert api.get("/v4/destinations") == []
    assert api.get(f"/v4/sources/{half_selected}")["system_paused_at"] == "2026-08-17T06:00:02Z"


def test_source_without_a_check_returns_404(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("import_api", type="import_api", streams={"events": 0})
    assert api("GET", f"/v4/sources/{source_id}/last-connection-check").status_code == 404


def test_destinations_can_be_filtered_by_id(api: Api, half_selected: int) -> None:
    (destination,) = api.get("/v4/destinations")
    assert api.get(f"/v4/destinations?destination_id={destination['id']}") == [destination]
    assert api.get("/v4/destinations?destination_id=1") == []
    assert api.get(f"/v4/destinations?source_id={half_selected}") == [destination]
    assert api.get("/v4/destinations?source_id=1") == []
