"""Tests of the loads that a job requires, and of when they are finished, by logs and listed loads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import LoadingFailed
from airflow_provider_stitch.connect.extraction_log import parse_extraction_log
from airflow_provider_stitch.replication.rules.evaluate import Need, evaluate
from airflow_provider_stitch.replication.rules.observations import Observations
from tests.support.builders import (
    EARLIER,
    OURS,
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

COMMITS, ISSUES = stream("commits"), stream("issues")
ONE_BATCH = log(replicated("06:02:33", "commits", 412), sent("06:04:40.118", "commits", 412))
TWO_BATCHES = log(sent("06:01:00", "commits"), sent("06:04:40", "commits"))


def observed(
    the_log=ONE_BATCH, *, streams=(COMMITS, ISSUES), polls=((), "06:03:00"), **fields
) -> Observations:
    """Return the observations after an extraction; each poll is the listed loads and Stitch's time."""
    defaults = {
        "extraction": extraction(),
        "log": the_log,
        "streams": tuple(streams),
        "previous_job_polled_at": at("06:00:10"),
    }
    observations = Observations(**{**defaults, **fields})
    for loads, time in polls if isinstance(polls, list) else [polls]:
        observations = observations.with_loads(loads, at(time))
    return observations


def state_of(the_log, loads, polled_at, *, streams=(COMMITS, ISSUES), **fields) -> str:
    """Return the state of a loading goal after a poll that listed these loads."""
    observations = observed(the_log, streams=streams, polls=(loads, polled_at))
    return evaluate(goal("loading", **fields), observations).state


# --- The time of a load ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("the_log", "loads", "polled_at", "state"),
    [
        pytest.param(ONE_BATCH, [], "06:10:00", "running", id="no load is listed"),
        pytest.param(
            ONE_BATCH, [load("commits", "06:04:39")], "06:10:00", "running", id="a load before the batch"
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:39")],
            "09:00:00",
            "running",
            id="a load before the batch, hours ago",
        ),
        pytest.param(
            ONE_BATCH, [load("commits", "06:04:41")], "06:04:42", "finished", id="a load just after the batch"
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:09:47")],
            "06:09:48",
            "finished",
            id="a load minutes after the batch",
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:40")],
            "06:05:00",
            "running",
            id="a load in the second of the batch, not settled",
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:40")],
            "06:06:40",
            "finished",
            id="a load in the second of the batch, settled",
        ),
        pytest.param(
            TWO_BATCHES,
            [load("commits", "06:05:00")],
            "06:09:39",
            "running",
            id="two batches; the second load may follow with the same gap",
        ),
        pytest.param(
            log(sent("06:04:30", "commits"), sent("06:04:40", "commits")),
            [load("commits", "06:05:00")],
            "06:07:00",
            "finished",
            id="two batches; the load has settled",
        ),
        pytest.param(log(), [], "06:05:00", "finished", id="no batch"),
        pytest.param(
            log(sent("06:04:40", "issues"), replicated("06:02:33", "commits", 7)),
            [load("issues", "06:05:00")],
            "06:05:01",
            "finished",
            id="rows counted by the tap but not sent by the target",
        ),
        pytest.param(
            log(sent("06:04:40", "commits", rows=0)),
            [],
            "06:05:00",
            "finished",
            id="only a version message",
        ),
        pytest.param(
            log(sent("06:04:40", "commits"), sent("06:04:50", "commits", rows=0)),
            [load("commits", "06:04:45")],
            "06:08:00",
            "finished",
            id="a version message after the last batch with rows",
        ),
    ],
)
def test_loading_finishes_once_each_load_has_passed_its_last_batch(the_log, loads, polled_at, state):
    assert state_of(the_log, loads, polled_at) == state


def test_loading_accepts_a_load_before_the_end_of_the_job():
    assert state_of(log(sent("06:00:30", "commits")), [load("commits", "06:02:00")], "06:05:00") == "finished"


def test_load_settle_zero_accepts_the_first_load():
    assert state_of(TWO_BATCHES, [load("commits", "06:05:00")], "06:05:00", load_settle=0) == "finished"


