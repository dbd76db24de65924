"""Test loading after a log that is missing or incomplete, has no timestamps, or is from the Avro target."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.extraction_log import parse_extraction_log
from airflow_provider_stitch.replication.rules.evaluate import Need, evaluate
from airflow_provider_stitch.replication.rules.loading import record_progress
from tests.replication.rules.loading_states import COMMITS, ISSUES, ORDERS, observed, state_of
from tests.support.builders import (
    EARLIER,
    SUCCEEDED,
    at,
    avro_log,
    extraction,
    goal,
    load,
    log,
    marker,
    parsed_log,
    replicated,
    sent,
    sent_uncounted,
    stream,
)

# --- Markers of the Avro target, and lines without a time -----------------------------------------------


@pytest.mark.parametrize(
    ("loads", "polled_at", "state"),
    [
        pytest.param(
            [load("commits", "06:05:00")], "06:05:30", "running", id="a marker stands for one or more batches"
        ),
        pytest.param([load("commits", "06:05:00")], "06:07:00", "finished", id="settled"),
        pytest.param([load("commits", "06:03:10")], "06:19:50", "running", id="a load before the marker"),
        pytest.param([load("commits", "06:03:10")], "06:19:51", "finished", id="the source is quiet"),
        pytest.param([load("commits", "05:59:10")], "06:20:00", "running", id="a load before the job"),
    ],
)
def test_avro_marker_may_be_later_than_its_rows(loads, polled_at, state):
    assert state_of(avro_log(marker("06:04:40", "commits")), loads, polled_at) == state


def test_load_before_the_marker_causes_a_warning():
    observations = observed(
        avro_log(marker("06:04:40", "commits")), polls=([load("commits", "06:03:10")], "06:20:00")
    )

    (warning,) = evaluate(goal("loading"), observations).warnings
    assert warning.startswith("It is not known exactly when the last rows of commits")


def test_load_of_batch_without_time_counts_once_the_source_is_quiet():
    lines = (
        "target - INFO Using Stitch import URL https://import.example",
        "target - INFO Sending batch with 9 messages for table commits to https://import.example",
        "target - INFO Exiting normally",
        f"main - INFO {SUCCEEDED}",
    )
    timeless = parse_extraction_log("\n".join(lines).encode().splitlines(keepends=True))

    assert state_of(timeless, [load("commits", "06:00:05")], "06:19:50") == "running"
    assert state_of(timeless, [load("commits", "06:00:05")], "06:19:51") == "finished"
    assert state_of(timeless, [load("commits", "06:04:52")], "06:06:52") == "finished"


# --- Without a complete log -----------------------------------------------------------------------------

LOG_UNAVAILABLE = {"incomplete_log_times": (at("06:05:00"), at("06:05:30"), at("06:10:00"))}


def test_missing_log_is_requested_again_before_it_is_given_up():
    missing_once = observed(None, incomplete_log_times=(at("06:05:00"),))

    assert evaluate(goal("loading"), missing_once).needs == (Need.LOG,)
    assert evaluate(goal("loading"), observed(None, **LOG_UNAVAILABLE)).needs == (Need.LOADS,)


def test_truncated_log_is_requested_again_before_it_is_given_up():
    truncated = log(sent("06:04:00", "commits"), ending=None)

    assert evaluate(goal("loading"), observed(truncated, incomplete_log_times=(at("06:05:00"),))).needs == (
        Need.LOG,
    )


def test_log_is_complete_if_only_the_runner_crashed():
    crashed = log(
        sent("06:04:00", "commits"), "06:04:10 target INFO Requests complete, stopping loop", ending=None
    )

    assert state_of(crashed, [load("commits", "06:04:30")], "06:04:31") == "finished"


UNCOUNTED = (
    "06:00:05 target INFO Using Stitch import URL https://import.example/v2/import/batch",
    sent_uncounted("06:03:00", "commits", 30),
    sent_uncounted("06:03:10", "issues", 2),
    "06:04:50 target INFO Exiting normally",
    f"06:04:51 main INFO {SUCCEEDED}",
)


@pytest.mark.parametrize(
    ("the_log", "loads", "polled_at", "state"),
    [
        pytest.param(
            None,
            [load("commits", "06:05:00")],
            "06:19:00",
            "running",
            id="no log, and the source is not quiet",
        ),
        pytest.param(
            None, [load("commits", "06:05:00")], "06:20:00", "finished", id="no log, and the source is quiet"
        ),
        pytest.param(
            None, [load("commits", "05:59:00")], "06:19:00", "running", id="no log, and no load since the job"
        ),
        pytest.param(None, [], "06:19:51", "finished", id="no log, and quiet since the extraction"),
        pytest.param(
            log(sent("06:04:40", "commits"), ending=None),
            [],
            "09:00:00",
            "running",
            id="batches of a truncated log",
        ),
        pytest.param(
            log(sent("06:04:40", "commits"), ending=None),
            [load("commits", "07:14:00")],
            "07:29:00",
            "finished",
            id="a truncated log, and the destination lags",
        ),
        pytest.param(
            parsed_log(replicated("06:02:33", "commits", 5), f"06:04:51 main INFO {SUCCEEDED}"),
            [],
            "09:00:00",
            "running",
            id="a tap counter above 0 proves rows",
        ),
        pytest.param(
            parsed_log(replicated("06:02:33", "commits", 0), f"06:04:51 main INFO {SUCCEEDED}"),
            [],
            "06:19:50",
            "running",
            id="a tap counter of 0 proves nothing",
        ),
        pytest.param(parsed_log(*UNCOUNTED), [], "09:00:00", "running", id="three or more messages are rows"),
        pytest.param(
            parsed_log(*UNCOUNTED),
            [load("commits", "07:14:00")],
            "07:28:59",
            "running",
            id="two messages may be rows",
        ),
        pytest.param(
            parsed_log(*UNCOUNTED),
            [load("commits", "07:14:00")],
            "07:29:00",
            "finished",
            id="two messages without a load were not rows",
        ),
        pytest.param(
            parsed_log(*UNCOUNTED),
            [load("commits", "06:05:00"), load("issues", "06:05:30")],
            "06:07:30",
            "finished",
            id="two messages with a load were rows",
        ),
    ],
)
def test_loading_waits_for_possible_streams_until_the_source_is_quiet(the_log, loads, polled_at, state):
    streams = (COMMITS, ISSUES, stream("forks", selected=False))

    evaluation = evaluate(
        goal("loading"), observed(the_log, streams=streams, polls=(loads, polled_at), **LOG_UNAVAILABLE)
    )

    assert evaluation.state == state
    assert {each.expected.label for each in evaluation.streams} == {"commits", "issues"}


def test_quiet_period_ends_although_later_jobs_load_a_stream_with_a_similar_name():
    """The name of the destination's table differs from the name of the stream."""
    streams = (stream("My Orders"), stream("rare"))
    observations = observed(None, streams=streams, polls=([], "06:05:00"), **LOG_UNAVAILABLE)
    states = {}
    for hour in range(6, 14):
        for minute in range(10, 60, 10):
            loads = [load("my_orders", f"{hour:02}:{minute - 5:02}:00")]
            observations = observations.with_loads(loads, at(f"{hour:02}:{minute:02}:00"))
            evaluation = evaluate(goal("loading"), observations)
            observations = record_progress(observations, evaluation.streams)
            states[hour] = evaluation.state

    assert states[11] == "running"
    assert states[13] == "finished"


