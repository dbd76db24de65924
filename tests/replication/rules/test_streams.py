"""Test which streams match a name from a user or a log."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import UnknownStream
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.streams import StreamNames, select_streams
from tests.replication.rules.loading_states import observed
from tests.support.builders import goal, stream

SHOP = (
    stream("orders", "shopdb-public-orders", schema="public", database="shopdb"),
    stream("orders", "shopdb-archive-orders", schema="archive", database="shopdb"),
    stream("customers", "shopdb-public-customers", schema="public", database="shopdb"),
    stream("carts", "shopdb-public-carts", schema="public", selected=False),
    stream("customers", "shopdb-archive-customers", schema="archive", selected=False),
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param(
            "customers", "shopdb-public-customers", id="by its name, which is unique among selected streams"
        ),
        pytest.param("shopdb-archive-orders", "shopdb-archive-orders", id="by its id"),
        pytest.param("archive_orders", "shopdb-archive-orders", id="by its name with schema"),
    ],
)
def test_select_streams_accepts_each_name_of_a_stream(name, found):
    assert [stream.tap_stream_id for stream in select_streams(SHOP, [name])] == [found]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            ["orders"],
            "Use the id of one of these streams: shopdb-public-orders, shopdb-archive-orders",
            id="a name of two selected streams",
        ),
        pytest.param(["carts"], "not selected", id="a deselected stream"),
        pytest.param(
            ["custmers"],
            "Its selected streams are: customers, shopdb-archive-orders, shopdb-public-orders",
            id="an unknown name",
        ),
        pytest.param([], "streams is empty", id="no names"),
    ],
)
def test_select_streams_rejects_unknown_and_ambiguous_names(names, message):
    with pytest.raises(UnknownStream, match=message):
        select_streams(SHOP, names)


def test_evaluate_fails_for_an_empty_list_of_streams():
    assert isinstance(evaluate(goal("loading", streams=()), observed()).failure, UnknownStream)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("orders", {"shopdb-public-orders", "shopdb-archive-orders"}),
        ("public_orders", {"shopdb-public-orders"}),
        ("public__orders", {"shopdb-public-orders"}),
        ("shopdb_public_orders", {"shopdb-public-orders"}),
        ("shopdb_orders", {"shopdb-public-orders", "shopdb-archive-orders"}),
        ("customers", {"shopdb-public-customers"}),
        ("carts", {"shopdb-public-carts"}),
        ("endpoint", set()),
    ],
)
def test_find_returns_every_stream_of_a_name(name, ids):
    assert {stream.tap_stream_id for stream in StreamNames(SHOP).find(name)} == ids


def test_find_prefers_an_exact_name_to_a_prefixed_one():
    named = stream("public_orders", "shopdb-x-public_orders", schema="x")

    assert StreamNames((*SHOP, named)).find("public_orders") == (named,)