def test_settle_period_is_at_most_15_minutes():
    far_apart = log(sent("06:00:10", "commits"), sent("06:04:40", "commits"))
    hours = log(sent("06:04:40", "commits"), sent("08:04:40", "commits"))

    assert state_of(far_apart, [load("commits", "06:05:00")], "06:10:29") == "running"
    assert state_of(far_apart, [load("commits", "06:05:00")], "06:10:30") == "finished"
    assert state_of(hours, [load("commits", "08:05:00")], "08:19:59") == "running"
    assert state_of(hours, [load("commits", "08:05:00")], "08:20:00") == "finished"


def test_third_load_of_four_batches_does_not_finish_loading():
    """Each batch is loaded after six minutes, so the third load is later than the fourth batch."""
    batches = log(*(sent(f"06:{minute:02d}:00", "commits") for minute in (0, 5, 10, 15)))

    assert state_of(batches, [load("commits", "06:16:00")], "06:20:59") == "running"
    assert state_of(batches, [load("commits", "06:21:00")], "06:21:00") == "running"
    assert state_of(batches, [load("commits", "06:21:00")], "06:27:00") == "finished"


def test_batch_in_two_requests_must_settle():
    request = sent("06:04:40", "commits").split("\n", 1)[1]
    two_requests = log(sent("06:04:40", "commits"), request)

    assert state_of(two_requests, [load("commits", "06:05:00")], "06:05:30") == "running"
    assert state_of(two_requests, [load("commits", "06:05:00")], "06:07:00") == "finished"


@pytest.mark.parametrize(
    "retry",
    [
        pytest.param("Error sending data to Stitch. Sleeping 30 seconds before trying again: 502", id="1.x"),
        pytest.param("Backing off post_coroutine(...) for 4.2s (StitchClientResponseError)", id="later"),
    ],
)
def test_retried_batch_counts_as_sent_at_the_next_state_update(retry):
    update = '06:03:20 main INFO State update: adding bookmarks.commits.at = "2026-08-17T05:57:13Z"'
    retried = log(sent("06:03:00", "commits"), f"06:03:01 target INFO {retry}", update)
    update_before_retry = log(sent("06:03:00", "commits"), update, f"06:03:21 target INFO {retry}")

    assert state_of(retried, [load("commits", "06:03:19")], "06:09:00") == "running"
    assert state_of(retried, [load("commits", "06:03:20")], "06:09:00") == "finished"
    assert state_of(update_before_retry, [load("commits", "06:03:01")], "06:03:30") == "finished"


def test_load_after_a_retry_counts_once_the_source_is_quiet():
    """Without a state update, the target's last line dates the batch, which is long after the load."""
    retry = "06:01:01 target INFO Backing off post_coroutine(...) for 4.2s (StitchClientResponseError)"
    retried = log(sent("06:01:00", "commits"), retry)

    assert state_of(retried, [load("commits", "06:03:00")], "06:19:50") == "running"
    assert state_of(retried, [load("commits", "06:03:00")], "06:19:51") == "finished"
    assert state_of(retried, [load("commits", "06:00:59")], "08:00:00") == "running"


def test_evaluation_contains_rows_and_load_time_of_each_stream():
    finished = evaluate(goal("loading"), observed(polls=([load("commits", "06:09:47")], "06:10:00")))

    assert [(each.expected.label, each.expected.rows, each.loaded_at) for each in finished.streams] == [
        ("commits", 412, at("06:09:47"))
    ]
    assert "Loaded commits: 412 rows at 2026-08-17T06:09:47Z" in finished.log_lines


def test_rows_of_tap_and_target_are_never_added():
    both = log(replicated("06:02:00", "commits", 5), sent("06:02:01", "commits", 5))
    avro = avro_log(replicated("06:02:00", "commits", 5), marker("06:02:01", "commits"))

    for the_log in (both, avro):
        evaluation = evaluate(
            goal("loading"), observed(the_log, polls=([load("commits", "06:05:00")], "06:30:00"))
        )
        assert [each.expected.rows for each in evaluation.streams] == [5]


def test_load_after_the_last_batch_causes_no_warning():
    after = ([load("commits", "06:09:47")], "06:20:00")

    assert evaluate(goal("loading"), observed(ONE_BATCH, polls=after)).warnings == ()


# --- Names ----------------------------------------------------------------------------------------------


