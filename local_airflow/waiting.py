"""Wait for a condition until a deadline passes, a required process exits, or a signal arrives."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_INTERVAL = 0.5  #: default number of seconds between two checks of a condition


class LocalAirflowFailed(Exception):  # noqa: N818 - the name of the exception describes what happened
    """The local Airflow cannot continue.

    `log_end` contains the last lines of the log that shows the cause.
    """

    def __init__(self, message: str, log_end: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.log_end = log_end


class NotAvailableYet(LocalAirflowFailed):
    """Airflow did not respond to a request. `Deadline.wait_until` repeats the request."""


class Interrupted(Exception):  # noqa: N818 - an interruption is not an error
    """This process received a signal that requests its exit."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class Deadline:
    """A time limit shared by several waits.

    Signals are recorded, and raised as exceptions only between two checks. A signal can therefore not
    interrupt a cleanup, or the code that starts a process and records its id.

    :param seconds: the limit for all waits together, from the creation of this object.
    :param poll_interval: seconds between two checks of a condition.
    """

    def __init__(self, seconds: float, poll_interval: float = POLL_INTERVAL) -> None:
        self.seconds = seconds
        self._poll_interval = poll_interval
        self.check_health: Callable[[], None] = lambda: None  #: raises an error if a wait is useless
        self.collect_log_ends: Callable[[], Sequence[str]] = tuple  #: returns lines to show after a timeout
        self._ends_at = time.monotonic() + seconds
        self._signals: list[int] = []

    def restart(self) -> None:
        """Restart the time limit from now."""
        self._ends_at = time.monotonic() + self.seconds

    @contextmanager
    def deferring_signals(self) -> Iterator[None]:
        """Return a context that records signals, so that they do not terminate the process."""

        def record(number: int, _: FrameType | None) -> None:
            self._signals.append(number)

        previous = {number: signal.signal(number, record) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def wait_until(self, is_met: Callable[[], bool], what: str) -> None:
        """Wait until a condition is met.

        :param what: a description of the condition for the error message.
        :raises LocalAirflowFailed: if the deadline has passed or a required process has exited.
        :raises Interrupted: if a signal has arrived.
        """
        while True:
            self.check()
            with suppress(NotAvailableYet):
                if is_met():
                    return
            if time.monotonic() > self._ends_at:
                raise LocalAirflowFailed(
                    f"Gave up waiting for {what} after {self.seconds:.0f} s.", self.collect_log_ends()
                )
            time.sleep(self._poll_interval)

    def wait_for_signal(self) -> None:
        """Wait until a signal arrives, without a time limit."""
        while not self._signals:
            self.check_health()
            time.sleep(self._poll_interval)

    def check(self) -> None:
        """Raise an error if the condition can no longer be met.

        :raises LocalAirflowFailed: if a required process has exited.
        :raises Interrupted: if a signal has arrived.
        """
        if self._signals:
            raise Interrupted(self._signals[0])
        self.check_health()
