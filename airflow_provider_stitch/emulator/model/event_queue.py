"""Future events of an account, ordered by time."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class EventQueue:
    """Callbacks, each scheduled for a time. They run when :meth:`run_until` is called, not on their own.

    An event cannot be cancelled, so each callback must check whether it is still needed.
    """

    def __init__(self) -> None:
        self._events: list[tuple[datetime, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0  # keeps events of the same time in the order of their scheduling

    def schedule(self, time: datetime, callback: Callable[..., None], *args: Any) -> None:
        """Call ``callback`` with the arguments and this time once the time has come."""
        self._count += 1
        heapq.heappush(self._events, (time, self._count, callback, args))

    def run_until(self, now: datetime) -> None:
        """Run all events up to now in order of time, including those that they schedule."""
        while self._events and self._events[0][0] <= now:
            time, _, callback, args = heapq.heappop(self._events)
            callback(*args, time)

    def next_time(self) -> datetime | None:
        """Return the time of the first event, or None if the queue is empty."""
        return self._events[0][0] if self._events else None
