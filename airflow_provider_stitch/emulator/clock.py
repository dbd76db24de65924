"""The emulator's clock: Stitch's time, which may run faster than ours and can be moved forward.

Nothing in the emulator happens in a background task. Every state is worked out from a timeline and this
clock at the moment somebody looks, so two clients that look at the same time see the same world.
"""

from __future__ import annotations

import math
import threading
import time
from datetime import datetime, timedelta, timezone
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

    def advance(self, seconds: float) -> None:
        """Move the virtual time forward at once. It never goes back."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"The clock can only go forward, not by {seconds!r} seconds.")
        with self._lock:
            self._start += timedelta(seconds=seconds)


def stamp(instant: datetime) -> str:
    """An instant as Stitch's objects show it: UTC, whole seconds, ``2026-08-17T06:00:02Z``."""
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_or_none(instant: datetime | None) -> str | None:
    """The same, with null for an instant that has not come."""
    return None if instant is None else stamp(instant)
