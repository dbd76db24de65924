"""Schedules of sources, which are fixed intervals or cron expressions.

A cron expression takes precedence over the frequency. The anchor time applies to frequencies of at least an
hour. See "Replication scheduling" in the Stitch documentation.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Names of the source properties that determine when jobs start.
SCHEDULE_PROPERTIES = ("frequency_in_minutes", "anchor_time", "cron_expression")
#: Frequency of a source for which the user gives no frequency. In Stitch, the frequency is never null.
DEFAULT_FREQUENCY_MINUTES = 30
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
#: Minimum value, maximum value and value names of each cron field. The first field contains the seconds.
_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, _MONTHS),
    (1, 7, _DAYS),
    (1970, 2199, ()),
)
_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)
#: Number of days to search for a time that matches a cron expression. A period of 9 years always contains a
#: leap year, even around 2100.
_DAYS_AHEAD = 366 * 9
_ANCHORED_FROM = 60  # shortest interval, in minutes, that uses the anchor time


def next_start(properties: Mapping[str, Any], minutes: float, now: datetime) -> datetime | None:
    """Return the next scheduled start, or None if the cron expression is unsupported or never matches."""
    cron = properties.get("cron_expression")
    if cron:
        parsed = parse_cron(cron)
        return None if parsed is None else parsed.next_after(now)
    anchor = properties.get("anchor_time")
    interval = timedelta(minutes=minutes)
    if anchor is None or minutes < _ANCHORED_FROM:
        return now + interval
    anchored_at = parse_time(anchor)
    return anchored_at + ((now - anchored_at) // interval + 1) * interval


def check_schedule(properties: Mapping[str, Any]) -> None:
    """Check the schedule of a new source.

    :raises ValueError: if the frequency is not a positive number, the anchor time is not a time, or the cron
        expression does not have six or seven fields.
    """
    frequency = properties.get("frequency_in_minutes")
    if frequency is not None:
        try:
            valid = 0 < float(frequency) < math.inf
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise ValueError(f"frequency_in_minutes must be a number of minutes above 0, not {frequency!r}.")
    anchor = properties.get("anchor_time")
    if anchor is not None:
        try:
            parse_time(anchor)
        except (TypeError, ValueError):
            raise ValueError(f"anchor_time must be an ISO 8601 time, not {anchor!r}.") from None
    cron = properties.get("cron_expression")
    if cron is not None and len(str(cron).split()) not in (len(_FIELDS) - 1, len(_FIELDS)):
        raise ValueError(
            "cron_expression must have six or seven fields, with seconds first, such as "
            f"'0 0 12 ? * MON-FRI *', not {cron!r}."
        )


@dataclass(frozen=True)
class Cron:
    """A parsed Quartz cron expression in UTC. Each attribute contains the sorted values of one field."""

    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: Sequence[int]
    months: Sequence[int]
    weekdays: Sequence[int]  #: days of the week, from 1 (Sunday) to 7 (Saturday)
    years: Sequence[int]

    def next_after(self, now: datetime) -> datetime | None:
        """Return the first matching time after ``now``, or None if there is no match within 9 years."""
        first = now.astimezone(timezone.utc).replace(microsecond=0) + timedelta(seconds=1)
        for number in range(_DAYS_AHEAD):
            day = first.date() + timedelta(days=number)
            if not self._matches_day(day):
                continue
            start = self._first_time_of_day(first.time() if number == 0 else time())
            if start is not None:
                return datetime.combine(day, start, timezone.utc)
        return None

    def _matches_day(self, day: date) -> bool:
        return (
            day.year in self.years
            and day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 + 1 in self.weekdays
        )

    def _first_time_of_day(self, earliest: time) -> time | None:
        """Return the first matching time on a day, at or after ``earliest``."""
        for hour in (h for h in self.hours if h >= earliest.hour):
            for minute in (m for m in self.minutes if (hour, m) >= (earliest.hour, earliest.minute)):
                for second in self.seconds:
                    if (candidate := time(hour, minute, second)) >= earliest:
                        return candidate
        return None


def parse_cron(expression: str) -> Cron | None:
    """Parse a cron expression of six fields, or of seven fields if it includes the year.

    :return: the parsed expression, or None if it is invalid or contains L, W or #.
    """
    fields = expression.upper().split()
    if len(fields) == len(_FIELDS) - 1:
        fields.append("*")
    if len(fields) != len(_FIELDS):
        return None
    values = [_values(text, *bounds) for text, bounds in zip(fields, _FIELDS, strict=True)]
    return Cron(*values) if all(values) else None


def _values(text: str, low: int, high: int, names: tuple[str, ...]) -> list[int]:
    """Return the sorted values of a field, or an empty list if the field is invalid."""
    numbers = {name: low + index for index, name in enumerate(names)}
    found: set[int] = set()
    for item in text.replace("?", "*").split(","):
        parts = _ITEM.fullmatch(item)
        if parts is None:
            return []
        every, first, last, step = parts.groups()
        ends = [numbers.get(end, int(end) if end.isdecimal() else -1) for end in (first, last) if end]
        if not all(low <= end <= high for end in ends) or step == "0":
            return []
        begin = low if every else ends[0]
        end = high if every or (step and last is None) else ends[-1]
        size = high + 1 - low
        wrap = size if end < begin else 0  # a range such as FRI-MON ends in the next week
        found.update((value - low) % size + low for value in range(begin, end + wrap + 1, int(step or 1)))
    return sorted(found)
