"""An event loop whose time passes at once when nobody has anything to do.

What waits in it is the real thing, with all its tasks, pauses and retries. Hours of it take a second, and
they always go the same way.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.replication.reader import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

START = datetime(2026, 8, 17, 6, tzinfo=timezone.utc)


WEEK = 7 * 86_400.0
"""Virtual seconds."""


class ForEverError(AssertionError):
    """A story has no end."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing runs beside it: what asyncio would leave to a thread is done at once, and takes `latency`.

    :param longest: virtual seconds after which what runs in it is taken to run for ever.
    """

    def __init__(self, longest: float = WEEK) -> None:
        self._selector_of_time = _SelectorOfTime(longest)
        self.latency = 0.0  #: virtual seconds that the call takes which is under way; set by what is called
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        return self._selector_of_time.now

    def run_in_executor(
        self,
        executor: Any,  # noqa: ARG002 - asyncio passes it
        func: Callable[..., T],
        *args: Any,
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        self.latency = 0.0
        try:
            answer = func(*args)
        except Exception as error:  # noqa: BLE001 - it is handed on, as a thread's would be
            self.call_later(self.latency, _fail, future, error)
        else:
            self.call_later(self.latency, _settle, future, answer)
        return future


def _settle(future: asyncio.Future[T], answer: T) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class _SelectorOfTime(selectors.DefaultSelector):
    """Where an event loop would sleep, time passes."""

    def __init__(self, longest: float) -> None:
        super().__init__()
        self.now = 0.0
        self._longest = longest

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise ForEverError("Everybody waits, and nothing will wake anybody.")
        self.now += max(0.0, timeout)
        if self.now > self._longest:
            raise ForEverError(f"There is no end even after {self._longest / 86_400:g} days.")
        return []  # of files and signals there are none


class VirtualClock(SystemClock):
    """This machine's clock, which somebody may set right or wrong."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.ahead = 0.0  #: seconds from the true time to what it shows

    def time(self) -> float:
        return START.timestamp() + self._loop.time() + self.ahead


def run(loop: VirtualLoop, story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end, with whatever it has left behind ended as `asyncio.run` ends it."""
    try:
        return loop.run_until_complete(story)
    finally:
        loop.run_until_complete(_end_all(asyncio.all_tasks(loop)))
        loop.close()


async def _end_all(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
