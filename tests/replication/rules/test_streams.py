"""Which stream a user's name, or a log's name, stands for."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import UnknownStream
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.streams import StreamNames, select_streams
from tests.replication.rules.test_loading import known
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
        pytest.param("customers", "shopdb-public-customers", id="by its name, which one selected stream has"),
        pytest.param("shopdb-archive-orders", "shopdb-archive-orders", id="by its id"),
        pytest.param("archive_orders", "shopdb-archive-orders", id="by the name with its schema"),
    ],
)
def test_select_streams_finds_a_stream_under_each_of_its_names(name, found):
    assert [stream.tap_stream_id for stream in select_streams(SHOP, [name])] == [found]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param(
            ["orders"],
            "Use the id of one of them: shopdb-public-orders, shopdb-archive-orders",
            id="a name of two selected streams",
        ),
        pytest.param(["carts"], "not selected", id="a stream that is not selected"),
        pytest.param(
            ["custmers"],
            "Its selected streams are: customers, shopdb-archive-orders, shopdb-public-orders",
            id="an unknown name",
        ),
        pytest.param([], "streams is empty", id="no name"),
    ],
)
def test_select_streams_refuses_names_that_stand_for_no_selected_stream(names, words):
    with pytest.raises(UnknownStream, match=words):
        select_streams(SHOP, names)


def test_an_empty_list_of_streams_fails_the_task():
    assert isinstance(evaluate(goal("loading", streams=()), known()).failure, UnknownStream)


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
def test_find_returns_every_stream_that_a_logged_name_may_stand_for(name, ids):
    assert {stream.tap_stream_id for stream in StreamNames(SHOP).find(name)} == ids


def test_a_table_of_that_name_comes_before_a_prefix_that_resembles_it():
    named = stream("public_orders", "shopdb-x-public_orders", schema="x")

    assert StreamNames((*SHOP, named)).find("public_orders") == (named,)
