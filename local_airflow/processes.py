"""Start and stop the processes of an Airflow installation in a temporary folder, on free local ports."""

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

from local_airflow.waiting import Deadline, LocalAirflowFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")

# Start the API server before the database migration ends. The API server starts slowly, and does not query
# the database before its first request. Airflow 2 needs no API server.
API_SERVER = {} if IS_AIRFLOW_2 else {"api-server": ["api-server"]}

# The components run without log servers, because log servers would listen on all addresses. The API server
# reads the log files directly.
COMPONENTS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
    **({} if IS_AIRFLOW_2 else {"dag-processor": ["dag-processor"]}),  # part of the scheduler in Airflow 2
}

# An installation has workers only with the CeleryExecutor. `start_component` starts the workers.
WORKER = "worker"
WORKERS = {WORKER: ["celery", "worker", "--skip-serve-logs", "--concurrency", "8"]}

SQL_CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"

MIGRATION = "db migrate"
"""Name of the only component that is expected to exit on its own."""

# Number of seconds from SIGTERM to SIGKILL.
STOP_TIMEOUT = 6.0


class LocalAirflow:
    """The processes of one Airflow installation.

    On exit, this context manager stops the processes and removes their folder.

    :param connection: the connection `stitch_default`, as JSON.
    :param deadline: the time limit for all waits. Inside the context, each wait also checks that the
        processes are running.
    :param dags_folder: the folder that contains the DAG files.
    :param settings: additional Airflow settings, such as `{"CORE__PARALLELISM": "4"}`.
    :param home: an existing folder for Airflow's home, which is not removed. If None, the temporary folder is
        Airflow's home.
    :param connections: additional connections as JSON, by id.
    :param hosts: whether each worker and triggerer has its own Airflow home, as if it ran on a separate host.
    """

    def __init__(
        self,
        connection: str,
        deadline: Deadline,
        dags_folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        home: Path | None = None,
        connections: Mapping[str, str] | None = None,
        hosts: bool = False,
    ) -> None:
        self._connections = {"stitch_default": connection, **(connections or {})}
        self._hosts = hosts
        self._deadline = deadline
        self._settings = {"CORE__DAGS_FOLDER": str(dags_folder), **(settings or {})}
        self._given_home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._orphaned_sessions: set[int] = set()  # sessions in which only the leader was killed
        self.url = ""

    def __enter__(self) -> LocalAirflow:  # noqa: PYI034 - Python 3.10 has no typing.Self
        if not _airflow_command().exists():
            raise LocalAirflowFailed(
                f"Airflow is not installed beside {sys.executable}. Start this command with make."
            )
        self._folder = tempfile.TemporaryDirectory(prefix="stitch-", ignore_cleanup_errors=True)
        self.home = self._given_home or Path(self._folder.name)
        (self.home / "tmp").mkdir(exist_ok=True)
        # Environment variables contain all settings. However, if this file is missing, each process writes a
        # default file.
        (self.home / "airflow.cfg").touch()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = _environment(self.home, port, self._connections, self._settings)
        self._deadline.check_health = self._raise_if_exited
        self._deadline.collect_log_ends = self._log_ends
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            stop(self._processes.values(), self._orphaned_sessions)
        finally:
            self._folder.cleanup()

    @property
    def logs_folder(self) -> Path:
        """The folder that contains the task logs."""
        return self.home / "logs"

    def start(self) -> None:
        """Create the database, and start all components without waiting until they are ready."""
        migration = self._launch(MIGRATION, ["db", "migrate"])
        for name, arguments in API_SERVER.items():
            self._launch(name, arguments)
        self._deadline.wait_until(lambda: migration.poll() is not None, "Airflow's database migration")
        self._raise_if_exited()
        del self._processes[MIGRATION]  # the operating system may reuse the id of this process
        self._enable_write_ahead_log()
        for name in COMPONENTS:
            self.start_component(name)

    def _enable_write_ahead_log(self) -> None:
        """Set a SQLite database to a mode in which writers do not block readers, as in Airflow 3."""
        database = self.home / "airflow.db"
        if database.exists():
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")

    # --- One component ----------------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Return the id of a component's main process, which leads a session."""
        return self._processes[name].pid

    def is_running(self, name: str) -> bool:
        """Return whether a component was started and has not been stopped."""
        return name in self._processes

    def members(self) -> list[psutil.Process]:
        """Return all processes of this installation, which are the components and their descendants."""
        return _members({process.pid for process in self._processes.values()} | self._orphaned_sessions)

    def start_component(self, component: str, name: str | None = None) -> None:
        """Start a component that is not running, or start another instance of a running component.

        :param name: the name of the additional instance.
        """
        name = name or component
        arguments = {**API_SERVER, **COMPONENTS, **WORKERS}[component]
        if component == WORKER:  # by default, all workers would have the same name and PID file
            # The name is unique even if several Airflow installations share a broker.
            hostname = f"{name.replace(' ', '-')}-{self.home.name}"
            arguments = [*arguments, "--celery-hostname", hostname, "--pid", f"{hostname}.pid"]
        self._launch(name, arguments, has_own_home=self._hosts and component in (WORKER, "triggerer"))

    def terminate(self, name: str) -> None:
        """Stop a component gracefully, and wait until it and its descendants have exited."""
        stop([self._processes.pop(name)])

    def kill(self, name: str, *, leave_children: bool = False) -> None:
        """Kill a component abruptly, as when its container is killed.

        :param leave_children: whether to kill only the main process and not its descendants.
        """
        process = self._processes.pop(name)
        if leave_children:
            self._orphaned_sessions.add(process.pid)
            process.kill()
        else:
            _kill(_members({process.pid}))
        process.wait()

    def kill_orphans(self) -> None:
        """Kill the descendants that `kill(leave_children=True)` left running."""
        _kill(_members(self._orphaned_sessions))
        self._orphaned_sessions.clear()

    def _launch(
        self, name: str, arguments: Sequence[str], *, has_own_home: bool = False
    ) -> subprocess.Popen[bytes]:
        environment = self._environment
        # Most processes exit if SQLite blocks them for longer than the timeout of the connection. The default
        # of 5 s is too short on a busy machine. The API server uses the default timeout, because two sessions
        # of the API server can block each other until the timeout.
        if name not in API_SERVER:
            environment = {SQL_CONNECTION: f"sqlite:///{self.home}/airflow.db?timeout=60", **environment}
        if has_own_home:
            home = self.home / "hosts" / name.replace(" ", "-")
            home.mkdir(parents=True, exist_ok=True)
            (home / "airflow.cfg").touch()
            environment = {
                **environment,
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs_folder),
            }
        with self._log_of(name).open("ab") as log:
            process = subprocess.Popen(
                [_airflow_command(), *arguments],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C does not reach the new session with all descendants
            )
        self._processes[name] = process
        return process

    def _raise_if_exited(self) -> None:
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None and not (name == MIGRATION and code == 0):
                raise LocalAirflowFailed(
                    f"Airflow's {name} exited with status {code}. The last lines of its log:",
                    last_lines(self._log_of(name), 30),
                )

    def _log_ends(self) -> list[str]:
        return [f"{name}: {line}" for name in self._processes for line in last_lines(self._log_of(name), 8)]

    def _log_of(self, name: str) -> Path:
        return self.home / f"{name.replace(' ', '-')}.out"


