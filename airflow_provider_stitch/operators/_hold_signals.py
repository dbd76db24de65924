"""Prevent signals from interrupting a task that has received a token but has not stored the token yet."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: Airflow ends a task with SIGTERM or SIGINT. Airflow sends SIGALRM when the `execution_timeout` has passed.
HELD = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Delay all signals that end the task, until the `with` block has finished.

    In other threads than the main thread, this function does nothing, because Python handles signals only in
    the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        received.append(number)

    # If a handler was not installed from Python, `getsignal` returns None, and the handler cannot be
    # restored.
    before = {number: signal.getsignal(number) for number in HELD if signal.getsignal(number) is not None}
    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for received_number in dict.fromkeys(received):
            signal.raise_signal(received_number)
