"""Triggers of the benchmark, which run in the triggerer beside those that are measured."""

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

# The clock may be made to run faster, and measuring is done by this one.
now = time.perf_counter
real_time, real_monotonic, real_sleep = time.time, time.monotonic, time.sleep

TICK = 0.002  #: seconds between two looks whether the event loop gets round
WORTH_TELLING = 0.003  #: seconds of a stall that is written down
WORTH_A_STACK = 0.03  #: seconds of a stall after which is looked what the event loop is at
DEPTH = 8  #: of such a stack
OF_BENCHMARK = "benchmark/"  #: how Airflow names the tasks of this DAG's triggers


class Idle(BaseTrigger):
    """Waits and does nothing, so that it costs what Airflow itself costs."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.Idle", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.Event().wait()
        yield TriggerEvent({})


class IdleWithRequests(Idle):
    """Does nothing either, but has imported what talks HTTP."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        import requests  # noqa: F401, PLC0415 - in the triggerer, as triggers do

        async for event in super().run():
            yield event


class Probe(BaseTrigger):
    """Writes down, each second, how the event loop and the process are.

    :param folder: where: each second a line in `samples.jsonl`. Two files there are wishes, and gone when
        they are fulfilled: `collect` for the memory after a garbage collection, and `speed` for clocks that
        run as many times as fast as it says.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.Probe", {"folder": self.folder}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        folder, process = Path(self.folder), psutil.Process()
        clocks, stalls = Clocks(), Stalls()
        told_at = now()
        with (folder / "samples.jsonl").open("a", buffering=1) as samples:
            while True:
                # Slept is by the clocks of the process, measured by the real one.
                await asyncio.sleep(TICK * clocks.speed)
                stalls.tick()
                if now() - told_at < 1.0:
                    continue
                told_at = now()
                sample: dict[str, Any] = {"at": real_time(), "waiting": waiting(), "stalls": stalls.take()}
                sample |= {"cpu": sum(process.cpu_times()[:2]), "memory": process.memory_info().rss}
                if _wished(folder / "collect") is not None:
                    gc.collect()
                    sample["collected"] = process.memory_info().rss
                if (speed := _wished(folder / "speed")) is not None:
                    clocks.speed_up(float(speed))
                samples.write(json.dumps(sample) + "\n")
                stalls.begin_anew()  # what this took is not what is measured
        yield TriggerEvent({})


def _wished(file: Path) -> str | None:
    if not file.exists():
        return None
    wish = file.read_text()
    file.unlink()
    return wish


def waiting() -> int:
    """Return how many triggers run beside the probe."""
    return sum(task.get_name().startswith(OF_BENCHMARK) for task in asyncio.all_tasks()) - 1


class Stalls:
    """How long the event loop did not get round: noticed by ticks that come late."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._schedule = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._counts = self._schedule.exists()
        self._found: list[dict[str, Any]] = []
        self._stack: list[str] = []
        self._collecting = self._collected = 0.0
        gc.callbacks.append(self._on_collection)
        self.begin_anew()
        threading.Thread(target=self._look, daemon=True).start()

    def begin_anew(self) -> None:
        self._stack = []
        self._unscheduled = self._seconds_unscheduled()
        self._cpu = time.thread_time()
        self._collected = 0.0
        self._ticked_at = now()

    def tick(self) -> None:
        late = now() - self._ticked_at - TICK
        if late >= WORTH_TELLING:
            self._found.append(
                {
                    "at": real_time(),
                    "seconds": late,
                    "without_core": self._seconds_unscheduled() - self._unscheduled,
                    "cpu": time.thread_time() - self._cpu,
                    "collecting": self._collected,
                    "stack": self._stack,
                }
            )
        self.begin_anew()

    def take(self) -> list[dict[str, Any]]:
        found, self._found = self._found, []
        return found

    def _seconds_unscheduled(self) -> float:
        """Return for how long this thread could have gone on, but other processes had all the cores."""
        return int(self._schedule.read_bytes().split()[1]) / 1e9 if self._counts else 0.0

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = now()
        else:
            self._collected += now() - self._collecting

    def _look(self) -> None:
        """Note, in a thread, what the event loop is at while it does not get round."""
        while True:
            real_sleep(WORTH_A_STACK / 3)
            if not self._stack and now() - self._ticked_at > WORTH_A_STACK + TICK:
                self._stack = _stack(sys._current_frames()[self._thread])  # noqa: SLF001


def _stack(frame: FrameType | None) -> list[str]:
    """Return the innermost places, the innermost last. The lines themselves would take memory."""
    places: list[str] = []
    while frame is not None and len(places) < DEPTH:
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return places[::-1]


class Clocks:
    """The clocks of this process, and the pauses of its event loop, which can be made to run faster.

    So the ten minutes of a limit pass in seconds, for all code alike.

    :raises RuntimeError: what must see it has been imported, and may hold the clocks of before.
    """

    def __init__(self) -> None:
        if "airflow_provider_stitch.replication" in sys.modules:
            raise RuntimeError("The clocks can't be changed any more: the provider has been imported.")
        self.speed = 1.0
        self._began = real_monotonic()
        self._gained = 0.0
        time.time = lambda: real_time() + self._ahead()
        time.monotonic = lambda: real_monotonic() + self._ahead()
        selector: Any = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]  # noqa: SLF001
        select = selector.select
        selector.select = lambda timeout=None: select(timeout and timeout / self.speed)

    def speed_up(self, speed: float) -> None:
        """Let them run so many times as fast from now on."""
        self._gained, self._began = self._ahead(), real_monotonic()
        self.speed = speed

    def _ahead(self) -> float:
        return self._gained + (real_monotonic() - self._began) * (self.speed - 1.0)
