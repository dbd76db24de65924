"""Report cards: where a connection stands in its configuration, and what a type looks like.

Source: Stitch Connect API, "Report card object" and "Connection step object".
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_stitch.emulator.catalogue import DESTINATION_TYPES, Property, SourceType, source_type
from airflow_provider_stitch.emulator.values import shown_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_stitch.emulator.plans import Quirks


class _Style(NamedTuple):
    """How properties are shown, as far as the documentation leaves it open."""

    integers: bool
    immutable: tuple[str, ...]

    @classmethod
    def of(cls, quirks: Quirks) -> _Style:
        return cls(quirks.integer_properties, tuple(quirks.immutable_properties))


def source_report_card(
    kind: SourceType, current_step: str, provided: Collection[str], quirks: Quirks
) -> dict[str, Any]:
    """The report card inside a Source: without ``details`` and ``upgrade_available``.

    :param provided: the names of the properties that have a value.
    """
    steps = _steps(kind.name, frozenset(provided), _Style.of(quirks))
    position = [step["type"] for step in steps].index(current_step) + 1
    return {
        "type": kind.name,
        "current_step": position if quirks.steps_by_position else 1,
        "current_step_type": current_step,
        "steps": steps,
    }


@lru_cache(maxsize=1024)
def _steps(type_name: str, provided: frozenset[str], style: _Style) -> list[dict[str, Any]]:
    """The steps, shared by all sources that have been given the same: an account may have thousands."""
    kind = source_type(type_name)
    return [
        {"type": step, "properties": _properties(_with_others(step, own, kind, provided), provided, style)}
        for step, own in kind.steps.items()
    ]


def source_type_body(kind: SourceType, quirks: Quirks, *, access: bool) -> dict[str, Any]:
    """A source type: a bare report card with details. Some have nothing but the details."""
    card = {"type": kind.name} if kind.bare else source_report_card(kind, "form", (), quirks)
    return {
        **card,
        "details": {
            "pricing_tier": "standard",
            "pipeline_state": kind.state,
            "default_start_date": "-1 year" if kind.singer_backed else None,
            "default_scheduling_interval": 30 if kind.singer_backed else None,
            "protocol": kind.name,
            "access": access,
            "image_version": "1.latest" if kind.singer_backed else None,
        },
        "upgrade_available": None if kind.upgrade is None else {"type": kind.upgrade},
    }


def destination_report_card(
    destination_type: str, current_step: str, provided: Collection[str], quirks: Quirks
) -> dict[str, Any]:
    """The report card inside a Destination."""
    form = _properties(DESTINATION_TYPES[destination_type], provided, _Style.of(quirks))
    return {
        "type": destination_type,
        "current_step": 1 if current_step == "form" else 2,
        "current_step_type": current_step,
        "steps": [
            # `tap_mutable` is absent in destinations.
            {"type": "form", "properties": [{k: p[k] for k in p if k != "tap_mutable"} for p in form]},
            {"type": "fully_configured", "properties": []},
        ],
    }


def destination_type_body(destination_type: str, quirks: Quirks) -> dict[str, Any]:
    """A destination type: a bare report card with details."""
    details = {
        "access": True,
        "pricing_tier": "standard",
        "pipeline_state": "released",
        "protocol": destination_type,
    }
    return {**destination_report_card(destination_type, "form", (), quirks), "details": details}


def _with_others(
    step: str, own: Iterable[Property], kind: SourceType, provided: Collection[str]
) -> list[Property]:
    """The form also lists what was given beyond the properties of the type that are modelled."""
    if step != "form" or not kind.singer_backed:
        return list(own)
    known = {prop.name for properties in kind.steps.values() for prop in properties}
    others = sorted(set(provided) - known)
    return [*own, *(Property(name, schema={"type": "string"}) for name in others)]


def _properties(
    properties: Iterable[Property], provided: Collection[str], style: _Style
) -> list[dict[str, Any]]:
    return [
        {
            "name": prop.name,
            "is_required": prop.required,
            "is_credential": prop.credential,
            "system_provided": prop.kind in ("read_only", "system_provided_by_default"),
            "property_type": "user_provided_immutable" if prop.name in style.immutable else prop.kind,
            "json_schema": shown_schema(prop, integers=style.integers),
            "provided": prop.name in provided,
            "tap_mutable": False,
        }
        for prop in properties
    ]


def missing(properties: Iterable[Property], provided: Mapping[str, Any] | Collection[str]) -> list[str]:
    """The names of what a step still asks for."""
    return [prop.name for prop in properties if prop.asked_for and prop.name not in provided]
