"""Limit concurrent requests in an event loop, and share the results of identical requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

# Each concurrent request needs memory that the process does not return to the operating system.
MAX_CONCURRENT_REQUESTS = 4


def request_slots() -> asyncio.Semaphore:
    """Return the semaphore that limits concurrent calls of `StitchCaller.call` in the running event loop."""
    return _slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_CONCURRENT_REQUESTS))


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class SingleFlight(Generic[T]):
    """Runs an async function for concurrent callers, which share its result. Two runs never overlap.

    A caller never receives the result of a run that started before its call. All callers that arrive during a
    run share the next run.
    """

    def __init__(self, function: Callable[[], Coroutine[None, None, T]]) -> None:
        self._function = function
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    def result(self) -> asyncio.Future[T]:
        """Return a future for the next run's result."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._run_after(self._running))
        # The run must continue if this caller is cancelled, because other callers need the result.
        return asyncio.shield(self._next)

    async def _run_after(self, running: asyncio.Task[T] | None) -> T:
        if running is not None:
            await asyncio.wait({running})
        self._running, self._next = self._next, None
        try:
            return await self._function()
        finally:
            self._running = None  # drop the task, because it stores its result, which may be large
