"""Which loads a job requires, and when they are there: tables of logs and loads."""

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


def known(the_log=ONE_BATCH, *, streams=(COMMITS, ISSUES), polls=((), "06:03:00"), **rest) -> Observations:
    """Return what is known once the extraction is over; each poll is the loads and Stitch's time."""
    facts = {
        "extraction": extraction(),
        "log": the_log,
        "streams": tuple(streams),
        "previous_job_polled_at": at("06:00:10"),
    }
    result = Observations(**{**facts, **rest})
    for loads, clock in polls if isinstance(polls, list) else [polls]:
        result = result.with_loads(loads, at(clock))
    return result


def state_of(the_log, loads, clock, *, streams=(COMMITS, ISSUES), **changes) -> str:
    """Return the state of loading when a poll at this time returns these loads."""
    return evaluate(goal("loading", **changes), known(the_log, streams=streams, polls=(loads, clock))).state


# --- The time of a load ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("the_log", "loads", "polled", "state"),
    [
        pytest.param(ONE_BATCH, [], "06:10:00", "running", id="no load is listed"),
        pytest.param(ONE_BATCH, [load("commits", "06:04:39")], "06:10:00", "running", id="before the batch"),
        pytest.param(ONE_BATCH, [load("commits", "06:04:39")], "09:00:00", "running", id="hours before"),
        pytest.param(ONE_BATCH, [load("commits", "06:04:41")], "06:04:42", "finished", id="after one batch"),
        pytest.param(ONE_BATCH, [load("commits", "06:09:47")], "06:09:48", "finished", id="minutes after"),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:40")],
            "06:05:00",
            "running",
            id="in the second of the batch, so before or after it",
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:40")],
            "06:06:40",
            "finished",
            id="in the second of the batch, and settled",
        ),
        pytest.param(
            TWO_BATCHES,
            [load("commits", "06:05:00")],
            "06:09:39",
            "running",
            id="two batches: the second may come as much later as it was sent later",
        ),
        pytest.param(
            log(sent("06:04:30", "commits"), sent("06:04:40", "commits")),
            [load("commits", "06:05:00")],
            "06:07:00",
            "finished",
            id="two batches, and the load has not changed for load_settle",
        ),
        pytest.param(log(), [], "06:05:00", "finished", id="no batch, so nothing to wait for"),
        pytest.param(
            log(sent("06:04:40", "issues"), replicated("06:02:33", "commits", 7)),
            [load("issues", "06:05:00")],
            "06:05:01",
            "finished",
            id="rows that the tap counted and the target never sent",
        ),
        pytest.param(
            log(sent("06:04:40", "commits", rows=0)),
            [],
            "06:05:00",
            "finished",
            id="a version message alone is not a row",
        ),
        pytest.param(
            log(sent("06:04:40", "commits"), sent("06:04:50", "commits", rows=0)),
            [load("commits", "06:04:45")],
            "06:08:00",
            "finished",
            id="the last batch with rows decides",
        ),
    ],
)
def test_loading_finishes_once_each_load_has_passed_the_last_batch(the_log, loads, polled, state):
    assert state_of(the_log, loads, polled) == state


def test_loading_counts_a_load_that_came_before_the_job_ended():
    assert state_of(log(sent("06:00:30", "commits")), [load("commits", "06:02:00")], "06:05:00") == "finished"


def test_load_settle_0_trusts_the_first_load():
    assert state_of(TWO_BATCHES, [load("commits", "06:05:00")], "06:05:00", load_settle=0) == "finished"


def test_settling_lasts_at_most_15_minutes():
    far_apart = log(sent("06:00:10", "commits"), sent("06:04:40", "commits"))
    hours = log(sent("06:04:40", "commits"), sent("08:04:40", "commits"))

    assert state_of(far_apart, [load("commits", "06:05:00")], "06:10:29") == "running"
    assert state_of(far_apart, [load("commits", "06:05:00")], "06:10:30") == "finished"
    assert state_of(hours, [load("commits", "08:05:00")], "08:19:59") == "running"
    assert state_of(hours, [load("commits", "08:05:00")], "08:20:00") == "finished"