def test_quiet_period_of_the_goal_is_used():
    observations = observed(None, polls=([load("commits", "06:05:00")], "06:10:00"), **LOG_UNAVAILABLE)

    assert evaluate(goal("loading"), observations).state == "running"
    assert evaluate(goal("loading", quiet_period=300.0), observations).state == "finished"


@pytest.mark.parametrize(
    ("the_log", "phrase"),
    [
        (None, "Stitch has no log of the extraction"),
        (
            parsed_log(f"06:04:51 main INFO {SUCCEEDED}"),
            "does not show whether these streams had rows: commits",
        ),
    ],
)
def test_missing_evidence_causes_a_warning(the_log, phrase):
    observations = observed(the_log, polls=([load("commits", "06:05:00")], "06:20:00"), **LOG_UNAVAILABLE)

    warnings = evaluate(goal("loading"), observations).warnings

    assert any(phrase in warning and "15 minutes" in warning for warning in warnings)
    assert any("Found no load of issues" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        pytest.param("commits", {"commits"}, id="a selected stream"),
        pytest.param("forks", set(), id="a deselected parent"),
        pytest.param("limits", set(), id="an endpoint that is not a stream"),
    ],
)
def test_tap_counter_confirms_rows_of_selected_streams_only(counted, expected):
    counter = parsed_log(replicated("06:02:33", counted, 5), f"06:04:51 main INFO {SUCCEEDED}")
    streams = (COMMITS, ISSUES, stream("forks", selected=False))

    evaluation = evaluate(goal("loading"), observed(counter, streams=streams, polls=([], "06:05:00")))

    assert {each.expected.label for each in evaluation.streams if each.expected.rows_confirmed} == expected


# --- Weak evidence in logs ------------------------------------------------------------------------------


