"""Report cards, which describe the configuration steps and properties of a connection or connection type.

See "Report card object" and "Connection step object" in the Stitch Connect API.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_stitch.emulator.model.connections.connector_types import (
    DESTINATION_TYPES,
    Property,
    SourceType,
    source_type,
)
from airflow_provider_stitch.emulator.model.connections.property_values import shown_schema
from airflow_provider_stitch.emulator.model.connections.schedule import DEFAULT_FREQUENCY_MINUTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_stitch.emulator.model.quirks import Quirks


class _Style(NamedTuple):
    """The quirks that affect the properties in a report card."""

    integers: bool
    immutable: tuple[str, ...]

    @classmethod
    def of(cls, quirks: Quirks) -> _Style:
        return cls(quirks.integer_properties, tuple(quirks.immutable_properties))


def source_report_card(
    kind: SourceType, current_step: str, provided: Collection[str], quirks: Quirks
) -> dict[str, Any]:
    """Return the report card in the JSON representation of a source.

    The report card of a source does not contain ``details`` and ``upgrade_available``.

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
    """Return the steps of a report card.

    The result is cached, because an account can have thousands of sources.
    """
    kind = source_type(type_name)
    return [
        {
            "type": step,
            "properties": _properties(_with_undocumented(step, own, kind, provided), provided, style),
        }
        for step, own in kind.steps.items()
    ]


def source_type_body(kind: SourceType, quirks: Quirks, *, access: bool) -> dict[str, Any]:
    """Return the JSON representation of a source type, which is a report card with details.

    A source type without steps has only details.
    """
    card = {"type": kind.name} if kind.has_no_steps else source_report_card(kind, "form", (), quirks)
    return {
        **card,
        "details": {
            "pricing_tier": "standard",
            "pipeline_state": kind.state,
            "default_start_date": "-1 year" if kind.has_extractions else None,
            "default_scheduling_interval": DEFAULT_FREQUENCY_MINUTES if kind.has_extractions else None,
            "protocol": kind.name,
            "access": access,
            "image_version": "1.latest" if kind.has_extractions else None,
        },
        "upgrade_available": None if kind.upgrade is None else {"type": kind.upgrade},
    }


def destination_report_card(
    destination_type: str, current_step: str, provided: Collection[str], quirks: Quirks
) -> dict[str, Any]:
    """Return the report card in the JSON representation of a destination."""
    form = _properties(DESTINATION_TYPES[destination_type], provided, _Style.of(quirks))
    return {
        "type": destination_type,
        "current_step": 1 if current_step == "form" else 2,
        "current_step_type": current_step,
        "steps": [
            # Properties of destinations do not have `tap_mutable`.
            {"type": "form", "properties": [{k: p[k] for k in p if k != "tap_mutable"} for p in form]},
            {"type": "fully_configured", "properties": []},
        ],
    }


def destination_type_body(destination_type: str, quirks: Quirks, *, access: bool) -> dict[str, Any]:
    """Return the JSON representation of a destination type, which is a report card with details."""
    details = {
        "access": access,
        "pricing_tier": "standard",
        "pipeline_state": "released",
        "protocol": destination_type,
    }
    return {**destination_report_card(destination_type, "form", (), quirks), "details": details}


def _with_undocumented(
    step: str, own: Iterable[Property], kind: SourceType, provided: Collection[str]
) -> list[Property]:
    """Return the properties of a configuration step.

    The step ``form`` includes undocumented properties that have a value.
    """
    if step != "form" or not kind.has_extractions:
        return list(own)
    known = {prop.name for properties in kind.steps.values() for prop in properties}
    undocumented = sorted(set(provided) - known)
    return [*own, *(Property(name, schema={"type": "string"}) for name in undocumented)]


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


def missing_properties(
    properties: Iterable[Property], provided: Mapping[str, Any] | Collection[str]
) -> list[str]:
    """Return the names of the required properties that have no value."""
    return [prop.name for prop in properties if prop.needs_input and prop.name not in provided]
