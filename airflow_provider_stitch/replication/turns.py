"""Of all that wait in an event loop, one after the other has something to say.

A line for a deferred task's log goes to the triggerer's supervisor, which has more to do than that. Some
lines find room on their way there; of a thousand tasks at once most would have to wait for the supervisor to
take them, and the event loop with them.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary


class Turns:
    """Turns of those who wait in an event loop.

    :param pace: seconds between two of them.
    """

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._latest: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()

    def take(self) -> float:
        """Return the seconds until it is nobody else's turn. Whoever asked has it then."""
        # By the event loop's clock, which nobody sets back.
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._latest[loop] = max(now, self._latest.get(loop, float("-inf")) + self.pace)
        return self._latest[loop] - now


SIGNS_OF_LIFE = Turns(1.0)
"""To say that one still waits."""

NEWS = Turns(0.02)
"""To say how far it has come, and to end."""
