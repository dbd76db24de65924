"""Run a local Stitch with many sources in a separate process, and count its requests."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from airflow_provider_stitch.emulator import JobPlan, StitchEmulator

stitch: StitchEmulator
sources: list[int] = []


def set_up(count: int, speed: float, delay: float) -> dict[str, Any]:
    """Serve an account in which each source has a job that ended an hour ago.

    :param count: the number of sources.
    :param speed: speed of the account's clock, as a multiple of real time.
    :param delay: seconds before each response.
    """
    global stitch  # noqa: PLW0603 - this process serves a single account
    stitch = StitchEmulator(speed)
    for number in range(count):
        sources.append(stitch.add_source(f"shop_{number}", streams={"orders": 10}))
        stitch.complete_job(sources[-1], seconds_ago=3600.0)
    if delay:
        stitch.fail(times=None, delay=delay)
    stitch.start()
    return {
        "url": stitch.url,
        "token": stitch.access_token,
        "client_id": stitch.client_id,
        "sources": sources,
        "now": stitch.now().isoformat(),
    }


def start_jobs(first: int, durations: list[float]) -> dict[str, Any]:
    """Start one job for each duration (in virtual seconds).

    The first job belongs to the source with the number `first`.
    """
    started = []
    for source, seconds in zip(sources[first:], durations, strict=False):
        plan = JobPlan(discovery_seconds=10.0, tap_seconds=max(0.0, seconds - 30.0), target_seconds=20.0)
        started.append(stitch.start_job(source, plan).job_name)
    return {"jobs": started}


def statistics() -> dict[str, Any]:
    """Return the numbers of requests, the emulator's current time (epoch) and the real time (epoch)."""
    return {
        "requests": len(stitch.requests) + len(stitch.log_host_requests),
        "limited": len(stitch.limited_requests),
        "busiest_window": stitch.busiest_window(),
        "now": stitch.now().timestamp(),
        "at": time.time(),
    }


FUNCTIONS = {function.__name__: function for function in (set_up, start_jobs, statistics)}
for line in sys.stdin:
    call = json.loads(line)
    sys.stdout.write(json.dumps(FUNCTIONS[call.pop("function")](**call)) + "\n")
    sys.stdout.flush()
stitch.stop()
