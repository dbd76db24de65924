"""The types of sources and destinations that the emulator knows: a few of Stitch's more than 200.

Which properties a type has is documented for GitHub and Close.io, and the common ones for all. The others are
of the usual kind: what a client can rely on is that a report card tells them.
Source: Stitch Connect API, "Connection property object", "Source form properties".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_TEXT = {"type": "string"}
_FREQUENCY = {"type": "string", "pattern": "^1$|^30$|^60$|^360$|^720$|^1440$"}
_BOOLEAN = {"type": "string", "pattern": "^(true|false)$"}
_NUMBER = {"type": "string", "pattern": "^\\d+$"}
_MIDNIGHT = {"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}T00:00:00Z$"}
_ISO = {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class Property:
    """A property of a connection step."""

    name: str
    required: bool = False
    credential: bool = False  #: its value is never returned
    kind: str = "user_provided"
    schema: dict[str, Any] | None = None

    @property
    def asked_for(self) -> bool:
        """Whether a user must give it before the configuration goes on."""
        return self.required and self.kind != "read_only"


def _given(name: str, schema: dict[str, Any] | None = None) -> Property:
    return Property(name, required=True, schema=schema or _TEXT)


def _secret(name: str) -> Property:
    return Property(name, required=True, credential=True, schema=_TEXT)


def _choice(name: str, schema: dict[str, Any] | None = None) -> Property:
    return Property(name, schema=schema or _TEXT)


def _singer(*own: Property) -> tuple[Property, ...]:
    """The form of a source that Stitch extracts: its own properties, and what all of them have."""
    return (
        *own,
        _choice("anchor_time", _ISO),
        _choice("cron_expression"),
        _choice("frequency_in_minutes", _FREQUENCY),
        Property("image_version", required=True, kind="read_only"),
    )


def _saas(*own: Property) -> tuple[Property, ...]:
    return _singer(*own, _given("start_date", _MIDNIGHT))


_OAUTH = (_secret("client_id"), _secret("client_secret"), _secret("refresh_token"))
_DATABASE = _singer(
    _secret("password"),
    _given("host"),
    _given("port", _NUMBER),
    _given("user"),
    _choice("dbname"),
    _choice("ssl", _BOOLEAN),
    _choice("include_schemas_in_destination_stream_name", _BOOLEAN),
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


_GENERIC = _saas(_secret("access_token"))
SOURCE_TYPES: dict[str, SourceType] = {
    kind.name: kind
    for kind in (
        SourceType("import_api"),
        SourceType("mysql", state="deprecated", upgrade="platform.hp-mysql"),
        SourceType("platform.closeio", _saas(_secret("api_key")), streams=("activities", "leads")),
        SourceType(
            "platform.facebook",
            _saas(),
            _OAUTH,
            profile=(_given("account_id"),),
            streams=("ads", "campaigns"),
        ),
        SourceType(
            "platform.github",
            _saas(_secret("access_token"), _choice("repository")),
            streams=("commits", "issues", "pull_requests"),
        ),
        SourceType("platform.google-analytics", _saas(), _OAUTH, streams=("report",)),
        SourceType("platform.hp-mysql", _DATABASE),
        SourceType("platform.hp-postgres", _DATABASE),
        SourceType("platform.hubspot", _saas(), _OAUTH, streams=("companies", "contacts", "deals")),
        SourceType("platform.salesforce", _saas(), _OAUTH, streams=("Account", "Contact", "Lead")),
        SourceType("platform.shopify", _saas(_secret("api_key"), _given("shop"))),
        SourceType("platform.stripe", _saas(_secret("client_secret"), _choice("account_id"))),
        SourceType("platform.zendesk", _saas(_secret("access_token"), _choice("subdomain"))),
        SourceType("redshift"),
        SourceType("webhook.zapier"),
    )
}


def source_type(name: str) -> SourceType:
    """A type that is known, or one of the usual kind that a test has made up."""
    known = SOURCE_TYPES.get(name)
    if known is not None:
        return known
    return SourceType(name, _GENERIC if name.startswith("platform.") else ())


_WAREHOUSE = (
    _given("database"),
    _choice("host"),
    _choice("port", _NUMBER),
    _choice("username"),
    Property("password", credential=True, schema=_TEXT),
    _choice("ssl", _BOOLEAN),
    _choice("encryption_type"),
)
#: The destination types, each with its form. What is required beyond the documented sample is not known.
DESTINATION_TYPES: dict[str, tuple[Property, ...]] = {
    "azure_sqldw": _WAREHOUSE,
    "bigquery_v2": (_choice("project_id"), Property("credentials", credential=True, schema=_TEXT)),
    "databricks_delta": (_choice("jdbc"), Property("access_token", credential=True, schema=_TEXT)),
    "dataworld": (_choice("dataset"), Property("api_token", credential=True, schema=_TEXT)),
    "mssql_server": _WAREHOUSE,
    "mysql_destination": _WAREHOUSE,
    "panoply": _WAREHOUSE,
    "postgres": _WAREHOUSE,
    "redshift": _WAREHOUSE,
    "s3": (_choice("s3_bucket"), _choice("output_file_format")),
    "snowflake": (*_WAREHOUSE, _choice("warehouse"), _choice("role")),
}
