"""The jobs that Stitch starts by itself: by frequency, anchor or cron expression."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator.schedule import parse_cron

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


@pytest.fixture
def hourly(stitch: StitchEmulator) -> int:
    """A source of which a job starts at 07:00:02, and each hour from then on. It is 06:00:02, a Monday."""
    return stitch.add_source("github", streams={"a": 1}, schedule_minutes=60)


def put(api: Api, source_id: int, **properties: Any) -> Any:
    """Change properties, and return the Source."""
    return api("PUT", f"/v4/sources/{source_id}", json={"properties": properties}).json()


def starts(stitch: StitchEmulator, source_id: int) -> list[str]:
    return [f"{job.start_time:%d %H:%M:%S}" for job in stitch.jobs(source_id)]


def test_a_cron_expression_wins_over_the_frequency(api: Api, stitch: StitchEmulator, hourly: int) -> None:
    cron = "0 30 8,20 ? * MON-FRI *"
    assert put(api, hourly, cron_expression=cron)["schedule"] == {
        "type": "cron",
        "cron_expression": cron,
        "next_fire_time": "2026-08-17T08:30:00Z",
    }
    stitch.advance(24 * 3600)
    assert starts(stitch, hourly) == ["17 08:30:00", "17 20:30:00"]
    assert api.get(f"/v4/sources/{hourly}")["schedule"]["next_fire_time"] == "2026-08-18T08:30:00Z"


def test_without_its_cron_expression_a_source_goes_by_the_frequency(
    api: Api, stitch: StitchEmulator, hourly: int
) -> None:
    put(api, hourly, cron_expression="0 30 8 ? * *")
    schedule = put(api, hourly, cron_expression=None)["schedule"]
    assert (schedule["type"], schedule["next_fire_time"]) == ("interval", "2026-08-17T07:00:02Z")
    stitch.advance(3 * 3600)
    assert starts(stitch, hourly) == ["17 07:00:02", "17 08:00:02", "17 09:00:02"]


def test_a_cron_expression_that_never_comes_starts_nothing(
    api: Api, stitch: StitchEmulator, hourly: int
) -> None:
    assert put(api, hourly, cron_expression="0 0 12 31 2 ?")["schedule"] is None
    stitch.advance(24 * 3600)
    assert stitch.jobs(hourly) == []


def test_an_anchor_moves_jobs_an_hour_or_more_apart(api: Api, stitch: StitchEmulator, hourly: int) -> None:
    changed = put(api, hourly, anchor_time="2026-08-01T03:15:00+01:00", frequency_in_minutes="360")
    assert changed["properties"]["anchor_time"] == "2026-08-01T02:15:00.000Z"
    assert changed["schedule"]["next_fire_time"] == "2026-08-17T08:15:00Z"
    stitch.advance(12 * 3600)
    assert starts(stitch, hourly) == ["17 08:15:00", "17 14:15:00"]


def test_an_anchor_moves_no_others(api: Api, hourly: int) -> None:
    changed = put(api, hourly, anchor_time="2026-08-01T03:15:00Z", frequency_in_minutes="30")
    assert changed["schedule"]["next_fire_time"] == "2026-08-17T06:30:02Z"


def test_a_source_may_have_an_anchor_from_the_start(api: Api, stitch: StitchEmulator) -> None:
    anchored = stitch.add_source(
        "g", streams={"a": 1}, schedule_minutes=1440, properties={"anchor_time": "2026-01-01T05:00:00Z"}
    )
    assert api.get(f"/v4/sources/{anchored}")["schedule"]["next_fire_time"] == "2026-08-18T05:00:00Z"


@pytest.mark.parametrize("minutes", [0, -30])
def test_a_schedule_needs_some_time(stitch: StitchEmulator, minutes: float) -> None:
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
def test_when_a_cron_expression_comes_next(expression: str, after: timedelta) -> None:
    cron = parse_cron(expression)
    assert cron is not None
    assert cron.next_after(MONDAY) == MONDAY.replace(microsecond=0) + after


@pytest.mark.parametrize(
    "expression",
    ["", "0 12 * * *", "0 0 25 * * ?", "0 0 12 L * ?", "0 0 12 ? * MON#2", "0 0/0 12 * * ?", "a b c d e f"],
)
def test_what_is_no_cron_expression_or_beyond_the_emulator(expression: str) -> None:
    assert parse_cron(expression) is None
