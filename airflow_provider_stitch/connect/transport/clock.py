"""Estimate Stitch's current time from its responses."""

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
    """The current time of one Stitch API.

    The time is the latest `Date` header plus the time that has passed since the response. The elapsed time is
    measured with a monotonic clock, so the system clock of this machine is not used. All transports with the
    same base URL share one clock.
    """

    def __init__(self) -> None:
        self._seen: tuple[datetime, float] | None = None
        self._is_exact = False
        self._lock = threading.Lock()

    def record_date(self, moment: datetime | None, at: float) -> None:
        """Record the `Date` header of a response. Do nothing if the header is missing.

        :param at: the monotonic time at which the response arrived.
        """
        if moment is not None:
            with self._lock:
                self._seen, self._is_exact = (moment, at), True

    def record_past_time(self, moment: datetime, at: float) -> None:
        """Record a time that Stitch's clock has already passed, such as the time of a listed record.

        The recorded time is used only until a response has a `Date` header. An estimate that is based on a
        recorded time is earlier than Stitch's real time. A wait may therefore take longer, but it never ends
        too early.

        :param at: the monotonic time at which Stitch's clock had already passed `moment`.
        """
        with self._lock:
            if not self._is_exact and moment > (self._now(at) or _LONG_AGO):
                self._seen = moment, at

    def now(self, at: float) -> datetime | None:
        """Return Stitch's time at the monotonic time `at`, or None if no time was recorded."""
        with self._lock:
            return self._now(at)

    def _now(self, at: float) -> datetime | None:
        if self._seen is None:
            return None
        moment, seen_at = self._seen
        return moment + timedelta(seconds=max(0.0, at - seen_at))


def shared_clock(base_url: str, monotonic: Callable[[], float]) -> StitchClock:
    """Return the clock that all transports with this base URL share.

    A transport with a custom monotonic clock gets a separate clock.
    """
    if monotonic is not time.monotonic:
        return StitchClock()
    with _lock:
        return _clocks.setdefault(base_url, StitchClock())


_clocks: WeakValueDictionary[str, StitchClock] = WeakValueDictionary()
_lock = threading.Lock()
