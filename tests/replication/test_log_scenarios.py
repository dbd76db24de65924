"""Test waits for the loading phase over HTTP, with logs from every target."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.replication.jobs import Started
from tests.support.log_scenarios import SCENARIOS

#: Maximum seconds until a task detects the last load, with 30 status requests in 10 minutes.
MAX_DELAY = 120.0


@pytest.mark.parametrize("name", SCENARIOS)
def test_loading_finishes_when_the_last_rows_are_loaded(stitch, waiter, name):
    scenario = SCENARIOS[name]
    source = scenario.add_to(stitch)
    stitch.advance(3600)
    started = waiter.start(source)
    assert isinstance(started, Started)

    outcome = waiter.wait(waiter.goal(source, started.job_name, streams=scenario.requested))

    elapsed = (stitch.now() - stitch.jobs(source)[-1].start_time).total_seconds()
    if scenario.error is not None:
        assert outcome.error is not None
        assert outcome.error["kind"] == scenario.error
        assert scenario.message in outcome.error["message"]
        return
    assert outcome.error is None
    rows = {stream: each["rows"] for stream, each in outcome.result["streams"].items()}
    assert rows == scenario.expected_rows
    assert (
        scenario.loaded_after <= elapsed <= max(scenario.loaded_after, 150) + scenario.extra_wait + MAX_DELAY
    )
