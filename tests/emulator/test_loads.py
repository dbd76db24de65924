"""Test how jobs change the list of loads, and how the list is sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


def test_stream_is_loaded_after_its_flush_unless_it_has_no_rows(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    api.start(github)  # `commits` is read until 70 s, flushed at 80 s and loaded at 155 s
    stitch.advance(154)
    assert api.loads() == []
    stitch.advance(1)
    assert api.loaded_at() == {"commits": "2026-08-17T06:02:37Z"}
    stitch.advance(86400)
    assert api.loaded_at() == {"commits": "2026-08-17T06:02:37Z"}


def test_stream_without_new_rows_keeps_its_load_time(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.complete_job(github, seconds_ago=3600)
    before = api.loaded_at()
    stitch.plan_next_job(github, JobPlan(rows={"commits": 0}))
    api.start(github)
    stitch.advance(3600)
    assert api.loaded_at() == before


def test_stream_can_be_loaded_long_before_its_job_ends(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 1, "issues": 0})
    stitch.plan_next_job(source_id, JobPlan(tap_seconds=7200, flushes={"commits": [Flush(at=30, rows=9)]}))
    job_name = api.start(source_id)
    stitch.advance(3600)
    assert api.extractions() == []
    assert api.loaded_at() == {"commits": "2026-08-17T06:01:47Z"}
    stitch.advance(7200)
    assert api.extraction(source_id)["job_name"] == job_name
    assert api.loaded_at() == {"commits": "2026-08-17T06:01:47Z"}


def test_first_batch_can_be_loaded_after_the_second_flush(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    flushes = [Flush(at=20, rows=5, prepare=60, load=40), Flush(at=100, rows=5, prepare=60, load=40)]
    stitch.plan_next_job(github, JobPlan(flushes={"commits": flushes}))
    api.start(github)
    stitch.advance(130)
    # the load at 120 s is later than the flush at 100 s
    assert api.loaded_at() == {"commits": "2026-08-17T06:02:02Z"}
    stitch.advance(70)
    assert api.loaded_at() == {"commits": "2026-08-17T06:03:22Z"}


def test_load_error_is_shown_until_it_clears(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.plan_next_job(github, JobPlan(load_errors={"commits": LoadError("disk full", heals_after=600)}))
    api.start(github)
    stitch.advance(155)
    (row,) = api.loads()
    assert row["last_batch_loaded_at"] is None
    assert row["error_state"]["notification_data"]["message"] == "disk full"
    stitch.advance(600)
    (row,) = api.loads()
    assert (row["last_batch_loaded_at"], row["error_state"]) == ("2026-08-17T06:12:37Z", None)


def test_permanent_load_error_is_shown_until_a_later_load(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.complete_job(github, seconds_ago=7200, load_errors={"commits": LoadError("disk full")})
    assert api.loaded_at() == {"commits": None}
    api.start(github)
    stitch.advance(154)
    assert api.loaded_at() == {"commits": None}
    stitch.advance(1)
    assert api.loaded_at() == {"commits": "2026-08-17T06:02:37Z"}


def test_set_load_error_delays_batches_until_it_is_cleared(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.complete_job(github, seconds_ago=3600)
    stitch.set_load_error(github, "commits", "no route to host", seconds_ago=600)
    (row,) = api.loads()
    assert row["last_batch_loaded_at"] is None
    assert row["error_state"]["notification_data"]["message"] == "no route to host"
    api.start(github)
    stitch.advance(1000)
    assert api.loaded_at() == {"commits": None}
    stitch.clear_load_error(github, "commits")
    assert api.loaded_at() == {"commits": "2026-08-17T06:16:42Z"}


def test_load_error_without_waiting_batches_keeps_the_load_time(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.complete_job(github, seconds_ago=3600)
    before = api.loaded_at()
    stitch.set_load_error(github, "commits")
    assert api.loaded_at() == {"commits": None}
    stitch.clear_load_error(github, "commits")
    assert api.loaded_at() == before


@pytest.mark.parametrize(
    "end",
    [
        pytest.param({"tap_exit_status": 1}, id="tap failed"),
        pytest.param({"tap_exit_status": -15, "target_exit_status": 1}, id="target failed"),
        pytest.param({"terminated": True}, id="terminated"),
    ],
)
def test_flushed_rows_of_a_failed_job_are_loaded(
    api: Api, stitch: StitchEmulator, github: int, end: dict[str, Any]
) -> None:
    stitch.complete_job(github, **end)
    assert api.loaded_at()["commits"] is not None


def test_failing_target_does_not_flush_after_the_tap(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"first": 1, "last": 1})
    stitch.complete_job(source_id, target_exit_status=1)
    assert set(api.loaded_at()) == {"first"}


def test_database_can_have_two_tables_with_the_same_name(api: Api, stitch: StitchEmulator) -> None:
    streams = {
        f"db-{schema}-orders": EmulatedStream(5, stream_name="orders", schema_name=schema, database_name="db")
        for schema in ("public", "archive")
    }
    plain = stitch.add_source("plain", type="platform.hp-postgres", streams=streams)
    named = stitch.add_source(
        "named",
        type="platform.hp-postgres",
        streams=streams,
        properties={"include_schemas_in_destination_stream_name": "true"},
    )
    for source_id in (plain, named):
        stitch.complete_job(source_id)
    rows = [(row["source_name"], row["stream_name"]) for row in api.loads()]
    assert rows == [
        ("named", "archive__orders"),
        ("plain", "orders"),
        ("plain", "orders"),
        ("named", "public__orders"),
    ]
    stitch.quirks.load_names = "source"
    rows = [(row["source_name"], row["stream_name"]) for row in api.loads()]
    assert rows == [("named", "orders")] * 2 + [("plain", "orders")] * 2


def test_loads_are_sorted_by_stream_name_or_stream_id(api: Api, stitch: StitchEmulator) -> None:
    for name in ("one", "two"):
        stitch.complete_job(stitch.add_source(name, streams={"zebra": 1, "apple": 1}))
    by_name = [(row["source_name"], row["stream_name"]) for row in api.loads()]
    stitch.quirks.loads_order = "stream_id"
    by_id = [(row["source_name"], row["stream_name"]) for row in api.loads()]
    assert by_name == [("one", "apple"), ("two", "apple"), ("one", "zebra"), ("two", "zebra")]
    assert by_id == [("one", "zebra"), ("one", "apple"), ("two", "zebra"), ("two", "apple")]


def test_import_api_source_has_loads_but_no_extractions(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("import_api", type="import_api", streams={"events": 0})
    stitch.record_load(source_id, "events", seconds_ago=60)
    assert api.extractions() == []
    assert api.loaded_at() == {"events": "2026-08-17T05:59:02Z"}


def test_load_contains_the_source_name_not_the_display_name(api: Api, stitch: StitchEmulator) -> None:
    stitch.complete_job(stitch.add_source("github", display_name="GitHub", streams={"commits": 1}))
    assert api.loads()[0]["source_name"] == "github"


def test_only_the_latest_of_many_loads_is_listed(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 1}, schedule_minutes=30)
    for _ in range(20):
        stitch.advance(1800)
        api.loads()
    assert len(stitch.jobs(source_id)) == 20
    assert api.loaded_at() == {"commits": "2026-08-17T15:33:37Z"}


def test_new_load_is_inserted_in_sort_order(api: Api, stitch: StitchEmulator) -> None:
    one, two = (stitch.add_source(name, streams={name: 1}) for name in ("b", "a"))
    stitch.complete_job(one)
    assert list(api.loaded_at()) == ["b"]
    stitch.complete_job(two)
    assert list(api.loaded_at()) == ["a", "b"]


def test_new_load_names_change_the_sort_order(api: Api, stitch: StitchEmulator) -> None:
    orders = EmulatedStream(1, stream_name="orders", schema_name="public")
    shop = stitch.add_source("shop", type="platform.hp-postgres", streams={"o": orders, "p": 1})
    stitch.complete_job(shop)
    assert list(api.loaded_at()) == ["orders", "p"]
    properties = {"include_schemas_in_destination_stream_name": "true"}
    api("PUT", f"/v4/sources/{shop}", json={"properties": properties})
    assert list(api.loaded_at()) == ["p", "public__orders"]


def test_load_error_cleared_before_any_load_is_not_listed(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.set_load_error(github, "commits")
    assert list(api.loaded_at()) == ["commits"]
    stitch.clear_load_error(github, "commits")
    assert api.get("/v4/104857/loads")["total"] == 0


@pytest.mark.parametrize(("days", "loaded"), [(29.9, True), (30.1, False)])
def test_rows_that_cannot_be_loaded_for_30_days_are_deleted(
    api: Api, stitch: StitchEmulator, github: int, days: float, loaded: bool
) -> None:
    stitch.set_load_error(github, "commits")
    stitch.complete_job(github, seconds_ago=0)
    stitch.advance(days * 86_400)
    stitch.clear_load_error(github, "commits")
    (load,) = api.loads()
    assert (load["error_state"] is None, load["last_batch_loaded_at"] is not None) == (loaded, loaded)
