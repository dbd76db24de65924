"""Pure functions that parse the payload of a post-load webhook.

See "Post-load webhooks" in the Stitch documentation.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import parse_time

if TYPE_CHECKING:
    from datetime import datetime

# The largest integer that Airflow's databases can store. A larger value is not a valid number of rows.
MAX_ROWS = 2**63 - 1


class InvalidPayloadError(Exception):
    """The body of a request is not the payload of a post-load webhook.

    The error message contains the reason.
    """


@dataclass(frozen=True, slots=True)
class PostLoad:
    """One load of one stream, as Stitch reports it after the load."""

    integration_name: str  #: `name` or display name of the source; Stitch does not document which
    stream: str  #: name of the root table in the source
    rows: int | None  #: number of rows that were loaded into the root table
    rows_rejected: int | None
    max_time_extracted: datetime | None  #: when the last row of the load was extracted (UTC)
    delivery: str  #: SHA-256 of the request's body, in hexadecimal; equal for all deliveries of one webhook

    def to_extra(self) -> dict[str, Any]:
        """Return the `extra` for the asset event that announces this load."""
        at = self.max_time_extracted
        return {
            "from_stitch_hook": True,
            "rows": self.rows,
            "rows_rejected": self.rows_rejected,
            "max_time_extracted": None if at is None else at.isoformat(timespec="milliseconds"),
            "delivery": self.delivery,
        }


def parse_payload(body: bytes) -> PostLoad:
    """Parse the body of a webhook.

    :raises InvalidPayloadError: if the body is not the payload of a post-load webhook.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:  # deeply nested arrays exceed Python's recursion limit
        raise InvalidPayloadError("The body is not JSON.") from error
    if not isinstance(data, dict):
        raise InvalidPayloadError("The body is not a JSON object.")
    stream = _name(data, "source_root_table_name")
    table = _root_table(data, stream)
    return PostLoad(
        integration_name=_name(data, "integration_name"),
        stream=stream,
        rows=_count(table, "num_rows"),
        rows_rejected=_count(table, "num_rows_rejected"),
        max_time_extracted=_time(table.get("max_time_extracted")),
        delivery=hashlib.sha256(body).hexdigest(),
    )


def _root_table(data: dict[str, Any], stream: str) -> dict[str, Any]:
    """Return the root table of the load's stream.

    Stitch may load arrays in the stream's rows into further tables.
    """
    tables = data.get("tables")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise InvalidPayloadError("`tables` is not an array of objects.")
    first: dict[str, Any] = tables[0]
    return next((table for table in tables if table.get("source_table_name") == stream), first)


def _name(data: dict[str, Any], key: str) -> str:
    name = data.get(key)
    if not isinstance(name, str) or not name:
        raise InvalidPayloadError(f"`{key}` is not a name.")
    return name


def _count(table: dict[str, Any], key: str) -> int | None:
    count = table.get(key)
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_ROWS:
        raise InvalidPayloadError(f"`{key}` is not a number of rows.")
    return count


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_time(value if isinstance(value, str) else "")
    except InvalidArgument as error:
        raise InvalidPayloadError("`max_time_extracted` is not a time.") from error