def test_loading_waits_for_requested_streams_only():
    both = log(sent("06:04:40", "commits"), sent("06:04:40", "issues"))
    loads = [load("issues", "06:05:00")]

    assert state_of(both, loads, "06:10:00", streams=(COMMITS, ISSUES)) == "running"
    requested = evaluate(goal("loading", streams=("issues",)), observed(both, polls=(loads, "06:10:00")))
    assert requested.state == "finished"


ORDERS = stream("orders", "shopdb-public-orders", schema="public", database="shopdb")
CUSTOMERS = stream("customers", "shopdb-public-customers", schema="public", database="shopdb")
ARCHIVED = stream("orders", "shopdb-archive-orders", schema="archive", database="shopdb")
SHOP = (ORDERS, ARCHIVED, CUSTOMERS, stream("carts", "shopdb-public-carts", selected=False))


@pytest.mark.parametrize(
    ("logged", "listed"),
    [
        pytest.param("customers", "customers", id="the table"),
        pytest.param("shopdb-public-customers", "customers", id="the tap_stream_id"),
        pytest.param("public_customers", "public_customers", id="PostgreSQL: schema and table"),
        pytest.param("public_customers", "public__customers", id="the destination's table, with its schema"),
        pytest.param("public_customers", "customers", id="the table, although the target sends its schema"),
        pytest.param("shopdb_customers", "shopdb_customers", id="MongoDB: database and collection"),
        pytest.param(
            "shopdb_public_customers", "shopdb_public_customers", id="MSSQL: database, schema and table"
        ),
        pytest.param("Shopdb Customers", "shopdb_customers", id="a name that the destination changes"),
    ],
)
def test_load_is_found_under_each_name_of_its_table(logged, listed):
    the_log, loads = log(sent("06:04:40", logged, 3)), [load(listed, "06:05:00")]

    for requested in (None, ("customers",)):
        observations = observed(the_log, streams=SHOP, polls=(loads, "06:08:01"))
        finished = evaluate(goal("loading", streams=requested), observations)
        assert finished.state == "finished"
        assert [each.expected.rows for each in finished.streams] == [3]
    if logged != "Shopdb Customers":
        assert [each.expected.label for each in finished.streams] == ["customers"]


def test_requested_stream_is_found_under_its_name_with_schema():
    orders = log(sent("06:04:40", "public_orders"), sent("06:04:40", "archive_orders"))
    observations = observed(orders, streams=SHOP, polls=([load("public_orders", "06:05:00")], "06:08:00"))

    for requested in ("shopdb-public-orders", "public_orders"):
        evaluation = evaluate(goal("loading", streams=(requested,)), observations)
        assert [each.expected.label for each in evaluation.streams] == ["shopdb-public-orders"]
        assert evaluation.state == "finished"
    assert evaluate(goal("loading"), observations).state == "running"


def test_unknown_logged_name_is_expected_as_a_load_and_reported():
    unknown_name = log(sent("06:04:40", "data_extension.New leads", 8))
    observations = observed(unknown_name, polls=([], "06:30:00"))

    for requested in (None, ("commits",)):
        evaluation = evaluate(goal("loading", streams=requested), observations)
        assert evaluation.state == "running"
        assert [each.expected.label for each in evaluation.streams] == ["data_extension.New leads"]
        assert any("data_extension.New leads" in warning for warning in evaluation.warnings)
    loads = [load("data_extension.New leads", "06:05:00")]
    assert state_of(unknown_name, loads, "06:30:00") == "finished"


def test_tables_of_one_name_in_two_schemas_are_one_settling_load():
    both = log(sent("06:03:00", "orders", 300), sent("06:04:40", "orders", 20))
    one = log(sent("06:04:40", "orders", 20))

    for the_log, rows in ((both, 320), (one, 20)):
        observations = observed(the_log, streams=SHOP, polls=([load("orders", "06:05:00")], "06:06:59"))
        evaluation = evaluate(goal("loading", streams=("shopdb-archive-orders",)), observations)
        assert evaluation.state == "running"
        assert [(each.expected.label, each.expected.rows) for each in evaluation.streams] == [
            ("orders", rows)
        ]
        observations = observations.with_loads([load("orders", "06:05:00")], at("06:12:00"))
        assert evaluate(goal("loading"), observations).state == "finished"


