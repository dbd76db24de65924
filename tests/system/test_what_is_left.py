"""What Airflow has written while all the tests before this one ran. (pytest runs files by their names.)"""

from __future__ import annotations


def test_no_secret_is_on_disk(airflow, stitch, source):
    run = source.run("plain_deferred")
    source.until_job()
    source.let_jobs_end()
    assert run.end() == "success"

    written = airflow.everything_written()
    assert b"Started job" in written, "the tasks' logs were looked at"
    assert source.jobs[0].job_name.encode() in written, "what a task leaves was looked at"
    assert stitch.access_token.encode() not in written
