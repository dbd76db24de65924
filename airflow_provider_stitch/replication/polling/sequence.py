"""Assign ascending sequence numbers to the requests of this process.

All pollers in the process share one counter, because a sensor that pokes uses a new poller for each poke. If
pages are shared with other processes, the numbers are times (see `shared_pages`).
"""

from __future__ import annotations

import os
import threading

_latest = 0
_lock = threading.Lock()


def next_sequence(at_least: int = 0) -> int:
    """Return a sequence number that is higher than all previous numbers, and at least `at_least`."""
    global _latest  # noqa: PLW0603 - one counter per process
    with _lock:
        _latest = max(_latest + 1, at_least)
        return _latest


def _reset_lock_after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held the lock during the fork
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_reset_lock_after_fork)