def test_deselected_namesake_does_not_affect_the_selected_stream():
    streams = (ORDERS, stream("orders", "shopdb-archive-orders", schema="archive", selected=False))
    evaluation = evaluate(
        goal("loading", streams=("orders",)),
        observed(
            log(sent("06:04:40", "orders")), streams=streams, polls=([load("orders", "06:05:00")], "06:05:01")
        ),
    )

    assert evaluation.state == "finished"
    assert [each.expected.label for each in evaluation.streams] == ["orders"]


A_USERS, B_USERS = stream("users", "a-users", schema="a"), stream("users", "b-users", schema="b")
BOTH_USERS = avro_log(marker("06:01:00", "a-users"), marker("06:04:00", "b-users"))


@pytest.mark.parametrize(
    ("the_log", "loads", "polled_at", "state"),
    [
        (avro_log(marker("06:04:00", "a-users")), [load("users", "06:04:30")], "06:04:31", "running"),
        (avro_log(marker("06:04:00", "a-users")), [load("users", "06:04:30")], "06:06:30", "finished"),
        (BOTH_USERS, [load("users", "06:01:30"), load("users", "06:04:30")], "06:08:00", "finished"),
        (BOTH_USERS, [load("users", "05:59:00"), load("users", "06:04:30")], "06:20:00", "running"),
    ],
)
def test_loads_of_one_name_are_matched_to_batches_by_time(the_log, loads, polled_at, state):
    assert state_of(the_log, loads, polled_at, streams=(COMMITS, A_USERS, B_USERS)) == state


def test_markers_under_two_names_of_a_stream_are_merged():
    both = avro_log(marker("06:04:00", "a-users"), marker("06:04:10", "users"))
    observations = observed(both, streams=(A_USERS,), polls=([load("users", "06:04:30")], "06:08:00"))

    evaluation = evaluate(goal("loading"), observations)
    assert (evaluation.state, len(evaluation.streams)) == ("finished", 1)
    assert evaluation.streams[0].expected.last_batch_at == at("06:04:10")


# --- The previous job, and observations over several polls ----------------------------------------------


@pytest.mark.parametrize(
    ("previous_job", "state"),
    [
        pytest.param({"previous_job_polled_at": at("06:00:10")}, "finished", id="no previous job"),
        pytest.param(
            {"previous_job_polled_at": at("06:00:10"), "previous_job_ended_at": at("05:00:00")},
            "finished",
            id="it ended an hour before",
        ),
        pytest.param(
            {"previous_job_polled_at": at("06:00:10"), "previous_job_ended_at": at("05:59:00")},
            "running",
            id="it ended a minute before",
        ),
        pytest.param({"previous_job_polled_at": None}, "running", id="its end was not seen"),
        pytest.param(
            {"previous_job_polled_at": at("05:59:59")},
            "running",
            id="another job may have run since the poll",
        ),
    ],
)
def test_load_settles_if_rows_of_the_previous_job_may_be_pending(previous_job, state):
    observations = observed(polls=([load("commits", "06:05:00")], "06:05:30"), **previous_job)

    assert evaluate(goal("loading"), observations).state == state
    later = observations.with_loads([load("commits", "06:05:00")], at("06:07:00"))
    assert evaluate(goal("loading"), later).state == "finished"


def test_poll_for_one_load_keeps_the_other_loads():
    """The loads of a source are on several pages, and only pages with expected loads are polled."""
    both = log(sent("06:04:30", "commits"), sent("06:04:40", "issues"))
    observations = observed(
        both, polls=([load("commits", "06:05:00"), load("issues", None, "locked")], "06:06:00")
    )
    observations = observations.with_loads([load("issues", "06:06:10")], at("06:08:10"), {"issues"})

    assert evaluate(goal("loading"), observations).state == "finished"


def test_load_that_a_poll_no_longer_lists_is_dropped():
    observations = observed(polls=([load("commits", "06:04:39")], "06:06:00"))

    assert observations.with_loads([], at("06:06:20"), {"commits"}).loads == {}
    assert observations.with_loads([], at("06:06:20"), {"issues"}).loads == observations.loads


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
    assert warning.startswith("The extraction's log does not show exactly when the last rows of commits")


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

LOG_UNAVAILABLE = {"log_missing_at": (at("06:05:00"), at("06:05:30"), at("06:10:00"))}


