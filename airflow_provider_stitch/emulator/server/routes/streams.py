"""Endpoints for source connection checks and streams."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.emulator.model.api_errors import ApiError, not_found
from airflow_provider_stitch.emulator.model.connections import stream_selection
from airflow_provider_stitch.emulator.server.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.server.routes.schemas import (
    BOOLEAN,
    STATUS_200,
    TEXT,
    array,
    choice,
    closed_object,
    nullable,
    one_of,
    ref,
)

_GROUP = "Connection checks, streams"


def last_connection_check(call: Call) -> Any:
    """Return the last check of a source.

    If the source has never been checked, the emulator returns 404. Stitch does not document this response.
    """
    check = call.source(not_found()).checks.last
    if check is None:
        raise not_found()
    return check.body(call.now, call.account.quirks.failed_check_exit_status)


def list_streams(call: Call) -> Any:
    """List all streams of a source, without pagination."""
    return [stream.body() for stream in call.source(_invalid_stream(call.source_id())).streams]


def get_stream(call: Call) -> Any:
    """Return the schema of a stream. An unknown source and an unknown stream cause the same error."""
    number = call.number("stream_id")
    for stream in call.source(_invalid_stream(number)).streams:
        if stream.stream_id == number:
            return stream.schema_body()
    raise _invalid_stream(number)


def update_streams(call: Call) -> Any:
    """Select streams and fields. If a request is invalid, no change is applied."""
    source = call.source(_invalid_stream(call.source_id()))
    stream_selection.update_streams(source, call.json(stream_selection.invalid_streams_body()), call.now)
    call.account.schedule_if_configured(source, call.now)
    return {"status": 200}


def _invalid_stream(number: int) -> ApiError:
    return ApiError(400, f"invalid stream-id: {number}")


_WRITABLE_METADATA = closed_object(
    {},
    {
        "selected": nullable(BOOLEAN),
        "replication-method": nullable(choice("FULL_TABLE", "INCREMENTAL", "LOG_BASED")),
        "replication-key": nullable(TEXT),
        "view-key-properties": nullable(array(TEXT)),
    },
)
_ITEM = {
    **closed_object({"breadcrumb": array(TEXT), "metadata": _WRITABLE_METADATA}),
    "additionalProperties": True,
}
_ENTRY = {**closed_object({"tap_stream_id": TEXT, "metadata": array(_ITEM)}), "additionalProperties": True}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v4/sources/{source_id}/last-connection-check",
        last_connection_check,
        _GROUP,
        "Last connection check of a source",
        ref("ConnectionCheck"),
    ),
    Endpoint(
        "GET",
        "/v4/sources/{source_id}/streams",
        list_streams,
        _GROUP,
        "Streams of a source",
        array(ref("Stream")),
        errors={400: ref("PlainError")},
    ),
    Endpoint(
        "GET",
        "/v4/sources/{source_id}/streams/{stream_id}",
        get_stream,
        _GROUP,
        "Schema of a stream",
        ref("StreamSchema"),
        errors={400: ref("PlainError")},
    ),
    Endpoint(
        "PUT",
        "/v4/sources/{source_id}/streams/metadata",
        update_streams,
        _GROUP,
        "Select streams and fields",
        STATUS_200,
        body={**closed_object({"streams": array(_ENTRY)}), "additionalProperties": True},
        errors={400: one_of(ref("InvalidFields"), ref("PlainError"))},
    ),
)
