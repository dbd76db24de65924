"""Test that Airflow has written no secrets during the tests in this folder.

This module runs after all others in the folder (see conftest.py).
"""

from __future__ import annotations

from tests.support.secret_encodings import emulator_secrets, find_encodings


def test_airflow_writes_no_secret(airflow, stitch, source):
    run = source.run_until_waiting("plain_deferred")
    while_it_waits = airflow.read_everything_written()
    source.finish_jobs()
    assert run.wait_until_finished() == "success"
    afterwards = airflow.read_everything_written()

    assert b'"stop_at_deadline"' in while_it_waits, "the search covers the triggers' arguments"
    assert b"Started job" in afterwards, "the search covers the tasks' logs"
    assert source.jobs[0].job_name.encode() in afterwards, "the search covers XComs"
    assert stitch.log_host_requests, "a pre-signed log URL was used"
    for secret in {*airflow.secrets, *emulator_secrets(stitch)}:
        assert find_encodings(secret, while_it_waits) == []
        assert find_encodings(secret, afterwards) == []
