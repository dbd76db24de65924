"""Connection checks of sources, and streams."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.emulator import selection
from airflow_provider_stitch.emulator.refusal import Refusal, not_found
from airflow_provider_stitch.emulator.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.routes.schemas import (
    BOOLEAN,
    STATUS_200,
    TEXT,
    array,
    choice,
    nullable,
    one_of,
    record,
    ref,
)

_GROUP = "Connection checks, streams"


def last_connection_check(call: Call) -> Any:
    """The last check of a source. For a source that never had one nothing is documented; here it is 404."""
    check = call.source(not_found()).checks.last
    if check is None:
        raise not_found()
    return check.body(call.now, call.account.quirks.failed_check_exit_status)


def list_streams(call: Call) -> Any:
    """The streams of a source, in one bare array."""
    return [stream.body() for stream in call.source(_invalid_stream(call.source_id())).streams]


def get_stream(call: Call) -> Any:
    """The schema of a stream. An unknown source and an unknown stream have the same answer."""
    number = call.number("stream_id")
    for stream in call.source(_invalid_stream(number)).streams:
        if stream.stream_id == number:
            return stream.schema_body()
    raise _invalid_stream(number)


def update_streams(call: Call) -> Any:
    """Select streams and fields, all of the request or nothing."""
    source = call.source(_invalid_stream(call.source_id()))
    selection.update_streams(source, call.json(selection.invalid_streams_body()), call.now)
    call.account.configure(source, call.now)
    return {"status": 200}


def _invalid_stream(number: int) -> Refusal:
    return Refusal(400, f"invalid stream-id: {number}")


_WRITTEN = record(
    {},
    {
        "selected": nullable(BOOLEAN),
        "replication-method": nullable(choice("FULL_TABLE", "INCREMENTAL", "LOG_BASED")),
        "replication-key": nullable(TEXT),
        "view-key-properties": nullable(array(TEXT)),
    },
)
_ITEM = {**record({"breadcrumb": array(TEXT), "metadata": _WRITTEN}), "additionalProperties": True}
_ENTRY = {**record({"tap_stream_id": TEXT, "metadata": array(_ITEM)}), "additionalProperties": True}

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
        refusals={400: ref("PlainError")},
    ),
    Endpoint(
        "GET",
        "/v4/sources/{source_id}/streams/{stream_id}",
        get_stream,
        _GROUP,
        "Schema of a stream",
        ref("StreamSchema"),
        refusals={400: ref("PlainError")},
    ),
    Endpoint(
        "PUT",
        "/v4/sources/{source_id}/streams/metadata",
        update_streams,
        _GROUP,
        "Select streams and fields",
        STATUS_200,
        body={**record({"streams": array(_ENTRY)}), "additionalProperties": True},
        refusals={400: one_of(ref("InvalidFields"), ref("PlainError"))},
    ),
)
