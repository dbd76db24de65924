"""The types of sources and destinations that the emulator serves, with the properties of their steps.

`report_cards.json` lists the documented properties of each type. Where the documentation prints a whole
report card, the file follows it. Elsewhere it follows the tables of properties, which do not say which values
are secret: the file marks a property as a credential by its name. A source type without any credential of its
own gets the documented OAuth step.

An entry of the file is the name of a property and then any of: `required`, `credential`, `read_only`,
`system` (provided by Stitch unless the user sends it), the form of its value, and `=` with the default that
Stitch fills in. `@start_date` and `@oauth` stand for properties that many types share.
Source: Stitch Connect API, "Connection property object", "Source form properties".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

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
    credential: bool = False  #: its value is never returned
    kind: str = "user_provided"
    schema: dict[str, Any] | None = None
    default: str | None = None  #: what Stitch fills in if the user leaves it out

    @property
    def asked_for(self) -> bool:
        """Whether a user must give it before the configuration goes on."""
        return self.required and self.kind != "read_only"

    @classmethod
    def parse(cls, entry: str) -> Property:
        """Read an entry of `report_cards.json`."""
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
    """A kind of source."""

    name: str
    form: tuple[Property, ...] = ()
    oauth: tuple[Property, ...] = ()
    profile: tuple[Property, ...] = ()
    streams: tuple[str, ...] = ("customers", "orders")  #: what discovery finds, unless a test says otherwise
    state: str = "released"
    upgrade: str | None = None  #: the newer type that replaces this one

    @property
    def singer_backed(self) -> bool:
        """Whether its sources have extractions at all. Import API and webhook sources have none."""
        return self.name.startswith("platform.")

    @property
    def bare(self) -> bool:
        """Deprecated types, and destination types among the sources: they have no steps."""
        return not self.singer_backed and not self.name.startswith(("import_api", "webhook."))

    @property
    def properties(self) -> list[Property]:
        """The properties of all its steps."""
        return [prop for own in self.steps.values() for prop in own]

    @property
    def steps(self) -> dict[str, tuple[Property, ...]]:
        """Its connection steps, in order, with their properties."""
        if not self.singer_backed:
            return {"form": self.form, "fully_configured": ()}
        asked = {"form": self.form, "oauth": self.oauth, "profile": self.profile}
        return {
            **{step: properties for step, properties in asked.items() if properties or step == "form"},
            "discover_schema": (),
            "field_selection": (),
            "fully_configured": (),
        }


_FILE: dict[str, Any] = json.loads(files(__package__).joinpath("report_cards.json").read_text("utf-8"))
_OAUTH = tuple(Property.parse(entry) for entry in _FILE["oauth"])
_START_DATE = Property("start_date", required=True, schema=_MIDNIGHT)
#: The properties that every source has from which Stitch extracts.
_OF_ALL = (
    Property("anchor_time", schema=_ISO),
    Property("cron_expression", schema=_STRING),
    Property("frequency_in_minutes", schema=_FREQUENCY),
    Property("image_version", required=True, kind="read_only"),
)
#: The streams of some types, so that tests read well.
_STREAMS = {
    "platform.closeio": ("activities", "leads"),
    "platform.facebook": ("ads", "campaigns"),
    "platform.github": ("commits", "issues", "pull_requests"),
    "platform.google-analytics": ("report",),
    "platform.hubspot": ("companies", "contacts", "deals"),
    "platform.salesforce": ("Account", "Contact", "Lead"),
}
#: Facebook Ads is the documented example of a type with a profile. Its property is not documented.
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
    """A type that is known, or one of the usual kind that a test has made up."""
    known = SOURCE_TYPES.get(name)
    if known is not None:
        return known
    return replace(_GENERIC, name=name) if name.startswith("platform.") else SourceType(name)


#: The destination types, each with its form.
DESTINATION_TYPES: dict[str, tuple[Property, ...]] = {
    name: tuple(Property.parse(entry) for entry in entries) for name, entries in _FILE["destinations"].items()
}
