"""Keep signals from interrupting a task while it holds a token that exists nowhere else."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: Airflow ends a task with the first two, and raises its `execution_timeout` with the last.
HELD = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Deliver the signals that end a task after the block instead of within it.

    Outside of the main thread this does nothing, because Python handles signals in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        received.append(number)

    # A handler that was not installed from Python is None, and could not be restored.
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