def test_truncated_log_does_not_show_the_last_batch():
    truncated = log(sent("06:01:00", "commits", 60), ending=None)
    long_job = {"extraction": extraction(end="06:50:00"), **LOG_UNAVAILABLE}

    def state(loads, polled_at):
        observations = observed(truncated, polls=(loads, polled_at), **long_job)
        return evaluate(goal("loading", streams=("commits",)), observations).state

    assert state([load("commits", "06:01:30")], "06:55:30") == "running"
    assert state([load("commits", "06:01:30")], "07:04:59") == "running"
    assert state([load("commits", "06:01:30")], "07:05:00") == "finished"
    assert state([load("commits", "06:50:30")], "06:52:30") == "finished"


def test_load_during_the_job_is_not_conclusive_without_a_log():
    observations = observed(
        None, streams=(COMMITS,), extraction=extraction(end="06:50:00"), **LOG_UNAVAILABLE
    )
    early = observations.with_loads([load("commits", "06:01:30")], at("06:55:30"))

    assert evaluate(goal("loading"), early).state == "running"
    assert (
        evaluate(goal("loading"), early.with_loads([load("commits", "06:01:30")], at("07:05:00"))).state
        == "finished"
    )


def test_batch_settles_if_the_target_logs_no_requests():
    old = parsed_log(
        "06:00:05 target INFO Using Stitch import URL https://import.example/v2/import/batch",
        sent_uncounted("06:02:00", "commits", 20000),
        "06:04:50 target INFO Exiting normally",
        f"06:04:51 main INFO {SUCCEEDED}",
    )

    assert state_of(old, [load("commits", "06:02:30")], "06:02:31") == "running"
    assert state_of(old, [load("commits", "06:02:30")], "06:04:30") == "finished"


def test_requested_stream_is_expected_if_its_logged_name_is_ambiguous():
    orders = stream("orders", "shop-public-orders", schema="public")
    namesake = stream("public_orders", "shop-archive-public_orders", schema="archive")
    the_log = log(sent("06:04:40", "public_orders", 7))
    observations = observed(the_log, streams=(orders, namesake), polls=([], "06:10:00"))

    assert evaluate(goal("loading", streams=("orders",)), observations).state == "running"
    loaded = observations.with_loads([load("public_orders", "06:05:00")], at("06:08:00"))
    assert evaluate(goal("loading", streams=("orders",)), loaded).state == "finished"


def test_load_that_matches_two_streams_settles():
    streams = (stream("a.x"), stream("a x"))
    the_log = log(sent("06:04:00", "a.x"), sent("06:04:40", "a x"))

    assert state_of(the_log, [load("a_x", "06:05:00")], "06:05:01", streams=streams) == "running"
    assert state_of(the_log, [load("a_x", "06:05:00")], "06:07:00", streams=streams) == "finished"


def test_end_of_previous_job_is_unknown_if_it_was_listed_as_running():
    observations = observed(polls=([load("commits", "06:04:41")], "06:04:42"))
    observations = observations.with_extraction(extraction(EARLIER, end=None), at("06:00:10"), is_ours=False)
    observations = observations.with_extraction(extraction(), at("06:05:00"), is_ours=True)

    assert evaluate(goal("loading"), observations).state == "running"


def test_gap_between_batches_under_two_names_extends_settling():
    the_log = log(sent("06:01:00", "orders"), sent("06:04:40", "public_orders"))

    assert state_of(the_log, [load("orders", "06:05:00")], "06:07:01", streams=(ORDERS,)) == "running"
    assert state_of(the_log, [load("orders", "06:05:00")], "06:09:40", streams=(ORDERS,)) == "finished"


def test_tap_counter_is_matched_by_tap_stream_id():
    counted = replicated("06:02:00", "shopdb-public-orders", 2)
    few = (
        "06:00:05 target INFO Using Stitch import URL https://import.example/v2/import/batch",
        sent_uncounted("06:02:01", "orders", 2),
        "06:04:50 target INFO Exiting normally",
        f"06:04:51 main INFO {SUCCEEDED}",
    )
    avro = avro_log(counted, marker("06:02:01", "orders"))

    assert state_of(parsed_log(*few), [], "06:20:00", streams=(ORDERS,)) == "finished"
    assert state_of(parsed_log(counted, *few), [], "06:20:00", streams=(ORDERS,)) == "running"
    evaluation = evaluate(goal("loading"), observed(avro, streams=(ORDERS,), polls=([], "06:05:00")))
    assert [each.expected.rows for each in evaluation.streams] == [2]


def test_possible_requested_stream_ignores_other_streams():
    truncated = log(sent("06:04:00", "commits"), ending=None)
    observations = observed(truncated, polls=([load("issues", "06:05:00")], "06:20:00"), **LOG_UNAVAILABLE)

    assert evaluate(goal("loading", streams=("issues",)), observations).state == "finished"
    assert evaluate(goal("loading"), observations).state == "running"