def test_four_batches_five_minutes_apart_do_not_finish_with_the_third_load():
    """Each load comes six minutes after its batch, so the third one comes after the fourth batch was sent."""
    batches = log(*(sent(f"06:{minute:02d}:00", "commits") for minute in (0, 5, 10, 15)))

    assert state_of(batches, [load("commits", "06:16:00")], "06:20:59") == "running"
    assert state_of(batches, [load("commits", "06:21:00")], "06:21:00") == "running"
    assert state_of(batches, [load("commits", "06:21:00")], "06:27:00") == "finished"


def test_a_batch_in_two_requests_settles():
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
def test_a_retry_delays_the_last_batch_until_a_state_update_proves_it(retry):
    update = '06:03:20 main INFO State update: adding bookmarks.commits.at = "2026-08-17T05:57:13Z"'
    retried = log(sent("06:03:00", "commits"), f"06:03:01 target INFO {retry}", update)
    proved_first = log(sent("06:03:00", "commits"), update, f"06:03:21 target INFO {retry}")

    assert state_of(retried, [load("commits", "06:03:19")], "06:09:00") == "running"
    assert state_of(retried, [load("commits", "06:03:20")], "06:09:00") == "finished"
    assert state_of(proved_first, [load("commits", "06:03:01")], "06:03:30") == "finished"


def test_a_load_between_a_retry_and_its_proof_counts_once_the_source_is_quiet():
    """If the state did not change, the proof is the target's last line, long after the load."""
    retry = "06:01:01 target INFO Backing off post_coroutine(...) for 4.2s (StitchClientResponseError)"
    retried = log(sent("06:01:00", "commits"), retry)

    assert state_of(retried, [load("commits", "06:03:00")], "06:19:50") == "running"
    assert state_of(retried, [load("commits", "06:03:00")], "06:19:51") == "finished"
    assert state_of(retried, [load("commits", "06:00:59")], "08:00:00") == "running"


def test_the_result_holds_rows_and_load_time_of_each_stream():
    finished = evaluate(goal("loading"), known(polls=([load("commits", "06:09:47")], "06:10:00")))

    assert [(each.expected.label, each.expected.rows, each.loaded_at) for each in finished.streams] == [
        ("commits", 412, at("06:09:47"))
    ]
    assert "Loaded commits: 412 rows at 2026-08-17T06:09:47Z" in finished.log_lines


def test_rows_of_tap_and_target_are_never_added():
    both = log(replicated("06:02:00", "commits", 5), sent("06:02:01", "commits", 5))
    avro = avro_log(replicated("06:02:00", "commits", 5), marker("06:02:01", "commits"))

    for the_log in (both, avro):
        loading = evaluate(goal("loading"), known(the_log, polls=([load("commits", "06:05:00")], "06:30:00")))
        assert [each.expected.rows for each in loading.streams] == [5]


def test_a_load_after_the_last_batch_causes_no_warning():
    after = ([load("commits", "06:09:47")], "06:20:00")

    assert evaluate(goal("loading"), known(ONE_BATCH, polls=after)).warnings == ()


# --- Names ----------------------------------------------------------------------------------------------


def test_only_the_requested_streams_are_waited_for():
    both = log(sent("06:04:40", "commits"), sent("06:04:40", "issues"))
    loads = [load("issues", "06:05:00")]

    assert state_of(both, loads, "06:10:00", streams=(COMMITS, ISSUES)) == "running"
    requested = evaluate(goal("loading", streams=("issues",)), known(both, polls=(loads, "06:10:00")))
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
        pytest.param("public_customers", "public__customers", id="the destination's table with its schema"),
        pytest.param("public_customers", "customers", id="the table, though the target sends its schema"),
        pytest.param("shopdb_customers", "shopdb_customers", id="MongoDB: database and collection"),
        pytest.param("shopdb_public_customers", "shopdb_public_customers", id="MSSQL: all three"),
        pytest.param("Shopdb Customers", "shopdb_customers", id="a name that the destination changed"),
    ],
)
def test_a_load_is_found_under_each_name_of_its_table(logged, listed):
    the_log, loads = log(sent("06:04:40", logged, 3)), [load(listed, "06:05:00")]

    for requested in (None, ("customers",)):
        facts = known(the_log, streams=SHOP, polls=(loads, "06:08:01"))
        finished = evaluate(goal("loading", streams=requested), facts)
        assert finished.state == "finished"
        assert [each.expected.rows for each in finished.streams] == [3]
    if logged != "Shopdb Customers":
        assert [each.expected.label for each in finished.streams] == ["customers"]


