"""What waiting tasks cost the triggerer in which they wait: its event loop's time, and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.triggerer import Triggerer, Waiter

SETTLING = 6.0  #: seconds that count as starting after the last trigger has been created


@dataclass(frozen=True)
class Stall:
    """A time in which the triggerer's event loop did not get round. In seconds."""

    seconds: float = 0.0
    without_core: float = 0.0  #: of it, without a core: other processes had them
    collecting: float = 0.0  #: of it, in Python's garbage collection
    stack: tuple[str, ...] = ()  #: what it was at

    @property
    def own(self) -> float:
        """What is this process's own doing."""
        return max(0.0, self.seconds - self.without_core)


@dataclass
class Measured:
    """What some waiting tasks cost the triggerer. Times are real seconds, memory is in bytes."""

    name: str
    count: int
    starting: float = 0.0  #: from the rows of nine tenths in the database until all triggers ran
    stall_starting: Stall = field(default_factory=Stall)  #: the longest, until it was steady
    stall: Stall = field(default_factory=Stall)  #: the longest from then on
    stall_ending: Stall | None = None  #: the longest while all their jobs end; None was not measured
    collecting: float = 0.0  #: the longest garbage collection from then on
    cpu: float = 0.0  #: CPU seconds in a second, from then on
    memory: int = 0  #: what the process took more than before the first of them
    memory_of_task: float = 0.0  #: of each once a tenth of them waits
    requests: int = 0  #: to the server, from the first on
    requests_a_minute: float = 0.0  #: from then on

    @property
    def memory_once(self) -> float:
        """What is taken once, however many wait: by imported modules, threads, connections."""
        return self.memory - self.count * self.memory_of_task


@dataclass(frozen=True)
class Subject:
    """A provider whose triggers wait."""

    name: str
    waiters: list[Waiter]
    asked: Callable[[], int]  #: how many requests there have been
    environment: dict[str, str] = field(default_factory=dict)


def measure(triggerer: Triggerer, subject: Subject, steady: float, speed: float = 1.0) -> Measured:
    """Let a provider's triggers wait, and return what they cost while they do.

    :param speed: of the clocks, once all wait.
    """
    count = len(subject.waiters)
    measured, asked_before = Measured(subject.name, count), subject.asked()
    time.sleep(3.0)  # Airflow's own first steps
    triggerer.memory()  # looks at all that came from the process before it, which makes that its own
    memory_of_none = triggerer.memory()
    # Whatever is taken once is there when some wait.
    some = count // 10
    _add(triggerer, subject, 0, some)
    time.sleep(SETTLING)
    memory_of_some = triggerer.memory()

    before = _add(triggerer, subject, some, count)
    measured.starting = time.time() - before
    time.sleep(SETTLING)
    if speed != 1.0:
        triggerer.speed_up(speed)
    begin, asked = time.time(), subject.asked()
    time.sleep(steady)
    minutes = (time.time() - begin) / 60
    asked_in_the_end = subject.asked()
    measured.requests = asked_in_the_end - asked_before
    measured.requests_a_minute = (asked_in_the_end - asked) / minutes
    memory = triggerer.memory()
    measured.memory = memory - memory_of_none
    measured.memory_of_task = (memory - memory_of_some) / (count - some)

    samples = triggerer.samples()
    measured.stall_starting = longest(samples, before, begin)
    measured.stall = longest(samples, begin, time.time())
    measured.collecting = max(
        (stall["collecting"] for each in samples if each["at"] >= begin for stall in each["stalls"]),
        default=0.0,
    )
    cpu = [(each["at"], each["cpu"]) for each in samples if each["at"] >= begin]
    measured.cpu = (cpu[-1][1] - cpu[0][1]) / (cpu[-1][0] - cpu[0][0])
    return measured


def _add(triggerer: Triggerer, subject: Subject, first: int, end: int) -> float:
    """Let some tasks wait, and return when (epoch) they were in the database, once their triggers run."""
    added_at = triggerer.add(subject.waiters[first:end])
    what = f"{end} triggers of {subject.name}"
    triggerer.until(lambda: triggerer.samples()[-1]["waiting"] == end, what, 180.0)
    return added_at


def longest(samples: list[dict[str, Any]], begin: float, end: float) -> Stall:
    """Return the stall between two instants that was longest by the process's own doing."""
    stalls = (
        Stall(
            stall["seconds"],
            min(stall["without_core"], stall["seconds"]),
            stall["collecting"],
            tuple(stall["stack"]),
        )
        for sample in samples
        for stall in sample["stalls"]
        if begin <= stall["at"] < end
    )
    return max(stalls, key=lambda stall: stall.own, default=Stall())
