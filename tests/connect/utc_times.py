"""A function that returns times in UTC."""

from __future__ import annotations

from datetime import datetime, timezone


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
