"""The source and destination types that the emulator supports, with their configuration properties.

`report_cards.json` contains the documented properties of each type. If the documentation contains a complete
report card for a type, the properties are from that report card. Otherwise, the properties are from the
documented tables. The tables do not specify which values are secret, so the file marks a property as a
credential because of its name. A source type without a property for credentials has the documented OAuth
step.

Each entry of the file is the name of a property, followed by optional words: `required`, `credential`,
`read_only`, `system` (provided by Stitch unless the user sets the property), the format of the value, and `=`
with the default value. `@start_date` and `@oauth` stand for properties that many types share.
See "Connection property object" and "Source form properties" in the Stitch Connect API.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container

_STRING = {"type": "string"}
_FREQUENCY = {"type": "string", "pattern": "^1$|^30$|^60$|^360$|^720$|^1440$"}
_MIDNIGHT = {"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}T00:00:00Z$"}
_ISO = {"type": "string", "format": "date-time"}
_DIGITS = {"type": "string", "pattern": "^\\d+$"}
_FORMS: dict[str, dict[str, Any]] = {
    "address": {"anyOf": [{"type": "string", "format": name} for name in ("ipv4", "ipv6", "hostname")]},
    "array": {"type": "array"},
    "boolean": {"type": "boolean"},
    "csv|json": {"type": "string", "pattern": "^(csv|json)$"},
    "digits": _DIGITS,
    "flag": {"type": "string", "pattern": "^(true|false)$"},
    "integer": {"type": "integer"},
    "object": {"type": "object"},
    "ssh|none": {"type": "string", "pattern": "^(ssh|none)$"},
    "string|integer": {"anyOf": [_STRING, {"type": "integer"}]},
}


@dataclass(frozen=True)
class Property:
    """A property of a connection step."""

    name: str
    required: bool = False
    credential: bool = False  #: whether the value is a secret, which the API never returns
    kind: str = "user_provided"
    schema: dict[str, Any] | None = None
    default: str | None = None  #: the value that Stitch sets if the user omits the property

    @property
    def needs_input(self) -> bool:
        """Return whether the user must set the property before the configuration can continue."""
        return self.required and self.kind != "read_only"

    @classmethod
    def parse(cls, entry: str) -> Property:
        """Parse an entry of `report_cards.json`."""
        name, *words = entry.split()
        kinds = {"read_only": "read_only", "system": "system_provided_by_default"}
        forms = [_FORMS[word] for word in words if word in _FORMS]
        kind = next((kinds[word] for word in words if word in kinds), "user_provided")
        return cls(
            name,
            required="required" in words,
            credential="credential" in words,
            kind=kind,
            schema=forms[0] if forms else None if kind == "read_only" else _STRING,
            default=next((word[1:] for word in words if word.startswith("=")), None),
        )


@dataclass(frozen=True)
class SourceType:
    """A source type, with the properties of its steps."""

    name: str
    form: tuple[Property, ...] = ()
    oauth: tuple[Property, ...] = ()
    profile: tuple[Property, ...] = ()
    streams: tuple[str, ...] = ("customers", "orders")  #: the streams that discovery finds by default
    state: str = "released"
    upgrade: str | None = None  #: the name of the type that replaces this type

    @property
    def has_extractions(self) -> bool:
        """Return whether sources of this type have extractions. Import API and webhook sources do not."""
        return self.name.startswith("platform.")

    @property
    def has_no_steps(self) -> bool:
        """Return whether the type has no configuration steps.

        Deprecated types and destination types have none.
        """
        return not self.has_extractions and not self.name.startswith(("import_api", "webhook."))

    @property
    def properties(self) -> list[Property]:
        """Return the properties of all configuration steps."""
        return [prop for own in self.steps.values() for prop in own]

    @property
    def steps(self) -> dict[str, tuple[Property, ...]]:
        """Return the properties by configuration step, in the order of the steps."""
        if not self.has_extractions:
            return {"form": self.form, "fully_configured": ()}
        input_steps = {"form": self.form, "oauth": self.oauth, "profile": self.profile}
        return {
            **{step: properties for step, properties in input_steps.items() if properties or step == "form"},
            "discover_schema": (),
            "field_selection": (),
            "fully_configured": (),
        }


_FILE: dict[str, Any] = json.loads(files(__package__).joinpath("report_cards.json").read_text("utf-8"))
_OAUTH = tuple(Property.parse(entry) for entry in _FILE["oauth"])
_START_DATE = Property("start_date", required=True, schema=_MIDNIGHT)
#: The properties of every source with extractions.
_OF_ALL = (
    Property("anchor_time", schema=_ISO),
    Property("cron_expression", schema=_STRING),
    Property("frequency_in_minutes", schema=_FREQUENCY),
    Property("image_version", required=True, kind="read_only"),
)
#: Realistic stream names for some types.
_STREAMS = {
    "platform.closeio": ("activities", "leads"),
    "platform.facebook": ("ads", "campaigns"),
    "platform.github": ("commits", "issues", "pull_requests"),
    "platform.google-analytics": ("report",),
    "platform.hubspot": ("companies", "contacts", "deals"),
    "platform.salesforce": ("Account", "Contact", "Lead"),
}
#: Facebook Ads is the documented example of a source type with a profile step. Stitch does not document which
#: property the profile step requires.
_PROFILES = {"platform.facebook": (Property("account_id", required=True, schema=_STRING),)}


def _source_type(name: str, entries: list[str]) -> SourceType:
    own = [Property.parse(entry) for entry in entries if not entry.startswith("@")]
    if "@start_date" in entries:
        own.append(_START_DATE)
    extracted = name.startswith("platform.")
    return SourceType(
        name,
        form=(*own, *_OF_ALL) if extracted else tuple(own),
        oauth=_OAUTH if "@oauth" in entries else (),
        profile=_PROFILES.get(name, ()),
        streams=_STREAMS.get(name, SourceType.streams),
    )


SOURCE_TYPES: dict[str, SourceType] = {
    **{name: _source_type(name, entries) for name, entries in _FILE["sources"].items()},
    "mysql": SourceType("mysql", state="deprecated", upgrade="platform.hp-mysql"),
    "redshift": SourceType("redshift"),
    "webhook.zapier": SourceType("webhook.zapier"),
}
_GENERIC = _source_type("platform.", ["access_token required credential", "@start_date"])


def source_type(name: str) -> SourceType:
    """Return the source type with this name, or a generic type if the name is unknown."""
    known = SOURCE_TYPES.get(name)
    if known is not None:
        return known
    return replace(_GENERIC, name=name) if name.startswith("platform.") else SourceType(name)


def check_source_type(name: str, planned: Container[str]) -> None:
    """Check that a source type is known. The name of an unknown source type is probably misspelled.

    :param planned: additional source types that a test has planned.
    :raises ValueError: if the source type is unknown.
    """
    if not isinstance(name, str):
        raise ValueError(f"The type of a source must be a string such as platform.github, not {name!r}.")
    if name in SOURCE_TYPES or name in planned or name.startswith("webhook."):
        return
    short = {known.rpartition(".")[2]: known for known in SOURCE_TYPES}
    names = {**short, **{known: known for known in SOURCE_TYPES}}
    near = dict.fromkeys(names[each] for each in difflib.get_close_matches(name, names, n=3))
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    prefix = "" if name.startswith("platform.") else "platform."
    raise ValueError(
        f"Stitch does not document the source type {name!r}. {hint}GET /v4/source-types returns all "
        f"documented types. To use another type, call plan_new_sources({prefix + name!r}) first, or add it "
        "to new_sources in a scenario."
    )


#: The connection properties of each destination type.
DESTINATION_TYPES: dict[str, tuple[Property, ...]] = {
    name: tuple(Property.parse(entry) for entry in entries) for name, entries in _FILE["destinations"].items()
}


def check_destination_type(name: str) -> None:
    """Raise ValueError if Stitch does not have this destination type."""
    if name not in DESTINATION_TYPES:
        listed = ", ".join(DESTINATION_TYPES)
        raise ValueError(
            f"Stitch has no destinations of type {name!r}. Destination types of Stitch: {listed}."
        )