def _airflow_command() -> Path:
    return Path(sys.executable).with_name("airflow")


def free_port() -> int:
    """Return a local port that is currently free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(
    home: Path, port: int, connections: Mapping[str, str], additional: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of Airflow, without the variables that configure the caller's Airflow."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))
    }
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
        # With the default of 5 s, a worker on a busy machine may repeat the request that starts its task. The
        # API server rejects the repetition, and the task fails without a log.
        "WORKERS__EXECUTION_API_TIMEOUT": "120",
        # The API server starts during the migration.
        "DATABASE__CHECK_MIGRATIONS": "False",
        # All processes must have the same secret keys.
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "API__SECRET_KEY": secrets.token_urlsafe(32),
        "API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        **additional,
    }
    return {
        **inherited,
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW_CONN_{name.upper()}": connection for name, connection in connections.items()},
        # Airflow 2 refuses to use SQLite with several processes, although SQLite supports this with a
        # write-ahead log.
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
    """Return the last lines of a log file, or an empty list if the file does not exist."""
    if not log.exists():
        return []
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


def stop(processes: Iterable[subprocess.Popen[bytes]], orphaned_sessions: Iterable[int] = ()) -> None:
    """Stop some session leaders, and all other processes in their sessions.

    :param orphaned_sessions: ids of further sessions to stop, after their leaders have already exited.
    """
    leaders = list(processes)
    for process in leaders:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    for process in leaders:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    remaining = _members({process.pid for process in leaders} | set(orphaned_sessions))
    _kill(remaining)
    for process in leaders:
        process.wait()
    psutil.wait_procs(remaining, timeout=STOP_TIMEOUT)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _members(sessions: set[int]) -> list[psutil.Process]:
    """Return all processes in the given sessions. A process stays in its session when its parent exits."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions:
                found.append(process)
    return found