def test_missing_log_is_requested_again_before_it_is_given_up():
    missing_once = observed(None, log_missing_at=(at("06:05:00"),))

    assert evaluate(goal("loading"), missing_once).needs == (Need.LOG,)
    assert evaluate(goal("loading"), observed(None, **LOG_UNAVAILABLE)).needs == (Need.LOADS,)


def test_truncated_log_is_requested_again_before_it_is_given_up():
    truncated = log(sent("06:04:00", "commits"), ending=None)

    assert evaluate(goal("loading"), observed(truncated, log_missing_at=(at("06:05:00"),))).needs == (
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


# --- Load errors ----------------------------------------------------------------------------------------

IN_ERROR = load("commits", None, error="relation is locked")
WITHOUT_ERROR = load("commits", "05:00:00")
LOADED = load("commits", "06:09:47")


@pytest.mark.parametrize(
    ("polls", "state"),
    [
        pytest.param(
            [([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR], "06:06:00")],
            "failed",
            id="new: the load had no error before",
        ),
        pytest.param(
            [([], "06:00:10"), ([IN_ERROR], "06:06:00")],
            "running",
            id="perhaps old: the load was not listed before",
        ),
        pytest.param(
            [([], "06:00:10"), ([IN_ERROR], "06:01:00"), ([IN_ERROR], "06:02:00"), ([IN_ERROR], "06:06:00")],
            "failed",
            id="not listed before, then in two later polls, the last after 5 minutes",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00")], "running", id="old: in one later poll"
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00"), ([IN_ERROR], "06:05:09")],
            "running",
            id="old: in two later polls within less than 5 minutes",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:30:00")],
            "running",
            id="old: in one later poll after a long time",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00"), ([IN_ERROR], "06:05:10")],
            "failed",
            id="old: in two later polls, the last after 5 minutes",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([], "06:01:00"), ([IN_ERROR], "06:02:00")],
            "running",
            id="old: one poll missed it because it moved to another page",
        ),
        pytest.param(
            [([WITHOUT_ERROR], "05:30:00"), ([IN_ERROR], "06:06:00")],
            "running",
            id="perhaps old: the load had no error before the job",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00"), ([LOADED], "06:09:48")],
            "running",
            id="old: cleared by a load that may contain only earlier rows",
        ),
        pytest.param(
            [
                ([IN_ERROR], "06:00:10"),
                ([WITHOUT_ERROR], "06:01:00"),
                ([WITHOUT_ERROR], "06:02:00"),
                ([LOADED], "06:09:48"),
            ],
            "running",
            id="old: cleared, then a load that may contain only earlier rows",
        ),
        pytest.param(
            [
                ([IN_ERROR], "06:00:10"),
                ([IN_ERROR], "06:01:00"),
                ([LOADED], "06:09:48"),
                ([LOADED], "06:11:47"),
            ],
            "finished",
            id="old: cleared, and the load has settled",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([WITHOUT_ERROR], "06:01:00"), ([IN_ERROR], "06:02:00")],
            "failed",
            id="old: cleared, then in error again",
        ),
        pytest.param(
            [([IN_ERROR, WITHOUT_ERROR], "06:00:10"), ([IN_ERROR, LOADED], "06:09:48")],
            "finished",
            id="a deleted source's error beside our load",
        ),
        pytest.param(
            [
                ([IN_ERROR, WITHOUT_ERROR], "06:00:10"),
                *[([IN_ERROR, WITHOUT_ERROR], f"06:{minute}:00") for minute in ("01", "05", "20", "59")],
            ],
            "running",
            id="a deleted source's error beside a load that is still missing",
        ),
        pytest.param(
            [([IN_ERROR, WITHOUT_ERROR], "06:00:10"), ([IN_ERROR, IN_ERROR], "06:06:00")],
            "failed",
            id="a new error beside a deleted source's",
        ),
        pytest.param(
            [([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR, LOADED], "06:09:48")],
            "finished",
            id="a namesake's new error beside our load",
        ),
    ],
)
def test_load_error_fails_loading_if_it_is_new_or_lasts(polls, state):
    assert evaluate(goal("loading"), observed(polls=polls)).state == state


