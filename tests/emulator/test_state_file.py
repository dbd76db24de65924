"""An emulator that was killed goes on where it was."""

from __future__ import annotations

import subprocess
import sys

import requests

from airflow_provider_stitch.emulator import JobPlan, StitchEmulator

PLAN = JobPlan(tap_seconds=3600)

# Starts a job, and dies of it as soon as the answer is here.
DYING = """
import os, signal, sys, requests
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator

stitch = StitchEmulator(state_file=sys.argv[1], access_token="ac_kept").start()
github = stitch.add_source("github", streams={"commits": 120}, job=JobPlan(tap_seconds=3600))
headers = {"Authorization": "Bearer ac_kept"}
answer = requests.post(f"{stitch.url}/v4/sources/{github}/sync", headers=headers)
print(github, answer.json()["job_name"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def extractions(stitch: StitchEmulator) -> list[str]:
    answer = requests.get(
        f"{stitch.url}/v4/{stitch.client_id}/extractions",
        headers={"Authorization": f"Bearer {stitch.access_token}"},
        timeout=10,
    )
    return [job["job_name"] for job in answer.json()["data"]]


def test_a_job_outlives_the_process_that_started_it(tmp_path) -> None:
    state = tmp_path / "stitch"
    died = subprocess.run([sys.executable, "-c", DYING, state], capture_output=True, text=True, check=False)
    source_id, job_name = died.stdout.split()

    with StitchEmulator(state_file=state) as stitch:
        assert stitch.access_token == "ac_kept"
        (job,) = stitch.jobs(int(source_id))
        assert (job.job_name, job.completion_time) == (job_name, None)
        assert extractions(stitch) == []
        stitch.advance(4000)
        assert extractions(stitch) == [job_name]


def test_what_is_kept_goes_on_from_one_emulator_to_the_next(tmp_path) -> None:
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


def test_an_emulator_that_nobody_has_asked_anything_is_kept(tmp_path) -> None:
    token = StitchEmulator(state_file=tmp_path / "stitch").access_token
    assert StitchEmulator(state_file=tmp_path / "stitch").access_token == token


def test_stitch_starts_jobs_by_itself_as_before(tmp_path) -> None:
    state = tmp_path / "stitch"
    with StitchEmulator(state_file=state) as first:
        github = first.add_source("github", streams={"commits": 120}, schedule_minutes=30)
    with StitchEmulator(state_file=state) as second:
        second.advance(3600)
        assert second.jobs(github)


def test_time_goes_on_while_no_emulator_runs(tmp_path) -> None:
    """As fast as the one runs that goes on: a job may have ended meanwhile."""
    state = tmp_path / "stitch"
    with StitchEmulator(state_file=state) as first:
        github = first.add_source("github", streams={"commits": 120})
        first.start_job(github)
    with StitchEmulator(state_file=state, speed=10_000_000) as second:
        assert second.jobs(github)[0].completion_time is not None


def test_faults_are_not_kept(tmp_path) -> None:
    state = tmp_path / "stitch"
    with StitchEmulator(state_file=state) as first:
        first.fail(times=None, status=500)
    with StitchEmulator(state_file=state) as second:
        assert extractions(second) == []
