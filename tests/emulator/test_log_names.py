"""Test the names of streams in logs and loads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import EmulatedStream

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


TABLE = EmulatedStream(5, stream_name="orders", schema_name="public", database_name="shop")


@pytest.mark.parametrize(
    ("kind", "without", "with_schema"),
    [
        pytest.param("postgres", "orders", "public_orders", id="PostgreSQL"),
        pytest.param("mysql", "orders", "orders", id="MySQL"),
        pytest.param("oracle", "orders", "orders", id="Oracle"),
        pytest.param("mongodb", "orders", "shop_orders", id="MongoDB"),
        pytest.param("mssql", "orders", "shop-public-orders", id="MSSQL"),
        pytest.param("hp-postgres", "orders", "public__orders", id="Avro"),
    ],
)
def test_target_and_load_have_the_same_name(
    api: Api, stitch: StitchEmulator, kind: str, without: str, with_schema: str
) -> None:
    streams = {"shop-public-orders": TABLE}
    for option, expected in (("false", without), ("true", with_schema)):
        source_id = stitch.add_source(
            f"shop_{option}",
            type=f"platform.{kind}",
            streams=streams,
            properties={"include_schemas_in_destination_stream_name": option},
        )
        log = api.log(stitch.complete_job(source_id).job_name)
        named = re.findall(r"target - INFO .*(?:messages for table|record-count-impl) (.+)", log)
        assert named == [expected]
        assert expected in [load["stream_name"] for load in api.loads()]
        assert "tap - INFO Beginning sync of stream(shop-public-orders) " in log
        assert "State update: adding bookmarks.shop-public-orders.updated_at = " in log


def test_saas_stream_keeps_its_name(api: Api, stitch: StitchEmulator) -> None:
    name = "data_extension.New subscribers"
    log = api.log(stitch.complete_job(stitch.add_source("et", streams={name: 3})).job_name)
    assert f"Serializing batch with 3 messages for table {name}\n" in log
    assert list(api.loaded_at()) == [name]


@pytest.mark.parametrize(
    ("kind", "names", "logged", "loaded"),
    [
        pytest.param("postgres", "target", "public_orders", "public_orders", id="target"),
        pytest.param("postgres", "destination", "public_orders", "public__orders", id="destination"),
        pytest.param("postgres", "source", "public_orders", "orders", id="source"),
        pytest.param(
            "hp-postgres", "destination", "public__orders", "public__orders", id="Avro, destination"
        ),
        pytest.param("hp-postgres", "source", "orders", "orders", id="Avro, source"),
    ],
)
def test_load_can_have_another_name_than_the_target_sends(
    api: Api, stitch: StitchEmulator, kind: str, names: Any, logged: str, loaded: str
) -> None:
    stitch.quirks.load_names = names
    source_id = stitch.add_source(
        "shop",
        type=f"platform.{kind}",
        streams={"shop-public-orders": TABLE},
        properties={"include_schemas_in_destination_stream_name": "true"},
    )
    log = api.log(stitch.complete_job(source_id).job_name)
    named = re.findall(r"target - INFO .*(?:messages for table|record-count-impl) (.+)", log)
    assert (named, list(api.loaded_at())) == ([logged], [loaded])
