"""Times as Stitch writes them: ISO 8601 in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect._json import excerpt, text
from airflow_provider_stitch.connect.errors import InvalidArgument, UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))", re.ASCII | re.IGNORECASE
)


def parse_time(value: str) -> datetime:
    """Return the instant that an ISO 8601 text with `Z` or an offset names, in UTC.

    Whole seconds and fractions are accepted; what is finer than a microsecond is dropped.

    :raises InvalidArgument: it is not such a text.

    Source: Stitch Connect API, "Data types" (timestamps, samples with and without milliseconds).
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
        raise InvalidArgument(f"{excerpt(value)} is not a time that exists.") from error


def format_time(moment: datetime) -> str:
    """Return an aware datetime in Stitch's own form, whole seconds in UTC: `2026-08-17T06:00:02Z`.

    :raises InvalidArgument: the datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise InvalidArgument(f"{moment.isoformat()} has no time zone.")
    utc = moment.astimezone(timezone.utc).replace(microsecond=0, tzinfo=None)
    return f"{utc.isoformat()}Z"


def time(data: Mapping[str, Any], key: str) -> datetime | None:
    """Return the time under a key, None if there is none."""
    value = text(data, key)
    if value is None:
        return None
    try:
        return parse_time(value)
    except InvalidArgument as error:
        raise UnexpectedAnswer(f"`{key}` is not a time: {excerpt(value)}") from error
