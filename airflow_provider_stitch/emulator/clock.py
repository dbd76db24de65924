"""The emulator's clock: Stitch's time, which may run faster than ours and can be moved forward.

Nothing in the emulator happens in a background task. Every state is worked out from a timeline and this
clock at the moment somebody looks, so two clients that look at the same time see the same world.
"""

from __future__ import annotations

import math
import re
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A virtual UTC clock: ``start`` plus the real time since then, ``speed`` times over.

    :param start: what the clock shows at first; None means the real time.
    :param speed: virtual seconds in a real second; 60 lets an hour pass in a minute.
    """

    def __init__(
        self,
        start: datetime | None = None,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ValueError(f"speed must be a number above 0, not {speed!r}.")
        if start is not None and start.tzinfo is None:
            raise ValueError("start must carry a time zone, because Stitch's times are UTC.")
        self.speed = speed
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._start = datetime.now(timezone.utc) if start is None else start.astimezone(timezone.utc)
        self._began = monotonic()

    def now(self) -> datetime:
        """The virtual time, in UTC."""
        with self._lock:
            return self._start + timedelta(seconds=(self._monotonic() - self._began) * self.speed)

    def date(self) -> str:
        """The same as an HTTP header shows it."""
        return format_datetime(self.now(), usegmt=True)

    def advance(self, seconds: float) -> None:
        """Move the virtual time forward at once. It never goes back."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"The clock can only go forward, not by {seconds!r} seconds.")
        with self._lock:
            self._start += timedelta(seconds=seconds)


def stamp(instant: datetime) -> str:
    """An instant as Stitch's objects show it: UTC, whole seconds, ``2026-08-17T06:00:02Z``."""
    return _iso(instant, "seconds")


def stamp_ms(instant: datetime) -> str:
    """The same with milliseconds, as webhooks show it: ``2026-08-17T06:06:11.204Z``."""
    return _iso(instant, "milliseconds")


def stamp_or_none(instant: datetime | None) -> str | None:
    """The same, with null for an instant that has not come."""
    return None if instant is None else stamp(instant)


def _iso(instant: datetime, precision: str) -> str:
    # Not strftime, which does not pad the years before 1000.
    return instant.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)


def parse_iso(text: str) -> datetime:
    """An instant that a client has written in ISO 8601; UTC if it does not say. ValueError if it is none."""
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an instant in ISO 8601.")
    day, time_of_day, fraction, zone = found.groups()
    # Python 3.10 reads neither a Z nor a fraction of one, two or four digits.
    offset = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{zone[-2:]}"
    instant = datetime.fromisoformat(f"{day}T{time_of_day or '00:00'}{offset}")
    try:
        instant = instant.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError(f"{text!r} is beyond the calendar.") from error
    return instant.replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))
