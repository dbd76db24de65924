"""A trigger that measures the triggerer from inside: stalls, garbage collections, CPU time and memory."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import FrameType

# Clock that the probe uses to measure. `AdjustableClocks` may accelerate all other clocks.
now = time.perf_counter
real_time, real_monotonic, real_sleep = time.time, time.monotonic, time.sleep

SAMPLE_INTERVAL = 1.0  #: seconds
TICK = 0.002  #: seconds between two checks of the event loop
MIN_STALL = 0.003  #: minimum duration of a recorded stall, in seconds
STACK_AFTER = 0.03  #: seconds after which the stack of a stalled event loop is recorded
STACK_DEPTH = 8
OLDEST_GENERATION = len(gc.get_threshold()) - 1  #: a garbage collection of this generation visits all objects
TASK_NAME_PREFIX = "benchmark/"  #: prefix of the names of asyncio tasks that run the DAG's triggers


class Probe(BaseTrigger):
    """Records a sample of the event loop and the process each second.

    The probe writes each sample to a line of `samples.jsonl`. Two other files are commands for the probe. The
    probe executes a command and then deletes the file. The file `collect` makes the probe run a full garbage
    collection. The probe records the duration of the collection and the memory afterwards. The file `speed`
    sets the speed of the clocks.

    :param folder: the folder that contains the samples and the commands.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.Probe", {"folder": self.folder}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        folder, process = Path(self.folder), psutil.Process()
        clocks, collections = AdjustableClocks(), CollectionRecorder()
        stalls = StallRecorder(collections)
        sampled_at = now()
        with (folder / "samples.jsonl").open("a", buffering=1) as samples:
            while True:
                # The event loop uses the adjustable clocks, but the stall recorder measures real time.
                await asyncio.sleep(TICK * clocks.speed)
                stalls.tick()
                if now() - sampled_at < SAMPLE_INTERVAL:
                    continue
                sampled_at = now()
                sample: dict[str, Any] = {
                    "at": real_time(),
                    "waiting": count_waiting_triggers(),
                    "stalls": stalls.take_recorded(),
                    "collections": collections.take_recorded(),
                    "cpu": sum(process.cpu_times()[:2]),
                    "memory": process.memory_info().rss,
                }
                if _take_command(folder / "collect") is not None:
                    gc.collect()
                    sample["memory_after_collection"] = process.memory_info().rss
                    sample["full_collection"] = collections.take_recorded()
                if (speed := _take_command(folder / "speed")) is not None:
                    clocks.accelerate(float(speed))
                samples.write(json.dumps(sample) + "\n")
                stalls.restart()  # do not record this measurement as a stall
        yield TriggerEvent({})


def _take_command(file: Path) -> str | None:
    if not file.exists():
        return None
    command = file.read_text()
    file.unlink()
    return command


def count_waiting_triggers() -> int:
    """Return the number of waiting triggers, not including the probe."""
    return sum(task.get_name().startswith(TASK_NAME_PREFIX) for task in asyncio.all_tasks()) - 1


class CollectionRecorder:
    """Records Python's garbage collections. A collection in any thread blocks the event loop."""

    def __init__(self) -> None:
        #: CPU seconds of all collections. CPU time does not include the time in which other processes used
        #: all cores.
        self.total_seconds = 0.0
        self._started_at = 0.0
        self._recorded = _no_collections()
        gc.callbacks.append(self._on_collection)

    def take_recorded(self) -> dict[str, float]:
        """Return the figures of the collections since the previous call.

        `full` is the number of collections that visited all objects. `longest` is the duration of the longest
        collection in seconds. `objects` is the number of objects in cyclic garbage.
        """
        recorded, self._recorded = self._recorded, _no_collections()
        return recorded

    def _on_collection(self, phase: str, information: dict[str, int]) -> None:
        if phase == "start":
            self._started_at = time.thread_time()
            return
        seconds = time.thread_time() - self._started_at
        self.total_seconds += seconds
        self._recorded["longest"] = max(self._recorded["longest"], seconds)
        self._recorded["objects"] += information["collected"]
        self._recorded["full"] += information["generation"] == OLDEST_GENERATION


