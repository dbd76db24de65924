"""Test that a new emulator continues from the state file of a killed emulator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import requests

from airflow_provider_stitch.emulator import JobPlan, StitchEmulator

PLAN = JobPlan(tap_seconds=3600)

# A script that starts a job, and kills its own process after the response has arrived.
START_JOB_AND_DIE = """
import os, signal, sys, requests
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator

stitch = StitchEmulator(state_file=sys.argv[1], access_token="ac_kept").start()
github = stitch.add_source("github", streams={"commits": 120}, job=JobPlan(tap_seconds=3600))
headers = {"Authorization": "Bearer ac_kept"}
response = requests.post(f"{stitch.url}/v4/sources/{github}/sync", headers=headers)
print(github, response.json()["job_name"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def extractions(stitch: StitchEmulator) -> list[str]:
    response = requests.get(
        f"{stitch.url}/v4/{stitch.client_id}/extractions",
        headers={"Authorization": f"Bearer {stitch.access_token}"},
        timeout=10,
    )
    return [job["job_name"] for job in response.json()["data"]]


def test_job_survives_the_process_that_started_it(tmp_path: Path) -> None:
    state = tmp_path / "stitch"
    killed = subprocess.run(
        [sys.executable, "-c", START_JOB_AND_DIE, state], capture_output=True, text=True, check=False
    )
    source_id, job_name = killed.stdout.split()

    with StitchEmulator(state_file=state) as stitch:
        assert stitch.access_token == "ac_kept"
        (job,) = stitch.jobs(int(source_id))
        assert (job.job_name, job.completion_time) == (job_name, None)
        assert extractions(stitch) == []
        stitch.advance(4000)
        assert extractions(stitch) == [job_name]


def test_state_is_restored_by_the_next_emulator(tmp_path: Path) -> None:
    state = tmp_path / "stitch"
    with StitchEmulator(state_file=state) as first:
        github = first.add_source("github", streams={"commits": 120})
        first.advance(86_400)
        at = first.now()
    with StitchEmulator(state_file=state) as second:
        assert second.now() >= at
        assert second.jobs(github) == []
        shop = second.add_source("shop", streams={"orders": 1}, job=PLAN)
        job = second.start_job(shop)
    with StitchEmulator(state_file=state) as third:
        assert third.jobs(shop)[0].job_name == job.job_name
        assert third.stop_job(shop) is not None


def test_state_is_saved_without_any_request(tmp_path: Path) -> None:
    token = StitchEmulator(state_file=tmp_path / "stitch").access_token
    assert StitchEmulator(state_file=tmp_path / "stitch").access_token == token


def test_restored_schedule_still_starts_jobs(tmp_path: Path) -> None:
    state = tmp_path / "stitch"
    with StitchEmulator(state_file=state) as first:
        github = first.add_source("github", streams={"commits": 120}, schedule_minutes=30)
    with StitchEmulator(state_file=state) as second:
        second.advance(3600)
        assert second.jobs(github)


def test_virtual_time_continues_while_no_emulator_runs(tmp_path: Path) -> None:
    """Virtual time continues at the new emulator's speed, so a job can end while no emulator runs."""
    state = tmp_path / "stitch"
    with StitchEmulator(state_file=state) as first:
        github = first.add_source("github", streams={"commits": 120})
        first.start_job(github)
    with StitchEmulator(state_file=state, speed=10_000_000) as second:
        assert second.jobs(github)[0].completion_time is not None


def test_faults_are_not_restored(tmp_path: Path) -> None:
    state = tmp_path / "stitch"
    with StitchEmulator(state_file=state) as first:
        first.fail(times=None, status=500)
    with StitchEmulator(state_file=state) as second:
        assert extractions(second) == []