def test_a_requested_stream_is_found_under_the_name_with_its_schema():
    orders = log(sent("06:04:40", "public_orders"), sent("06:04:40", "archive_orders"))
    facts = known(orders, streams=SHOP, polls=([load("public_orders", "06:05:00")], "06:08:00"))

    for requested in ("shopdb-public-orders", "public_orders"):
        loading = evaluate(goal("loading", streams=(requested,)), facts)
        assert [each.expected.label for each in loading.streams] == ["shopdb-public-orders"]
        assert loading.state == "finished"
    assert evaluate(goal("loading"), facts).state == "running"


def test_a_name_that_no_stream_has_keeps_its_own_load_and_is_reported():
    strange = log(sent("06:04:40", "data_extension.New leads", 8))
    facts = known(strange, polls=([], "06:30:00"))

    for requested in (None, ("commits",)):
        loading = evaluate(goal("loading", streams=requested), facts)
        assert loading.state == "running"
        assert [each.expected.label for each in loading.streams] == ["data_extension.New leads"]
        assert any("data_extension.New leads" in warning for warning in loading.warnings)
    loads = [load("data_extension.New leads", "06:05:00")]
    assert state_of(strange, loads, "06:30:00") == "finished"


def test_tables_of_one_name_in_two_schemas_are_one_load_that_settles():
    both = log(sent("06:03:00", "orders", 300), sent("06:04:40", "orders", 20))
    one = log(sent("06:04:40", "orders", 20))

    for the_log, rows in ((both, 320), (one, 20)):
        facts = known(the_log, streams=SHOP, polls=([load("orders", "06:05:00")], "06:06:59"))
        loading = evaluate(goal("loading", streams=("shopdb-archive-orders",)), facts)
        assert loading.state == "running"
        assert [(each.expected.label, each.expected.rows) for each in loading.streams] == [("orders", rows)]
        facts = facts.with_loads([load("orders", "06:05:00")], at("06:12:00"))
        assert evaluate(goal("loading"), facts).state == "finished"


def test_a_deselected_namesake_shares_nothing_with_the_selected_stream():
    streams = (ORDERS, stream("orders", "shopdb-archive-orders", schema="archive", selected=False))
    loading = evaluate(
        goal("loading", streams=("orders",)),
        known(
            log(sent("06:04:40", "orders")), streams=streams, polls=([load("orders", "06:05:00")], "06:05:01")
        ),
    )

    assert loading.state == "finished"
    assert [each.expected.label for each in loading.streams] == ["orders"]


A_USERS, B_USERS = stream("users", "a-users", schema="a"), stream("users", "b-users", schema="b")
BOTH_USERS = avro_log(marker("06:01:00", "a-users"), marker("06:04:00", "b-users"))


@pytest.mark.parametrize(
    ("the_log", "loads", "polled", "state"),
    [
        (avro_log(marker("06:04:00", "a-users")), [load("users", "06:04:30")], "06:04:31", "running"),
        (avro_log(marker("06:04:00", "a-users")), [load("users", "06:04:30")], "06:06:30", "finished"),
        (BOTH_USERS, [load("users", "06:01:30"), load("users", "06:04:30")], "06:08:00", "finished"),
        (BOTH_USERS, [load("users", "05:59:00"), load("users", "06:04:30")], "06:20:00", "running"),
    ],
)
def test_loads_of_namesakes_are_paired_with_their_batches(the_log, loads, polled, state):
    assert state_of(the_log, loads, polled, streams=(COMMITS, A_USERS, B_USERS)) == state


