"""The shapes of what the API takes and gives, as JSON schemas (dialect 2020-12).

Objects of answers are closed: a key that is not described is a fault of the emulator.
Source: Stitch Connect API, the section of each object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FULL_TEXT: Schema = {"type": "string", "minLength": 1}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
OBJECT: Schema = {"type": "object"}
TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def nullable(schema: Schema) -> Schema:
    """It, or null."""
    return {"anyOf": [schema, NULL]}


def one_of(*schemas: Schema) -> Schema:
    """Any of these."""
    return {"anyOf": list(schemas)}


def array(items: Schema, **more: Any) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items, **more}


def choice(*values: str) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(values)}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """A component."""
    return {"$ref": f"#/components/schemas/{name}"}


def page_of(name: str) -> Schema:
    """A page of a list."""
    links = record({}, {"next": TEXT, "previous": TEXT})
    return record({"data": array(ref(name), maxItems=100), "page": INTEGER, "total": INTEGER, "links": links})


_MESSAGE = record({"message": one_of(TEXT, OBJECT)})
_STEP = choice("form", "oauth", "profile", "discover_schema", "field_selection", "fully_configured")
_EXIT_STATUS = nullable(INTEGER)
_DESCRIPTION = nullable(TEXT)
_CARD: dict[str, Schema] = {
    "current_step": {"type": "integer", "minimum": 1},
    "current_step_type": _STEP,
    "steps": array(ref("ConnectionStep")),
}
_DETAILS = record(
    {
        "access": BOOLEAN,
        "pricing_tier": choice("standard", "enterprise"),
        "pipeline_state": choice("alpha", "beta", "released", "deprecated"),
        "protocol": TEXT,
    },
    {
        "default_start_date": nullable(TEXT),
        "default_scheduling_interval": nullable(INTEGER),
        "image_version": nullable(TEXT),
    },
)
_PAUSES_AND_TIMES: dict[str, Schema] = {
    "paused_at": nullable(TIME),
    "system_paused_at": nullable(TIME),
    "deleted_at": nullable(TIME),
    "created_at": TIME,
    "updated_at": TIME,
}

COMPONENTS: dict[str, Schema] = {
    "ConnectionProperty": record(
        {
            "name": TEXT,
            "is_required": BOOLEAN,
            "is_credential": BOOLEAN,
            "system_provided": BOOLEAN,
            "property_type": choice(
                "user_provided",
                "user_provided_immutable",
                "user_provided_advanced",
                "system_provided_by_default",
                "read_only",
            ),
            "json_schema": nullable(OBJECT),
            "provided": BOOLEAN,
        },
        {"tap_mutable": BOOLEAN},
    ),
    "ConnectionStep": record({"type": _STEP, "properties": array(ref("ConnectionProperty"))}),
    "ReportCard": record({"type": TEXT, **_CARD}),
    "SourceType": record(
        {"type": TEXT, "details": _DETAILS, "upgrade_available": nullable(record({"type": TEXT}))}, _CARD
    ),
    "DestinationType": record({"type": TEXT, **_CARD, "details": _DETAILS}),
    "Schedule": one_of(
        record(
            {
                "type": {"const": "interval"},
                "unit": {"const": "minute"},
                "interval": {"type": "number"},
                "next_fire_time": TIME,
            }
        ),
        record({"type": {"const": "cron"}, "cron_expression": TEXT, "next_fire_time": TIME}),
    ),
    "Source": record(
        {
            "id": INTEGER,
            "name": TEXT,
            "display_name": TEXT,
            "type": TEXT,
            "stitch_client_id": INTEGER,
            "properties": OBJECT,
            "schedule": nullable(ref("Schedule")),
            **_PAUSES_AND_TIMES,
            "report_card": ref("ReportCard"),
        },
        {"check_job_name": TEXT},
    ),
    "Destination": record(
        {
            "id": INTEGER,
            "type": TEXT,
            "name": TEXT,
            "display_name": NULL,
            "description": TEXT,
            "stitch_client_id": INTEGER,
            "properties": OBJECT,
            **_PAUSES_AND_TIMES,
            "report_card": ref("ReportCard"),
        },
        {"check_job_name": TEXT},
    ),
    "DestinationV3": record(
        {
            "id": INTEGER,
            "type": TEXT,
            "created_at": TIME,
            "updated_at": TIME,
            "connection": OBJECT,
            "last_check": nullable(
                record({"error": BOOLEAN, "started_at": TIME, "completed_at": nullable(TIME)})
            ),
        }
    ),
    "ImportToken": record({"id": INTEGER, "access_token": TEXT}),
    "Stream": record(
        {
            "stream_id": INTEGER,
            "tap_stream_id": TEXT,
            "stream_name": TEXT,
            "selected": nullable(BOOLEAN),
            "metadata": OBJECT,
        }
    ),
    "StreamSchema": record(
        {
            "schema": TEXT,
            "metadata": array(record({"breadcrumb": array(TEXT), "metadata": OBJECT})),
            "non-discoverable-metadata-keys": array(TEXT),
        }
    ),
    "ConnectionCheck": record(
        {
            "name": TEXT,
            "mode": {"const": "check"},
            "status": choice("running", "succeeded", "failed"),
            "start_time": TIME,
            "completion_time": nullable(TIME),
            "error": BOOLEAN,
            "check_exit_status": _EXIT_STATUS,
            "discovery_exit_status": _EXIT_STATUS,
            "discovery_error_message": _DESCRIPTION,
            "tap_exit_status": _EXIT_STATUS,
            "tap_error_message": _DESCRIPTION,
            "target_exit_status": _EXIT_STATUS,
            "target_error_message": NULL,
        }
    ),
    "ReplicationJob": record({"job_name": TEXT}),
    "Extraction": record(
        {
            "job_name": TEXT,
            "stitch_client_id": INTEGER,
            "source_id": INTEGER,
            "start_time": TIME,
            "completion_time": nullable(TIME),
            "discovery_exit_status": _EXIT_STATUS,
            "discovery_description": _DESCRIPTION,
            "tap_exit_status": _EXIT_STATUS,
            "tap_description": _DESCRIPTION,
            "target_exit_status": _EXIT_STATUS,
            "target_description": _DESCRIPTION,
        },
        {"source_type": TEXT, "tap_name": TEXT},
    ),
    "Load": record(
        {
            "stitch_client_id": INTEGER,
            "source_name": TEXT,
            "stream_name": TEXT,
            "last_batch_loaded_at": nullable(TIME),
            "error_state": nullable(OBJECT),
        }
    ),
    "CustomEmail": record(
        {
            "id": INTEGER,
            "client_id": INTEGER,
            "email_address": TEXT,
            "created_at": TIME,
            "disabled_at": nullable(TIME),
        },
        {"modified_at": TIME},
    ),
    "Hook": record(
        {
            "id": INTEGER,
            "client_id": INTEGER,
            "type": {"const": "post_load"},
            "version": {"const": 1},
            "config": record({"url": TEXT}, {"destination_id": TEXT}),
            "created_at": TIME,
            "modified_at": TIME,
            "disabled_at": nullable(TIME),
        },
        {"destination_id": INTEGER},
    ),
    "Account": record({"access_token": TEXT, "stitch_account_id": INTEGER}),
    # Errors, each in the shape that Stitch gives it.
    "AccountError": record({"code": TEXT, "message": TEXT}, {"errors": OBJECT}),
    "CodedError": record(
        {
            "error": TEXT,
            "data": record(
                {"message": TEXT}, {"bad_properties": array(TEXT), "report_card": ref("ReportCard")}
            ),
        }
    ),
    "JobError": record({"error": record({"type": TEXT, "message": TEXT})}),
    "MessageError": record({"error": _MESSAGE}),
    "HookNotFound": record({"error": {"const": "NotFound"}}),
    "NotFoundStatus": record({"status": {"const": "NOT FOUND"}}),
    "InvalidFields": record({"invalid_fields": TEXT}),
    "OAuthError": record({"error": TEXT}),
    "PlainError": TEXT,
}
STATUS_200: Schema = record({"status": {"const": 200}})
