"""Documented error responses from the endpoints for sources, streams and jobs."""

from __future__ import annotations

from airflow_provider_stitch.connect.errors import (
    DeletedSource,
    InvalidProperties,
    JobAlreadyRunning,
    NameInUse,
    NotInPlan,
    StitchBadRequest,
    UnknownSource,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects import StreamUpdate

from . import endpoint_samples

NAME_RULES = (
    "The name field must be under 50 characters, and can only contain lowercase letters, numbers, "
    "underscores, or dollar signs. It must begin with a letter or an underscore."
)
CRON = (
    'cron_expression "* * * * * *" is invalid: Support for specifying both a day-of-week AND a '
    "day-of-month parameter is not implemented."
)
METADATA = "body must contain a 'streams' property with a list of metadatas by tap_stream_id"
UPDATE = [StreamUpdate("orders", selected=True)]


def create_source(c):
    return c.create_source("platform.github", "GitHub")


def update_source(c):
    return c.update_source(310442, display_name="Code")


def update_streams(c):
    return c.update_streams(310442, UPDATE)


def start(c):
    return c.start_replication_job(310442)


def error(code, message, **more_data):
    return {"error": code, "data": {"message": message, **more_data}}


# Each row contains an error number, a call, the response status, the response body, the expected error class,
# and text that the error message must contain.
SOURCE_ERRORS = [
    (
        "S1",
        create_source,
        400,
        error("InvalidType", "invalid source type (platform.github)"),
        StitchBadRequest,
        "list_source_types",
    ),
    ("S2", create_source, 400, error("InvalidName", "non-unique name (GitHub)"), NameInUse, "GitHub"),
    (
        "S3",
        create_source,
        400,
        error(
            "InvalidBody",
            "POST body may only include a non-empty type, a non-empty display_name and map of string "
            "properties",
        ),
        StitchBadRequest,
        "map of string properties",
    ),
    ("S4", create_source, 400, error("InvalidName", NAME_RULES), StitchBadRequest, "under 50 characters"),
    (
        "S5",
        create_source,
        400,
        error("InvalidName", "non-unique name after deriving it from display_name (A!!! -> a)"),
        NameInUse,
        "deriving",
    ),
    (
        "S6",
        create_source,
        400,
        error("InvalidDisplayName", "invalid name after deriving it from display_name (#### -> )"),
        StitchBadRequest,
        "####",
    ),
    (
        "S7",
        create_source,
        400,
        error("AccessDenied", "you do not have access to source type (platform.github)"),
        NotInPlan,
        "plan",
    ),
    (
        "S8",
        create_source,
        400,
        error(
            "InvalidProperties",
            "properties do not match schema",
            bad_properties=["frequency_in_minutes", "start_date"],
            report_card=endpoint_samples.REPORT_CARD,
        ),
        InvalidProperties,
        'frequency_in_minutes must match {"type":"string","pattern":"^1$|^30$|^60$"}. ',
    ),
    (
        "S9",
        update_source,
        400,
        error("AccessDenied", "access to cron_expression based scheduling is not permitted"),
        NotInPlan,
        "cron_expression based scheduling",
    ),
    ("S10", update_source, 400, error("InvalidCronExpression", CRON), StitchBadRequest, "Use ?"),
    (
        "S11",
        lambda c: c.pause_source(310442),
        400,
        error("InvalidBody", "PUT body many only include the keys: display_name, properties, and paused_at"),
        StitchBadRequest,
        "only include the keys",
    ),
    (
        "S12",
        update_source,
        400,
        error("InvalidDisplayName", "invalid display_name (Code)"),
        StitchBadRequest,
        "(Code)",
    ),
    (
        "S13, update",
        update_source,
        400,
        error("InvalidId", "source not found (310442)"),
        UnknownSource,
        "310442",
    ),
    (
        "S13, unpause",
        lambda c: c.unpause_source(310442),
        400,
        error("InvalidId", "source not found (310442)"),
        UnknownSource,
        "source 310442",
    ),
    (
        "S13, delete",
        lambda c: c.delete_source(310442),
        400,
        error("InvalidId", "source not found (310442)"),
        UnknownSource,
        "source 310442",
    ),
    (
        "S13, token",
        lambda c: c.revoke_import_token(310442, 7),
        400,
        error("InvalidId", "source not found (310442)"),
        UnknownSource,
        "token 7 of source 310442",
    ),
    ("get a source", lambda c: c.get_source(310442), 404, b"", UnknownSource, "source 310442"),
    (
        "T1",
        lambda c: c.get_stream_schema(310442, 5),
        400,
        b"invalid stream-id: 5",
        UnknownStream,
        "stream 5 of source 310442",
    ),
    ("T2", lambda c: c.list_streams(310442), 400, "invalid stream-id: 5", UnknownSource, "source 310442"),
    (
        "T3",
        update_streams,
        400,
        {"invalid_fields": "invalid tap-stream-ids:  [nil]"},
        UnknownStream,
        "list_streams()",
    ),
    (
        "T4",
        update_streams,
        400,
        {"invalid_fields": "invalid tap-stream-ids:  [orders]"},
        UnknownStream,
        "[orders]",
    ),
    (
        "T5",
        update_streams,
        400,
        {"invalid_fields": 'only non-discoverable metadata can be produced by the UI: #{"x"}'},
        StitchBadRequest,
        '#{"x"}',
    ),
    (
        "T6",
        update_streams,
        400,
        {"invalid_fields": "Unsupported fields cannot be selected by default"},
        StitchBadRequest,
        "not support",
    ),
    ("T7", update_streams, 400, METADATA, StitchBadRequest, "metadatas by tap_stream_id"),
    (
        "R1",
        start,
        200,
        {"error": {"type": "already_running", "message": "Did not create job"}},
        JobAlreadyRunning,
        "already running",
    ),
    (
        "R2",
        start,
        400,
        {
            "error": {
                "type": "invalid_source",
                "message": "Unable to locate source(310442) for client (104857)",
            }
        },
        UnknownSource,
        "Unable to locate",
    ),
    (
        "R3",
        start,
        400,
        {"error": {"type": "invalid_source", "message": "Integration is deleted."}},
        DeletedSource,
        "deleted",
    ),
]
