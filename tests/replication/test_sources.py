"""Tests of finding the source that a user refers to."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import AmbiguousSource, UnknownSource
from airflow_provider_stitch.replication.sources import find_source
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
