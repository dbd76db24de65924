"""Stitch's time, as far as its responses show it."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


class StitchClock:
    """The time of one Stitch: that of its latest `Date` header, plus the seconds that have passed since.

    All transports of one base URL share it. The seconds are those of a monotonic clock, so the time of day
    that this machine's clock shows does not matter.
    """

    def __init__(self) -> None:
        self._seen: tuple[datetime, float] | None = None
        self._is_exact = False
        self._lock = threading.Lock()

    def learn_date(self, moment: datetime | None, at: float) -> None:
        """Record the `Date` of a response that arrived `at` a monotonic instant, if it has one."""
        if moment is not None:
            with self._lock:
                self._seen, self._is_exact = (moment, at), True

    def learn_past(self, moment: datetime, at: float) -> None:
        """Record that `moment` had passed for Stitch `at` a monotonic instant.

        It counts only as long as no response had a `Date`. Stitch's time is then underestimated, so that a
        wait may take longer, but never ends early.
        """
        with self._lock:
            if not self._is_exact and moment > (self._now(at) or _LONG_AGO):
                self._seen = moment, at

    def now(self, at: float) -> datetime | None:
        """Return Stitch's time `at` a monotonic instant; None if no response has shown any time."""
        with self._lock:
            return self._now(at)

    def _now(self, at: float) -> datetime | None:
        if self._seen is None:
            return None
        moment, seen_at = self._seen
        return moment + timedelta(seconds=max(0.0, at - seen_at))


def clock_of(base_url: str, monotonic: Callable[[], float]) -> StitchClock:
    """Return the clock that all transports of a base URL share.

    A transport whose monotonic clock is not this machine's has a clock of its own.
    """
    if monotonic is not time.monotonic:
        return StitchClock()
    with _lock:
        return _clocks.setdefault(base_url, StitchClock())


_clocks: WeakValueDictionary[str, StitchClock] = WeakValueDictionary()
_lock = threading.Lock()
