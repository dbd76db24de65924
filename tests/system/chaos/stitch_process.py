"""Run a local Stitch in a separate process, which can be killed and later resumes with its saved state.

If this module is run as a program, it serves the API and executes calls from standard input. Each input line
contains one call, for example `{"call": "jobs", "arguments": {"source_id": 310442}}`.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests

from airflow_provider_stitch.emulator import JobPlan, LoadError, StitchEmulator
from airflow_provider_stitch.emulator.model.request_log import busiest_window
from tests.support.secret_encodings import emulator_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_stitch.emulator.model.faults import Fault

STREAM = "commits"

#: Number of seconds of Stitch's time per real second. At this speed, a job takes 6 to 24 real seconds until
#: its rows are loaded.
SPEED = 30.0

#: A query parameter that marks requests from this process to itself. These requests are not part of Airflow's
#: request budget.
CHECK = {"check": "1"}

#: Duration of a job that a test will stop, in seconds of Stitch's time.
VERY_LONG = 20 * 3600.0


class StitchProcess:
    """A handle with which a test can start and kill the process, and call the emulator in the process.

    :param state_file: the file in which the emulator saves its state.
    """

    def __init__(self, state_file: Path) -> None:
        self._request_times: list[datetime] = []  # request times from earlier processes
        self._command = [sys.executable, "-m", "tests.system.chaos.stitch_process", str(state_file)]
        self._port = 0
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it serves the API.

        A process that replaces a killed process uses the same port.
        """
        self._process = subprocess.Popen(
            [*self._command, str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # ensures that Ctrl-C does not interrupt the process
        )
        ready = self._read()
        self._port = ready["port"]
        self.connection = ready["connection"]

    @property
    def is_running(self) -> bool:
        """Return whether the process is running."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self.is_running:
            self._request_times += self._times_of_process()
        self._process.kill()
        self._process.communicate()

    def busiest_window(self) -> int:
        """Return the largest number of status requests from Airflow in any 10 minutes of Stitch's time."""
        return busiest_window([*self._request_times, *self._times_of_process()])

    def _times_of_process(self) -> list[datetime]:
        return [datetime.fromisoformat(time) for time in self.call("request_times")]

    def fail(self, **arguments: Any) -> int:
        """Call `StitchEmulator.fail` and return the number of the fault, or 0 if Stitch is not running."""
        return int(self.call("fail", **arguments)) if self.is_running else 0

    def cancel_fault(self, number: int) -> None:
        """Cancel a fault if the process is running."""
        if self.is_running:
            self.call("cancel_fault", number=number)

    def call(self, call: str, /, **arguments: Any) -> Any:
        """Call one of the functions in `CALLS` inside the process, and return the result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()["result"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The local Stitch exited with status {self._process.wait()}.")
        response: dict[str, Any] = json.loads(line)
        return response


@contextmanager
def running_stitch(state_file: Path) -> Iterator[StitchProcess]:
    """Run a local Stitch in a separate process until the context ends."""
    stitch = StitchProcess(state_file)
    try:
        yield stitch
    finally:
        stitch.kill()


def main(state_file: str, port: str) -> None:
    """Serve the API until standard input is closed."""
    with StitchEmulator(speed=SPEED, port=int(port), state_file=state_file) as stitch:
        _write(port=int(stitch.url.rpartition(":")[2]), connection=stitch.connection_json())
        for line in sys.stdin:
            command = json.loads(line)
            _write(result=CALLS[command["call"]](stitch, **command["arguments"]))


def add_source(stitch: StitchEmulator, *, name: str, tap_seconds: float, outcome: str) -> int:
    """Add a source, and plan its jobs according to the expected outcome."""
    job = JobPlan(tap_seconds=tap_seconds)
    if outcome == "refused":
        job = replace(job, load_errors={STREAM: LoadError("disk full")})
    if outcome == "given up":
        job = replace(job, tap_seconds=VERY_LONG)
    source_id = stitch.add_source(name, streams={STREAM: 120}, job=job)
    if outcome == "extracted again":
        stitch.plan_next_job(source_id, replace(job, tap_exit_status=1))
    return source_id


def start_other_job(stitch: StitchEmulator, *, source_id: int) -> None:
    """Start a job on behalf of another user.

    The job has no rows, so the task's job remains the last job that loads rows.
    """
    if all(job.completion_time is not None for job in stitch.jobs(source_id)):
        stitch.start_job(source_id, JobPlan(tap_seconds=60, flushes={STREAM: []}))


def jobs(stitch: StitchEmulator, *, source_id: int) -> list[dict[str, Any]]:
    return [asdict(job) for job in stitch.jobs(source_id)]


def loaded_at(stitch: StitchEmulator, *, name: str) -> str | None:
    """Request the loads from the API, and return the time of a source's last load."""
    for page in itertools.count(1):
        response = requests.get(
            f"{stitch.url}/v4/{stitch.client_id}/loads",
            params={"page": page, **CHECK},
            headers={"Authorization": f"Bearer {stitch.access_token}"},
            timeout=10,
        )
        loads = response.json()["data"]
        for load in loads:
            if load["source_name"] == name:
                return str(load["last_batch_loaded_at"])
        if not loads:
            break
    return None


def request_times(stitch: StitchEmulator) -> list[str]:
    """Return the times of all status requests, except those that `loaded_at` has sent."""
    check = urlencode(CHECK)
    return [each.at.isoformat() for each in stitch.limited_requests if check not in each.path]


def secrets(stitch: StitchEmulator) -> list[str]:
    return emulator_secrets(stitch)


_faults: dict[int, Fault] = {}  # by number


def fail(stitch: StitchEmulator, **arguments: Any) -> int:
    number = len(_faults) + 1
    _faults[number] = stitch.fail(**arguments)
    return number


def cancel_fault(_: StitchEmulator, *, number: int) -> None:
    # A restarted process does not know faults from the previous process.
    if number in _faults:
        _faults[number].cancel()


CALLS: dict[str, Any] = {
    call.__name__: call
    for call in (add_source, start_other_job, jobs, loaded_at, request_times, secrets, fail, cancel_fault)
}


def _write(**response: Any) -> None:
    sys.stdout.write(json.dumps(response, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
