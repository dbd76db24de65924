"""Test loading after a log whose clock is wrong, so that logged times are outside the job."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.extraction_log import parse_extraction_log
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from tests.replication.rules.loading_states import observed, state_of
from tests.support.builders import (
    LATER,
    SUCCEEDED,
    avro_log,
    extraction,
    goal,
    load,
    log,
    marker,
    parsed_log,
    sent,
)


@pytest.mark.parametrize(
    ("logged_at", "loads", "polled_at", "state"),
    [
        pytest.param(
            "05:04:40", [load("commits", "05:30:00")], "06:30:00", "running", id="slow; an old load"
        ),
        pytest.param("05:04:40", [load("commits", "06:03:00")], "06:10:00", "running", id="slow; maybe ours"),
        pytest.param("05:04:40", [load("commits", "06:05:00")], "06:07:00", "finished", id="slow; ours"),
        pytest.param("07:04:40", [load("commits", "06:03:00")], "06:10:00", "running", id="fast; maybe ours"),
        pytest.param("07:04:40", [load("commits", "06:05:00")], "06:07:00", "finished", id="fast; ours"),
        pytest.param(
            "06:05:40", [load("commits", "06:05:00")], "06:10:00", "running", id="fast, but plausible"
        ),
    ],
)
@pytest.mark.parametrize(
    "the_log",
    [
        pytest.param(lambda time: log(sent(time, "commits")), id="target-stitch"),
        pytest.param(lambda time: avro_log(marker(time, "commits")), id="avro"),
    ],
)
def test_logged_time_outside_the_job_is_ignored(the_log, logged_at, loads, polled_at, state):
    assert state_of(the_log(logged_at), loads, polled_at) == state


def test_load_before_a_superseded_job_does_not_count_if_the_clock_of_the_log_is_slow():
    the_log = log(sent("05:04:40", "commits"), ending=f"05:04:51 main INFO {SUCCEEDED}")
    later_job = extraction(LATER, start="07:00:02", end="07:04:51")
    observations = observed(the_log, polls=([load("commits", "05:30:00")], "07:30:00"), extraction=later_job)

    assert evaluate(goal("loading"), observations).state == "running"


@pytest.mark.parametrize(
    ("first_at", "batches_at", "exit_at", "loads", "polled_at", "state"),
    [
        pytest.param(
            "05:58:02",
            ["06:00:40", "06:02:40"],
            "06:02:51",
            "06:03:30",
            "06:10:00",
            "running",
            id="slow; maybe ours",
        ),
        pytest.param(
            "05:58:02",
            ["06:00:40", "06:02:40"],
            "06:02:51",
            "06:05:00",
            "06:10:00",
            "finished",
            id="slow; ours",
        ),
        pytest.param(
            "06:02:02", ["06:04:00"], "06:06:51", "06:03:00", "06:19:00", "running", id="fast; maybe ours"
        ),
        pytest.param(
            "06:02:02", ["06:04:00"], "06:06:51", "06:03:00", "06:20:00", "finished", id="fast; quiet"
        ),
        pytest.param("06:00:02", ["06:04:00"], "06:04:51", "06:03:00", "06:20:00", "running", id="right"),
    ],
)
def test_times_of_a_log_that_begins_or_ends_outside_the_job_are_ignored(
    first_at, batches_at, exit_at, loads, polled_at, state
):
    the_log = parsed_log(
        f"{first_at} main INFO Running tap-github version 3.1.2 and target-stitch version 4.0.3",
        f"{first_at} target INFO Using batch_size_prefernces of {{}}",
        *(sent(each, "commits") for each in batches_at),
        f"{exit_at} target INFO Requests complete, stopping loop",
        f"{exit_at} main INFO {SUCCEEDED}",
    )

    assert state_of(the_log, [load("commits", loads)], polled_at) == state


@pytest.mark.parametrize("stamp", ["0001-01-01 00:00:00,000Z", "9999-12-31 23:59:59,999Z"])
def test_logged_time_that_is_far_away_is_ignored(stamp):
    lines = (
        f"{stamp} target - INFO Using Stitch import URL https://import.example",
        f"{stamp} target - INFO Sending batch with 9 messages for table commits to https://import.example",
        f"{stamp} target - INFO Exiting normally",
        f"{stamp}   main - INFO {SUCCEEDED}",
    )
    far_away = parse_extraction_log("\n".join(lines).encode().splitlines(keepends=True))

    assert state_of(far_away, [load("commits", "06:04:52")], "06:06:52") == "finished"