def test_markers_under_both_names_of_a_stream_are_counted_together():
    both = avro_log(marker("06:04:00", "a-users"), marker("06:04:10", "users"))
    facts = known(both, streams=(A_USERS,), polls=([load("users", "06:04:30")], "06:08:00"))

    loading = evaluate(goal("loading"), facts)
    assert (loading.state, len(loading.streams)) == ("finished", 1)
    assert loading.streams[0].expected.last_batch_at == at("06:04:10")


# --- What may still be pending --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earlier", "state"),
    [
        pytest.param({"previous_job_polled_at": at("06:00:10")}, "finished", id="no previous job"),
        pytest.param(
            {"previous_job_polled_at": at("06:00:10"), "previous_job_ended_at": at("05:00:00")},
            "finished",
            id="it ended long ago",
        ),
        pytest.param(
            {"previous_job_polled_at": at("06:00:10"), "previous_job_ended_at": at("05:59:00")},
            "running",
            id="it ended just before",
        ),
        pytest.param({"previous_job_polled_at": None}, "running", id="its end was never seen"),
        pytest.param({"previous_job_polled_at": at("05:59:59")}, "running", id="another may have run since"),
    ],
)
def test_a_load_settles_if_rows_of_the_previous_job_may_be_pending(earlier, state):
    facts = known(polls=([load("commits", "06:05:00")], "06:05:30"), **earlier)

    assert evaluate(goal("loading"), facts).state == state
    later = facts.with_loads([load("commits", "06:05:00")], at("06:07:00"))
    assert evaluate(goal("loading"), later).state == "finished"


def test_a_poll_for_one_load_keeps_what_is_known_of_the_others():
    """The loads of one source are on several pages, and only the pages that are waited for are polled."""
    both = log(sent("06:04:30", "commits"), sent("06:04:40", "issues"))
    facts = known(both, polls=([load("commits", "06:05:00"), load("issues", None, "locked")], "06:06:00"))
    facts = facts.with_loads([load("issues", "06:06:10")], at("06:08:10"), {"issues"})

    assert evaluate(goal("loading"), facts).state == "finished"


def test_a_load_that_a_poll_no_longer_finds_is_forgotten():
    facts = known(polls=([load("commits", "06:04:39")], "06:06:00"))

    assert facts.with_loads([], at("06:06:20"), {"commits"}).loads == {}
    assert facts.with_loads([], at("06:06:20"), {"issues"}).loads == facts.loads


# --- The Avro target, and lines without a time ----------------------------------------------------------


@pytest.mark.parametrize(
    ("loads", "polled", "state"),
    [
        pytest.param(
            [load("commits", "06:05:00")], "06:05:30", "running", id="the marker says: at least once"
        ),
        pytest.param([load("commits", "06:05:00")], "06:07:00", "finished", id="settled"),
        pytest.param([load("commits", "06:03:10")], "06:19:50", "running", id="a load before the marker"),
        pytest.param([load("commits", "06:03:10")], "06:19:51", "finished", id="the source is quiet"),
        pytest.param([load("commits", "05:59:10")], "06:20:00", "running", id="a load before the job"),
    ],
)
def test_an_avro_marker_may_be_written_long_after_its_rows_were_sent(loads, polled, state):
    assert state_of(avro_log(marker("06:04:40", "commits")), loads, polled) == state


def test_a_load_before_the_marker_causes_a_warning():
    facts = known(avro_log(marker("06:04:40", "commits")), polls=([load("commits", "06:03:10")], "06:20:00"))

    (warning,) = evaluate(goal("loading"), facts).warnings
    assert warning.startswith("The extraction's log does not show exactly when the last rows of commits")


def test_a_batch_without_a_time_counts_loads_since_the_job_began_once_the_source_is_quiet():
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

GONE = {"log_missing_at": (at("06:05:00"), at("06:05:30"), at("06:10:00"))}


def test_a_missing_log_is_requested_again_before_it_is_given_up():
    refused_once = known(None, log_missing_at=(at("06:05:00"),))

    assert evaluate(goal("loading"), refused_once).needs == (Need.LOG,)
    assert evaluate(goal("loading"), known(None, **GONE)).needs == (Need.LOADS,)


