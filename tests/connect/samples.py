"""Sample objects from Stitch's documentation, with the values of a fictional account."""

from __future__ import annotations

from typing import Any

SOURCE: dict[str, Any] = {
    "properties": {
        "anchor_time": "2026-05-04T06:00:00.000Z",
        "cron_expression": None,
        "frequency_in_minutes": "60",
        "repository": "acme/shop acme/billing",
    },
    "updated_at": "2026-08-14T09:20:31Z",
    "schedule": {
        "type": "interval",
        "unit": "minute",
        "interval": 60.0,
        "next_fire_time": "2026-08-17T07:00:00Z",
    },
    "check_job_name": "104857.310442.check.65acc5e0-97c1-11f1-95a2-0a3c5d7e9f11",
    "name": "github",
    "type": "platform.github",
    "deleted_at": None,
    "system_paused_at": None,
    "stitch_client_id": 104857,
    "paused_at": None,
    "id": 310442,
    "display_name": "GitHub",
    "created_at": "2026-05-04T05:58:10Z",
    "report_card": {
        "type": "platform.github",
        "current_step": 1,
        "current_step_type": "fully_configured",
        "steps": [{"type": "form", "properties": []}, {"type": "fully_configured", "properties": []}],
    },
}

STREAMS: list[dict[str, Any]] = [
    {
        "selected": True,
        "stream_id": 5120771,
        "tap_stream_id": "commits",
        "stream_name": "commits",
        "metadata": {"forced-replication-method": "INCREMENTAL", "selected": True},
    },
    {
        "selected": None,
        "stream_id": 5120902,
        "tap_stream_id": "shopdb-public-orders",
        "stream_name": "orders",
        "metadata": {"database-name": "shopdb", "selected": None, "row-count": 447, "schema-name": "public"},
    },
]

CHECK_FAILED: dict[str, Any] = {
    "target_exit_status": None,
    "tap_error_message": None,
    "check_exit_status": None,
    "name": "104857.310444.check.17b4b580-9a0c-11f1-8b37-0a3c5d7e9f11",
    "start_time": "2026-08-17T07:20:15Z",
    "mode": "check",
    "tap_exit_status": None,
    "target_error_message": None,
    "discovery_exit_status": 1,
    "status": "failed",
    "completion_time": "2026-08-17T07:20:17Z",
    "error": True,
    "discovery_error_message": 'FATAL:  password authentication failed for user "stitch"',
}

EXTRACTION_GOOD: dict[str, Any] = {
    "target_exit_status": 0,
    "job_name": "104857.310442.sync.e2fe2520-9a00-11f1-95a2-0a3c5d7e9f11",
    "start_time": "2026-08-17T06:00:02Z",
    "stitch_client_id": 104857,
    "tap_exit_status": 0,
    "source_type": "tap-github",
    "target_description": None,
    "discovery_exit_status": 0,
    "discovery_description": None,
    "tap_description": None,
    "completion_time": "2026-08-17T06:04:51Z",
    "source_id": 310442,
}

EXTRACTION_TERMINATED: dict[str, Any] = {
    "target_exit_status": None,
    "job_name": "104857.310444.sync.57d27900-992f-11f1-8b37-0a3c5d7e9f11",
    "start_time": "2026-08-16T05:00:04Z",
    "stitch_client_id": 104857,
    "tap_exit_status": None,
    "source_type": "tap-postgres",
    "target_description": "Terminated",
    "discovery_exit_status": None,
    "discovery_description": "Terminated",
    "tap_description": "Terminated",
    "completion_time": "2026-08-17T05:00:04Z",
    "source_id": 310444,
}

LOAD_GOOD: dict[str, Any] = {
    "stitch_client_id": 104857,
    "source_name": "github",
    "stream_name": "commits",
    "last_batch_loaded_at": "2026-08-17T06:09:47Z",
    "error_state": None,
}

LOAD_IN_ERROR: dict[str, Any] = {
    "stitch_client_id": 104857,
    "source_name": "salesforce_prod",
    "stream_name": "Account",
    "last_batch_loaded_at": None,
    "error_state": {
        "notification_data": {
            "message": "establish a connection to your data warehouse",
            "warehouse_error_code": 500151,
            "error": "LOADER_WAREHOUSE_ERROR",
            "warehouse_message": "[Simba][SparkJDBCDriver](500151) Error setting/closing session.",
        },
        "exception_chain": [{"class": "clojure.lang.ExceptionInfo", "message": "establish a connection"}],
    },
}

DESTINATION: dict[str, Any] = {
    "description": "Warehouse of the staging environment.",
    "properties": {"database": "staging", "host": "pg.acme.example", "port": "5432"},
    "updated_at": "2026-08-03T10:02:27Z",
    "name": "Staging",
    "type": "postgres",
    "deleted_at": None,
    "system_paused_at": None,
    "stitch_client_id": 104857,
    "paused_at": None,
    "id": 155901,
    "display_name": None,
    "created_at": "2026-08-03T10:02:09Z",
    "report_card": {"type": "postgres", "current_step": 2, "current_step_type": "fully_configured"},
}

JOB_NAME = "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d"
