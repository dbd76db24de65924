"""The emulator's clock, which can run faster than real time and can be moved forward.

The emulated state does not depend on a background task. For each request, the emulator runs all due events
and computes the state from the job timelines and the current virtual time. Two clients that send the same
request at the same time therefore receive the same response.
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
    """A virtual UTC clock that starts at ``start`` and runs ``speed`` times as fast as real time.

    :param start: the initial virtual time. The default is the current real time.
    :param speed: virtual seconds per real second. At a speed of 60, a virtual hour takes a real minute.
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
        """Move the virtual time forward by a number of virtual seconds.

        :raises ValueError: if the number is negative or not finite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"The clock can only go forward, so it cannot be moved by {seconds!r} seconds.")
        with self._lock:
            self._start += timedelta(seconds=seconds)
