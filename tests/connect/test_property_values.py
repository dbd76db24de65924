"""Test how property values are converted and compared with values from Stitch."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone

import pytest

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import ReportCard
from airflow_provider_stitch.connect.property_values import (
    changed_properties,
    convert_to_schema,
    is_immutable,
    reject_immutable_changes,
)

TWO_HOURS_EAST = timezone(timedelta(hours=2))
STRING, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
OBJECT, ARRAY = {"type": "object"}, {"type": "array"}
EITHER = {"anyOf": [STRING, INTEGER]}


def card(**properties):
    entries = [{"name": name, **entry} for name, entry in properties.items()]
    return ReportCard.from_json({"type": "t", "steps": [{"type": "form", "properties": entries}]})


@pytest.mark.parametrize(
    ("schema", "given", "sent"),
    [
        pytest.param(STRING, "60", "60", id="a string"),
        pytest.param(STRING, 60, "60", id="a number for a string"),
        pytest.param(STRING, 60.0, "60", id="a whole float for a string"),
        pytest.param(STRING, 0.5, "0.5", id="a fraction for a string"),
        pytest.param(STRING, True, "true", id="a boolean for a string"),
        pytest.param(STRING, False, "false", id="false for a string"),
        pytest.param(STRING, {"a": 1}, '{"a": 1}', id="an object for a string"),
        pytest.param(STRING, None, None, id="None for a string"),
        pytest.param(None, 60, "60", id="no schema"),
        pytest.param(
            STRING,
            datetime(2026, 1, 1, 2, tzinfo=TWO_HOURS_EAST),
            "2026-01-01T00:00:00Z",
            id="a time with a zone",
        ),
        pytest.param(STRING, datetime(2026, 1, 1), "2026-01-01T00:00:00Z", id="a time without a zone"),  # noqa: DTZ001
        pytest.param(STRING, date(2026, 1, 1), "2026-01-01T00:00:00Z", id="a date"),
        pytest.param(INTEGER, "60", 60, id="a string for an integer"),
        pytest.param(INTEGER, 60, 60, id="an integer"),
        pytest.param(INTEGER, "sixty", "sixty", id="a word for an integer"),
        pytest.param({"type": "number"}, "0.5", 0.5, id="a string for a number"),
        pytest.param(BOOLEAN, "true", True, id="a string for a boolean"),
        pytest.param(BOOLEAN, "False", False, id="Python's name for a boolean"),
        pytest.param(BOOLEAN, True, True, id="a boolean"),
        pytest.param({"type": ["null", "boolean"]}, "true", True, id="several types"),
        pytest.param(EITHER, "60", "60", id="a string for either"),
        pytest.param(EITHER, 60, 60, id="an integer for either"),
        pytest.param(OBJECT, '{"a": "b"}', {"a": "b"}, id="JSON for an object"),
        pytest.param(OBJECT, {"a": "b"}, {"a": "b"}, id="an object"),
        pytest.param(ARRAY, '["a"]', ["a"], id="JSON for an array"),
        pytest.param(ARRAY, ["a"], ["a"], id="an array"),
    ],
)
def test_value_is_converted_to_the_type_of_its_schema(schema, given, sent):
    result = convert_to_schema(card(p={"json_schema": schema}), {"p": given})

    assert result == {"p": sent}
    assert type(result["p"]) is type(sent)


@pytest.mark.parametrize("schema", [OBJECT, ARRAY])
@pytest.mark.parametrize("given", ["{'private_key': 'hush'}", "hush", "7"])
def test_invalid_json_string_is_rejected_without_its_value(schema, given):
    with pytest.raises(InvalidArgument, match=r"'p' must be JSON.*tojson") as caught:
        convert_to_schema(card(p={"json_schema": schema}), {"p": given})

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "found", "differs"),
    [
        pytest.param("60", "60", False, id="the same"),
        pytest.param("60", "30", True, id="another"),
        pytest.param("60", None, True, id="no value yet"),
        pytest.param(60, "60", False, id="a number that Stitch stores as a string"),
        pytest.param(5432.0, "5432", False, id="a whole float"),
        pytest.param(True, "true", False, id="a boolean that Stitch stores as a string"),
        pytest.param(False, "true", True, id="another boolean"),
        pytest.param("true", True, False, id="a boolean that Stitch returns as a boolean"),
        pytest.param(None, None, False, id="already removed"),
        pytest.param(None, "0 0 12 ? * MON *", True, id="to be removed"),
        pytest.param(["a", 1], ["a", "1"], False, id="the same array"),
        pytest.param({"a": 1}, {"a": "1"}, False, id="the same object"),
        pytest.param(
            "2026-05-04T06:00:00Z", "2026-05-04T06:00:00.000Z", False, id="a time in Stitch's format"
        ),
        pytest.param("2026-05-04T08:00:00+02:00", "2026-05-04T06:00:00Z", False, id="a time in another zone"),
        pytest.param("2026-05-04T06:00:00Z", "2026-05-04T07:00:00Z", True, id="another time"),
        pytest.param("2026-05-04T06:00:00Z", "soon", True, id="a time instead of text"),
    ],
)
def test_property_is_changed_if_its_stored_value_differs(wanted, found, differs):
    assert changed_properties(card(), {"a": wanted}, {"a": found, "b": "1"}) == (["a"] if differs else [])


@pytest.mark.parametrize(
    ("entry", "found", "differs"),
    [
        pytest.param({"is_credential": True, "provided": True}, {}, False, id="a credential"),
        pytest.param({"property_type": "read_only"}, {"a": "other"}, False, id="a read-only property"),
        pytest.param({"provided": True}, {}, False, id="provided, and not returned"),
        pytest.param({"provided": False}, {}, True, id="not provided"),
        pytest.param({"provided": True}, {"a": "other"}, True, id="another value"),
    ],
)
def test_value_that_stitch_does_not_return_is_never_changed(entry, found, differs):
    assert bool(changed_properties(card(a=entry), {"a": "mine"}, found)) is differs


def test_immutable_property_cannot_be_changed_once_it_is_set():
    fixed = {"property_type": "user_provided_immutable", "provided": True}
    report_card = card(a=fixed, b={**fixed, "provided": False}, c={})

    assert [is_immutable(report_card, name) for name in "abcd"] == [True, False, False, False]
    reject_immutable_changes("source s (1)", report_card, ["b", "c"])
    with pytest.raises(InvalidArgument, match=r"properties of source s \(1\) cannot be changed .*: a\."):
        reject_immutable_changes("source s (1)", report_card, ["a", "c"])


def test_missing_properties_are_grouped_by_step():
    def prop(name, **more):
        return {"name": name, "is_required": True, "provided": False, **more}

    steps = [
        {"type": "form", "properties": [prop("host"), prop("port", provided=True), {"name": "note"}]},
        {"type": "oauth", "properties": [prop("token", property_type="system_provided_by_default")]},
        {"type": "discover_schema", "properties": [prop("version", property_type="read_only")]},
    ]

    found = ReportCard.from_json({"type": "t", "steps": steps})

    assert found.missing_by_step == {"form": ("host",), "oauth": ("token",)}
    assert found.missing_properties == ("host",)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("schema", [STRING, {"type": "number"}, None])
def test_number_that_is_not_finite_is_rejected(schema, value):
    with pytest.raises(InvalidArgument, match="'rate' must be a finite number"):
        convert_to_schema(card(rate={"json_schema": schema}), {"rate": value})
