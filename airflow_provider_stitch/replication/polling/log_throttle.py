"""Limit how often waiting tasks write to their logs.

A log line of a deferred task is sent to the triggerer's supervisor through a pipe. A few lines fit into its
buffer. If a thousand tasks write at once, the event loop is blocked until the supervisor has read them.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary


class LogThrottle:
    """A token bucket per event loop.

    :param interval: seconds between two lines.
    :param burst: lines that may be written at once after a quiet time.
    """

    def __init__(self, interval: float, *, burst: int = 1) -> None:
        self.interval = interval
        self._burst = burst
        self._next_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()

    def reserve_slot(self) -> float:
        """Reserve the next slot, and return the seconds until it."""
        # The event loop's clock is monotonic.
        loop = asyncio.get_running_loop()
        now = loop.time()
        # The slots are one interval apart. A burst uses some of them before their time.
        next_slot = max(now, self._next_slots.get(loop, now))
        self._next_slots[loop] = next_slot + self.interval
        return max(0.0, next_slot - (self._burst - 1) * self.interval - now)


HEARTBEAT_LOG = LogThrottle(1.0)
"""For lines that report that a task is still waiting."""

PROGRESS_LOG = LogThrottle(0.1, burst=20)
"""For progress, completion and warnings."""
