"""When Stitch starts the jobs of a source by itself: every so many minutes, or as a cron expression says.

Source: Stitch documentation, "Replication scheduling": a cron expression wins over the frequency, and the
anchor counts for frequencies of an hour or more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.clock import parse_iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The properties that decide when jobs start.
SCHEDULING = ("frequency_in_minutes", "anchor_time", "cron_expression")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
#: Of each field, seconds first: the lowest value, the highest, and the names of the values.
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
#: How far ahead a cron expression is looked up: one leap year at least, wherever a century begins.
_DAYS_AHEAD = 366 * 9
_ANCHORED_FROM = 60  # minutes


def next_slot(properties: Mapping[str, Any], minutes: float, now: datetime) -> datetime | None:
    """The first slot after an instant. None: the cron expression has none, or is beyond this module."""
    cron = properties.get("cron_expression")
    if cron:
        parsed = parse_cron(cron)
        return None if parsed is None else parsed.next_after(now)
    anchor = properties.get("anchor_time")
    interval = timedelta(minutes=minutes)
    if anchor is None or minutes < _ANCHORED_FROM:
        return now + interval
    anchored_at = parse_iso(anchor)
    return anchored_at + ((now - anchored_at) // interval + 1) * interval


@dataclass(frozen=True)
class Cron:
    """A Quartz cron expression, in UTC: the values that each field allows, in order."""

    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: Sequence[int]
    months: Sequence[int]
    weekdays: Sequence[int]  #: 1 is Sunday
    years: Sequence[int]

    def next_after(self, now: datetime) -> datetime | None:
        """The first whole second after an instant that fits; None if none does in years."""
        begin = now.astimezone(timezone.utc).replace(microsecond=0) + timedelta(seconds=1)
        for number in range(_DAYS_AHEAD):
            day = begin.date() + timedelta(days=number)
            at = self._time_of_day(begin.time() if number == 0 else time()) if self._has(day) else None
            if at is not None:
                return datetime.combine(day, at, timezone.utc)
        return None

    def _has(self, day: date) -> bool:
        return (
            day.year in self.years
            and day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 + 1 in self.weekdays
        )

    def _time_of_day(self, begin: time) -> time | None:
        """The first that fits, from ``begin`` on."""
        for hour in (h for h in self.hours if h >= begin.hour):
            for minute in (m for m in self.minutes if (hour, m) >= (begin.hour, begin.minute)):
                for second in self.seconds:
                    if (at := time(hour, minute, second)) >= begin:
                        return at
        return None


def parse_cron(expression: str) -> Cron | None:
    """Six fields, seconds first, or seven with the year. None for what is no such, or has L, W or #."""
    fields = expression.upper().split()
    if len(fields) == len(_FIELDS) - 1:
        fields.append("*")
    if len(fields) != len(_FIELDS):
        return None
    values = [_values(text, *bounds) for text, bounds in zip(fields, _FIELDS, strict=True)]
    return Cron(*values) if all(values) else None


def _values(text: str, low: int, high: int, names: tuple[str, ...]) -> list[int]:
    """The values of one field; none if it can't be read."""
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
        around = high + 1 - low if end < begin else 0  # FRI-MON goes over the end of the week
        found.update(
            (value - low) % (high + 1 - low) + low for value in range(begin, end + around + 1, int(step or 1))
        )
    return sorted(found)
