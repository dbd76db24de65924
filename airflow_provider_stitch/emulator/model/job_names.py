"""Names of replication jobs and connection checks."""

from __future__ import annotations

import itertools
import uuid
from datetime import datetime, timezone

_GREGORIAN_EPOCH = datetime(1582, 10, 15, tzinfo=timezone.utc)
_clock_sequence = itertools.count()


def make_job_name(client_id: int, connection_id: int, mode: str, starts_at: datetime) -> str:
    """Return ``<client>.<connection>.<mode>.<uuid>``.

    The name ends with a version-1 UUID, which contains the start time. See the sample job names in the Stitch
    Connect API.
    """
    since_epoch = starts_at - _GREGORIAN_EPOCH
    ticks = (since_epoch.days * 86_400 + since_epoch.seconds) * 10_000_000 + since_epoch.microseconds * 10
    sequence = next(_clock_sequence)  # distinguishes two jobs that start in the same microsecond
    fields = (
        ticks & 0xFFFFFFFF,
        (ticks >> 32) & 0xFFFF,
        (ticks >> 48) & 0x0FFF,
        (sequence >> 8) & 0x3F,
        sequence & 0xFF,
        0x06B1E2C4A85D,
    )
    return f"{client_id}.{connection_id}.{mode}.{uuid.UUID(fields=fields, version=1)}"