def test_a_log_that_is_cut_off_is_requested_again_before_it_is_given_up():
    cut_off = log(sent("06:04:00", "commits"), ending=None)

    assert evaluate(goal("loading"), known(cut_off, log_missing_at=(at("06:05:00"),))).needs == (Need.LOG,)


def test_a_log_of_a_runner_that_crashed_after_the_target_ended_is_complete():
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
    ("the_log", "loads", "polled", "state"),
    [
        pytest.param(None, [load("commits", "06:05:00")], "06:19:00", "running", id="the other may come"),
        pytest.param(None, [load("commits", "06:05:00")], "06:20:00", "finished", id="the source is quiet"),
        pytest.param(None, [load("commits", "05:59:00")], "06:19:00", "running", id="no load since the job"),
        pytest.param(None, [], "06:19:51", "finished", id="quiet since the end of the extraction"),
        pytest.param(
            log(sent("06:04:40", "commits"), ending=None),
            [],
            "09:00:00",
            "running",
            id="batches of a cut log",
        ),
        pytest.param(
            log(sent("06:04:40", "commits"), ending=None),
            [load("commits", "07:14:00")],
            "07:29:00",
            "finished",
            id="the destination lags, and then the source is quiet",
        ),
        pytest.param(
            parsed_log(replicated("06:02:33", "commits", 5), f"06:04:51 main INFO {SUCCEEDED}"),
            [],
            "09:00:00",
            "running",
            id="a tap's counter above 0 proves rows",
        ),
        pytest.param(
            parsed_log(replicated("06:02:33", "commits", 0), f"06:04:51 main INFO {SUCCEEDED}"),
            [],
            "06:19:50",
            "running",
            id="a tap's counter of 0 proves nothing",
        ),
        pytest.param(parsed_log(*UNCOUNTED), [], "09:00:00", "running", id="messages that must be rows"),
        pytest.param(
            parsed_log(*UNCOUNTED),
            [load("commits", "07:14:00")],
            "07:28:59",
            "running",
            id="two messages may be rows, and the destination lags",
        ),
        pytest.param(
            parsed_log(*UNCOUNTED),
            [load("commits", "07:14:00")],
            "07:29:00",
            "finished",
            id="two messages without a load were no rows",
        ),
        pytest.param(
            parsed_log(*UNCOUNTED),
            [load("commits", "06:05:00"), load("issues", "06:05:30")],
            "06:07:30",
            "finished",
            id="two messages that were loaded",
        ),
    ],
)
def test_possible_streams_are_waited_for_until_the_source_is_quiet(the_log, loads, polled, state):
    streams = (COMMITS, ISSUES, stream("forks", selected=False))

    loading = evaluate(goal("loading"), known(the_log, streams=streams, polls=(loads, polled), **GONE))

    assert loading.state == state
    assert {each.expected.label for each in loading.streams} == {"commits", "issues"}


def test_the_quiet_period_can_be_chosen():
    facts = known(None, polls=([load("commits", "06:05:00")], "06:10:00"), **GONE)

    assert evaluate(goal("loading"), facts).state == "running"
    assert evaluate(goal("loading", quiet_period=300.0), facts).state == "finished"


@pytest.mark.parametrize(
    ("the_log", "words"),
    [
        (None, "Stitch has no log of the extraction"),
        (
            parsed_log(f"06:04:51 main INFO {SUCCEEDED}"),
            "does not show whether these streams had rows: commits",
        ),
    ],
)
def test_what_a_log_does_not_show_is_a_warning(the_log, words):
    facts = known(the_log, polls=([load("commits", "06:05:00")], "06:20:00"), **GONE)

    warnings = evaluate(goal("loading"), facts).warnings

    assert any(words in warning and "15 minutes" in warning for warning in warnings)
    assert any("Found no load of issues" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        pytest.param("commits", {"commits"}, id="a selected stream"),
        pytest.param("forks", set(), id="a parent that is not selected"),
        pytest.param("limits", set(), id="an endpoint that is no stream"),
    ],
)
def test_a_tap_counter_counts_for_selected_streams_only(counted, expected):
    counter = parsed_log(replicated("06:02:33", counted, 5), f"06:04:51 main INFO {SUCCEEDED}")
    streams = (COMMITS, ISSUES, stream("forks", selected=False))

    loading = evaluate(goal("loading"), known(counter, streams=streams, polls=([], "06:05:00")))

    assert {each.expected.label for each in loading.streams if each.expected.rows_confirmed} == expected


