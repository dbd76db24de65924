"""Waiting that ends: when what it waits for has come, a process has died, a signal came, or time is up."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE = 0.5  # seconds between two looks


class LocalAirflowFailed(Exception):  # noqa: N818 - it names what happened
    """There is no point in going on. `log_end` are the last lines of the log that tells why."""

    def __init__(self, message: str, log_end: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.log_end = log_end


class NoAnswer(LocalAirflowFailed):
    """Airflow could not answer just now. In a wait, it is asked again."""


class Interrupted(Exception):  # noqa: N818 - not an error
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class Patience:
    """All waiting goes through here.

    Signals are noted and heeded between two looks, so that none can strike between the start of a process and
    the note of its id, or in the middle of cleaning up.

    :param seconds: for all waits together, from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.watch: Callable[[], None] = lambda: None  #: raises if there is no point in waiting on
        self.log_end: Callable[[], Sequence[str]] = tuple  #: what to show when the time is up
        self._until = time.monotonic() + seconds
        self._signals: list[int] = []

    def renew(self) -> None:
        """Begin to count the seconds again."""
        self._until = time.monotonic() + self.seconds

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Note signals instead of dying of them."""

        def note(number: int, _: FrameType | None) -> None:
            self._signals.append(number)

        before = {number: signal.signal(number, note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def until(self, has_come: Callable[[], bool], what: str) -> None:
        """Return when `has_come`.

        :raises LocalAirflowFailed: time is up, or a process that is needed has died.
        :raises Interrupted: a signal came.
        """
        while True:
            self.heed()
            with suppress(NoAnswer):
                if has_come():
                    return
            if time.monotonic() > self._until:
                raise LocalAirflowFailed(
                    f"Waiting for {what}: given up, the {self.seconds:.0f} s for it are over.", self.log_end()
                )
            time.sleep(PAUSE)

    def until_interrupted(self) -> None:
        """Return when a signal has come, however long it takes."""
        while not self._signals:
            self.watch()
            time.sleep(PAUSE)

    def heed(self) -> None:
        """Raise if there is no point in going on.

        :raises LocalAirflowFailed: a process that is needed has died.
        :raises Interrupted: a signal came.
        """
        if self._signals:
            raise Interrupted(self._signals[0])
        self.watch()
