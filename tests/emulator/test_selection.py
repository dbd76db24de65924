"""The rules of selection that Stitch states without an error: not enforced, unless a quirk says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import EmulatedStream

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

FIELD = ["properties", "name"]


@pytest.fixture
def shop(stitch: StitchEmulator) -> int:
    """A database with a table and a view that nobody selected, and a stream whose method is prescribed."""
    return stitch.add_source(
        "shop",
        type="platform.hp-postgres",
        streams={
            "orders": EmulatedStream(1, schema_name="public", selected=None),
            "view": EmulatedStream(1, schema_name="public", selected=None, is_view=True),
            "forced": EmulatedStream(1),
        },
    )


def write(api: Api, source_id: int, stream: str, *items: tuple[list[str], dict[str, Any]]) -> Any:
    metadata = [{"breadcrumb": crumb, "metadata": values} for crumb, values in items]
    body = {"streams": [{"tap_stream_id": stream, "metadata": metadata}]}
    return api("PUT", f"/v4/sources/{source_id}/streams/metadata", json=body)


@pytest.mark.parametrize(
    ("stream", "items"),
    [
        pytest.param("orders", [(FIELD, {"selected": True})], id="field of a stream that is not selected"),
        pytest.param("view", [([], {"selected": True})], id="view without keys"),
        pytest.param(
            "orders",
            [([], {"selected": True, "replication-method": "INCREMENTAL"})],
            id="incremental without a key",
        ),
        pytest.param("forced", [([], {"replication-method": "FULL_TABLE"})], id="prescribed method"),
    ],
)
def test_a_rule_without_a_documented_error_may_be_enforced(
    api: Api, stitch: StitchEmulator, shop: int, stream: str, items: Any
) -> None:
    stitch.quirks.strict_selection = True
    refused = write(api, shop, stream, *items)
    assert (refused.status_code, set(refused.json())) == (400, {"invalid_fields"})
    stitch.quirks.strict_selection = False
    assert write(api, shop, stream, *items).status_code == 200


@pytest.mark.parametrize(
    ("stream", "items"),
    [
        pytest.param(
            "orders", [([], {"selected": True}), (FIELD, {"selected": True})], id="stream and field"
        ),
        pytest.param("view", [([], {"selected": True, "view-key-properties": ["id"]})], id="view with keys"),
        pytest.param(
            "orders",
            [([], {"selected": True, "replication-method": "INCREMENTAL", "replication-key": "updated_at"})],
            id="incremental with a key",
        ),
        pytest.param(
            "forced",
            [([], {"replication-method": "INCREMENTAL", "replication-key": "id"})],
            id="the prescribed method",
        ),
        pytest.param("orders", [([], {"selected": None})], id="as if never selected"),
    ],
)
def test_what_keeps_the_rules_is_taken_either_way(
    api: Api, stitch: StitchEmulator, shop: int, stream: str, items: Any
) -> None:
    stitch.quirks.strict_selection = True
    assert write(api, shop, stream, *items).status_code == 200


@pytest.mark.parametrize(
    "values",
    [
        {"selected": "yes"},
        {"replication-method": "SOMETIMES"},
        {"replication-key": 7},
        {"view-key-properties": "id"},
    ],
)
def test_a_value_of_another_type_is_refused(api: Api, shop: int, values: dict[str, Any]) -> None:
    answer = write(api, shop, "orders", ([], values))
    assert (answer.status_code, set(answer.json())) == (400, {"invalid_fields"})


def test_only_a_view_has_no_keys_of_its_own(api: Api, shop: int) -> None:
    keys = {
        s["stream_name"]: s["metadata"]["table-key-properties"]
        for s in api.get(f"/v4/sources/{shop}/streams")
    }
    assert keys == {"orders": ["id"], "view": [], "forced": ["id"]}
