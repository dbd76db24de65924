"""Report cards, which describe the properties of a type or the configuration of a source or destination."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects.json import (
    array,
    display_string,
    json_object,
    optional_boolean,
    optional_integer,
    optional_object,
    optional_string,
    required_string,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a source or destination that is set in a configuration step.

    Source: Stitch Connect API, "Connection step object".
    """

    name: str
    is_required: bool | None
    is_credential: bool | None  #: whether the value is secret, so that Stitch never returns it
    property_type: str | None  #: the kind of property, such as `user_provided` or `read_only`
    provided: bool | None
    json_schema: Any | None  #: the JSON schema of the property's value
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Property:
        prop = json_object(data, "property")
        return cls(
            name=required_string(prop, "name"),
            is_required=optional_boolean(prop, "is_required"),
            is_credential=optional_boolean(prop, "is_credential"),
            property_type=optional_string(prop, "property_type"),
            provided=optional_boolean(prop, "provided"),
            json_schema=prop.get("json_schema"),
            raw=prop,
        )

    @property
    def is_open(self) -> bool:
        """Whether the property is required and writable, but has no value yet."""
        return bool(self.is_required and self.property_type != "read_only" and not self.provided)

    @property
    def is_missing(self) -> bool:
        """Whether the user must still provide a value for the property."""
        is_for_user = self.property_type not in ("read_only", "system_provided_by_default")
        return bool(self.is_required and is_for_user and not self.provided)


@dataclass(frozen=True, slots=True)
class ConnectionStep:
    """One configuration step of a source or destination.

    Source: Stitch Connect API, "Connection step object".
    """

    type: str  #: `form`, `oauth`, `profile`, `discover_schema`, `field_selection` or `fully_configured`
    properties: tuple[Property, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> ConnectionStep:
        step = json_object(data, "connection step")
        properties = tuple(Property.from_json(each) for each in array(step, "properties"))
        return cls(type=required_string(step, "type"), properties=properties, raw=step)


@dataclass(frozen=True, slots=True)
class TypeDetails:
    """Details of a source or destination type. Source: Stitch Connect API, "Details object"."""

    access: bool | None  #: whether this account may use the type
    pricing_tier: str | None
    pipeline_state: str | None  #: `alpha`, `beta`, `released` or `deprecated`
    protocol: str | None
    default_start_date: str | None  #: a relative time, such as `-1 year`
    default_scheduling_interval: int | None  #: in minutes
    image_version: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> TypeDetails:
        details = json_object(data, "type's details")
        return cls(
            access=optional_boolean(details, "access"),
            pricing_tier=optional_string(details, "pricing_tier"),
            pipeline_state=optional_string(details, "pipeline_state"),
            protocol=optional_string(details, "protocol"),
            default_start_date=display_string(details, "default_start_date"),
            default_scheduling_interval=optional_integer(details, "default_scheduling_interval"),
            image_version=display_string(details, "image_version"),
            raw=details,
        )


@dataclass(frozen=True, slots=True)
class ReportCard:
    """The configuration of a source or destination, or the properties of a type.

    Source: Stitch Connect API, "Source report card object", "Destination report card object".
    """

    type: str  #: the type, such as `platform.hubspot` or `snowflake`
    #: Type of the current step. The number of the step is not used, because it contradicts the type in
    #: Stitch's samples.
    current_step: str | None
    #: The configuration steps; empty for some types, most of which are deprecated.
    steps: tuple[ConnectionStep, ...]
    details: TypeDetails | None  #: the details of the type, included only in the report cards of types
    upgrade_available: str | None  #: the newer type that replaces this type
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> ReportCard:
        card = json_object(data, "report card")
        details = card.get("details")
        return cls(
            type=required_string(card, "type"),
            current_step=optional_string(card, "current_step_type"),
            steps=tuple(ConnectionStep.from_json(each) for each in array(card, "steps")),
            details=None if details is None else TypeDetails.from_json(details),
            upgrade_available=optional_string(optional_object(card, "upgrade_available") or {}, "type"),
            raw=card,
        )

    @classmethod
    def within(cls, data: Mapping[str, Any]) -> ReportCard | None:
        """Return the report card of a source or destination, or None if it is missing."""
        card = data.get("report_card")
        return None if card is None else cls.from_json(card)

    @property
    def properties(self) -> dict[str, Property]:
        """The properties of all configuration steps, by property name."""
        return {each.name: each for step in self.steps for each in step.properties}

    @property
    def missing_by_step(self) -> dict[str, tuple[str, ...]]:
        """The names of the required properties without a value, by step.

        The names include properties that Stitch may provide, such as the properties of the OAuth step.
        """
        by_step = {
            step.type: tuple(each.name for each in step.properties if each.is_open) for step in self.steps
        }
        return {step: names for step, names in by_step.items() if names}

    @property
    def missing_properties(self) -> tuple[str, ...]:
        """The names of the required properties that the user must still provide."""
        return tuple(each.name for step in self.steps for each in step.properties if each.is_missing)


def current_step(data: Mapping[str, Any]) -> str | None:
    """Return the type of the current configuration step of a source or destination."""
    # The number `current_step` is not used, because it is 1 in samples of the type `fully_configured`.
    return optional_string(optional_object(data, "report_card") or {}, "current_step_type")
