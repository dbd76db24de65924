"""Selection of streams and fields, with the errors that Stitch documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_stitch.emulator.model.api_errors import ApiError
from airflow_provider_stitch.emulator.model.connections.streams import WRITABLE_KEYS, Breadcrumb, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.connections.sources import Source

_METHODS = ("FULL_TABLE", "INCREMENTAL", "LOG_BASED")


class _Change(NamedTuple):
    stream: Stream
    crumb: Breadcrumb
    values: dict[str, Any]


def update_streams(source: Source, body: Any, now: datetime) -> None:
    """Apply all metadata changes in a request. If any change is invalid, no change is applied."""
    streams = {stream.tap_stream_id: stream for stream in source.streams}
    changes = [change for entry in _entries(body) for change in _changes(streams, entry)]
    if source.current_step(now) not in {"field_selection", "fully_configured"}:
        # Stitch documents this selection rule, but not the error message.
        raise _invalid_fields(
            "streams can be selected only in the steps field_selection and fully_configured"
        )
    if source.quirks.strict_selection:
        _check_rules(changes)
    for stream, crumb, values in changes:
        stream.metadata[crumb].update(values)
    for stream, crumb, values in changes:
        if not crumb and values.get("selected"):
            _select_fields(stream)


def _select_fields(stream: Stream) -> None:
    """Add the metadata key ``selected`` to the fields of a selected stream.

    Fields of unselected streams do not have this key.
    """
    for crumb, data in stream.metadata.items():
        if crumb:
            data.setdefault("selected", False)


# Validation


def _entries(body: Any) -> list[dict[str, Any]]:
    """Check the format of a request, and return the entries in the request."""
    entries = body.get("streams") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise invalid_streams_body()
    for entry in entries:
        metadata = entry.get("metadata") if isinstance(entry, dict) else None
        if not isinstance(metadata, list) or not all(_is_item(item) for item in metadata):
            raise invalid_streams_body()
    return entries


def _is_item(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("breadcrumb"), list)
        and all(isinstance(part, str) for part in item["breadcrumb"])
        and isinstance(item.get("metadata"), dict)
    )


def _changes(streams: Mapping[str, Stream], entry: Mapping[str, Any]) -> list[_Change]:
    tap_stream_id = entry.get("tap_stream_id")
    stream = streams.get(tap_stream_id) if isinstance(tap_stream_id, str) else None
    if stream is None:
        # Stitch's own error message contains two consecutive spaces.
        name = "nil" if tap_stream_id is None else tap_stream_id
        raise _invalid_fields(f"invalid tap-stream-ids:  [{name}]")
    changes = []
    for item in entry["metadata"]:
        crumb, values = tuple(item["breadcrumb"]), item["metadata"]
        read_only = [key for key in values if key not in WRITABLE_KEYS]
        if read_only:
            names = " ".join(f'"{key}"' for key in read_only)
            raise _invalid_fields(f"only non-discoverable metadata can be produced by the UI: #{{{names}}}")
        if crumb not in stream.metadata:
            raise _invalid_fields(f"invalid breadcrumbs: {list(crumb)}")  # not documented by Stitch
        invalid = [key for key, value in values.items() if not _is_valid(key, value)]
        if invalid:
            raise _invalid_fields(f"invalid values: {invalid}")  # not documented by Stitch
        if values.get("selected") and stream.metadata[crumb].get("inclusion") == "unsupported":
            raise _invalid_fields("Unsupported fields cannot be selected by default")
        changes.append(_Change(stream, crumb, values))
    return changes


def _is_valid(key: str, value: Any) -> bool:
    if value is None:
        return True
    if key == "selected":
        return isinstance(value, bool)
    if key == "replication-method":
        return value in _METHODS
    if key == "view-key-properties":
        return isinstance(value, list) and all(isinstance(name, str) for name in value)
    return isinstance(value, str)


# Selection rules without a documented error


def _check_rules(changes: list[_Change]) -> None:
    """Check that the changed metadata follows the selection rules.

    The error messages are not documented.
    """
    after: dict[tuple[int, Breadcrumb], dict[str, Any]] = {}
    for stream, crumb, values in changes:
        forced = stream.metadata[()].get("forced-replication-method")
        if not crumb and forced and values.get("replication-method") not in (None, forced):
            raise _invalid_fields("a forced-replication-method cannot be changed")
        for known in ((), crumb):
            after.setdefault((stream.stream_id, known), dict(stream.metadata[known]))
        after[stream.stream_id, crumb].update(values)
    for stream, crumb, values in changes:
        whole = after[stream.stream_id, ()]
        if crumb and values.get("selected") and not whole.get("selected"):
            raise _invalid_fields("fields can be selected only if their stream is selected")
        if whole.get("selected") and whole.get("is-view") and not whole.get("view-key-properties"):
            raise _invalid_fields("views require view-key-properties")
        if whole.get("replication-method") == "INCREMENTAL" and not whole.get("replication-key"):
            raise _invalid_fields("INCREMENTAL requires a replication-key")


# Errors


def _invalid_fields(message: str) -> ApiError:
    return ApiError(400, {"invalid_fields": message})


def invalid_streams_body() -> ApiError:
    """Return the error for a malformed request."""
    return ApiError(400, "body must contain a 'streams' property with a list of metadatas by tap_stream_id")
