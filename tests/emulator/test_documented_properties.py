"""Test that the emulator's report cards have the documented properties for all connector types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.documented import DESTINATIONS, REPORT_CARDS, SOURCES, required_values

if TYPE_CHECKING:
    from .conftest import Api


def types_of(api: Api) -> dict[str, Any]:
    """Return the report card for each connector type.

    A type can be listed both as a source type and as a destination type.
    """
    cards = [*api.get("/v4/source-types"), *api.get("/v4/destination-types")]
    return {card["type"]: card for card in cards}


def properties_of(card: Any) -> dict[str, Any]:
    """Return the form properties in a report card, except `image_version`, which every source has."""
    form: Any = card["steps"][0]["properties"]
    return {prop["name"]: prop for prop in form if prop["name"] != "image_version"}


def summary(*, required: bool, credential: bool, schema: dict[str, Any] | None) -> tuple[bool, bool, Any]:
    """Return the facts about a property that both printed report cards and newer samples contain."""
    schema = schema or {}
    kinds = {option.get("type") for option in schema.get("anyOf", [schema])}
    return required, credential, kinds


def test_report_cards_have_the_documented_properties(api: Api) -> None:
    cards, differences = types_of(api), {}
    for name, documented in {**DESTINATIONS, **SOURCES}.items():
        if name in REPORT_CARDS:  # the next test checks these types more strictly
            continue
        served = properties_of(cards[name])
        differs = set(documented) ^ set(served)
        # Stitch sets internal properties itself.
        differs |= {
            each
            for each, words in documented.items()
            if each in served
            and "internal" not in words
            and served[each]["is_required"] is not words.startswith("required")
        }
        if differs:
            differences[name] = differs
    assert differences == {}


@pytest.mark.parametrize("name", REPORT_CARDS)
def test_printed_report_card_is_served(api: Api, name: str) -> None:
    card = types_of(api)[name]

    assert [step["type"] for step in card["steps"]] == list(REPORT_CARDS[name])
    for step in card["steps"]:
        documented = REPORT_CARDS[name][step["type"]]
        served = {prop["name"]: prop for prop in step["properties"]}
        assert set(documented) <= set(served)
        # Older report cards do not contain some properties that every source has today.
        assert set(served) - set(documented) <= {"anchor_time", "cron_expression", "image_version"}
        differs = [
            each
            for each, prop in documented.items()
            # According to a newer sample, the job frequency is optional. System properties are set by Stitch.
            if each != "frequency_in_minutes"
            and not prop["system"]
            and summary(
                required=served[each]["is_required"],
                credential=served[each]["is_credential"],
                schema=served[each]["json_schema"],
            )
            != summary(required=prop["required"], credential=prop["credential"], schema=prop["schema"])
        ]
        assert differs == []


def test_required_properties_complete_the_form_of_each_destination(api: Api) -> None:
    for name, documented in DESTINATIONS.items():
        for existing in api.get("/v4/destinations"):
            api("DELETE", f"/v4/destinations/{existing['id']}")
        body = {"type": name, "properties": required_values(documented)}
        created = api("POST", "/v4/destinations", json=body)
        assert created.status_code == 200, (name, created.text)
        assert missing_in_form(created.json()) == [], name


def test_required_properties_complete_the_form_of_each_source(api: Api) -> None:
    for number, (name, documented) in enumerate(SOURCES.items()):
        body = {
            "type": name,
            "display_name": f"Source {number}",
            "properties": required_values(documented),
        }
        created = api("POST", "/v4/sources", json=body)
        assert created.status_code == 200, (name, created.text)
        assert missing_in_form(created.json()) == [], name


def missing_in_form(connection: Any) -> list[str]:
    """Return the required form properties that Stitch reports as missing."""
    form = connection["report_card"]["steps"][0]["properties"]
    return [
        prop["name"]
        for prop in form
        if prop["is_required"] and not prop["provided"] and prop["property_type"] == "user_provided"
    ]
