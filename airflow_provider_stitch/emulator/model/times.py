"""Functions that format and parse times in requests and responses (ISO 8601, in UTC)."""

from __future__ import annotations

import re
from datetime import datetime, timezone


def format_time(time: datetime) -> str:
    """Return a time in UTC with whole seconds, such as ``2026-08-17T06:00:02Z``."""
    return _format(time, "seconds")


def format_time_ms(time: datetime) -> str:
    """Return a time in the format of webhooks, with milliseconds, such as ``2026-08-17T06:06:11.204Z``."""
    return _format(time, "milliseconds")


def format_optional_time(time: datetime | None) -> str | None:
    """Return a time in the format of :func:`format_time`, or None if ``time`` is None."""
    return None if time is None else format_time(time)


def _format(time: datetime, precision: str) -> str:
    # strftime is not used, because it does not pad years before 1000.
    return time.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time from a request. A time without a time zone is interpreted as UTC.

    :raises ValueError: if the text is not an ISO 8601 time.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 time.")
    day, time_of_day, fraction, zone = match.groups()
    # Python 3.10 cannot parse "Z", or fractions of a second with one, two or four digits.
    offset = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{zone[-2:]}"
    time = datetime.fromisoformat(f"{day}T{time_of_day or '00:00'}{offset}")
    try:
        time = time.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the supported range of times.") from error
    return time.replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))
