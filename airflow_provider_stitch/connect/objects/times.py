"""Parse and format times in Stitch's format, which is ISO 8601 in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import InvalidArgument, UnexpectedResponse
from airflow_provider_stitch.connect.objects.json import excerpt, optional_string

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))", re.ASCII | re.IGNORECASE
)


def parse_time(value: str) -> datetime:
    """Parse an ISO 8601 time with `Z` or a UTC offset, and return the time in UTC.

    A fraction of a second is optional. Digits beyond microseconds are ignored.

    :raises InvalidArgument: if the string is not a valid time in this format.

    Source: Stitch Connect API, "Data types", section on timestamps. Stitch's samples contain times with and
    without milliseconds.
    """
    matched = _TIME.fullmatch(value)
    if matched is None:
        raise InvalidArgument(f"{excerpt(value)} is not a time like 2026-08-17T06:00:02Z.")
    whole, fraction, sign, hours, minutes = matched.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        local = datetime.strptime(whole.upper(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        local = local.replace(microsecond=int(f"{fraction or '0':0<6.6}"))
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"{excerpt(value)} is not a valid date and time.") from error


def format_time(moment: datetime) -> str:
    """Format an aware datetime in UTC, truncated to seconds, such as `2026-08-17T06:00:02Z`.

    :raises InvalidArgument: if the datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise InvalidArgument(f"{moment.isoformat()} has no time zone.")
    utc = moment.astimezone(timezone.utc).replace(microsecond=0, tzinfo=None)
    return f"{utc.isoformat()}Z"


def optional_time(data: Mapping[str, Any], key: str) -> datetime | None:
    """Return the time under a key, or None if the key is missing."""
    value = optional_string(data, key)
    if value is None:
        return None
    try:
        return parse_time(value)
    except InvalidArgument as error:
        raise UnexpectedResponse(f"`{key}` is not a time: {excerpt(value)}") from error
