"""Of all that wait in an event loop, one after the other has something to say.

A line for a deferred task's log goes to the triggerer's supervisor, which has more to do than that. Some
lines find room on their way there; of a thousand tasks at once most would have to wait for the supervisor to
take them, and the event loop with them.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary


class LogThrottle:
    """Turns of those who wait in an event loop.

    :param pace: seconds between two of them.
    :param at_once: so many may come together after a while without any.
    """

    def __init__(self, pace: float, *, at_once: int = 1) -> None:
        self.pace = pace
        self._at_once = at_once
        self._next: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()

    def take(self) -> float:
        """Return the seconds until it is nobody else's turn. Whoever asked has it then."""
        # By the event loop's clock, which nobody sets back.
        loop = asyncio.get_running_loop()
        now = loop.time()
        # The instant of the next turn if none had come together.
        regular = max(now, self._next.get(loop, now))
        self._next[loop] = regular + self.pace
        return max(0.0, regular - (self._at_once - 1) * self.pace - now)


HEARTBEAT_LOG = LogThrottle(1.0)
"""To say that one still waits."""

PROGRESS_LOG = LogThrottle(0.1, at_once=20)
"""To say how far it has come, and to end."""
