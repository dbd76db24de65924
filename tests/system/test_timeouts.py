"""Test that `execution_timeout` fails the task and stops its job, in a worker and in the triggerer."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def timed_runs(new_source):
    """DAG runs with a short `execution_timeout`.

    All runs are started at once. Each run has its own source.
    """
    runs = {}
    for where in ("in_worker", "deferred"):
        for way in ("timed", "timed_left_running"):
            source = new_source()
            runs[way, where] = source.run(f"{way}_{where}"), source
    return runs


def test_execution_timeout_stops_the_job(timed_runs, where):
    run, source = timed_runs["timed", where]

    assert run.wait_until_finished() == "failed"
    (job,) = source.jobs
    # On Airflow 2.11, a slow triggerer stops the job after the task has failed.
    source.wait_until_stopped(job)


def test_execution_timeout_leaves_job_running_without_stop_on_kill(timed_runs, where):
    run, source = timed_runs["timed_left_running", where]

    assert run.wait_until_finished() == "failed"
    (job,) = source.jobs
    assert not job.stopped
