"""The future events of an account, in chronological order."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class EventQueue:
    """A queue of scheduled callbacks, which run when :meth:`run_until` is called.

    An event cannot be cancelled, so each callback must check whether the event is still relevant.
    """

    def __init__(self) -> None:
        self._events: list[tuple[datetime, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0  # preserves the order in which events for the same time are scheduled

    def schedule(self, time: datetime, callback: Callable[..., None], *args: Any) -> None:
        """Schedule a call of ``callback``. The callback receives ``args`` and the scheduled time."""
        self._count += 1
        heapq.heappush(self._events, (time, self._count, callback, args))

    def run_until(self, now: datetime) -> None:
        """Run all due events in chronological order, including due events that earlier events schedule."""
        while self._events and self._events[0][0] <= now:
            time, _, callback, args = heapq.heappop(self._events)
            callback(*args, time)

    def next_time(self) -> datetime | None:
        """Return the time of the next event, or None if the queue is empty."""
        return self._events[0][0] if self._events else None
