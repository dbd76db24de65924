"""Prevent signals from interrupting a task while it has a token that is stored nowhere else."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: Airflow ends a task with SIGTERM or SIGINT. SIGALRM signals the end of the `execution_timeout`.
HELD = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Delay signals that end the task until the block has finished.

    This has no effect outside of the main thread, because Python handles signals only in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        received.append(number)

    # `getsignal` returns None for a handler that was not installed from Python and cannot be restored.
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
