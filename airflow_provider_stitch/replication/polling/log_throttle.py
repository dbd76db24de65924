"""Limit how often waiting tasks write to their logs.

Each log line of a deferred task is sent to the triggerer's supervisor through a pipe, whose buffer has space
for a few lines. If a thousand tasks write at once, the event loop is blocked until the supervisor has read
the lines.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary


class LogThrottle:
    """A token bucket for the log lines of each event loop.

    :param interval: seconds between two log lines.
    :param burst: number of log lines that may be written at once after a pause.
    """

    def __init__(self, interval: float, *, burst: int = 1) -> None:
        self.interval = interval
        self._burst = burst
        self._next_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()

    def reserve_slot(self) -> float:
        """Reserve the next slot for a log line, and return the number of seconds until that slot."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Slots are one interval apart. A burst uses the next slots early.
        next_slot = max(now, self._next_slots.get(loop, now))
        self._next_slots[loop] = next_slot + self.interval
        return max(0.0, next_slot - (self._burst - 1) * self.interval - now)


HEARTBEAT_LOG = LogThrottle(1.0)
"""The throttle for heartbeats, which are the log lines of tasks that are still waiting."""

PROGRESS_LOG = LogThrottle(0.1, burst=20)
"""The throttle for warnings, and for log lines about progress and completion."""
