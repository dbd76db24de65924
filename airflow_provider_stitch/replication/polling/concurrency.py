"""Few requests at a time in an event loop, however many tasks begin to wait there at once.

A request under way takes more memory than a task that waits, and a process does not give it back.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

PLACES = 4


def places() -> asyncio.Semaphore:
    """Return the running event loop's places for requests under way."""
    return _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(PLACES))


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
