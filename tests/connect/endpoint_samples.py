"""Documented responses that the module `samples` does not contain."""

from __future__ import annotations

from typing import Any

from . import samples

REPORT_CARD: dict[str, Any] = {
    "type": "platform.closeio",
    "current_step": 1,
    "current_step_type": "form",
    "steps": [
        {
            "type": "form",
            "properties": [
                {
                    "name": "api_key",
                    "is_required": True,
                    "is_credential": True,
                    "system_provided": False,
                    "property_type": "user_provided",
                    "json_schema": {"type": "string"},
                    "provided": False,
                    "tap_mutable": False,
                },
                {
                    "name": "frequency_in_minutes",
                    "is_required": False,
                    "is_credential": False,
                    "system_provided": False,
                    "property_type": "user_provided",
                    "json_schema": {"type": "string", "pattern": "^1$|^30$|^60$"},
                    "provided": True,
                    "tap_mutable": False,
                },
                {
                    "name": "image_version",
                    "is_required": True,
                    "is_credential": False,
                    "system_provided": True,
                    "property_type": "read_only",
                    "json_schema": None,
                    "provided": False,
                    "tap_mutable": False,
                },
            ],
        },
        {"type": "discover_schema", "properties": []},
        {"type": "field_selection", "properties": []},
        {"type": "fully_configured", "properties": []},
    ],
    "details": {
        "pricing_tier": "standard",
        "pipeline_state": "released",
        "default_start_date": "-1 year",
        "default_scheduling_interval": 30,
        "protocol": "platform.closeio",
        "access": True,
        "image_version": "1.latest",
    },
    "upgrade_available": {"type": "platform.closeio-2"},
}

# Stitch's documentation shows no report card steps for 44 of the 228 connector types.
OLD_TYPE: dict[str, Any] = {
    "type": "platform.old",
    "details": {
        "pricing_tier": None,
        "pipeline_state": "deprecated",
        "protocol": "platform.old",
        "access": False,
    },
    "upgrade_available": None,
}

DESTINATION_V3: dict[str, Any] = {
    "id": 155901,
    "type": "postgres",
    "created_at": "2026-08-03T10:02:09Z",
    "updated_at": "2026-08-03T10:02:27Z",
    "connection": {"host": "pg.acme.example", "port": "5432"},
    "last_check": {
        "error": False,
        "started_at": "2026-08-03T10:02:09Z",
        "completed_at": "2026-08-03T10:02:12Z",
    },
}

DESTINATION_CHECK: dict[str, Any] = {
    **samples.CHECK_FAILED,
    "name": "104857.155901.check.9c6b1c3e-1f57-4a0e-9c57-0a3c5d7e9f11",
    "discovery_exit_status": None,
    "discovery_error_message": None,
    "check_exit_status": 0,
    "status": "succeeded",
    "error": False,
}

STREAM_SCHEMA: dict[str, Any] = {
    "schema": '{"type":"object","properties":{"sha":{"type":["null","string"]},'
    '"message":{"type":["null","string"]}}}',
    "metadata": [
        {"breadcrumb": ["properties", "sha"], "metadata": {"inclusion": "automatic", "selected": False}},
        {
            "breadcrumb": [],
            "metadata": {
                "forced-replication-method": "INCREMENTAL",
                "selected": True,
                "table-key-properties": ["sha"],
                "valid-replication-keys": ["updated_at"],
            },
        },
        {"breadcrumb": ["properties", "message"], "metadata": {"inclusion": "available", "selected": True}},
        {
            "breadcrumb": ["properties", "tree"],
            "metadata": {"inclusion": "available", "selected": False, "selected-by-default": True},
        },
        {"breadcrumb": ["properties", "geo"], "metadata": {"inclusion": "unsupported", "selected": True}},
        {"breadcrumb": ["properties", "url"], "metadata": {"inclusion": "available", "selected": None}},
    ],
    "non-discoverable-metadata-keys": [
        "selected",
        "replication-method",
        "replication-key",
        "view-key-properties",
    ],
}

CUSTOM_EMAIL: dict[str, Any] = {
    "id": 22,
    "client_id": 104857,
    "email_address": "alerts@acme.example",
    "created_at": "2026-07-16T19:49:51Z",
    "disabled_at": None,
}

HOOK: dict[str, Any] = {
    "id": 8,
    "client_id": 104857,
    "type": "post_load",
    "version": 1,
    "destination_id": 155901,
    "config": {"url": "https://hooks.acme.example/stitch"},
    "created_at": "2026-07-17T17:30:37Z",
    "modified_at": "2026-07-17T17:30:37Z",
    "disabled_at": None,
}

LISTED_HOOK = {key: value for key, value in HOOK.items() if key != "destination_id"}

ACCOUNT = {"access_token": "at_9f8e7d6c5b4a", "stitch_account_id": 104857}
AUTHORIZED = {"token_type": "bearer", "access_token": "ac_1a2b3c4d5e6f", "stitch_account_id": 104857}
EPHEMERAL = {"ephemeral_token": "eph-0011223344"}
IMPORT_TOKEN = {"id": 828804411, "access_token": "imp-5566778899"}
