"""Report cards: where a source or destination stands in its configuration, and what its type asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect._json import (
    flag,
    free_text,
    integer,
    items,
    mapping,
    record,
    required_text,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Property:
    """A property that a connection step asks for. Source: Stitch Connect API, "Connection step object"."""

    name: str
    is_required: bool | None
    is_credential: bool | None  #: its value is never returned
    property_type: str | None  #: `user_provided`, `read_only` ...
    provided: bool | None
    json_schema: Any | None  #: what its value must look like
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Property:
        given = record(data, "property")
        return cls(
            name=required_text(given, "name"),
            is_required=flag(given, "is_required"),
            is_credential=flag(given, "is_credential"),
            property_type=text(given, "property_type"),
            provided=flag(given, "provided"),
            json_schema=given.get("json_schema"),
            raw=given,
        )

    @property
    def is_open(self) -> bool:
        """Whether it is required, has no value, and a user or Stitch has to provide one."""
        return bool(self.is_required and self.property_type != "read_only" and not self.provided)

    @property
    def is_missing(self) -> bool:
        """Whether the user has to give it and has not."""
        is_ours = self.property_type not in ("read_only", "system_provided_by_default")
        return bool(self.is_required and is_ours and not self.provided)


@dataclass(frozen=True, slots=True)
class ConnectionStep:
    """A step of the configuration. Source: Stitch Connect API, "Connection step object"."""

    type: str  #: `form`, `oauth`, `profile`, `discover_schema`, `field_selection` or `fully_configured`
    properties: tuple[Property, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> ConnectionStep:
        step = record(data, "connection step")
        properties = tuple(Property.from_json(each) for each in items(step, "properties"))
        return cls(type=required_text(step, "type"), properties=properties, raw=step)


@dataclass(frozen=True, slots=True)
class TypeDetails:
    """What a type is like. Source: Stitch Connect API, "Details object"."""

    access: bool | None  #: this account may use the type
    pricing_tier: str | None
    pipeline_state: str | None  #: `alpha`, `beta`, `released` or `deprecated`
    protocol: str | None
    default_start_date: str | None  #: `-1 year`
    default_scheduling_interval: int | None  #: minutes
    image_version: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> TypeDetails:
        details = record(data, "type's details")
        return cls(
            access=flag(details, "access"),
            pricing_tier=text(details, "pricing_tier"),
            pipeline_state=text(details, "pipeline_state"),
            protocol=text(details, "protocol"),
            default_start_date=free_text(details, "default_start_date"),
            default_scheduling_interval=integer(details, "default_scheduling_interval"),
            image_version=free_text(details, "image_version"),
            raw=details,
        )


@dataclass(frozen=True, slots=True)
class ReportCard:
    """Where a source or destination stands in its configuration; or what a type of them asks for.

    Source: Stitch Connect API, "Source report card object", "Destination report card object".
    """

    type: str  #: `platform.hubspot`, `snowflake` ...
    current_step: str | None  #: the type of the step; its number contradicts it in samples
    steps: tuple[ConnectionStep, ...]  #: in order; empty for some types, most of them deprecated
    details: TypeDetails | None  #: only of types
    upgrade_available: str | None  #: the newer type that replaces this one
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> ReportCard:
        card = record(data, "report card")
        details = card.get("details")
        return cls(
            type=required_text(card, "type"),
            current_step=text(card, "current_step_type"),
            steps=tuple(ConnectionStep.from_json(each) for each in items(card, "steps")),
            details=None if details is None else TypeDetails.from_json(details),
            upgrade_available=text(mapping(card, "upgrade_available") or {}, "type"),
            raw=card,
        )

    @classmethod
    def within(cls, data: Mapping[str, Any]) -> ReportCard | None:
        """Return the report card of a source or destination, None if it has none."""
        card = data.get("report_card")
        return None if card is None else cls.from_json(card)

    @property
    def properties(self) -> dict[str, Property]:
        """The properties of all steps by name."""
        return {each.name: each for step in self.steps for each in step.properties}

    @property
    def missing_by_step(self) -> dict[str, tuple[str, ...]]:
        """Names of the required properties without a value, by step.

        They include properties that Stitch may provide itself, such as those of the OAuth step.
        """
        by_step = {
            step.type: tuple(each.name for each in step.properties if each.is_open) for step in self.steps
        }
        return {step: names for step, names in by_step.items() if names}

    @property
    def missing_properties(self) -> tuple[str, ...]:
        """Names of the properties that are required and not given yet."""
        return tuple(each.name for step in self.steps for each in step.properties if each.is_missing)


def current_step(data: Mapping[str, Any]) -> str | None:
    """Return the type of the step that a source or destination is at."""
    # Not `current_step`: samples show 1 beside `fully_configured`.
    return text(mapping(data, "report_card") or {}, "current_step_type")
