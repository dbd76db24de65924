"""Test jobs that Stitch starts according to a frequency, an anchor time or a cron expression."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator.model.connections.schedule import parse_cron

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


@pytest.fixture
def hourly_source(stitch: StitchEmulator) -> int:
    """Return a source with an hourly job, first at 07:00:02. The test starts on a Monday at 06:00:02."""
    return stitch.add_source("github", streams={"a": 1}, schedule_minutes=60)


def update_properties(api: Api, source_id: int, **properties: Any) -> Any:
    """Change the given properties of a source, and return the updated source."""
    return api("PUT", f"/v4/sources/{source_id}", json={"properties": properties}).json()


def start_times(stitch: StitchEmulator, source_id: int) -> list[str]:
    return [f"{job.start_time:%d %H:%M:%S}" for job in stitch.jobs(source_id)]


def test_cron_expression_takes_precedence_over_frequency(
    api: Api, stitch: StitchEmulator, hourly_source: int
) -> None:
    cron = "0 30 8,20 ? * MON-FRI *"
    assert update_properties(api, hourly_source, cron_expression=cron)["schedule"] == {
        "type": "cron",
        "cron_expression": cron,
        "next_fire_time": "2026-08-17T08:30:00Z",
    }
    stitch.advance(24 * 3600)
    assert start_times(stitch, hourly_source) == ["17 08:30:00", "17 20:30:00"]
    assert api.get(f"/v4/sources/{hourly_source}")["schedule"]["next_fire_time"] == "2026-08-18T08:30:00Z"


def test_frequency_applies_after_cron_expression_is_removed(
    api: Api, stitch: StitchEmulator, hourly_source: int
) -> None:
    update_properties(api, hourly_source, cron_expression="0 30 8 ? * *")
    schedule = update_properties(api, hourly_source, cron_expression=None)["schedule"]
    assert (schedule["type"], schedule["next_fire_time"]) == ("interval", "2026-08-17T07:00:02Z")
    stitch.advance(3 * 3600)
    assert start_times(stitch, hourly_source) == ["17 07:00:02", "17 08:00:02", "17 09:00:02"]


def test_frequency_without_a_value_is_the_default_of_the_type(
    api: Api, stitch: StitchEmulator, hourly_source: int
) -> None:
    changed = update_properties(api, hourly_source, frequency_in_minutes=None)
    assert changed["properties"]["frequency_in_minutes"] == "30"
    assert changed["schedule"]["interval"] == 30.0
    stitch.advance(1800)
    assert start_times(stitch, hourly_source) == ["17 06:30:02"]


def test_cron_expression_that_never_matches_starts_no_job(
    api: Api, stitch: StitchEmulator, hourly_source: int
) -> None:
    assert update_properties(api, hourly_source, cron_expression="0 0 12 31 2 ?")["schedule"] is None
    stitch.advance(24 * 3600)
    assert stitch.jobs(hourly_source) == []


def test_anchor_applies_to_frequencies_of_an_hour_or_more(
    api: Api, stitch: StitchEmulator, hourly_source: int
) -> None:
    changed = update_properties(
        api, hourly_source, anchor_time="2026-08-01T03:15:00+01:00", frequency_in_minutes="360"
    )
    assert changed["properties"]["anchor_time"] == "2026-08-01T02:15:00.000Z"
    assert changed["schedule"]["next_fire_time"] == "2026-08-17T08:15:00Z"
    stitch.advance(12 * 3600)
    assert start_times(stitch, hourly_source) == ["17 08:15:00", "17 14:15:00"]


def test_anchor_does_not_apply_to_shorter_frequencies(api: Api, hourly_source: int) -> None:
    changed = update_properties(
        api, hourly_source, anchor_time="2026-08-01T03:15:00Z", frequency_in_minutes="30"
    )
    assert changed["schedule"]["next_fire_time"] == "2026-08-17T06:30:02Z"


def test_source_can_be_added_with_an_anchor(api: Api, stitch: StitchEmulator) -> None:
    anchored = stitch.add_source(
        "g", streams={"a": 1}, schedule_minutes=1440, properties={"anchor_time": "2026-01-01T05:00:00Z"}
    )
    assert api.get(f"/v4/sources/{anchored}")["schedule"]["next_fire_time"] == "2026-08-18T05:00:00Z"


@pytest.mark.parametrize("minutes", [0, -30])
def test_schedule_must_be_longer_than_0_minutes(stitch: StitchEmulator, minutes: float) -> None:
    with pytest.raises(ValueError, match="minutes"):
        stitch.add_source("github", streams={"a": 1}, schedule_minutes=minutes)


MONDAY = datetime(2026, 8, 17, 6, 0, 2, 500, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("expression", "after"),
    [
        ("* * * ? * *", timedelta(seconds=1)),
        ("2 0 6 ? * 2", timedelta(days=7)),
        ("2 0 6 17 * ?", timedelta(days=31)),
        ("2 0/20 * * * ?", timedelta(minutes=20)),
        ("2 0 4-10/3 * * ?", timedelta(hours=1)),
        ("2 0 6 ? * SAT-SUN", timedelta(days=5)),
        ("2 0 6 ? * FRI-SUN", timedelta(days=4)),
        ("2 0 6 17 AUG ? 2027", timedelta(days=365)),
        ("2 0 6 29 2 ?", timedelta(days=561)),
    ],
)
def test_next_match_of_a_cron_expression(expression: str, after: timedelta) -> None:
    cron = parse_cron(expression)
    assert cron is not None
    assert cron.next_after(MONDAY) == MONDAY.replace(microsecond=0) + after


@pytest.mark.parametrize(
    "expression",
    ["", "0 12 * * *", "0 0 25 * * ?", "0 0 12 L * ?", "0 0 12 ? * MON#2", "0 0/0 12 * * ?", "a b c d e f"],
)
def test_unsupported_cron_expressions_are_rejected(expression: str) -> None:
    assert parse_cron(expression) is None
