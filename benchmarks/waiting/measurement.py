"""Measure the CPU time, memory and event loop stalls of a triggerer with waiting triggers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.triggerer.process import StoredTrigger, Triggerer

STARTUP_SECONDS = 3.0  #: seconds to let Airflow start before the first measurement
SETTLING_SECONDS = 4.0  #: seconds from the creation of the last trigger to the end of the startup
START_TIMEOUT = 180.0  #: maximum seconds until all triggers are running


@dataclass(frozen=True)
class Stall:
    """A period during which the triggerer's event loop was blocked. All durations are in seconds."""

    seconds: float = 0.0
    preempted: float = 0.0  #: time of the stall during which other processes used all cores
    collection: float = 0.0  #: time of garbage collections during the stall, without time in `preempted`
    stack: tuple[str, ...] = ()  #: innermost frames of the event loop during the stall

    @property
    def own_seconds(self) -> float:
        """The duration of the stall, without garbage collections and the time in `preempted`.

        Garbage collections are excluded, because their duration depends on Airflow's own objects and not on
        the code that they interrupt.
        """
        return max(0.0, self.seconds - self.preempted - self.collection)


@dataclass(frozen=True)
class Collections:
    """Python's garbage collections in a triggerer since the first trigger was added."""

    full: int = 0  #: number of collections that Python started and that visited all objects
    longest: float = 0.0  #: CPU seconds of the longest collection that Python started
    full_seconds: float = 0.0  #: CPU seconds of the full collection that the benchmark starts at the end
    objects: int = 0  #: total number of objects in cyclic garbage that these collections found


@dataclass
class Measurement:
    """The measurements of some waiting triggers. Times are in real seconds, and memory is in bytes.

    The steady state starts SETTLING_SECONDS after all triggers are running.
    """

    name: str
    count: int  #: number of triggers
    startup_seconds: float = 0.0  #: time from adding the last nine tenths of the triggers until all run
    startup_stall: Stall = field(default_factory=Stall)  #: longest stall during startup
    steady_stall: Stall = field(default_factory=Stall)  #: longest stall in the steady state
    ending_stall: Stall | None = None  #: longest stall while all jobs end; None if not measured
    collections: Collections = field(default_factory=Collections)  #: collections in startup and steady state
    cpu: float = 0.0  #: CPU seconds per second in the steady state
    memory: int = 0  #: memory in the steady state, minus the memory before the first trigger
    memory_per_task: float = 0.0  #: memory per task, measured from the last nine tenths of the tasks
    requests: int = 0  #: total number of requests to the server
    requests_per_minute: float = 0.0  #: requests per minute in the steady state

    @property
    def fixed_memory(self) -> float:
        """The memory for modules, threads and connections, which does not depend on the number of tasks."""
        return self.memory - self.count * self.memory_per_task


@dataclass(frozen=True)
class Subject:
    """A provider and its triggers."""

    name: str
    triggers: list[StoredTrigger]
    count_requests: Callable[[], int]  #: returns the number of requests that the server has received
    environment: dict[str, str] = field(default_factory=dict)  #: additional variables for the triggerer


def measure(triggerer: Triggerer, subject: Subject, steady_seconds: float, speed: float = 1.0) -> Measurement:
    """Let the triggers of a provider wait, and return the measurements.

    :param steady_seconds: duration of the measurement in the steady state.
    :param speed: speed of the triggerer's clocks in the steady state, as a multiple of real time.
    """
    count = len(subject.triggers)
    measurement, requests_at_start = Measurement(subject.name, count), subject.count_requests()
    time.sleep(STARTUP_SECONDS)
    # Discard the first value, because the first collection makes the system copy all memory pages that are
    # shared with the parent process.
    triggerer.memory()
    memory_without_tasks = triggerer.memory()
    # Add a tenth of the triggers first, because the first triggers also cause the allocation of the fixed
    # memory.
    first_part = count // 10
    first_at = _add(triggerer, subject, 0, first_part)
    time.sleep(SETTLING_SECONDS)
    memory_of_first_part = triggerer.memory()

    added_at = _add(triggerer, subject, first_part, count)
    measurement.startup_seconds = time.time() - added_at
    time.sleep(SETTLING_SECONDS)
    if speed != 1.0:
        triggerer.accelerate(speed)
    steady_at, requests_before = time.time(), subject.count_requests()
    time.sleep(steady_seconds)
    minutes = (time.time() - steady_at) / 60
    requests = subject.count_requests()
    measurement.requests = requests - requests_at_start
    measurement.requests_per_minute = (requests - requests_before) / minutes
    memory = triggerer.memory()
    measurement.memory = memory - memory_without_tasks
    measurement.memory_per_task = (memory - memory_of_first_part) / (count - first_part)
    samples = triggerer.samples()
    _evaluate_samples(measurement, samples, added_at, steady_at)
    measurement.collections = _collections(each for each in samples if each["at"] >= first_at)
    return measurement


def _add(triggerer: Triggerer, subject: Subject, first: int, end: int) -> float:
    """Add some triggers and wait until all of them run.

    Return the time (epoch) when the triggers were in the database.
    """
    added_at = triggerer.add(subject.triggers[first:end])
    what = f"{end} triggers of {subject.name} to run"
    triggerer.wait_until(lambda: triggerer.samples()[-1]["waiting"] == end, what, START_TIMEOUT)
    return added_at


def _evaluate_samples(
    measurement: Measurement, samples: list[dict[str, Any]], added_at: float, steady_at: float
) -> None:
    """Add the stalls and the CPU time to a measurement."""
    measurement.startup_stall = longest_stall(samples, added_at, steady_at)
    measurement.steady_stall = longest_stall(samples, steady_at, time.time())
    steady = [each for each in samples if each["at"] >= steady_at]
    first, last = steady[0], steady[-1]
    measurement.cpu = (last["cpu"] - first["cpu"]) / (last["at"] - first["at"])


def _collections(samples: Iterable[dict[str, Any]]) -> Collections:
    by_python, by_benchmark = [], []
    for sample in samples:
        by_python.append(sample["collections"])
        if "full_collection" in sample:
            by_benchmark.append(sample["full_collection"])
    return Collections(
        full=sum(each["full"] for each in by_python),
        longest=max(each["longest"] for each in by_python),
        full_seconds=by_benchmark[-1]["longest"],
        objects=sum(each["objects"] for each in by_python + by_benchmark),
    )


def longest_stall(samples: list[dict[str, Any]], start: float, end: float) -> Stall:
    """Return the longest stall between two times (epoch).

    Stalls are compared by the seconds that the triggerer itself caused.
    """
    stalls = (
        Stall(
            stall["seconds"],
            min(stall["preempted"], stall["seconds"]),
            stall["collection"],
            tuple(stall["stack"]),
        )
        for sample in samples
        for stall in sample["stalls"]
        if start <= stall["at"] < end
    )
    return max(stalls, key=lambda stall: stall.own_seconds, default=Stall())
