"""Report cards: where a connection stands in its configuration, and what a source type looks like.

Source: Stitch Connect API, "Report card object" and "Connection step object".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

WITH_DISCOVERY = ("form", "discover_schema", "field_selection", "fully_configured")
WITHOUT_DISCOVERY = ("form", "fully_configured")
#: The source types that ``GET /v4/source-types/{source_type}`` knows: a few of Stitch's more than 200.
KNOWN_TYPES = frozenset(
    {
        "import_api",
        "platform.closeio",
        "platform.facebook",
        "platform.github",
        "platform.google-analytics",
        "platform.hp-mysql",
        "platform.hp-postgres",
        "platform.hubspot",
        "platform.salesforce",
        "platform.shopify",
        "platform.stripe",
        "platform.zendesk",
        "webhook.zapier",
    }
)
_CREDENTIALS = {"platform.hp-postgres": "password", "platform.hp-mysql": "password"}


def is_singer_backed(source_type: str) -> bool:
    """Whether a source has extractions at all. Import API and webhook sources have none."""
    return source_type.startswith("platform.")


def steps_of(source_type: str) -> tuple[str, ...]:
    """The connection steps of a type, in order."""
    return WITH_DISCOVERY if is_singer_backed(source_type) else WITHOUT_DISCOVERY


def tap_name(source_type: str) -> str:
    """The tap of a type, as extractions name it: ``tap-github``. Never the type itself."""
    return "tap-" + source_type.removeprefix("platform.").removeprefix("hp-")


def source_report_card(source_type: str, current_step: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The report card inside a Source: without ``details`` and ``upgrade_available``."""
    steps = steps_of(source_type)
    return {
        "type": source_type,
        "current_step": steps.index(current_step) + 1,  # counted from 1
        "current_step_type": current_step,
        "steps": [
            {"type": step, "properties": _form(source_type, properties) if step == "form" else []}
            for step in steps
        ],
    }


def source_type_body(source_type: str) -> dict[str, Any]:
    """A source type: a bare report card with details."""
    return {
        **source_report_card(source_type, "form", {}),
        "details": {
            "pricing_tier": "standard",
            "pipeline_state": "released",
            "default_start_date": "-1 year",
            "default_scheduling_interval": 30,
            "protocol": source_type,
            "access": True,
            "image_version": "1.latest",
        },
        "upgrade_available": None,
    }


def destination_report_card(destination_type: str) -> dict[str, Any]:
    """The report card inside a Destination that is connected."""
    database = _property("database", "user_provided", {"type": "string"}, provided=True)
    return {
        "type": destination_type,
        "current_step": 2,
        "current_step_type": "fully_configured",
        "steps": [
            # `tap_mutable` is absent in destinations.
            {"type": "form", "properties": [{k: v for k, v in database.items() if k != "tap_mutable"}]},
            {"type": "fully_configured", "properties": []},
        ],
    }


def _form(source_type: str, properties: Collection[str]) -> list[dict[str, Any]]:
    if not is_singer_backed(source_type):
        return []
    credential = _CREDENTIALS.get(source_type, "access_token")
    known = {credential, "frequency_in_minutes", "image_version"}
    return [
        # A credential's value is never returned, so the properties do not tell whether there is one.
        _property(
            credential, "user_provided", {"type": "string"}, provided=bool(properties), credential=True
        ),
        _property(
            "frequency_in_minutes",
            "user_provided",
            {"type": "string", "pattern": "^1$|^30$|^60$|^360$|^720$|^1440$"},
            provided="frequency_in_minutes" in properties,
            required=False,
        ),
        _property("image_version", "read_only", None, provided="image_version" in properties),
        *(
            _property(name, "user_provided", {"type": "string"}, provided=True, required=False)
            for name in sorted(set(properties) - known)
        ),
    ]


def _property(
    name: str,
    kind: str,
    schema: dict[str, Any] | None,
    *,
    provided: bool,
    credential: bool = False,
    required: bool = True,
) -> dict[str, Any]:
    return {
        "name": name,
        "is_required": required,
        "is_credential": credential,
        "system_provided": kind == "read_only",
        "property_type": kind,
        "json_schema": schema,
        "provided": provided,
        "tap_mutable": False,
    }
