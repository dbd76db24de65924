"""A local Stitch in a process of its own, which can be killed and goes on where it was.

As a program it serves, and does what it is told line by line, such as
`{"call": "jobs", "arguments": {"source_id": 310442}}`.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import requests

from airflow_provider_stitch.emulator import JobPlan, LoadError, StitchEmulator
from tests.support.secret_encodings import secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_stitch.emulator.faults import Fault

STREAM = "commits"

#: Seconds of Stitch's time in a second: a job of ours takes from six to 24 seconds until it is loaded.
SPEED = 30.0

#: Seconds of Stitch's time that a job takes which somebody has to stop.
ENDLESS = 20 * 3600.0


class StitchProcess:
    """The process, as the one that strikes it sees it.

    :param state: the file in which the emulator keeps its state.
    """

    def __init__(self, state: Path) -> None:
        self._command = [sys.executable, "-m", "tests.system.chaos.stitch_process", str(state)]
        self._port = 0
        self.start()

    def start(self) -> None:
        """Start it, or start it again on the same port, and wait until it answers."""
        self._process = subprocess.Popen(
            [*self._command, str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is not for it
        )
        ready = self._read()
        self._port = ready["port"]
        self.connection = ready["connection"]

    @property
    def is_running(self) -> bool:
        """Whether it has been started and not been killed."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it without a warning."""
        self._process.kill()
        self._process.communicate()

    def fail(self, **arguments: Any) -> int:
        """Arrange a fault, as `StitchEmulator.fail` does, and return its number. A killed Stitch has none."""
        return int(self.call("fail", **arguments)) if self.is_running else 0

    def mend(self, fault: int) -> None:
        """Let a fault strike no more."""
        if self.is_running:
            self.call("mend", fault=fault)

    def call(self, call: str, /, **arguments: Any) -> Any:
        """Let the emulator do something, and return what it returned."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()["result"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The local Stitch has ended with exit status {self._process.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running_stitch(state: Path) -> Iterator[StitchProcess]:
    """A process that ends with the context."""
    stitch = StitchProcess(state)
    try:
        yield stitch
    finally:
        stitch.kill()


def main(state: str, port: str) -> None:
    """Serve until standard input ends."""
    with StitchEmulator(speed=SPEED, port=int(port), state_file=state) as stitch:
        _say(port=int(stitch.url.rpartition(":")[2]), connection=stitch.connection_json())
        for line in sys.stdin:
            told = json.loads(line)
            _say(result=CALLS[told["call"]](stitch, **told["arguments"]))


def add_source(stitch: StitchEmulator, *, name: str, tap_seconds: float, fate: str) -> int:
    """Add a source, of which `fate` says how its jobs go."""
    job = JobPlan(tap_seconds=tap_seconds)
    if fate == "refused":
        job = replace(job, load_errors={STREAM: LoadError("disk full")})
    if fate == "given up":
        job = replace(job, tap_seconds=ENDLESS)
    source_id = stitch.add_source(name, streams={STREAM: 120}, job=job)
    if fate == "extracted again":
        stitch.plan_next_job(source_id, replace(job, tap_exit_status=1))
    return source_id


def start_other_job(stitch: StitchEmulator, *, source_id: int) -> None:
    """Start a job as another user would. It finds no rows, so that the last load stays ours."""
    if all(job.completion_time is not None for job in stitch.jobs(source_id)):
        stitch.start_job(source_id, JobPlan(tap_seconds=60, flushes={STREAM: []}))


def jobs(stitch: StitchEmulator, *, source_id: int) -> list[dict[str, Any]]:
    return [asdict(job) for job in stitch.jobs(source_id)]


def loaded_at(stitch: StitchEmulator, *, name: str) -> str | None:
    """When the rows of a source were loaded last, as Stitch tells everybody."""
    for page in itertools.count(1):
        answer = requests.get(
            f"{stitch.url}/v4/{stitch.client_id}/loads",
            params={"page": page},
            headers={"Authorization": f"Bearer {stitch.access_token}"},
            timeout=10,
        )
        loads = answer.json()["data"]
        for load in loads:
            if load["source_name"] == name:
                return str(load["last_batch_loaded_at"])
        if not loads:
            break
    return None


def secrets(stitch: StitchEmulator) -> list[str]:
    return secrets_of(stitch)


_faults: dict[int, Fault] = {}


def fail(stitch: StitchEmulator, **arguments: Any) -> int:
    number = len(_faults) + 1
    _faults[number] = stitch.fail(**arguments)
    return number


def mend(_: StitchEmulator, *, fault: int) -> None:
    # One that was started again since has no faults.
    if fault in _faults:
        _faults[fault].cancel()


CALLS: dict[str, Any] = {
    call.__name__: call for call in (add_source, start_other_job, jobs, loaded_at, secrets, fail, mend)
}


def _say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
