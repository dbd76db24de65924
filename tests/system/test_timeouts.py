"""`execution_timeout` fails the task and stops the job, in a worker as well as deferred."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def timed(new_source):
    """Runs whose tasks have little time, all at once: each with a source of its own."""
    runs = {}
    for where in ("in_worker", "deferred"):
        for way in ("timed", "timed_left_running"):
            source = new_source()
            runs[way, where] = source.run(f"{way}_{where}"), source
    return runs


def test_execution_timeout_stops_the_job(timed, where):
    run, source = timed["timed", where]

    assert run.end() == "failed"
    (job,) = source.jobs
    assert job.stopped


def test_execution_timeout_leaves_the_job_running_if_told_so(timed, where):
    run, source = timed["timed_left_running", where]

    assert run.end() == "failed"
    (job,) = source.jobs
    assert not job.stopped
