"""Test how jobs are started, stopped, scheduled and listed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import Flush, JobPlan

from .conftest import START

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

STATUSES = ("discovery_exit_status", "tap_exit_status", "target_exit_status")
DESCRIPTIONS = ("discovery_description", "tap_description", "target_description")


def values(extraction: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the values for the given keys in an extraction."""
    return tuple(extraction[key] for key in keys)


def test_running_job_is_not_listed(api: Api, stitch: StitchEmulator, github: int) -> None:
    api.start(github)
    stitch.advance(149)
    assert api.extractions() == []
    stitch.advance(1)
    assert values(api.extraction(github), STATUSES) == (0, 0, 0)


def test_previous_job_is_listed_while_a_job_runs(api: Api, stitch: StitchEmulator, github: int) -> None:
    first = stitch.complete_job(github, seconds_ago=3600)
    second = api.start(github)
    assert api.extraction(github)["job_name"] == first.job_name
    stitch.advance(150)
    assert api.extraction(github)["job_name"] == second
    assert len(api.extractions()) == 1


def test_running_job_is_listed_with_its_progress_with_quirk(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.quirks.list_running_jobs = True
    stitch.complete_job(github, seconds_ago=3600)
    job_name = api.start(github)
    seen = []
    for _ in range(4):
        row = api.extraction(github)
        assert row["job_name"] == job_name
        seen.append((values(row, STATUSES), row["completion_time"] is None))
        stitch.advance(50)
    none = None
    assert seen == [
        ((none, none, none), True),
        ((0, none, none), True),
        ((0, none, none), True),
        ((0, 0, 0), False),
    ]


def test_completed_job_is_listed_later_with_quirk(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.quirks.listing_delay = 20
    api.start(github)
    stitch.advance(160)
    assert api.extractions() == []
    stitch.advance(10)
    assert len(api.extractions()) == 1


@pytest.mark.parametrize(
    ("plan", "after", "statuses", "descriptions"),
    [
        pytest.param(
            JobPlan(discovery_exit_status=1, discovery_description="no tables"),
            10,
            (1, None, None),
            ("no tables", None, None),
            id="discovery failed, so the other phases never started",
        ),
        pytest.param(
            JobPlan(tap_exit_status=1, tap_description="401"),
            150,
            (0, 1, 0),
            (None, "401", None),
            id="tap failed, target succeeded",
        ),
        pytest.param(JobPlan(tap_exit_status=-9), 150, (0, -9, 0), (None, None, None), id="tap killed"),
        pytest.param(
            JobPlan(tap_exit_status=-15, target_exit_status=1, target_description="400"),
            150,
            (0, -15, 1),
            (None, None, "400"),
            id="target failed and ended the tap",
        ),
        pytest.param(
            JobPlan(terminated=True),
            150,
            (None, None, None),
            ("Terminated", "Terminated", "Terminated"),
            id="terminated by Stitch",
        ),
    ],
)
def test_job_ends_as_planned(
    api: Api,
    stitch: StitchEmulator,
    github: int,
    plan: JobPlan,
    after: int,
    statuses: tuple[Any, ...],
    descriptions: tuple[Any, ...],
) -> None:
    stitch.plan_next_job(github, plan)
    api.start(github)
    stitch.advance(after - 1)
    assert api.extractions() == []
    stitch.advance(1)
    row = api.extraction(github)
    assert (values(row, STATUSES), values(row, DESCRIPTIONS)) == (statuses, descriptions)
    assert row["completion_time"] is not None
    api.start(github)
    stitch.advance(150)
    assert values(api.extraction(github), STATUSES) == (0, 0, 0)


def test_failure_without_a_planned_message_has_a_default(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.complete_job(github, tap_exit_status=1)
    assert "401 Client Error" in api.extraction(github)["tap_description"]


def test_stop_terminates_the_extraction_immediately(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = api.start(github)
    stitch.advance(30)
    response = api("DELETE", f"/v4/sources/{github}/sync")
    assert (response.status_code, response.json()) == (200, {"status": 200})
    row = api.extraction(github)
    assert row["job_name"] == job_name
    assert row["completion_time"] == "2026-08-17T06:00:32Z"
    assert values(row, STATUSES) == (None, None, None)
    assert values(row, DESCRIPTIONS) == ("Terminated",) * 3
    assert stitch.jobs(github)[0].stopped


def test_only_rows_flushed_before_a_stop_are_loaded(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"early": 10, "late": 10})
    api.start(source_id)
    stitch.advance(90)  # `early` was flushed at 80 s, and `late` would be flushed at 140 s
    stitch.stop_job(source_id)
    stitch.advance(3600)
    assert set(api.loaded_at()) == {"early"}


@pytest.mark.parametrize(
    ("seconds", "statuses", "line"),
    [
        pytest.param(5, (-15, None, None), "Discovery failed with code -15.", id="discovery"),
        pytest.param(
            60,
            (0, -15, 0),
            "Discovery succeeded. Tap failed with code -15. Target succeeded.",
            id="tap",
        ),
        pytest.param(
            140,
            (0, 0, -15),
            "Discovery succeeded. Tap succeeded. Target failed with code -15.",
            id="target",
        ),
    ],
)
def test_stopped_job_shows_the_signal_with_quirk(
    api: Api, stitch: StitchEmulator, github: int, seconds: float, statuses: tuple[int | None, ...], line: str
) -> None:
    stitch.quirks.stopped_jobs = "signalled"
    job_name = api.start(github)
    stitch.advance(seconds)
    api("DELETE", f"/v4/sources/{github}/sync")
    row = api.extraction(github)
    assert (values(row, STATUSES), values(row, DESCRIPTIONS)) == (statuses, (None,) * 3)
    assert api.log(job_name).endswith(f"Exit status is: {line}\n")


def test_job_stops_after_a_delay_with_quirk(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"early": 10, "late": 10})
    stitch.quirks.stop_seconds = 45
    api.start(source_id)
    for _ in range(2):  # a second stop request does not change when the job stops
        stitch.advance(10)
        api("DELETE", f"/v4/sources/{source_id}/sync")
    stitch.advance(34)
    refused = api("POST", f"/v4/sources/{source_id}/sync")
    assert refused.json()["error"]["type"] == "already_running"
    stitch.advance(1)
    assert api.extraction(source_id)["completion_time"] == "2026-08-17T06:00:57Z"
    api.start(source_id)


def test_stop_without_a_running_job_is_not_an_error(api: Api, stitch: StitchEmulator, github: int) -> None:
    finished = stitch.complete_job(github)
    assert api("DELETE", f"/v4/sources/{github}/sync").json() == {"status": 200}
    assert not stitch.jobs(github)[0].stopped
    assert api.extraction(github)["job_name"] == finished.job_name


def test_stitch_ends_an_extraction_after_24_hours(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.plan_next_job(github, JobPlan(tap_seconds=30 * 3600))
    api.start(github)
    stitch.advance(24 * 3600 - 1)
    assert api.extractions() == []
    stitch.advance(1)
    assert values(api.extraction(github), DESCRIPTIONS) == ("Terminated",) * 3


def test_scheduled_jobs_start_at_their_times(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 1}, schedule_minutes=30)
    stitch.advance(95 * 60)
    starts = [job.start_time for job in stitch.jobs(source_id)]
    assert starts == [stitch.jobs(source_id)[0].start_time + timedelta(minutes=30 * n) for n in range(3)]
    assert {job.started_by for job in stitch.jobs(source_id)} == {"schedule"}
    assert api.get(f"/v4/sources/{source_id}")["schedule"]["next_fire_time"] == "2026-08-17T08:00:02Z"


def test_scheduled_start_during_a_running_job_is_skipped(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source(
        "github", streams={"commits": 1}, schedule_minutes=30, job=JobPlan(tap_seconds=40 * 60)
    )
    stitch.advance(20 * 60)
    api.start(source_id)
    stitch.advance(100 * 60)
    minutes = [round((job.start_time - START).total_seconds() / 60) for job in stitch.jobs(source_id)]
    assert minutes == [20, 90]


def test_start_during_a_scheduled_job_is_rejected(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 1}, schedule_minutes=30)
    stitch.advance(30 * 60 + 5)
    response = api("POST", f"/v4/sources/{source_id}/sync").json()
    assert response["error"]["type"] == "already_running"


def test_paused_source_has_no_schedule_but_can_be_started(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 1}, schedule_minutes=30)
    path = f"/v4/sources/{source_id}"
    paused = api("PUT", path, json={"paused_at": "2031-01-01T00:00:00Z"}).json()
    assert (paused["paused_at"], paused["schedule"]) == ("2031-01-01T00:00:00Z", None)
    stitch.advance(7200)
    assert stitch.jobs(source_id) == []
    api.start(source_id)
    assert api.get(path)["paused_at"] is not None
    unpaused = api("PUT", path, json={"paused_at": None}).json()
    assert unpaused["paused_at"] is None
    assert unpaused["schedule"]["interval"] == 30.0
    stitch.advance(1800)
    assert [job.started_by for job in stitch.jobs(source_id)] == ["api", "schedule"]


def test_pausing_does_not_stop_a_running_job(api: Api, stitch: StitchEmulator, github: int) -> None:
    api.start(github)
    stitch.pause_source(github)
    stitch.advance(150)
    assert values(api.extraction(github), STATUSES) == (0, 0, 0)


def test_system_pause_has_its_own_field(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.pause_source(github, by_stitch=True)
    source = api.get(f"/v4/sources/{github}")
    assert (source["paused_at"], source["system_paused_at"]) == (None, "2026-08-17T06:00:02Z")


def test_deleted_source_remains_readable_and_listed(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.complete_job(github)
    deleted = api("DELETE", f"/v4/sources/{github}").json()
    assert deleted["deleted_at"] == "2026-08-17T06:00:02Z"
    assert api.get(f"/v4/sources/{github}") == deleted
    assert api.get("/v4/sources") == [deleted]
    assert api.extraction(github) is not None
    stitch.add_source("github", streams={"commits": 1})  # a new source can have the name of a deleted source


def test_extractions_older_than_60_days_are_not_listed(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = stitch.complete_job(github).job_name
    stitch.advance(59 * 86400)
    assert len(api.extractions()) == len(api.loads()) == 1
    assert api.log(job_name)
    stitch.advance(2 * 86400)
    assert api.extractions() == api.loads() == []
    assert api.log_response(job_name).status_code == 404


def test_update_runs_a_connection_check(api: Api, stitch: StitchEmulator, github: int) -> None:
    path = f"/v4/sources/{github}"
    before = api.get(f"{path}/last-connection-check")["name"]
    response = api(
        "PUT", path, json={"display_name": "Code", "properties": {"repository": "acme/shop"}}
    ).json()
    check = api.get(f"{path}/last-connection-check")
    assert (response["display_name"], response["properties"]["repository"]) == ("Code", "acme/shop")
    assert response["name"] == "github"
    assert (response["check_job_name"], check["status"]) == (check["name"], "running")
    assert check["name"] != before
    stitch.quirks.name_checks_in_updates = False
    assert "check_job_name" not in api("PUT", path, json={"display_name": "x"}).json()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        pytest.param({"tap_seconds": -1}, "less than 0 seconds", id="a phase of negative length"),
        pytest.param(
            {"flushes": {"commits": [Flush(at=151, rows=1)]}}, "job's 150 seconds", id="a late flush"
        ),
    ],
)
def test_impossible_plan_is_rejected(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JobPlan(**plan)


@pytest.mark.parametrize("rejected", [-1, 6])
def test_batch_cannot_have_more_rejected_rows_than_rows(rejected: int) -> None:
    with pytest.raises(ValueError, match="rejected"):
        Flush(at=20, rows=5, rejected=rejected)


def test_two_clients_receive_the_same_state(api: Api, stitch: StitchEmulator, github: int) -> None:
    stitch.plan_jobs(github, JobPlan(flushes={"commits": [Flush(at=20, rows=5), Flush(at=60, rows=5)]}))
    api.start(github)
    for _ in range(12):
        stitch.advance(20)
        assert (api.extractions(), api.loads()) == (api.extractions(), api.loads())


def test_plan_with_an_unknown_stream_is_rejected(stitch: StitchEmulator, github: int) -> None:
    with pytest.raises(
        ValueError, match=r"exactly one stream 'nope'\. Streams of the source: commits, issues"
    ):
        stitch.plan_next_job(github, JobPlan(rows={"nope": 1}))
