"""An Airflow of several processes beside a local Stitch, and the runs in it that a test follows."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import create_engine, text

from local_airflow.processes import IS_AIRFLOW_2, WORKER, LocalAirflow
from local_airflow.waiting import Deadline, Interrupted, LocalAirflowFailed
from tests.written import files_in, rows_of

if IS_AIRFLOW_2:
    from tests.system.database import AirflowDatabase as Control
else:
    from local_airflow.rest import AirflowApi as Control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DAGS_FOLDER = Path(__file__).parent / "dags"
TASK = "replicate"
OVER = ("success", "failed")
POSTGRES = os.environ.get("STITCH_TEST_POSTGRES")
CELERY = os.environ.get("STITCH_TEST_CELERY")
FERNET_KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()

#: Components that run tasks, beside the scheduler, which does so itself with a LocalExecutor.
WORKERS = ("first worker", "second worker") if CELERY else ()

#: Seconds that a wait may take before the test fails, on however busy a machine.
PATIENCE = 90.0

#: Seconds for which Airflow's processes wait for SQLite. On a busy machine 90 are too few for 20 runs.
SQLITE_TIMEOUT = 600

#: Airflow notices at once what it would notice in minutes.
SETTINGS = {
    "CORE__FERNET_KEY": FERNET_KEY,
    "CORE__PARALLELISM": "6",
    "CORE__TASK_SUCCESS_OVERTIME": "1",
    "SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "1",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # A busy machine parses a DAG slowly, and must not lose it for that. (The names of Airflow 3 and 2.)
    "CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    "CORE__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "3600",
    "SCHEDULER__STALE_DAG_THRESHOLD": "3600",
}


class Airflow:
    """A running Airflow: its processes, and what a user can do in it."""

    def __init__(
        self, processes: LocalAirflow, control: Control, deadline: Deadline, secrets: list[str]
    ) -> None:
        self.processes = processes
        self.control = control
        self.secrets = secrets  #: what it must not write down
        self._deadline = deadline
        # A database that is given may hold runs of earlier tests.
        self._run_ids = (f"{uuid4().hex[:8]}_{number}" for number in itertools.count(1))

    def new_run(self, dag_id: str, task_id: str = TASK) -> Run:
        """A run that is still to begin."""
        return Run(self, dag_id, next(self._run_ids), task_id)

    def run(self, dag_id: str, source: str, *, task_id: str = TASK, **conf: str) -> Run:
        """Start a run of a DAG that replicates a source, or waits for it.

        :param task_id: the task to follow; `*` follows the logs of all.
        :param conf: what the run's configuration says beside the source.
        """
        run = self.new_run(dag_id, task_id)
        run.begin(source, **conf)
        return run

    def task_processes(self) -> list[psutil.Process]:
        """The processes in which tasks run."""
        return [process for process in self.processes.members() if _is_task(process)]

    def supervisor_of(self, task: psutil.Process) -> psutil.Process | None:
        """The process that looks after a task's; None if it is gone."""
        with suppress(psutil.NoSuchProcess):
            parent = task.ppid()
            return next((process for process in self.processes.members() if process.pid == parent), None)
        return None

    def hold_up(self, process: psutil.Process) -> None:
        """Let a process stand still, but not in a transaction for which all others would have to wait."""
        process.suspend()
        while self._database_is_locked():
            process.resume()
            time.sleep(0.05)
            process.suspend()

    def _database_is_locked(self) -> bool:
        """Say whether a transaction of SQLite's lasts longer than any of a process that runs."""
        if POSTGRES:
            return False
        with closing(sqlite3.connect(self.processes.home / "airflow.db", timeout=3)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                return True
            database.rollback()
        return False

    def kill_the_task(self) -> None:
        """Kill what runs tasks just now, without a warning."""
        self.until(self.task_processes, "a task's process")
        for process in self.task_processes():
            process.kill()

    def add_connection(self, connection_id: str, connection: Mapping[str, Any]) -> None:
        """Add a connection to the database, as a user does. Its token is a secret from then on."""
        self.control.add_connection(connection_id, connection)
        self.secrets.append(connection["password"])

    def remove_connection(self, connection_id: str) -> None:
        """Remove a connection, as a user does."""
        self.control.remove_connection(connection_id)

    def set_state_in_database(self, run: Run, state: str) -> None:
        """Set the state of a run's task, as Airflow's own code does when it bypasses the scheduler."""
        engine = create_engine(
            POSTGRES or f"sqlite:///{self.processes.home}/airflow.db?timeout={PATIENCE:.0f}"
        )
        update = text(
            "UPDATE task_instance SET state = :state "
            "WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id"
        )
        key = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id}
        with engine.begin() as connection:
            connection.execute(update, {"state": state, **key})
        engine.dispose()

    def everything_written(self) -> bytes:
        """All that Airflow has put on disk and into its database."""
        rows = rows_of(POSTGRES or f"sqlite:///{self.processes.home}/airflow.db", FERNET_KEY)
        return b"\n".join([files_in(self.processes.home), *rows])

    def heed(self) -> None:
        """Fail the test if a process has died that nobody has ended, or a signal came."""
        with _readable_end():
            self._deadline.check()

    def until(self, has_come: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
        """Return when `has_come`; fail the test if that takes too long or a process has died."""
        self._deadline.seconds = patience
        self._deadline.restart()
        with _readable_end():
            self._deadline.wait_until(lambda: bool(has_come()), what)


class Run:
    """A run of a DAG, and one task in it."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str, task_id: str) -> None:
        self._airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id
        self.task_id = task_id

    def begin(self, source: str, **conf: str) -> None:
        """Begin.

        :param conf: what the run's configuration has beside its source.
        """
        control, whole = self._airflow.control, {"source": source, **conf}
        self._airflow.until(lambda: control.trigger(self.dag_id, self.run_id, whole), "a run")

    @property
    def waits(self) -> int:
        """How often a wait for the task's job has begun: in each try, and in each triggerer."""
        return self.log().count("Waiting for loading")

    @property
    def task_state(self) -> str | None:
        return self._airflow.control.states_of_tasks(self.dag_id, self.run_id).get(self.task_id)

    def until_task_is(self, state: str) -> None:
        self._airflow.until(lambda: self.task_state == state, f"the task of {self.dag_id} to be {state}")

    def end(self, patience: float = PATIENCE) -> str:
        """Wait for the run's end, and return its state."""
        control, states = self._airflow.control, []

        def is_over() -> bool:
            states.append(control.state_of_run(self.dag_id, self.run_id))
            return states[-1] in OVER

        self._airflow.until(is_over, f"the end of {self.run_id} of {self.dag_id}", patience)
        return states[-1]

    def until_it_waits(self, times: int = 1) -> None:
        """Wait until the task waits for its job, for the first time or a later one."""
        self._airflow.until(lambda: self.waits == times, f"wait {times} of {self.run_id} of {self.dag_id}")

    def until_logged(self, words: str) -> None:
        self._airflow.until(lambda: words in self.log(), f"{words!r} in the log of {self.run_id}")

    def until_let_go(self) -> None:
        """Wait until no worker and no triggerer has anything to do with the task any more."""
        self._airflow.until(self._is_let_go, f"Airflow to let go of {self.run_id} of {self.dag_id}")

    def _is_let_go(self) -> bool:
        if not self.dag_id.endswith("deferred"):
            return not self._airflow.task_processes()
        # In Airflow 3 this is in the task's log, in Airflow 2 in the triggerer's own.
        triggerer = (self._airflow.processes.home / "triggerer.out").read_text()
        in_triggerer = re.search(rf"trigger {self.dag_id}/{self.run_id}/.* completed", triggerer)
        return "trigger completed" in self.log() or in_triggerer is not None

    def mark(self, state: str) -> None:
        """Mark the task as a user does."""
        self._airflow.control.mark(self.dag_id, self.run_id, self.task_id, state)

    def clear(self) -> None:
        """Clear the task as a user does."""
        self._airflow.control.clear(self.dag_id, self.run_id, self.task_id)

    def xcom(self, key: str = "return_value") -> Any:
        return self._airflow.control.xcom(self.dag_id, self.run_id, self.task_id, key)

    def log(self) -> str:
        """All that was logged of the task: by workers and triggerers, in all its tries."""
        return "\n".join(file.read_text() for file in self._log_files())

    def tries_in_workers(self) -> list[str]:
        """The names of the logs that workers wrote, one for each try. (A triggerer writes another.)"""
        return [file.name for file in self._log_files() if ".trigger." not in file.name]

    def _log_files(self) -> list[Path]:
        folder = self._airflow.processes.logs_folder / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        return sorted(folder.glob(f"task_id={self.task_id}/**/*.log*"))


def _is_task(process: psutil.Process) -> bool:
    try:
        title = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    # Airflow 3 names it after the task's id, beside workers called LocalExecutor; Airflow 2 in words.
    in_airflow_3 = title.startswith("airflow worker -- ") and "LocalExecutor" not in title
    return in_airflow_3 or title.startswith("airflow task runner")


@contextmanager
def running_airflow(
    connection: str, *, home: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Airflow]:
    """An Airflow that has read the DAGs. What was started is ended with the context.

    :param connection: its connection to Stitch, as JSON.
    :param home: Airflow's home, which then stays.
    :param settings: further settings of Airflow.
    """
    deadline = Deadline(PATIENCE)
    # On Airflow 2 the tests look into its database themselves, so both have one home.
    home = Path(os.environ["AIRFLOW_HOME"]) if IS_AIRFLOW_2 else home
    settings = {**SETTINGS, **_database(home), **_executor(), **(settings or {})}
    with (
        deadline.deferring_signals(),
        LocalAirflow(connection, deadline, DAGS_FOLDER, settings=settings, home=home) as local,
    ):
        control = Control() if IS_AIRFLOW_2 else Control(local.url)
        airflow = Airflow(local, control, deadline, [json.loads(connection)["password"]])
        with _readable_end():
            local.start()
        for name in WORKERS:
            local.start_component(WORKER, name)
        airflow.until(control.is_up, "Airflow to answer")
        airflow.until(lambda: control.has_dag("timed_left_running_deferred"), "Airflow to read the DAGs")
        yield airflow


@contextmanager
def _readable_end() -> Iterator[None]:
    """Let a failure show the logs that tell why, and a signal end the tests in good order."""
    try:
        yield
    except LocalAirflowFailed as failure:
        pytest.fail("\n".join([str(failure), *failure.log_end]), pytrace=False)
    except Interrupted as signal:
        pytest.exit(f"{signal} came.")


def _database(home: Path | None) -> dict[str, str]:
    if POSTGRES:
        return {"DATABASE__SQL_ALCHEMY_CONN": POSTGRES}
    # Airflow's processes exit if they have to wait for SQLite longer than this, by default for 5 s, which a
    # busy machine exceeds. Airflow replaces the variable if the home is not known yet.
    folder = "$AIRFLOW_HOME" if home is None else home
    return {"DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db?timeout={SQLITE_TIMEOUT}"}


def _executor() -> dict[str, str]:
    if not CELERY:
        return {}
    return {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CELERY__BROKER_URL": CELERY,
        "CELERY__RESULT_BACKEND": CELERY,
        # A broker that is given may hold tasks of earlier tests.
        "OPERATORS__DEFAULT_QUEUE": f"stitch-{os.getpid()}",
    }
