"""Test how loads are matched to the streams in a log."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.replication.rules.evaluate import evaluate
from tests.replication.rules.loading_states import COMMITS, ISSUES, ORDERS, observed, state_of
from tests.support.builders import (
    at,
    avro_log,
    goal,
    load,
    log,
    marker,
    sent,
    stream,
)


def test_loading_waits_for_requested_streams_only():
    both = log(sent("06:04:40", "commits"), sent("06:04:40", "issues"))
    loads = [load("issues", "06:05:00")]

    assert state_of(both, loads, "06:10:00", streams=(COMMITS, ISSUES)) == "running"
    requested = evaluate(goal("loading", streams=("issues",)), observed(both, polls=(loads, "06:10:00")))
    assert requested.state == "finished"


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


PREFIXED = stream("public_orders", "shopdb-x-public_orders", schema="x", database="shopdb")


@pytest.mark.parametrize(
    ("the_log", "requested"),
    [
        pytest.param(log(sent("06:04:40", "public_orders"), sent("06:04:30", "orders")), None, id="both"),
        pytest.param(
            log(sent("06:04:40", "public_orders"), sent("06:04:30", "orders")),
            ("shopdb-x-public_orders",),
            id="both, one requested",
        ),
        pytest.param(log(sent("06:04:40", "public_orders")), None, id="one"),
    ],
)
def test_load_of_a_stream_does_not_count_for_its_prefixed_name(the_log, requested):
    """The name of one stream is also the name of another stream with its schema as a prefix."""
    pending = [load("orders", "06:05:00"), load("public_orders", "05:00:00")]
    loaded = [load("orders", "06:05:00"), load("public_orders", "06:06:00")]

    for loads, state in ((pending[:1], "running"), (pending, "running"), (loaded, "finished")):
        observations = observed(the_log, streams=(PREFIXED, ORDERS), polls=(loads, "06:10:00"))
        assert evaluate(goal("loading", streams=requested), observations).state == state


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
