"""A whole Airflow in a temporary folder, on free ports of this machine only."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from local_airflow.patience import LocalAirflowFailed, Patience

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")

# Asks the database for nothing before it is asked itself, and is slow to start. Airflow 2 needs none.
API_SERVER = {} if IS_AIRFLOW_2 else {"api-server": ["api-server"]}

# Without the servers of task logs: they would listen on all addresses, and the API server reads the files.
COMPONENTS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
    **({} if IS_AIRFLOW_2 else {"dag-processor": ["dag-processor"]}),  # in Airflow 2 the scheduler's
}

# Of a CeleryExecutor, and started by name: other executors have none.
WORKER = "worker"
WORKERS = {WORKER: ["celery", "worker", "--skip-serve-logs", "--concurrency", "8"]}

MIGRATION = "db migrate"
"""The one process that is meant to end."""

# Seconds that a process has to end by itself.
STOP_PATIENCE = 6.0


class LocalAirflow:
    """The processes of an Airflow. Leaving the context ends them and removes the folder.

    :param connection: the connection `stitch_default`, as JSON.
    :param patience: waits, and is told to look whether the processes live.
    :param dags_folder: where the DAG files are.
    :param settings: further settings of Airflow, such as `{"CORE__PARALLELISM": "4"}`.
    :param home: Airflow's home, an existing folder that stays; None makes one that goes with the context.
    """

    def __init__(
        self,
        connection: str,
        patience: Patience,
        dags_folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        self._connection = connection
        self._patience = patience
        self._settings = {"CORE__DAGS_FOLDER": str(dags_folder), **(settings or {})}
        self._given_home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._bereft: set[int] = set()  # sessions whose leader was killed and whose members were left alone
        self.url = ""

    def __enter__(self) -> LocalAirflow:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        if not _airflow_command().exists():
            raise LocalAirflowFailed(f"There is no Airflow beside {sys.executable}. Use make.")
        self._folder = tempfile.TemporaryDirectory(prefix="stitch-", ignore_cleanup_errors=True)
        self.home = self._given_home or Path(self._folder.name)
        (self.home / "tmp").mkdir(exist_ok=True)
        # Everything is set by the environment; without this file each process would write a long one.
        (self.home / "airflow.cfg").touch()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = _environment(self.home, port, self._connection, self._settings)
        self._patience.watch = self._raise_if_dead
        self._patience.log_end = self._log_ends
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            stop(self._processes.values(), self._bereft)
        finally:
            self._folder.cleanup()

    @property
    def logs_folder(self) -> Path:
        """Where Airflow writes the logs of tasks."""
        return self.home / "logs"

    def start(self) -> None:
        """Make the database, and start every component without waiting for it."""
        migration = self._launch(MIGRATION, ["db", "migrate"])
        for name, arguments in API_SERVER.items():
            self._launch(name, arguments)
        self._patience.until(lambda: migration.poll() is not None, "Airflow's database")
        self._raise_if_dead()
        del self._processes[MIGRATION]  # its id may soon be another's
        self._let_sqlite_be_shared()
        for name in COMPONENTS:
            self.start_one(name)

    def _let_sqlite_be_shared(self) -> None:
        """Let readers of the database not wait for writers. Airflow 3 sees to that itself."""
        database = self.home / "airflow.db"
        if database.exists():
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")

    # --- One component ----------------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Return the id of a component's main process, the leader of a session."""
        return self._processes[name].pid

    def is_running(self, name: str) -> bool:
        """Whether a component was started and has not been ended."""
        return name in self._processes

    def members(self) -> list[psutil.Process]:
        """Return all processes of this Airflow: the components', and what they have started."""
        return _members({process.pid for process in self._processes.values()} | self._bereft)

    def start_one(self, component: str, name: str | None = None) -> None:
        """Start a component: one that was ended, or, under another name, a further one of its kind."""
        name = name or component
        arguments = {**API_SERVER, **COMPONENTS, **WORKERS}[component]
        if component == WORKER:  # else they would all have one name, and one file with their process's id
            of_its_own = name.replace(" ", "-")
            arguments = [*arguments, "--celery-hostname", of_its_own, "--pid", f"{of_its_own}.pid"]
        self._launch(name, arguments)

    def terminate(self, name: str) -> None:
        """Ask a component to end, as an orderly restart does, and wait until it and all of its are gone."""
        stop([self._processes.pop(name)])

    def kill(self, name: str, *, alone: bool = False) -> None:
        """End a component without a warning, as the end of its container does.

        :param alone: leave alive what it has started.
        """
        process = self._processes.pop(name)
        if alone:
            self._bereft.add(process.pid)
            process.kill()
        else:
            _kill(_members({process.pid}))
        process.wait()

    def end_bereft(self) -> None:
        """End what was left alive when its component was killed."""
        _kill(_members(self._bereft))
        self._bereft.clear()

    def _launch(self, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log_of(name).open("ab") as log:
            process = subprocess.Popen(
                [_airflow_command(), *arguments],
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is not for it, and all descendants can be found again
            )
        self._processes[name] = process
        return process

    def _raise_if_dead(self) -> None:
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None and not (name == MIGRATION and code == 0):
                raise LocalAirflowFailed(
                    f"Airflow's {name} has ended with exit status {code}. The end of its log:",
                    last_lines(self._log_of(name), 30),
                )

    def _log_ends(self) -> list[str]:
        return [f"{name}: {line}" for name in self._processes for line in last_lines(self._log_of(name), 8)]

    def _log_of(self, name: str) -> Path:
        return self.home / f"{name.replace(' ', '-')}.out"


def _airflow_command() -> Path:
    return Path(sys.executable).with_name("airflow")


def free_port() -> int:
    """Return a port of this machine on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(home: Path, port: int, connection: str, further: Mapping[str, str]) -> dict[str, str]:
    """Settings for Airflow, and nothing of another Airflow that this shell may be set up for."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    settings = {
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "2",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        # The API server starts beside the migration.
        "DATABASE__CHECK_MIGRATIONS": "False",
        # All processes must have the same keys.
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "API__SECRET_KEY": secrets.token_urlsafe(32),
        "API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        **further,
    }
    return {
        **own,
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_STITCH_DEFAULT": connection,
        # Airflow 2 lets nobody use SQLite in several processes. With a write-ahead log that goes well.
        "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
        "PATH": os.pathsep.join([str(_airflow_command().parent), os.environ.get("PATH", os.defpath)]),
        "TMPDIR": str(home / "tmp"),
        "NO_PROXY": "*",
        "no_proxy": "*",
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "False",
        "PYTHONUNBUFFERED": "1",
    }


def last_lines(log: Path, count: int) -> list[str]:
    """Return the end of a log file, or nothing if there is none."""
    if not log.exists():
        return []
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


def stop(processes: Iterable[subprocess.Popen[bytes]], bereft: Iterable[int] = ()) -> None:
    """End processes that lead a session of their own, and all that they have started.

    :param bereft: further sessions whose leader is gone already.
    """
    leaders = list(processes)
    for process in leaders:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    until = time.monotonic() + STOP_PATIENCE
    for process in leaders:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
    remaining = _members({process.pid for process in leaders} | set(bereft))
    _kill(remaining)
    for process in leaders:
        process.wait()
    psutil.wait_procs(remaining, timeout=STOP_PATIENCE)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _members(sessions: set[int]) -> list[psutil.Process]:
    """All processes of some sessions. A task keeps its session even if its parent is gone."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions:
                found.append(process)
    return found
