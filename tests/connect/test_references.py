"""Test how a user's reference to a source or destination is resolved, and how a load's source is found."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    AmbiguousSource,
    InvalidArgument,
    UnknownDestination,
    UnknownSource,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects import Load, StreamUpdate
from airflow_provider_stitch.connect.references import SourceNames, find_source
from airflow_provider_stitch.emulator import EmulatedStream, StitchEmulator
from tests.support.builders import source

DELETED_AT = "2026-08-01T00:00:00Z"

SOURCES = [
    source(1, "github", "GitHub"),
    source(2, "salesforce_prod", "Salesforce"),
    source(3, "salesforce_test", "Salesforce"),
    source(4, "github", "GitHub", deleted_at=DELETED_AT),
    source(5, "zendesk", "Zendesk", deleted_at=DELETED_AT),
    source(6, "years", "2024"),
]


@pytest.mark.parametrize(
    ("reference", "source_id"),
    [
        pytest.param(2, 2, id="an id"),
        pytest.param("2", 2, id="an id as a string, as a template renders it"),
        pytest.param(" github ", 1, id="a name with surrounding spaces"),
        pytest.param("Zendesk", 5, id="a deleted source, if no other source has the name"),
        pytest.param("GitHub", 1, id="the display name of a deleted and an active source"),
        pytest.param("2024", 6, id="a display name that looks like an id"),
        pytest.param(4, 4, id="the id of a deleted source"),
    ],
)
def test_find_source_accepts_id_name_and_display_name(reference, source_id):
    assert find_source(SOURCES, reference).id == source_id


def test_error_for_unknown_source_lists_all_sources_of_a_small_account():
    with pytest.raises(UnknownSource) as error:
        find_source(SOURCES, "githob")

    message = str(error.value)
    assert message.startswith("This Stitch account has no source 'githob'. It has: github (1, ")
    assert all(label in message for label in ("salesforce_prod (2", "salesforce_test (3", "years (6"))


def test_error_for_unknown_source_lists_the_ten_nearest_of_a_large_account():
    others = [source(number, f"warehouse_{number}", f"Warehouse {number}") for number in range(100, 300)]
    near = [source(7, "shop_pg_eu", "Shop (EU)"), source(8, "erp", "SHOP PG"), source(9, "shop_pg", "Other")]

    with pytest.raises(UnknownSource) as error:
        find_source([*others, *near], "shop_gp")

    message = str(error.value)
    assert "The most similar of its 203 sources are: shop_pg (9" in message
    assert "erp (8" in message
    assert "shop_pg_eu (7" in message
    assert message.count("displayed as") == 10


def test_error_for_ambiguous_display_name_lists_matching_sources():
    with pytest.raises(AmbiguousSource, match=r"2 sources.*salesforce_prod \(2.*salesforce_test \(3"):
        find_source(SOURCES, "Salesforce")


def test_error_for_account_without_sources_suggests_wrong_token():
    with pytest.raises(UnknownSource, match=r"no sources at all.*token"):
        find_source([], "github")


@pytest.fixture
def stitch():
    with StitchEmulator() as stitch:
        yield stitch


@pytest.fixture
def client(stitch):
    with StitchClient(stitch.access_token, base_url=stitch.url, client_id=stitch.client_id) as client:
        yield client


CALLS = {
    "get_source": lambda c, s: c.get_source(s).id,
    "update_source": lambda c, s: c.update_source(s, display_name="Code").id,
    "pause_source": lambda c, s: c.pause_source(s).id,
    "unpause_source": lambda c, s: c.unpause_source(s).id,
    "delete_source": lambda c, s: c.delete_source(s).id,
    "list_streams": lambda c, s: c.list_streams(s)[0].stream_id,
    "get_stream_schema": lambda c, s: len(c.get_stream_schema(s, "commits").fields),
    "update_streams": lambda c, s: c.update_streams(s, [StreamUpdate("commits", selected=False)]),
    "get_last_connection_check": lambda c, s: c.get_last_connection_check(s).status,
    "start_replication_job": lambda c, s: c.start_replication_job(s).source_id,
    "stop_replication_job": lambda c, s: c.stop_replication_job(s),
    "list_destinations": lambda c, s: len(c.list_destinations(source_id=s)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("form", ["name", "display name", "id as a string"])
def test_each_method_for_a_source_accepts_its_names(stitch, client, call, form):
    stitch.add_source("other", streams={"commits": 1})
    github = stitch.add_source("github", display_name="GitHub (shop)", streams={"commits": 1})
    reference = {"name": "github", "display name": "GitHub (shop)", "id as a string": f" {github} "}[form]

    call(client, reference)

    *lookup, last = [request.path.partition("?")[0] for request in stitch.requests]
    expected = f"/v4/sources/{github}" if form == "id as a string" else "/v4/sources"
    assert all(path in (expected, f"/v4/sources/{github}/streams") for path in lookup)
    assert f"/{github}" in last or last in ("/v4/sources", "/v4/destinations")


def test_import_tokens_are_managed_by_the_name_of_the_source(stitch, client):
    stitch.add_source("events", display_name="Events", type="import_api", streams={"clicks": 0})

    token = client.create_import_token("Events")

    assert [each.id for each in client.list_import_tokens("events")] == [token.id]
    client.revoke_import_token("events", token.id)
    assert client.list_import_tokens("events") == []


def test_integer_id_causes_no_additional_request(stitch, client):
    github = stitch.add_source("github", streams={"commits": 1})

    client.start_replication_job(github)

    assert [request.path for request in stitch.requests] == [f"/v4/sources/{github}/sync"]


def test_unknown_and_ambiguous_names_change_nothing(stitch, client):
    stitch.add_source("shop_eu", display_name="Shop", streams={"orders": 1})
    stitch.add_source("shop_us", display_name="Shop", streams={"orders": 1})

    with pytest.raises(AmbiguousSource, match=r"2 sources.*shop_eu.*shop_us"):
        client.delete_source("Shop")
    with pytest.raises(UnknownSource, match=r"no source 'shop_uk'.*shop_us"):
        client.delete_source("shop_uk")

    assert not any(each.is_deleted for each in client.list_sources())


def test_stream_schema_is_found_by_each_name_of_the_stream(stitch, client):
    streams = {
        f"db-{schema}-orders": EmulatedStream(1, stream_name="orders", schema_name=schema, database_name="db")
        for schema in ("public", "archive")
    }
    stitch.add_source("shop", type="platform.postgres", streams={**streams, "db-public-users": 1})
    stream = client.list_streams("shop")[0]

    for name in ("db-public-orders", "public.orders", str(stream.stream_id), stream.stream_id):
        assert client.get_stream_schema("shop", name).fields
    with pytest.raises(UnknownStream, match="2 streams named 'orders'"):
        client.get_stream_schema("shop", "orders")
    with pytest.raises(UnknownStream, match=r"no stream 'order'.*orders"):
        client.get_stream_schema("shop", "order")


def test_destination_is_found_by_name_or_id(stitch, client):
    warehouse = stitch.add_destination("snowflake", name="Warehouse")
    github = stitch.add_source("github", streams={"commits": 1})

    assert client.find_destination("Warehouse").id == warehouse
    assert client.find_destination(f"{warehouse}").name == "Warehouse"
    assert client.update_destination("Warehouse", {"host": "a.example"}).id == warehouse
    assert client.get_last_destination_check("Warehouse").name
    assert (
        client.create_post_load_hook("https://hooks.acme.example/a", "Warehouse").destination_id == warehouse
    )
    client.update_source(github, destination_id="Warehouse")
    assert [each.id for each in client.list_destinations(source_id="github")] == [warehouse]
    assert [each.id for each in client.list_destinations(destination_id="Warehouse")] == [warehouse]
    client.delete_destination("Warehouse")
    assert warehouse not in [each.id for each in client.list_destinations()]


def test_error_lists_destinations_with_a_duplicate_name(stitch, client):
    ids = [stitch.add_destination("postgres", name="Warehouse") for _ in range(2)]

    with pytest.raises(InvalidArgument, match=rf"2 destinations.*\({ids[0]}\).*\({ids[1]}\)"):
        client.delete_destination("Warehouse")
    with pytest.raises(UnknownDestination, match=r"no destination 'Lake'.*Warehouse"):
        client.delete_destination("Lake")


def test_loads_have_the_ids_of_their_sources(stitch, client):
    github = stitch.add_source("github", streams={"commits": 1})
    shop = stitch.add_source("shop", streams={"orders": 1})
    stitch.record_load(github, "commits")
    stitch.record_load(shop, "orders")

    loads = client.all_loads()

    assert {load.stream_name: load.source_id for load in loads} == {"commits": github, "orders": shop}
    assert [request.path.partition("?")[0] for request in stitch.requests if not request.counted] == [
        "/v4/sources"
    ]


def test_load_of_a_reused_name_belongs_to_the_source_that_existed_at_its_time():
    names = SourceNames(
        [
            source(8, "github", created_at="2026-08-10T00:00:00Z"),
            source(7, "github", created_at="2026-01-01T00:00:00Z", deleted_at="2026-08-01T00:00:00Z"),
        ]
    )

    def source_of(loaded_at, name="github"):
        record = {"source_name": name, "stream_name": "commits", "last_batch_loaded_at": loaded_at}
        return names.source_id(Load.from_json(record))

    assert source_of("2026-07-31T00:00:00Z") == 7
    assert source_of("2026-08-11T00:00:00Z") == 8
    assert source_of(None) == 8
    assert source_of("2025-01-01T00:00:00Z") == 7
    assert source_of("2026-08-11T00:00:00Z", "gitlab") is None
