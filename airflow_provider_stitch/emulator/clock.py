"""The emulator's clock: Stitch's time, which may run faster than real time and can be moved forward.

The state of Stitch never changes in a background task. Each request computes it from the timelines and this
clock, so two clients that send a request at the same time receive the same response.
"""

from __future__ import annotations

import math
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A virtual UTC clock: ``start`` plus ``speed`` times the real time that has passed since then.

    :param start: the initial virtual time. None: the real time.
    :param speed: virtual seconds per real second; with 60, a virtual hour takes a real minute.
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
            raise ValueError("start must have a time zone, because Stitch's times are UTC.")
        self.speed = speed
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._start = datetime.now(timezone.utc) if start is None else start.astimezone(timezone.utc)
        self._started_at = monotonic()

    def now(self) -> datetime:
        """Return the virtual time in UTC."""
        with self._lock:
            return self._start + timedelta(seconds=(self._monotonic() - self._started_at) * self.speed)

    def http_date(self) -> str:
        """Return the virtual time in the format of the HTTP ``Date`` header."""
        return format_datetime(self.now(), usegmt=True)

    def advance(self, seconds: float) -> None:
        """Move the virtual time forward. It never goes back."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"The clock can only go forward, not by {seconds!r} seconds.")
        with self._lock:
            self._start += timedelta(seconds=seconds)
