"""One call for all who want its answer at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Makes a call, one at a time, for all in an event loop who want its answer.

    Nobody is given an older answer: whoever comes while a call is under way shares the next one.
    """

    def __init__(self, call: Callable[[], Coroutine[None, None, T]]) -> None:
        self._call = call
        self._under_way: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    def answer(self) -> asyncio.Future[T]:
        """Return what the next call will return, or raise."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._call_after(self._under_way))
        # Others want it even if this one is cancelled.
        return asyncio.shield(self._next)

    async def _call_after(self, under_way: asyncio.Task[T] | None) -> T:
        if under_way is not None:
            await asyncio.wait({under_way})
        self._under_way, self._next = self._next, None
        try:
            return await self._call()
        finally:
            self._under_way = None  # its answer may be large
