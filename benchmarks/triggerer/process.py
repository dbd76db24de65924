"""A running triggerer, which is controlled through Airflow's database and the probe in the triggerer."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from local_airflow.processes import last_lines

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.subprocesses import WorkerProcess

DEFAULT_TIMEOUT = 120.0  #: seconds


class StoredTrigger(NamedTuple):
    """A trigger as Airflow stores it."""

    classpath: str
    arguments: dict[str, Any]


class Triggerer:
    """A running triggerer and the samples of its probe.

    :param folder: the folder that contains the triggerer's log, the samples and the commands for the probe.
    :param database: the worker process with access to Airflow's database.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, run_id: str, database: WorkerProcess
    ) -> None:
        self._process = process
        self._folder = folder
        self._run_id = run_id
        self._database = database
        self._count = 0

    def add(self, triggers: list[StoredTrigger]) -> float:
        """Add a deferred task for each trigger.

        Return the time (epoch) when all tasks were in the database.
        """
        self._database.call("add_deferred", run_id=self._run_id, first=self._count, triggers=triggers)
        self._count += len(triggers)
        return time.time()

    def count_deferred(self) -> int:
        """Return the number of deferred tasks in the database, without the task of the probe."""
        count: int = self._database.call("count_deferred", run_id=self._run_id)
        return count - 1

    def events(self) -> list[dict[str, Any]]:
        """Return `index`, `at` (epoch) and `event` for each task that an event has resumed."""
        events: list[dict[str, Any]] = self._database.call("events", run_id=self._run_id)
        return events

    def samples(self) -> list[dict[str, Any]]:
        """Return all samples that the probe has recorded."""
        file = self._folder / "samples.jsonl"
        # The last line may be incomplete, because the probe is still writing.
        lines = file.read_text().split("\n")[:-1] if file.exists() else []
        return [json.loads(line) for line in lines]

    def memory(self) -> int:
        """Run a garbage collection, and return the memory of the process that runs the triggers, in bytes."""
        self._send_command("collect", "")
        key = "memory_after_collection"
        memory: int = next(each[key] for each in reversed(self.samples()) if key in each)
        return memory

    def accelerate(self, speed: float) -> None:
        """Run the clocks of the process that runs the triggers at a multiple of real time."""
        self._send_command("speed", str(speed))

    def _send_command(self, name: str, text: str) -> None:
        file = self._folder / name
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").rename(file)
        previous = len(self.samples())
        self.wait_until(
            lambda: not file.exists() and len(self.samples()) > previous, f"the probe's command {name!r}"
        )

    def wait_until(
        self, is_met: Callable[[], bool], what: str, timeout_seconds: float = DEFAULT_TIMEOUT
    ) -> None:
        """Wait until a condition is met.

        :param what: a description of the condition for the error message.
        :raises RuntimeError: if the condition is not met in time, or if the triggerer has exited. The message
            contains the end of the triggerer's log.
        """
        deadline = time.monotonic() + timeout_seconds
        while not is_met():
            has_exited = self._process.poll() is not None
            if has_exited or time.monotonic() > deadline:
                message = (
                    "The triggerer has exited" if has_exited else f"Waited {timeout_seconds:g} s for {what}"
                )
                log_end = last_lines(self._folder / "triggerer.out", 30)
                raise RuntimeError("\n".join([f"{message}. The end of its log:", *log_end]))
            time.sleep(0.25)