# --- What a log does not prove ---------------------------------------------------------------------------


def test_a_log_that_was_cut_off_does_not_show_which_batch_was_the_last():
    cut = log(sent("06:01:00", "commits", 60), ending=None)
    long = {"extraction": extraction(end="06:50:00"), **GONE}

    def state(loads, polled):
        facts = known(cut, polls=(loads, polled), **long)
        return evaluate(goal("loading", streams=("commits",)), facts).state

    assert state([load("commits", "06:01:30")], "06:55:30") == "running"
    assert state([load("commits", "06:01:30")], "07:04:59") == "running"
    assert state([load("commits", "06:01:30")], "07:05:00") == "finished"
    assert state([load("commits", "06:50:30")], "06:52:30") == "finished"


def test_without_a_log_a_load_before_the_end_of_the_job_may_be_an_early_batch():
    facts = known(None, streams=(COMMITS,), extraction=extraction(end="06:50:00"), **GONE)
    early = facts.with_loads([load("commits", "06:01:30")], at("06:55:30"))

    assert evaluate(goal("loading"), early).state == "running"
    assert (
        evaluate(goal("loading"), early.with_loads([load("commits", "06:01:30")], at("07:05:00"))).state
        == "finished"
    )


def test_a_target_that_logs_no_requests_may_have_sent_several():
    old = parsed_log(
        "06:00:05 target INFO Using Stitch import URL https://import.example/v2/import/batch",
        sent_uncounted("06:02:00", "commits", 20000),
        "06:04:50 target INFO Exiting normally",
        f"06:04:51 main INFO {SUCCEEDED}",
    )

    assert state_of(old, [load("commits", "06:02:30")], "06:02:31") == "running"
    assert state_of(old, [load("commits", "06:02:30")], "06:04:30") == "finished"


def test_a_requested_stream_is_kept_if_another_table_has_the_logged_name():
    orders = stream("orders", "shop-public-orders", schema="public")
    namesake = stream("public_orders", "shop-archive-public_orders", schema="archive")
    the_log = log(sent("06:04:40", "public_orders", 7))
    facts = known(the_log, streams=(orders, namesake), polls=([], "06:10:00"))

    assert evaluate(goal("loading", streams=("orders",)), facts).state == "running"
    loaded = facts.with_loads([load("public_orders", "06:05:00")], at("06:08:00"))
    assert evaluate(goal("loading", streams=("orders",)), loaded).state == "finished"


def test_a_load_that_serves_for_two_streams_settles():
    streams = (stream("a.x"), stream("a x"))
    the_log = log(sent("06:04:00", "a.x"), sent("06:04:40", "a x"))

    assert state_of(the_log, [load("a_x", "06:05:00")], "06:05:01", streams=streams) == "running"
    assert state_of(the_log, [load("a_x", "06:05:00")], "06:07:00", streams=streams) == "finished"


def test_a_previous_job_that_was_listed_as_running_was_not_seen_to_end():
    facts = known(polls=([load("commits", "06:04:41")], "06:04:42"))
    facts = facts.with_extraction(extraction(EARLIER, end=None), at("06:00:10"), is_ours=False)
    facts = facts.with_extraction(extraction(), at("06:05:00"), is_ours=True)

    assert evaluate(goal("loading"), facts).state == "running"


def test_the_gap_between_batches_under_two_names_counts():
    the_log = log(sent("06:01:00", "orders"), sent("06:04:40", "public_orders"))

    assert state_of(the_log, [load("orders", "06:05:00")], "06:07:01", streams=(ORDERS,)) == "running"
    assert state_of(the_log, [load("orders", "06:05:00")], "06:09:40", streams=(ORDERS,)) == "finished"