@pytest.mark.parametrize(
    ("polls", "state"),
    [
        pytest.param(
            [([load("orders", None, "old")], f"06:{minute}:00") for minute in ("05", "06", "15")],
            "running",
            id="an old error under the name of a deselected table",
        ),
        pytest.param(
            [
                ([load("orders", "05:00:00")], "06:00:10"),
                ([load("orders", None, "new"), load("public_orders", "06:05:00")], "06:08:00"),
            ],
            "finished",
            id="an error under another name than the load's",
        ),
        pytest.param(
            [([load("public_orders", None, "old")], f"06:{minute}:00") for minute in ("05", "06", "15")],
            "failed",
            id="an old error under the load's name",
        ),
    ],
)
def test_error_of_a_deselected_namesake_does_not_fail_loading(polls, state):
    streams = (ORDERS, stream("orders", "shopdb-archive-orders", schema="archive", selected=False))
    the_log = log(sent("06:04:40", "public_orders", 3))

    assert evaluate(goal("loading"), observed(the_log, streams=streams, polls=polls)).state == state


def test_poll_of_other_loads_keeps_an_error():
    observations = observed(polls=([IN_ERROR], "06:06:00"))

    polled_others = observations.with_loads([load("issues", "06:06:10")], at("06:06:20"), {"issues"})

    assert polled_others.load_errors == observations.load_errors
    assert (
        polled_others.with_loads([IN_ERROR], at("06:06:40"), {"commits"}).load_errors["commits"].repeats == 1
    )


def test_failure_contains_the_destinations_message():
    failure = evaluate(
        goal("loading"), observed(polls=[([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR], "06:06:00")])
    ).failure

    assert isinstance(failure, LoadingFailed)
    for phrase in ("Loading", "github (310442)", OURS, "commits: relation is locked", "Fix the destination"):
        assert phrase in str(failure)


def test_load_error_of_a_stream_without_new_rows_is_a_warning():
    polls = [([LOADED, load("issues", None, error="disk full")], "06:10:00")]

    evaluation = evaluate(goal("loading"), observed(polls=polls))

    assert evaluation.state == "finished"
    assert any("issues (disk full)" in warning for warning in evaluation.warnings)


def test_preparation_finishes_despite_a_load_error():
    polls = [([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR], "06:06:00")]

    assert evaluate(goal("preparation"), observed(polls=polls)).state == "finished"
    assert evaluate(goal("preparation"), observed(polls=[([WITHOUT_ERROR], "06:10:00")])).state == "running"


# --- Properties -----------------------------------------------------------------------------------------

times = st.integers(min_value=0, max_value=7200).map(lambda s: at("06:00:00") + timedelta(seconds=s))


@given(
    batches=st.lists(times, min_size=1, max_size=4),
    loaded_at=times,
    polled_at=times,
    settle=st.integers(0, 600),
)
def test_loading_never_finishes_with_a_load_before_the_last_batch(batches, loaded_at, polled_at, settle):
    """With several batches, loading finishes only once the load has settled, but it does finish."""
    the_log = log(*(sent(f"{time:%H:%M:%S}", "commits") for time in sorted(batches)))
    polled_at = max(polled_at, loaded_at)
    loads = [load("commits", f"{loaded_at:%H:%M:%S}")]
    base = Observations(
        extraction=extraction(), log=the_log, streams=(COMMITS,), previous_job_polled_at=at("06:00:10")
    )

    now = evaluate(goal("loading", load_settle=settle), base.with_loads(loads, polled_at)).state
    later_at = polled_at + timedelta(seconds=max(900, settle))
    later = evaluate(goal("loading", load_settle=settle), base.with_loads(loads, later_at)).state

    if loaded_at < max(batches):
        assert now == later == "running"
    else:
        if len(batches) == 1 or settle == 0:
            assert now == "finished"
        elif polled_at - loaded_at < timedelta(seconds=settle):
            assert now == "running"
        assert later == "finished"


@given(st.lists(st.sampled_from([None, "05:00:00", "06:04:41", "06:09:47"]), max_size=4), times)
def test_preparation_finishes_no_later_than_loading(load_times, polled_at):
    loads = [load("commits", time) if time else IN_ERROR for time in load_times]
    observations = observed(TWO_BATCHES, polls=[(loads, "06:00:10"), (loads, f"{polled_at:%H:%M:%S}")])

    if evaluate(goal("loading"), observations).state == "finished":
        assert evaluate(goal("preparation"), observations).state == "finished"
