"""JSON schemas (dialect 2020-12) of request and response bodies.

The schemas of response objects do not allow additional keys, so that tests detect undescribed keys.
See the section on each object in the Stitch Connect API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NON_EMPTY_TEXT: Schema = {"type": "string", "minLength": 1}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
OBJECT: Schema = {"type": "object"}
TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    return {"anyOf": [schema, NULL]}


def one_of(*schemas: Schema) -> Schema:
    """Return the schema of a value that matches at least one of these schemas."""
    return {"anyOf": list(schemas)}


def array(items: Schema, **more: Any) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def choice(*values: str) -> Schema:
    """Return the schema for an enumeration of strings."""
    return {"type": "string", "enum": list(values)}


def closed_object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object with these keys and no additional keys."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """Return a reference to a schema in ``COMPONENTS``."""
    return {"$ref": f"#/components/schemas/{name}"}


def page_of(name: str) -> Schema:
    """Return the schema for one page in a list of objects."""
    links = closed_object({}, {"next": TEXT, "previous": TEXT})
    return closed_object(
        {"data": array(ref(name), maxItems=100), "page": INTEGER, "total": INTEGER, "links": links}
    )


_MESSAGE = closed_object({"message": one_of(TEXT, OBJECT)})
_STEP = choice("form", "oauth", "profile", "discover_schema", "field_selection", "fully_configured")
_EXIT_STATUS = nullable(INTEGER)
_DESCRIPTION = nullable(TEXT)
_CARD: dict[str, Schema] = {
    "current_step": {"type": "integer", "minimum": 1},
    "current_step_type": _STEP,
    "steps": array(ref("ConnectionStep")),
}
_DETAILS = closed_object(
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
    "ConnectionProperty": closed_object(
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
    "ConnectionStep": closed_object({"type": _STEP, "properties": array(ref("ConnectionProperty"))}),
    "ReportCard": closed_object({"type": TEXT, **_CARD}),
    "SourceType": closed_object(
        {"type": TEXT, "details": _DETAILS, "upgrade_available": nullable(closed_object({"type": TEXT}))},
        _CARD,
    ),
    "DestinationType": closed_object({"type": TEXT, **_CARD, "details": _DETAILS}),
    "Schedule": one_of(
        closed_object(
            {
                "type": {"const": "interval"},
                "unit": {"const": "minute"},
                "interval": {"type": "number"},
                "next_fire_time": TIME,
            }
        ),
        closed_object({"type": {"const": "cron"}, "cron_expression": TEXT, "next_fire_time": TIME}),
    ),
    "Source": closed_object(
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
    "Destination": closed_object(
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
    "DestinationV3": closed_object(
        {
            "id": INTEGER,
            "type": TEXT,
            "created_at": TIME,
            "updated_at": TIME,
            "connection": OBJECT,
            "last_check": nullable(
                closed_object({"error": BOOLEAN, "started_at": TIME, "completed_at": nullable(TIME)})
            ),
        }
    ),
    "ImportToken": closed_object({"id": INTEGER, "access_token": TEXT}),
    "Stream": closed_object(
        {
            "stream_id": INTEGER,
            "tap_stream_id": TEXT,
            "stream_name": TEXT,
            "selected": nullable(BOOLEAN),
            "metadata": OBJECT,
        }
    ),
    "StreamSchema": closed_object(
        {
            "schema": TEXT,
            "metadata": array(closed_object({"breadcrumb": array(TEXT), "metadata": OBJECT})),
            "non-discoverable-metadata-keys": array(TEXT),
        }
    ),
    "ConnectionCheck": closed_object(
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
    "ReplicationJob": closed_object({"job_name": TEXT}),
    "Extraction": closed_object(
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
    "Load": closed_object(
        {
            "stitch_client_id": INTEGER,
            "source_name": TEXT,
            "stream_name": TEXT,
            "last_batch_loaded_at": nullable(TIME),
            "error_state": nullable(OBJECT),
        }
    ),
    "CustomEmail": closed_object(
        {
            "id": INTEGER,
            "client_id": INTEGER,
            "email_address": TEXT,
            "created_at": TIME,
            "disabled_at": nullable(TIME),
        },
        {"modified_at": TIME},
    ),
    "Hook": closed_object(
        {
            "id": INTEGER,
            "client_id": INTEGER,
            "type": {"const": "post_load"},
            "version": {"const": 1},
            "config": closed_object({"url": TEXT}, {"destination_id": TEXT}),
            "created_at": TIME,
            "modified_at": TIME,
            "disabled_at": nullable(TIME),
        },
        {"destination_id": INTEGER},
    ),
    "Account": closed_object({"access_token": TEXT, "stitch_account_id": INTEGER}),
    # Error responses, which have a different format in each group of endpoints.
    "AccountError": closed_object({"code": TEXT, "message": TEXT}, {"errors": OBJECT}),
    "CodedError": closed_object(
        {
            "error": TEXT,
            "data": closed_object(
                {"message": TEXT}, {"bad_properties": array(TEXT), "report_card": ref("ReportCard")}
            ),
        }
    ),
    "JobError": closed_object({"error": closed_object({"type": TEXT, "message": TEXT})}),
    "MessageError": closed_object({"error": _MESSAGE}),
    "HookNotFound": closed_object({"error": {"const": "NotFound"}}),
    "NotFoundStatus": closed_object({"status": {"const": "NOT FOUND"}}),
    "InvalidFields": closed_object({"invalid_fields": TEXT}),
    "OAuthError": closed_object({"error": TEXT}),
    "PlainError": TEXT,
}
STATUS_200: Schema = closed_object({"status": {"const": 200}})