def test_a_counter_of_the_tap_counts_under_the_taps_own_name():
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
    loading = evaluate(goal("loading"), known(avro, streams=(ORDERS,), polls=([], "06:05:00")))
    assert [each.expected.rows for each in loading.streams] == [2]


def test_a_possible_requested_stream_does_not_wait_for_another_stream():
    cut = log(sent("06:04:00", "commits"), ending=None)
    facts = known(cut, polls=([load("issues", "06:05:00")], "06:20:00"), **GONE)

    assert evaluate(goal("loading", streams=("issues",)), facts).state == "finished"
    assert evaluate(goal("loading"), facts).state == "running"


# --- Load errors ----------------------------------------------------------------------------------------

BAD = load("commits", None, error="relation is locked")
GOOD = load("commits", "05:00:00")
LOADED = load("commits", "06:09:47")


@pytest.mark.parametrize(
    ("polls", "state"),
    [
        pytest.param([([GOOD], "06:00:10"), ([BAD], "06:06:00")], "failed", id="new: it was well before"),
        pytest.param(
            [([], "06:00:10"), ([BAD], "06:06:00")], "running", id="perhaps old: it was not listed before"
        ),
        pytest.param(
            [([], "06:00:10"), ([BAD], "06:01:00"), ([BAD], "06:02:00"), ([BAD], "06:06:00")],
            "failed",
            id="not listed before, and still there on two later polls, the last 5 minutes after the first",
        ),
        pytest.param([([BAD], "06:00:10"), ([BAD], "06:01:00")], "running", id="old: one later poll"),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([BAD], "06:05:09")],
            "running",
            id="old: two later polls within 5 minutes",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:30:00")], "running", id="old: after long, yet one poll only"
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([BAD], "06:05:10")],
            "failed",
            id="old: still there on two later polls, the last 5 minutes after the first",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([], "06:01:00"), ([BAD], "06:02:00")],
            "running",
            id="old: one poll did not find it, because it had moved to another page",
        ),
        pytest.param(
            [([GOOD], "05:30:00"), ([BAD], "06:06:00")],
            "running",
            id="perhaps old: it was well before the job began",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([LOADED], "06:09:48")],
            "running",
            id="old: it cleared, and rows of earlier jobs are in",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([GOOD], "06:01:00"), ([GOOD], "06:02:00"), ([LOADED], "06:09:48")],
            "running",
            id="old: it cleared long before, and rows of earlier jobs are in",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([LOADED], "06:09:48"), ([LOADED], "06:11:47")],
            "finished",
            id="old: it cleared, and the rows are in",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([GOOD], "06:01:00"), ([BAD], "06:02:00")],
            "failed",
            id="old: it cleared, and came back",
        ),
        pytest.param(
            [([BAD, GOOD], "06:00:10"), ([BAD, LOADED], "06:09:48")],
            "finished",
            id="a deleted source's error beside our load",
        ),
        pytest.param(
            [
                ([BAD, GOOD], "06:00:10"),
                *[([BAD, GOOD], f"06:{minute}:00") for minute in ("01", "05", "20", "59")],
            ],
            "running",
            id="a deleted source's error beside a load that still comes",
        ),
        pytest.param(
            [([BAD, GOOD], "06:00:10"), ([BAD, BAD], "06:06:00")],
            "failed",
            id="a new error beside a deleted source's",
        ),
        pytest.param(
            [([GOOD], "06:00:10"), ([BAD, LOADED], "06:09:48")],
            "finished",
            id="a namesake's new error beside our load",
        ),
    ],
)
def test_a_load_error_fails_if_it_is_new_or_lasts(polls, state):
    assert evaluate(goal("loading"), known(polls=polls)).state == state