def _no_collections() -> dict[str, float]:
    return {"full": 0, "longest": 0.0, "objects": 0}


class StallRecorder:
    """Records stalls. During a stall the event loop cannot run its callbacks, and the next tick is late."""

    def __init__(self, collections: CollectionRecorder) -> None:
        self._collections = collections
        self._thread = threading.get_ident()
        self._scheduler_statistics = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._has_statistics = self._scheduler_statistics.exists()
        self._recorded: list[dict[str, Any]] = []
        self._stack: list[str] = []
        self.restart()
        threading.Thread(target=self._record_stacks, daemon=True).start()

    def restart(self) -> None:
        """Start the measurement of the next tick."""
        self._stack = []
        self._preempted = self._preempted_seconds()
        self._cpu = time.thread_time()
        self._collection_seconds = self._collections.total_seconds
        self._ticked_at = now()

    def tick(self) -> None:
        """Record a stall if this tick is late, and start the measurement of the next tick."""
        delay = now() - self._ticked_at - TICK
        if delay >= MIN_STALL:
            self._recorded.append(
                {
                    "at": real_time(),
                    "seconds": delay,
                    "preempted": self._preempted_seconds() - self._preempted,
                    "cpu": time.thread_time() - self._cpu,
                    "collection": self._collections.total_seconds - self._collection_seconds,
                    "stack": self._stack,
                }
            )
        self.restart()

    def take_recorded(self) -> list[dict[str, Any]]:
        """Return the stalls since the previous call."""
        recorded, self._recorded = self._recorded, []
        return recorded

    def _preempted_seconds(self) -> float:
        """Return how long this thread was ready to run while other processes used all cores."""
        if not self._has_statistics:
            return 0.0
        return int(self._scheduler_statistics.read_bytes().split()[1]) / 1e9

    def _record_stacks(self) -> None:
        """Record the stack of the event loop during a stall. This method runs in another thread."""
        while True:
            real_sleep(STACK_AFTER / 3)
            if not self._stack and now() - self._ticked_at > STACK_AFTER + TICK:
                self._stack = _innermost_frames(sys._current_frames()[self._thread])  # noqa: SLF001


def _innermost_frames(frame: FrameType | None) -> list[str]:
    """Return the file and line of the innermost frames, outermost first.

    The source lines of the frames are not included, because they would need memory.
    """
    places: list[str] = []
    while frame is not None and len(places) < STACK_DEPTH:
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return places[::-1]


class AdjustableClocks:
    """Replaces the clocks of this process and the timer of its event loop with clocks that can run faster.

    With accelerated clocks, the ten minutes of the rate limit pass within seconds for all code in the
    process.

    :raises RuntimeError: if the provider has already been imported, because it may refer to the original
        clocks.
    """

    def __init__(self) -> None:
        if "airflow_provider_stitch.replication" in sys.modules:
            raise RuntimeError(
                "The clocks cannot be replaced, because the provider has already been imported."
            )
        self.speed = 1.0
        self._changed_at = real_monotonic()
        self._gained = 0.0
        time.time = lambda: real_time() + self._ahead()
        time.monotonic = lambda: real_monotonic() + self._ahead()
        selector: Any = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]  # noqa: SLF001
        select = selector.select
        selector.select = lambda timeout=None: select(timeout and timeout / self.speed)

    def accelerate(self, speed: float) -> None:
        """From now on, run the clocks at a multiple of real time."""
        self._gained, self._changed_at = self._ahead(), real_monotonic()
        self.speed = speed

    def _ahead(self) -> float:
        return self._gained + (real_monotonic() - self._changed_at) * (self.speed - 1.0)
