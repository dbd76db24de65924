"""Few requests at a time in an event loop, however many tasks begin to wait there at once.

A request under way takes more memory than a task that waits, and a process does not give it back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from types import TracebackType

PLACES = 4


class Sleep(Protocol):
    async def __call__(self, seconds: float, /) -> None: ...


class Place:
    """One of an event loop's places for requests under way: `async with Place(sleep) as sleep`.

    Whoever sleeps by what that gives, for instance until Stitch can be asked again, leaves its place to
    others meanwhile.
    """

    def __init__(self, sleep: Sleep = asyncio.sleep) -> None:
        self._places = _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(PLACES))
        self._sleep = sleep
        self._is_taken = False

    async def __aenter__(self) -> Sleep:
        await self._take()
        return self._leave_for

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    async def _leave_for(self, seconds: float, /) -> None:
        self._leave()
        await self._sleep(seconds)
        await self._take()

    async def _take(self) -> None:
        await self._places.acquire()
        self._is_taken = True

    def _leave(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._places.release()


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