@pytest.mark.parametrize(
    ("polls", "state"),
    [
        pytest.param(
            [([load("orders", None, "old")], f"06:{minute}:00") for minute in ("05", "06", "15")],
            "running",
            id="an old error under the name that a deselected table has",
        ),
        pytest.param(
            [
                ([load("orders", "05:00:00")], "06:00:10"),
                ([load("orders", None, "new"), load("public_orders", "06:05:00")], "06:08:00"),
            ],
            "finished",
            id="an error under another name than our load's",
        ),
        pytest.param(
            [([load("public_orders", None, "old")], f"06:{minute}:00") for minute in ("05", "06", "15")],
            "failed",
            id="an old error under our own name",
        ),
    ],
)
def test_an_error_of_a_deselected_table_of_the_same_name_does_not_fail(polls, state):
    streams = (ORDERS, stream("orders", "shopdb-archive-orders", schema="archive", selected=False))
    the_log = log(sent("06:04:40", "public_orders", 3))

    assert evaluate(goal("loading"), known(the_log, streams=streams, polls=polls)).state == state


def test_an_error_that_was_not_polled_for_is_kept():
    facts = known(polls=([BAD], "06:06:00"))

    unseen = facts.with_loads([load("issues", "06:06:10")], at("06:06:20"), {"issues"})

    assert unseen.load_errors == facts.load_errors
    assert unseen.with_loads([BAD], at("06:06:40"), {"commits"}).load_errors["commits"].repeats == 1


def test_a_load_error_is_reported_in_the_destinations_own_words():
    failure = evaluate(goal("loading"), known(polls=[([GOOD], "06:00:10"), ([BAD], "06:06:00")])).failure

    assert isinstance(failure, LoadingFailed)
    for words in ("Loading", "github (310442)", OURS, "commits: relation is locked", "Fix the destination"):
        assert words in str(failure)


def test_a_load_error_of_a_stream_without_new_rows_is_a_warning():
    polls = [([LOADED, load("issues", None, error="disk full")], "06:10:00")]

    verdict = evaluate(goal("loading"), known(polls=polls))

    assert verdict.state == "finished"
    assert any("issues (disk full)" in warning for warning in verdict.warnings)


def test_preparation_does_not_fail_for_a_load_error():
    polls = [([GOOD], "06:00:10"), ([BAD], "06:06:00")]

    assert evaluate(goal("preparation"), known(polls=polls)).state == "finished"
    assert evaluate(goal("preparation"), known(polls=[([GOOD], "06:10:00")])).state == "running"


# --- Rules ----------------------------------------------------------------------------------------------

moments = st.integers(min_value=0, max_value=7200).map(lambda s: at("06:00:00") + timedelta(seconds=s))


@given(
    batches=st.lists(moments, min_size=1, max_size=4),
    loaded=moments,
    polled=moments,
    settle=st.integers(0, 600),
)
def test_no_stream_passes_by_a_load_older_than_its_last_batch(batches, loaded, polled, settle):
    """With several batches, no stream passes before its load has settled; but each passes in the end."""
    the_log = log(*(sent(f"{moment:%H:%M:%S}", "commits") for moment in sorted(batches)))
    polled = max(polled, loaded)
    loads = [load("commits", f"{loaded:%H:%M:%S}")]
    base = Observations(
        extraction=extraction(), log=the_log, streams=(COMMITS,), previous_job_polled_at=at("06:00:10")
    )

    now = evaluate(goal("loading", load_settle=settle), base.with_loads(loads, polled)).state
    later_at = polled + timedelta(seconds=max(900, settle))
    later = evaluate(goal("loading", load_settle=settle), base.with_loads(loads, later_at)).state

    if loaded < max(batches):
        assert now == later == "running"
    else:
        if len(batches) == 1 or settle == 0:
            assert now == "finished"
        elif polled - loaded < timedelta(seconds=settle):
            assert now == "running"
        assert later == "finished"


@given(st.lists(st.sampled_from([None, "05:00:00", "06:04:41", "06:09:47"]), max_size=4), moments)
def test_preparation_finishes_no_later_than_loading(loaded, polled):
    loads = [load("commits", clock) if clock else BAD for clock in loaded]
    facts = known(TWO_BATCHES, polls=[(loads, "06:00:10"), (loads, f"{polled:%H:%M:%S}")])

    if evaluate(goal("loading"), facts).state == "finished":
        assert evaluate(goal("preparation"), facts).state == "finished"
