"""An event loop that skips idle time.

The code under test runs unchanged, with all its tasks, pauses and retries. Hours of virtual time take about a
second, and every run is deterministic.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.replication.polling.caller import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

START = datetime(2026, 8, 17, 6, tzinfo=timezone.utc)
WEEK = 7 * 86_400.0  #: virtual seconds


class NeverFinishesError(AssertionError):
    """The code in an event loop waits for an event that cannot happen, or exceeds the maximum time."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time, in a single thread.

    If code runs a function in a thread, the loop calls the function immediately, and returns its result after
    `latency`.

    :param max_seconds: virtual seconds after which the loop raises `NeverFinishesError`.
    """

    def __init__(self, max_seconds: float = WEEK) -> None:
        self._time_selector = _TimeSelector(max_seconds)
        #: Duration of the current call in virtual seconds. The called function sets the duration.
        self.latency = 0.0
        super().__init__(self._time_selector)

    def time(self) -> float:
        return self._time_selector.now

    def run_in_executor(
        self,
        executor: Any,  # noqa: ARG002 - part of asyncio's interface
        func: Callable[..., T],
        *args: Any,
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        self.latency = 0.0
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - the future raises the exception in the caller
            self.call_later(self.latency, _set_exception, future, error)
        else:
            self.call_later(self.latency, _set_result, future, result)
        return future


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class _TimeSelector(selectors.DefaultSelector):
    """A selector that advances the virtual time when an event loop would sleep."""

    def __init__(self, max_seconds: float) -> None:
        super().__init__()
        self.now = 0.0
        self._max_seconds = max_seconds

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NeverFinishesError("All tasks are waiting and no timer is set, so none can continue.")
        self.now += max(0.0, timeout)
        if self.now > self._max_seconds:
            raise NeverFinishesError(f"Still running after {self._max_seconds / 86_400:g} virtual days.")
        return []  # the loop has no files and no signals


class VirtualClock(SystemClock):
    """The wall clock of a machine. The clock can be wrong, and a test can change the clock during a run."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset = 0.0  #: seconds that this clock is ahead of the true time

    def time(self) -> float:
        return START.timestamp() + self._loop.time() + self.offset


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine. Like `asyncio.run`, cancel all remaining tasks and close the loop."""
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(_cancel_all(asyncio.all_tasks(loop)))
        loop.close()


async def _cancel_all(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
