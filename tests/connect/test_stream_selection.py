"""Test the changes that select requested streams and fields, and the errors for invalid selections."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import InvalidArgument, StitchError, UnknownStream
from airflow_provider_stitch.connect.objects import Stream, StreamSchema
from airflow_provider_stitch.connect.stream_matching import match_streams, stream_labels
from airflow_provider_stitch.connect.stream_selection import (
    StreamSelection,
    deselection_change,
    parse_stream_selections,
    selection_change,
)

FIELDS = {
    "id": {"inclusion": "automatic"},
    "total": {"inclusion": "available", "selected": True},
    "note": {"inclusion": "available", "selected": False},
    "tax": {"inclusion": "available", "selected": None, "selected-by-default": True},
    "changed_at": {"inclusion": "automatic"},
    "shape": {"inclusion": "unsupported", "unsupported-description": "no type for it"},
}


def stream(number=1, name="orders", *, selected=True, schema_name="public", **metadata):
    return Stream.from_json(
        {
            "stream_id": number,
            "tap_stream_id": f"shop-{schema_name}-{name}",
            "stream_name": name,
            "selected": selected,
            "metadata": {"selected": selected, **metadata},
        }
    )


def schema(fields=FIELDS, **metadata):
    entries = [{"breadcrumb": [], "metadata": metadata}]
    entries += [{"breadcrumb": ["properties", name], "metadata": values} for name, values in fields.items()]
    return StreamSchema.from_json({"schema": "{}", "metadata": entries})


def changes(wanted, *, fields=FIELDS, selected=True, **metadata):
    [one] = parse_stream_selections({"orders": wanted})
    change = selection_change(
        "orders", stream(selected=selected, **metadata), schema(fields, **metadata), one
    )
    return None if change is None else change.to_dict()


# Changes.


@pytest.mark.parametrize(
    ("wanted", "selected", "metadata", "change"),
    [
        pytest.param(None, True, {}, {"fields_selected": ["note"]}, id="all fields"),
        pytest.param(["total"], True, {}, None, id="no change"),
        pytest.param(["id", "total", "tax"], True, {}, None, id="no change, with all fields"),
        pytest.param(
            ["note"], True, {}, {"fields_selected": ["note"], "fields_deselected": ["total"]}, id="another"
        ),
        pytest.param([], True, {}, {"fields_deselected": ["total"]}, id="automatic fields only"),
        pytest.param(["total"], False, {}, {"selected": True}, id="a stream that was deselected"),
        pytest.param(["total"], None, {}, {"selected": True}, id="a stream that was never selected"),
        pytest.param({"fields": "keep"}, None, {}, {"selected": True}, id="the stream without its fields"),
        pytest.param({"fields": "keep"}, True, {}, None, id="nothing"),
        pytest.param(
            {"fields": "keep", "replication_method": "FULL_TABLE"},
            True,
            {"replication-method": "INCREMENTAL", "replication-key": "id"},
            {"replication_method": "FULL_TABLE"},
            id="another method",
        ),
        pytest.param(
            {"fields": "keep", "replication_method": "INCREMENTAL", "replication_key": "id"},
            True,
            {"replication-method": "INCREMENTAL", "replication-key": "id"},
            None,
            id="the same method",
        ),
        pytest.param(
            {"fields": "keep", "replication_method": "INCREMENTAL"},
            True,
            {"replication-method": "FULL_TABLE", "replication-key": "id"},
            {"replication_method": "INCREMENTAL", "replication_key": "id"},
            id="the same key",
        ),
        pytest.param(
            {"fields": "keep", "replication_key": "changed_at"},
            True,
            {"replication-method": "INCREMENTAL", "replication-key": "id"},
            {"replication_key": "changed_at"},
            id="another key",
        ),
        pytest.param(
            {"fields": "keep", "replication_method": "INCREMENTAL"},
            True,
            {"forced-replication-method": "INCREMENTAL"},
            None,
            id="a forced method",
        ),
        pytest.param(
            {"fields": "keep", "view_key_properties": ["id"]},
            True,
            {"is-view": True},
            {"view_key_properties": ["id"]},
            id="a view",
        ),
        pytest.param(
            {"fields": "keep", "view_key_properties": ["id"]},
            True,
            {"is-view": True, "view-key-properties": ["id"]},
            None,
            id="a view with a key",
        ),
    ],
)
def test_change_contains_only_differences(wanted, selected, metadata, change):
    assert changes(wanted, selected=selected, **metadata) == change


def test_change_lists_fields_that_are_always_replicated():
    [wanted] = parse_stream_selections({"orders": ["note"]})

    change = selection_change("orders", stream(), schema(), wanted)

    assert change is not None
    assert change.unavoidable == ("tax",)


def test_only_selected_stream_is_deselected():
    assert deselection_change("orders", stream()).to_dict() == {"selected": False}
    assert deselection_change("orders", stream(selected=None)) is None
    assert deselection_change("orders", stream(selected=False)) is None


inclusions = st.fixed_dictionaries(
    {"inclusion": st.sampled_from(["automatic", "available", "unsupported"])},
    optional={
        "selected": st.none() | st.booleans(),
        "selected-by-default": st.none() | st.booleans(),
    },
)


@given(
    fields=st.dictionaries(st.sampled_from("abcdef"), inclusions),
    names=st.none() | st.lists(st.sampled_from("abcdef")),
    selected=st.none() | st.booleans(),
)
def test_applied_change_leaves_nothing_to_change(fields, names, selected):
    try:
        [wanted] = parse_stream_selections({"orders": names})
        change = selection_change("orders", stream(selected=selected), schema(fields), wanted)
    except StitchError:
        return
    if change is None:
        return
    written = {
        name: {**values, **({"selected": change.update.fields[name]} if name in change.update.fields else {})}
        for name, values in fields.items()
    }

    assert selection_change("orders", stream(), schema(written), wanted) is None
    replicated = {name for name, each in schema(written).fields.items() if each.is_replicated}
    supported = {name for name, values in fields.items() if values["inclusion"] != "unsupported"}
    assert replicated >= (supported if names is None else set(names))
    assert all(
        values["inclusion"] == "available" for name, values in fields.items() if name in change.update.fields
    )


# Unsupported selections.


@pytest.mark.parametrize(
    ("wanted", "metadata", "error_class", "message"),
    [
        pytest.param(["totl"], {}, UnknownStream, "no field 'totl'. It has: total", id="an unknown field"),
        pytest.param(["shape"], {}, InvalidArgument, "no type for it", id="an unsupported field"),
        pytest.param(
            {"replication_method": "FULL_TABLE"},
            {"forced-replication-method": "INCREMENTAL"},
            InvalidArgument,
            "forces INCREMENTAL",
            id="an unsupported method",
        ),
        pytest.param(
            {"replication_key": "id"},
            {"valid-replication-keys": ["updated_at"]},
            InvalidArgument,
            "valid keys are: updated_at",
            id="an invalid key",
        ),
        pytest.param(
            {"replication_method": "INCREMENTAL"}, {}, InvalidArgument, "needs a replication_key", id="no key"
        ),
        pytest.param(None, {"is-view": True}, InvalidArgument, "view_key_properties", id="a view"),
    ],
)
def test_unsupported_replication_is_rejected(wanted, metadata, error_class, message):
    with pytest.raises(error_class, match=message):
        changes(wanted, **metadata)


def test_mutually_exclusive_fields_are_rejected():
    fields = {
        "a": {"inclusion": "available", "fieldExclusions": [["properties", "b"]]},
        "b": {"inclusion": "available"},
    }

    with pytest.raises(InvalidArgument, match="'a' and 'b' cannot be selected together"):
        changes(None, fields=fields)
    assert changes(["a"], fields=fields) == {"fields_selected": ["a"]}


# Names.


def test_stream_is_matched_by_name_or_id():
    streams = [stream(1, "orders"), stream(2, "orders", schema_name="old"), stream(3, "items")]

    matched = match_streams(streams, parse_stream_selections(["items", "shop-old-orders"]))

    assert [each.stream_id for each, _ in matched] == [3, 2]


def test_error_lists_all_unknown_names_with_candidates():
    streams = [stream(1, "orders"), stream(2, "orders", schema_name="old"), stream(3, "items")]

    with pytest.raises(UnknownStream) as caught:
        match_streams(streams, parse_stream_selections(["itms", "orders"]))

    assert "no stream 'itms'. It has: items" in str(caught.value)
    assert "2 streams named 'orders'; use the id of one: shop-public-orders, shop-old-orders" in str(
        caught.value
    )


DATABASE = [
    stream(1, "orders", **{"schema-name": "public"}),
    stream(2, "order_items", **{"schema-name": "public"}),
    stream(3, "orders", schema_name="old", **{"schema-name": "old"}),
    stream(4, "notes*", schema_name="old", **{"database-name": "shop"}),
]


@pytest.mark.parametrize(
    ("streams", "ids"),
    [
        pytest.param("all", [1, 2, 3, 4], id="all"),
        pytest.param(["*"], [1, 2, 3, 4], id="the pattern for all"),
        pytest.param(["public.*"], [1, 2], id="a schema"),
        pytest.param(["*.orders"], [1, 3], id="a name in any schema"),
        pytest.param(["order?"], [1, 3], id="one character"),
        pytest.param(["shop-old-*"], [3, 4], id="ids"),
        pytest.param(["old.orders"], [3], id="a name with its schema"),
        pytest.param(["shop.notes*"], [4], id="a name with a wildcard"),
        pytest.param(["public.*", "*.orders"], [1, 2, 3], id="patterns that overlap"),
        pytest.param(["public.*", "order_items"], [1, 2], id="a pattern and a name"),
    ],
)
def test_patterns_match_streams(streams, ids):
    assert (
        sorted(each.stream_id for each, _ in match_streams(DATABASE, parse_stream_selections(streams))) == ids
    )


def test_name_takes_precedence_over_a_pattern():
    wanted = parse_stream_selections({"public.*": None, "order_items": ["id"], "old.*": {"fields": "keep"}})

    fields = {each.stream_id: options.fields for each, options in match_streams(DATABASE, wanted)}

    assert fields == {1: None, 2: ("id",), 3: "keep"}


@pytest.mark.parametrize(
    ("streams", "error_class", "message"),
    [
        pytest.param(["private.*"], UnknownStream, r"no stream that matches 'private\.\*'", id="no match"),
        pytest.param(
            {"public.*": None, "*.orders": ["id"]},
            InvalidArgument,
            r"'public\.\*' and '\*\.orders' both match stream shop-public-orders",
            id="different options",
        ),
    ],
)
def test_ambiguous_pattern_is_rejected(streams, error_class, message):
    with pytest.raises(error_class, match=message):
        match_streams(DATABASE, parse_stream_selections(streams))


def test_matching_takes_linear_time():
    def calls(number):
        streams = [stream(each, f"table_{each}") for each in range(number)]
        wanted = parse_stream_selections([each.stream_name for each in streams])
        events = 0

        def count(*_):
            nonlocal events
            events += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            match_streams(streams, wanted)
        finally:
            sys.setprofile(before)
        return events

    assert calls(800) < 3 * calls(400)


def test_candidates_are_listed_for_the_first_unknown_names_only():
    streams = [stream(each, f"table_{each}") for each in range(50)]

    with pytest.raises(UnknownStream) as caught:
        match_streams(streams, parse_stream_selections([f"tabel_{each}" for each in range(50)]))

    assert str(caught.value).count("It has") == 10
    assert str(caught.value).count("no stream") == 50


def test_label_is_the_id_if_the_name_is_not_unique():
    assert set(stream_labels(DATABASE).values()) == {
        "shop-public-orders",
        "order_items",
        "shop-old-orders",
        "notes*",
    }


@pytest.mark.parametrize(
    "wanted",
    [
        {"fields": "keep", "replication_method": "INCREMENTAL", "replication_key": "updated"},
        {"fields": "keep", "view_key_properties": ["updated"]},
        {"fields": ["updated"]},
    ],
)
def test_field_and_key_names_must_be_in_the_schema(wanted):
    [one] = parse_stream_selections({"orders": wanted})

    assert one.needs_schema
    with pytest.raises(UnknownStream, match=r"Stream 'orders' has no field 'updated'\. It has: updated_at"):
        changes(wanted, fields={"id": {"inclusion": "automatic"}, "updated_at": {"inclusion": "available"}})


def test_stream_named_twice_is_rejected():
    with pytest.raises(InvalidArgument, match="more than once: shop-public-orders"):
        match_streams([stream()], parse_stream_selections(["orders", "shop-public-orders"]))


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        pytest.param("orders", 'must be "all".*of type str', id="a string"),
        pytest.param(None, "of type NoneType", id="None"),
        pytest.param([1], "name of a stream", id="a number"),
        pytest.param({"": None}, "name of a stream", id="an empty name"),
        pytest.param({"a": "id"}, "list of names", id="a string as fields"),
        pytest.param({"a": [1]}, "list of names", id="a number as a field"),
        pytest.param({"a": {"feilds": []}}, "Unknown options of stream .a.: feilds", id="an unknown option"),
        pytest.param({"a": {"replication_method": "ALL"}}, "FULL_TABLE", id="an unknown method"),
        pytest.param({"a": {"replication_key": 1}}, "must be a name", id="a number as the key"),
        pytest.param({"a": {"view_key_properties": "id"}}, "list of names", id="a string as keys"),
    ],
)
def test_invalid_selection_is_rejected(streams, message):
    with pytest.raises(InvalidArgument, match=message):
        parse_stream_selections(streams)


def test_selection_may_be_a_list_or_dict():
    assert parse_stream_selections(["a"]) == parse_stream_selections({"a": None}) == (StreamSelection("a"),)
    assert parse_stream_selections({"a": ["x", "x"]}) == (StreamSelection("a", fields=("x",)),)
    assert parse_stream_selections({"a": {}}) == (StreamSelection("a"),)
    assert parse_stream_selections({"a": {"fields": "keep"}}) == (StreamSelection("a", fields="keep"),)
