"""An Airflow home with a database, in which benchmarks run triggerers one after the other."""

from __future__ import annotations

import base64
import os
import resource
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.subprocesses import WorkerProcess
from benchmarks.triggerer.process import StoredTrigger, Triggerer
from local_airflow.processes import stop

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
AIRFLOW_DATABASE = Path(__file__).parent / "workers" / "airflow_database.py"
CAPACITY = 2000  #: maximum number of triggers per triggerer
MAX_OPEN_FILES = 4096  #: maximum number of open files, because Airflow opens a log file for each waiting task


class AirflowHome:
    """A temporary Airflow home.

    :param folder: the folder of the Airflow home. The folder is created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = _environment(folder)
        self.database = WorkerProcess(AIRFLOW_DATABASE, folder / "airflow_database.out", self._environment)

    def create_database(self) -> None:
        """Create the folder and the database."""
        (self.folder / "tmp").mkdir(parents=True)
        (self.folder / "airflow.cfg").touch()  # if this file is missing, each process writes a default file
        _raise_open_file_limit()
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
        """Start a DAG run and a triggerer with a probe. On exit, this context manager stops the triggerer.

        :param environment: additional environment variables for the triggerer.
        """
        folder = self.folder / run_id
        folder.mkdir()
        self.database.call("start_run", run_id=run_id)
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
            triggerer = Triggerer(process, folder, run_id, self.database)
            triggerer.add([StoredTrigger("benchmarks.triggerer.probe.Probe", {"folder": str(folder)})])
            triggerer.wait_until(lambda: bool(triggerer.samples()), "the probe to start")
            yield triggerer
        finally:
            stop([process])


def _airflow() -> Path:
    return Path(sys.executable).with_name("airflow")


def _raise_open_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MAX_OPEN_FILES:
        limit = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of Airflow, without the variables that configure the caller's Airflow."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))
    }
    settings = {
        "CORE__DAGS_FOLDER": str(folder / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "API__SECRET_KEY": secrets.token_urlsafe(32),
        "API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **inherited,
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(folder),
        "PYTHONPATH": str(ROOT),  # this path makes the probe importable
        # Give the triggerer a separate folder, because its clocks may run faster than those of other
        # processes.
        "TMPDIR": str(folder / "tmp"),
        "PATH": os.pathsep.join([str(_airflow().parent), os.environ.get("PATH", os.defpath)]),
        "NO_PROXY": "*",
        "no_proxy": "*",
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "False",
    }
