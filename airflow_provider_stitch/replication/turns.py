"""Of all that wait in an event loop, one after the other says that it still waits.

A line for a deferred task's log goes to the triggerer's supervisor. Some find room on their way there; of a
thousand at once most would have to wait for the supervisor to take them, and the event loop with them.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

PACE = 1.0
"""Seconds between two turns in an event loop."""


def take_turn(now: float) -> float:
    """Return the first instant, from now on, at which it is nobody else's turn in this event loop.

    Whoever asked has it.
    """
    loop = asyncio.get_running_loop()
    _latest[loop] = max(now, _latest.get(loop, float("-inf")) + PACE)
    return _latest[loop]


_latest: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()
