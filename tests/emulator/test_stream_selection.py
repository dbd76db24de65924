"""Test selection rules for which Stitch documents no error.

The emulator enforces undocumented selection rules only if a test sets a quirk.
"""

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
    """Return a database source with an unselected table and an unselected view.

    The source also has a stream with a forced replication method.
    """
    return stitch.add_source(
        "shop",
        type="platform.hp-postgres",
        streams={
            "orders": EmulatedStream(1, schema_name="public", selected=None),
            "view": EmulatedStream(1, schema_name="public", selected=None, is_view=True),
            "forced": EmulatedStream(1),
        },
    )


def write_metadata(api: Api, source_id: int, stream: str, *items: tuple[list[str], dict[str, Any]]) -> Any:
    metadata = [{"breadcrumb": crumb, "metadata": values} for crumb, values in items]
    body = {"streams": [{"tap_stream_id": stream, "metadata": metadata}]}
    return api("PUT", f"/v4/sources/{source_id}/streams/metadata", json=body)


@pytest.mark.parametrize(
    ("stream", "items"),
    [
        pytest.param("orders", [(FIELD, {"selected": True})], id="field of an unselected stream"),
        pytest.param("view", [([], {"selected": True})], id="view without keys"),
        pytest.param(
            "orders",
            [([], {"selected": True, "replication-method": "INCREMENTAL"})],
            id="incremental without a key",
        ),
        pytest.param(
            "forced", [([], {"replication-method": "FULL_TABLE"})], id="another method than the forced one"
        ),
    ],
)
def test_undocumented_selection_rule_is_enforced_with_quirk(
    api: Api, stitch: StitchEmulator, shop: int, stream: str, items: Any
) -> None:
    stitch.quirks.strict_selection = True
    refused = write_metadata(api, shop, stream, *items)
    assert (refused.status_code, set(refused.json())) == (400, {"invalid_fields"})
    stitch.quirks.strict_selection = False
    assert write_metadata(api, shop, stream, *items).status_code == 200


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
            id="the forced method",
        ),
        pytest.param("orders", [([], {"selected": None})], id="null"),
    ],
)
def test_valid_selection_is_accepted_with_and_without_quirk(
    api: Api, stitch: StitchEmulator, shop: int, stream: str, items: Any
) -> None:
    stitch.quirks.strict_selection = True
    assert write_metadata(api, shop, stream, *items).status_code == 200


@pytest.mark.parametrize(
    "values",
    [
        {"selected": "yes"},
        {"replication-method": "SOMETIMES"},
        {"replication-key": 7},
        {"view-key-properties": "id"},
    ],
)
def test_value_of_the_wrong_type_is_rejected(api: Api, shop: int, values: dict[str, Any]) -> None:
    response = write_metadata(api, shop, "orders", ([], values))
    assert (response.status_code, set(response.json())) == (400, {"invalid_fields"})


def test_only_a_view_has_no_table_keys(api: Api, shop: int) -> None:
    keys = {
        s["stream_name"]: s["metadata"]["table-key-properties"]
        for s in api.get(f"/v4/sources/{shop}/streams")
    }
    assert keys == {"orders": ["id"], "view": [], "forced": ["id"]}
