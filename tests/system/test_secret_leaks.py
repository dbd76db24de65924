"""What Airflow has written while all the tests before this one ran. (pytest runs files by their names.)"""

from __future__ import annotations

from tests.support.secret_encodings import forms_in, secrets_of


def test_no_secret_is_on_disk(airflow, stitch, source):
    run = source.run_until_it_waits("plain_deferred")
    while_it_waits = airflow.everything_written()
    source.let_jobs_end()
    assert run.end() == "success"
    afterwards = airflow.everything_written()

    assert b'"stop_at_deadline"' in while_it_waits, "the triggers' arguments were looked at"
    assert b"Started job" in afterwards, "the tasks' logs were looked at"
    assert source.jobs[0].job_name.encode() in afterwards, "what a task leaves was looked at"
    assert stitch.log_host_requests, "there was an address of a log to be kept"
    for secret in {*airflow.secrets, *secrets_of(stitch)}:
        assert forms_in(secret, while_it_waits) == []
        assert forms_in(secret, afterwards) == []
