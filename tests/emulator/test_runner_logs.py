"""Test the runner's log lines for state updates, for crashes and for the exit status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import Flush, JobPlan, LogPlan

from .log_forms import EXIT_LINE, info_texts, times_of

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


def test_state_update_follows_all_batches_sent_before_it(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"slow": 1, "fast": 1})
    flushes = {"slow": [Flush(at=60, rows=1, retries=4)], "fast": [Flush(at=50, rows=1)]}
    job = stitch.start_job(source_id, flushes=flushes)
    stitch.advance(150)
    log = api.log(job.job_name)
    # The batch of the stream `slow` was sent at 45 s and persisted at 60 s.
    assert times_of(log, "State update") == ["06:01:02,750", "06:01:02,750"]


def test_state_updates_change_the_state_of_the_previous_job(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    first = api.log(stitch.complete_job(github, seconds_ago=7200).job_name)
    second = api.log(stitch.complete_job(github, seconds_ago=3600).job_name)
    (value,) = re.findall(r"State update: adding bookmarks.commits.updated_at = (.+)", first)
    assert f"State update: changing bookmarks.commits.updated_at from {value} to " in second
    assert 'Current state: {"bookmarks": {}}\n' in first
    assert f'Current state: {{"bookmarks": {{"commits": {{"updated_at": {value}}}}}}}\n' in second


def test_unsent_rows_of_a_stopped_job_do_not_change_the_state(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    api.start(github)
    stitch.advance(70)  # the rows of `commits` would be flushed at 80 s
    stitch.stop_job(github)
    job_name = api.start(github)
    stitch.advance(150)
    assert 'Current state: {"bookmarks": {}}\n' in api.log(job_name)


def test_runner_crash_leaves_a_traceback(api: Api, stitch: StitchEmulator, github: int) -> None:
    log = api.log(stitch.complete_job(github, log=LogPlan(runner_crashes=True)).job_name)
    before, _, after = log.partition("  main - INFO No tunnel subprocess to tear down\n")
    assert after.startswith("Traceback (most recent call last):\n  File ")
    assert "Exit status is" not in log
    assert "Requests complete" not in log
    assert "messages for table commits\n" in before


def test_job_without_discovery_has_no_discovery_status(api: Api, stitch: StitchEmulator, github: int) -> None:
    log = api.log(stitch.complete_job(github, has_discovery=False).job_name)
    assert info_texts(log, "main")[-1] == "Exit status is: Tap succeeded. Target succeeded."
    assert "discovery mode" not in log
    listed = api.extraction(github)
    phases = ("discovery", "tap", "target")
    assert [listed[f"{phase}_exit_status"] for phase in phases] == [None, 0, 0]
    assert [listed[f"{phase}_description"] for phase in phases] == [None, None, None]


def test_stopped_job_without_discovery_has_a_signalled_tap(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    stitch.quirks.stopped_jobs = "signalled"
    job = stitch.start_job(github, has_discovery=False)
    stitch.stop_job(github)
    assert info_texts(api.log(job.job_name), "main")[-1] == (
        "Exit status is: Tap failed with code -15. Target succeeded."
    )
    listed = api.extraction(github)
    assert [listed[f"{phase}_exit_status"] for phase in ("discovery", "tap", "target")] == [None, -15, 0]


def test_job_without_discovery_cannot_fail_in_discovery() -> None:
    with pytest.raises(ValueError, match="discovery"):
        JobPlan(has_discovery=False, discovery_exit_status=1)


@pytest.mark.parametrize(
    "plan",
    [
        JobPlan(),
        JobPlan(has_discovery=False),
        JobPlan(discovery_exit_status=1),
        JobPlan(tap_exit_status=-9),
        JobPlan(tap_exit_status=1),
        JobPlan(target_exit_status=1),
        JobPlan(refused_stream="commits"),
    ],
)
def test_exit_lines_match_the_grammar(api: Api, stitch: StitchEmulator, github: int, plan: JobPlan) -> None:
    assert EXIT_LINE.fullmatch(info_texts(api.log(stitch.complete_job(github, plan).job_name), "main")[-1])


def test_batches_minutes_apart_are_loaded_one_after_another(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    flushes = [Flush(at=each, rows=30, prepare=30, load=30) for each in (60, 360, 660, 960)]
    stitch.start_job(github, tap_seconds=1000, flushes={"commits": flushes})
    seen = []
    for _ in range(4):
        stitch.advance(300)
        seen.append(api.loaded_at()["commits"])
    assert seen == [f"2026-08-17T06:{minute:02d}:02Z" for minute in (2, 7, 12, 17)]
