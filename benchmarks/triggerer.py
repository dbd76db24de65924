"""A real Airflow triggerer, its database, and a probe in it."""

from __future__ import annotations

import base64
import json
import os
import resource
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.children import Servant
from local_airflow.processes import last_lines, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0  #: seconds for anything that is meant to happen soon
CAPACITY = 2000
OPEN_FILES = 4096  #: Airflow opens a log file for each task that waits


class Waiter(NamedTuple):
    """A trigger, as it is stored."""

    classpath: str
    arguments: dict[str, Any]


class Home:
    """A folder with Airflow's database, in which triggerers can be started one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = _environment(folder)
        self.rows = Servant("child_rows.py", folder / "rows.out", self._environment)

    def set_up(self) -> None:
        """Make the database."""
        (self.folder / "tmp").mkdir(parents=True)
        (self.folder / "airflow.cfg").touch()  # else each process would write a long one
        _allow_open_files()
        with (self.folder / "migration.out").open("wb") as log:
            subprocess.run(
                [_airflow(), "db", "migrate"],
                env=self._environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )

    @contextmanager
    def triggerer(self, run_id: str, **environment: str) -> Iterator[Triggerer]:
        """Start a triggerer with a probe, and stop it in the end."""
        folder = self.folder / run_id
        folder.mkdir()
        self.rows.ask("begin", run_id=run_id)
        with (folder / "triggerer.out").open("wb") as log:
            process = subprocess.Popen(
                [_airflow(), "triggerer", "--skip-serve-logs", "--capacity", str(CAPACITY)],
                cwd=self.folder,
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            triggerer = Triggerer(process, folder, run_id, self.rows)
            triggerer.add([Waiter("benchmarks.triggerer_probe.Probe", {"folder": str(folder)})])
            triggerer.until(lambda: bool(triggerer.samples()), "its probe to begin")
            yield triggerer
        finally:
            stop([process])


class Triggerer:
    """A triggerer that runs, and what its probe has written down."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, run_id: str, rows: Servant) -> None:
        self._process = process
        self._folder = folder
        self._run_id = run_id
        self._rows = rows
        self._added = 0

    def add(self, waiters: list[Waiter]) -> float:
        """Let tasks wait; return when (epoch) they were in the database."""
        self._rows.ask("wait", run_id=self._run_id, first=self._added, triggers=waiters)
        self._added += len(waiters)
        return time.time()

    def deferred(self) -> int:
        """Return how many tasks wait, without the probe, as the database has it."""
        count: int = self._rows.ask("deferred", run_id=self._run_id)
        return count - 1

    def outcomes(self) -> list[dict[str, Any]]:
        """Return `index`, `at` (epoch) and `event` of each task whose trigger has fired."""
        found: list[dict[str, Any]] = self._rows.ask("outcomes", run_id=self._run_id)
        return found

    def samples(self) -> list[dict[str, Any]]:
        """Return what the probe has written down so far."""
        file = self._folder / "samples.jsonl"
        # The last line may still be being written.
        lines = file.read_text().split("\n")[:-1] if file.exists() else []
        return [json.loads(line) for line in lines]

    def memory(self) -> int:
        """Return the bytes that the triggerer's process of triggers has after a garbage collection."""
        self._wish("collect", "")
        memory: int = next(each["collected"] for each in reversed(self.samples()) if "collected" in each)
        return memory

    def speed_up(self, speed: float) -> None:
        """Let the clocks of that process run so many times as fast as ours."""
        self._wish("speed", str(speed))

    def _wish(self, name: str, text: str) -> None:
        file = self._folder / name
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").rename(file)
        told = len(self.samples())
        self.until(lambda: not file.exists() and len(self.samples()) > told, f"the probe to {name}")

    def until(self, is_so: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait until something has happened.

        :raises RuntimeError: it has not, or the triggerer has ended; with the end of its log.
        """
        gives_up_at = time.monotonic() + patience
        while not is_so():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > gives_up_at:
                what = "The triggerer has ended" if ended else f"Waited {patience:g} s in vain for {what}"
                raise RuntimeError("\n".join([f"{what}:", *last_lines(self._folder / "triggerer.out", 30)]))
            time.sleep(0.25)


def _airflow() -> Path:
    return Path(sys.executable).with_name("airflow")


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _environment(folder: Path) -> dict[str, str]:
    """Settings for Airflow; all others are its defaults, whatever this shell may be set up for."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    settings = {
        "CORE__DAGS_FOLDER": str(folder / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "API__SECRET_KEY": secrets.token_urlsafe(32),
        "API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **own,
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(folder),
        "PYTHONPATH": str(ROOT),  # where the probe is
        # Its clocks may be sped up, so what processes share by files there must not be shared with others.
        "TMPDIR": str(folder / "tmp"),
        "PATH": os.pathsep.join([str(_airflow().parent), os.environ.get("PATH", os.defpath)]),
        "NO_PROXY": "*",
        "no_proxy": "*",
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "False",
    }
