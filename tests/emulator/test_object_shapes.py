"""Test that all objects have the same keys and types as the samples in Stitch's documentation."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import CheckPlan, EmulatedStream, LoadError

from .conftest import START

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NULL = type(None)


def shape(value: Any) -> Any:
    """Return the shape of a JSON value.

    Each time is replaced with the string "time", and any other scalar is replaced with its type. A list is
    shortened to its first item.
    """
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str) and TIME.fullmatch(value):
        return "time"
    return type(value)


SOURCE = {
    "properties": {},
    "updated_at": "time",
    "schedule": NULL,
    "name": str,
    "type": str,
    "deleted_at": NULL,
    "system_paused_at": NULL,
    "stitch_client_id": int,
    "paused_at": NULL,
    "id": int,
    "display_name": str,
    "created_at": "time",
    "report_card": {},
}
PROPERTY = {
    "name": str,
    "is_required": bool,
    "is_credential": bool,
    "system_provided": bool,
    "property_type": str,
    "json_schema": {"type": str},
    "provided": bool,
    "tap_mutable": bool,
}
REPORT_CARD = {
    "type": str,
    "current_step": int,
    "current_step_type": str,
    "steps": [{"type": str, "properties": [PROPERTY]}],
}
EXTRACTION = {
    "target_exit_status": int,
    "job_name": str,
    "start_time": "time",
    "stitch_client_id": int,
    "tap_exit_status": int,
    "source_type": str,
    "target_description": NULL,
    "discovery_exit_status": int,
    "discovery_description": NULL,
    "tap_description": NULL,
    "completion_time": "time",
    "source_id": int,
}
CHECK = {
    "target_exit_status": NULL,
    "tap_error_message": NULL,
    "check_exit_status": int,
    "name": str,
    "start_time": "time",
    "mode": str,
    "tap_exit_status": NULL,
    "target_error_message": NULL,
    "discovery_exit_status": int,
    "status": str,
    "completion_time": "time",
    "error": bool,
    "discovery_error_message": NULL,
}


def test_source_has_the_documented_shape(api: Api, github: int) -> None:
    source = api.get(f"/v4/sources/{github}")
    assert shape({**source, "properties": {}, "report_card": {}}) == SOURCE
    assert shape(source["report_card"]) == REPORT_CARD
    steps = [step["type"] for step in source["report_card"]["steps"]]
    assert steps == ["form", "discover_schema", "field_selection", "fully_configured"]
    assert (source["report_card"]["current_step"], source["report_card"]["current_step_type"]) == (
        4,
        "fully_configured",
    )
    assert api.get("/v4/sources") == [source]
    assert all(isinstance(v, str | None) for v in source["properties"].values())


def test_scheduled_source_contains_its_next_start(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 1}, schedule_minutes=60)
    schedule = api.get(f"/v4/sources/{source_id}")["schedule"]
    assert schedule == {
        "type": "interval",
        "unit": "minute",
        "interval": 60.0,
        "next_fire_time": "2026-08-17T07:00:02Z",
    }
    assert isinstance(schedule["interval"], float)


def test_import_api_source_has_no_discovery_schedule_or_properties(api: Api, stitch: StitchEmulator) -> None:
    source = api.get(
        f"/v4/sources/{stitch.add_source('import_api', type='import_api', streams={'events': 0})}"
    )
    assert source["properties"] == {}
    assert source["schedule"] is None
    assert "check_job_name" not in source
    assert [step["type"] for step in source["report_card"]["steps"]] == ["form", "fully_configured"]
    assert source["report_card"]["current_step"] == 2


def test_source_type_is_a_report_card_with_details(api: Api) -> None:
    body = api.get("/v4/source-types/platform.closeio")
    assert shape(body) == {
        **REPORT_CARD,
        "details": {
            "pricing_tier": str,
            "pipeline_state": str,
            "default_start_date": str,
            "default_scheduling_interval": int,
            "protocol": str,
            "access": bool,
            "image_version": str,
        },
        "upgrade_available": NULL,
    }


def test_destination_has_the_documented_shape(api: Api) -> None:
    (destination,) = api.get("/v4/destinations")
    form_property = {key: kind for key, kind in PROPERTY.items() if key != "tap_mutable"}
    assert shape({**destination, "properties": {}}) == {
        "description": str,
        "properties": {},
        "updated_at": "time",
        "name": str,
        "type": str,
        "deleted_at": NULL,
        "system_paused_at": NULL,
        "stitch_client_id": int,
        "paused_at": NULL,
        "id": int,
        "display_name": NULL,
        "created_at": "time",
        "report_card": {**REPORT_CARD, "steps": [{"type": str, "properties": [form_property]}]},
    }


def test_streams_have_the_documented_shape(api: Api, stitch: StitchEmulator) -> None:
    table = EmulatedStream(
        447, stream_name="orders", schema_name="public", database_name="shopdb", selected=None
    )
    saas = stitch.add_source("github", streams={"commits": 120})
    database = stitch.add_source(
        "shop_pg", type="platform.hp-postgres", streams={"shopdb-public-orders": table}
    )
    assert shape(api.get(f"/v4/sources/{saas}/streams")) == [
        {
            "selected": bool,
            "stream_id": int,
            "tap_stream_id": str,
            "stream_name": str,
            "metadata": {
                "forced-replication-method": str,
                "selected": bool,
                "table-key-properties": [str],
                "valid-replication-keys": [str],
            },
        }
    ]
    (orders,) = api.get(f"/v4/sources/{database}/streams")
    assert (orders["tap_stream_id"], orders["stream_name"], orders["selected"]) == (
        "shopdb-public-orders",
        "orders",
        None,
    )
    assert orders["metadata"] == {
        "database-name": "shopdb",
        "selected": None,
        "is-view": False,
        "row-count": 447,
        "schema-name": "public",
        "table-key-properties": ["id"],
    }


def test_stream_schema_is_json_within_json(api: Api, github: int) -> None:
    stream_id = api.get(f"/v4/sources/{github}/streams")[0]["stream_id"]
    body = api.get(f"/v4/sources/{github}/streams/{stream_id}")
    assert set(body) == {"schema", "metadata", "non-discoverable-metadata-keys"}
    assert set(json.loads(body["schema"])["properties"]) == {"id", "updated_at", "name"}
    assert {
        "breadcrumb": ["properties", "id"],
        "metadata": {"inclusion": "automatic", "selected": False},
    } in body["metadata"]
    assert body["non-discoverable-metadata-keys"] == [
        "selected",
        "replication-method",
        "replication-key",
        "view-key-properties",
    ]


@pytest.mark.parametrize(
    ("after", "plan", "expected"),
    [
        pytest.param(
            1,
            CheckPlan(),
            {"status": "running", "check_exit_status": None, "discovery_exit_status": None, "error": False},
            id="running",
        ),
        pytest.param(
            3,
            CheckPlan(),
            {"status": "succeeded", "check_exit_status": 0, "discovery_exit_status": 0, "error": False},
            id="succeeded",
        ),
        pytest.param(
            3,
            CheckPlan(discovery_exit_status=1, discovery_error_message="FATAL:  no"),
            {
                "status": "failed",
                "check_exit_status": None,
                "discovery_exit_status": 1,
                "error": True,
                "discovery_error_message": "FATAL:  no",
            },
            id="failed",
        ),
    ],
)
def test_connection_check_has_the_documented_states(
    api: Api, stitch: StitchEmulator, after: int, plan: CheckPlan, expected: dict[str, Any]
) -> None:
    source_id = stitch.add_source("github", streams={"commits": 1}, check=plan)
    stitch.advance(after)
    check = api.get(f"/v4/sources/{source_id}/last-connection-check")
    assert set(check) == set(CHECK)
    assert {key: check[key] for key in expected} == expected
    assert check["start_time"] == "2026-08-17T06:00:02Z"
    assert check["completion_time"] == (None if after < 3 else "2026-08-17T06:00:05Z")
    assert re.fullmatch(rf"104857\.{source_id}\.check\.[0-9a-f-]{{36}}", check["name"])


def test_successful_check_advances_the_configuration(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source(
        "github", streams={"commits": 1}, current_step="discover_schema", check=CheckPlan(seconds=30)
    )
    path = f"/v4/sources/{source_id}"
    assert api.get(path)["report_card"]["current_step_type"] == "discover_schema"
    stitch.advance(31)
    assert api.get(path)["report_card"]["current_step_type"] == "fully_configured"


def test_extraction_has_the_documented_shape(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = api.start(github)
    stitch.advance(150)
    page = api.get("/v4/104857/extractions")
    assert (page["page"], page["total"], page["links"]) == (1, 1, {})
    (extraction,) = page["data"]
    assert shape(extraction) == EXTRACTION
    assert extraction["job_name"] == job_name
    assert extraction["source_type"] == "tap-github"
    assert (extraction["start_time"], extraction["completion_time"]) == (
        "2026-08-17T06:00:02Z",
        "2026-08-17T06:02:32Z",
    )


def test_loads_have_the_documented_shape_with_and_without_error(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.complete_job(github, seconds_ago=3600)
    (good,) = api.loads()
    assert shape(good) == {
        "stitch_client_id": int,
        "source_name": str,
        "stream_name": str,
        "last_batch_loaded_at": "time",
        "error_state": NULL,
    }
    stitch.complete_job(github, seconds_ago=1800, load_errors={"commits": LoadError("no space left")})
    (bad,) = api.loads()
    assert set(bad) == set(good)
    assert bad["last_batch_loaded_at"] is None
    assert set(bad["error_state"]) == {"notification_data", "exception_chain"}
    assert bad["error_state"]["notification_data"]["message"] == "no space left"


def test_job_name_contains_client_source_and_start_time(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    client_id, source_id, mode, text = api.start(github).split(".")
    assert (client_id, source_id, mode) == (str(stitch.client_id), str(github), "sync")
    parsed = uuid.UUID(text)
    assert parsed.version == 1
    assert parsed.variant == uuid.RFC_4122
    began = datetime(1582, 10, 15, tzinfo=timezone.utc) + timedelta(microseconds=parsed.time // 10)
    assert abs(began - START) < timedelta(milliseconds=1)


def test_every_response_contains_the_virtual_time(api: Api, stitch: StitchEmulator) -> None:
    stitch.advance(3600)
    for path in ("/v4/sources", "/v4/sources/1", "/nothing"):
        response = api("GET", path)
        assert parsedate_to_datetime(response.headers["Date"]) == START.replace(hour=7, microsecond=0)
        assert "Server" not in response.headers
