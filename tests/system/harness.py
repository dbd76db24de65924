"""Run Airflow in several processes against a local Stitch, and control Airflow from a test."""

from __future__ import annotations

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
from tests.support.leak_scan import read_files, read_rows
from tests.support.redis_servers import RedisProcess
from tests.system.airflow_settings import (
    CELERY,
    FERNET_KEY,
    POSTGRES,
    SETTINGS,
    database_settings,
    executor_settings,
)

if IS_AIRFLOW_2:
    from tests.system.database import AirflowDatabase as Control
else:
    from local_airflow.rest import AirflowApi as Control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DAGS_FOLDER = Path(__file__).parent / "dags"
TASK_ID = "replicate"
#: one DAG id from each DAG file
DAG_IDS = ("assets_mapped", "create_account", "plain_in_worker", "renamed_deferred", "wait")
FINISHED_STATES = ("success", "failed")

#: Id of the Airflow connection to the Redis server for the shared request budget. The tests use this server
#: only with Celery.
REDIS_CONN_ID = "stitch_redis"

#: Names of the Celery workers. With a LocalExecutor, the scheduler starts all tasks.
WORKERS = ("first worker", "second worker") if CELERY else ()

#: Number of seconds after which a wait fails the test. The timeout is long, because the machine may be busy.
TIMEOUT = 600.0


class Airflow:
    """A running Airflow installation, with methods to control its processes and to perform user actions."""

    def __init__(
        self, processes: LocalAirflow, control: Control, deadline: Deadline, secrets: list[str]
    ) -> None:
        self.processes = processes
        self.control = control
        self.secrets = secrets  #: strings that Airflow must not write to disk or to the database
        #: the Redis server for the shared request budget, which is not Celery's broker
        self.redis: RedisProcess | None = None
        self._deadline = deadline
        # The run ids are random, because an external database may contain DAG runs from earlier tests.
        self._run_ids = (f"{uuid4().hex[:8]}_{number}" for number in itertools.count(1))

    def new_run(self, dag_id: str, task_id: str = TASK_ID) -> Run:
        """Return a new DAG run that has not been triggered yet."""
        return Run(self, dag_id, next(self._run_ids), task_id)

    def run(self, dag_id: str, source: str, *, task_id: str = TASK_ID, **conf: str) -> Run:
        """Start a run of a DAG that replicates a source or waits for a source.

        :param task_id: id of the task to observe. Pass `*` to read the logs of all tasks.
        :param conf: values to add to the configuration of the DAG run.
        """
        run = self.new_run(dag_id, task_id)
        run.trigger(source, **conf)
        return run

    def task_processes(self) -> list[psutil.Process]:
        """Return all processes that are executing tasks."""
        return [process for process in self.processes.members() if _is_task(process)]

    def supervisor_of(self, task: psutil.Process) -> psutil.Process | None:
        """Return the process that supervises a task's process, or None if the supervisor has exited."""
        with suppress(psutil.NoSuchProcess):
            parent = task.ppid()
            return next((process for process in self.processes.members() if process.pid == parent), None)
        return None

    @contextmanager
    def suspended(self, process: psutil.Process) -> Iterator[None]:
        """Suspend a process until the context ends.

        A suspended process must not hold a database lock, because the lock would block all other processes.
        """
        process.suspend()
        try:
            while self._database_is_locked():
                process.resume()
                time.sleep(0.05)
                process.suspend()
            yield
        finally:
            with suppress(psutil.NoSuchProcess):  # Airflow may have killed the process
                process.resume()

    def _database_is_locked(self) -> bool:
        """Return whether a process seems to be suspended while it holds SQLite's write lock."""
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

    def kill_tasks(self) -> None:
        """Wait until at least one process executes a task, and kill all processes that execute tasks."""
        self.wait_until(self.task_processes, "a task's process")
        for process in self.task_processes():
            process.kill()

    def kill_workers(self) -> None:
        """Kill all task processes and their supervisors, so that no process reports the exit to Airflow."""
        self.wait_until(self.task_processes, "a task's process")
        for process in self.task_processes():
            if (supervisor := self.supervisor_of(process)) is not None:
                supervisor.kill()
            process.kill()

    def add_connection(self, connection_id: str, connection: Mapping[str, Any]) -> None:
        """Add a connection the way a user would, and add the connection's token to `secrets`."""
        self.control.add_connection(connection_id, connection)
        self.secrets.append(connection["password"])

    def remove_connection(self, connection_id: str) -> None:
        """Remove a connection the way a user would."""
        self.control.remove_connection(connection_id)

    def set_state_in_database(self, run: Run, state: str) -> None:
        """Set the state of the run's task directly in the database, the way `dag.test()` does."""
        engine = create_engine(
            POSTGRES or f"sqlite:///{self.processes.home}/airflow.db?timeout={TIMEOUT:.0f}"
        )
        update = text(
            "UPDATE task_instance SET state = :state "
            "WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id"
        )
        key = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id}
        with engine.begin() as connection:
            connection.execute(update, {"state": state, **key})
        engine.dispose()

    def read_everything_written(self) -> bytes:
        """Return all files and database rows that Airflow has written, as bytes."""
        rows = read_rows(POSTGRES or f"sqlite:///{self.processes.home}/airflow.db", FERNET_KEY)
        return b"\n".join([read_files(self.processes.home), *rows])

    def check_health(self) -> None:
        """Fail the test if a process has exited unexpectedly, and stop pytest after a signal."""
        with _reporting_failures():
            self._deadline.check()

    def wait_until(
        self,
        is_met: Callable[[], Any],
        what: str,
        timeout: float = TIMEOUT,
        *,
        read_log: Callable[[], str] = lambda: "",
    ) -> None:
        """Wait until a condition is met.

        Fail the test after the timeout, or if a process has exited.

        :param read_log: a function that returns the log of the observed task, for the failure message.
        """
        self._deadline.seconds = timeout
        self._deadline.restart()
        with _reporting_failures(read_log):
            self._deadline.wait_until(lambda: bool(is_met()), what)


class Run:
    """A DAG run with one task that a test observes."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str, task_id: str) -> None:
        self._airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id
        self.task_id = task_id

    def trigger(self, source: str, **conf: str) -> None:
        """Start the DAG run.

        :param conf: values to add to the configuration of the DAG run.
        """
        control, run_conf = self._airflow.control, {"source": source, **conf}
        self._airflow.wait_until(
            lambda: control.trigger(self.dag_id, self.run_id, run_conf), f"a new run of {self.dag_id}"
        )

    def _wait_until(self, is_met: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
        self._airflow.wait_until(is_met, what, timeout, read_log=self.log)

    @property
    def waiter_count(self) -> int:
        """The number of waiters that have been started for the task.

        Each try starts a waiter, and so does each triggerer that resumes the task's trigger.
        """
        return len(re.findall("Waiting for source .* to finish loading", self.log()))

    @property
    def task_state(self) -> str | None:
        return self._airflow.control.states_of_tasks(self.dag_id, self.run_id).get(self.task_id)

    def wait_until_task_is(self, state: str) -> None:
        self._wait_until(lambda: self.task_state == state, f"the task of {self.dag_id} to be {state}")

    def wait_until_finished(self, timeout: float = TIMEOUT) -> str:
        """Wait until the DAG run has finished, and return its state."""
        control, states = self._airflow.control, []

        def is_finished() -> bool:
            states.append(control.state_of_run(self.dag_id, self.run_id))
            return states[-1] in FINISHED_STATES

        self._wait_until(is_finished, f"the end of {self.run_id} of {self.dag_id}", timeout)
        return states[-1]

    def wait_until_waiting(self, waiter: int = 1) -> None:
        """Wait until the task waits for its job.

        :param waiter: number of the waiter, for example 2 after one retry or one restart of the triggerer.
        """
        self._wait_until(
            lambda: self.waiter_count == waiter, f"waiter {waiter} of {self.run_id} of {self.dag_id}"
        )

    def wait_until_logged(self, message: str, timeout: float = TIMEOUT) -> None:
        """Wait until the log of the task contains a message."""
        self._wait_until(lambda: message in self.log(), f"{message!r} in the log of {self.run_id}", timeout)

    def wait_until_released(self) -> None:
        """Wait until no worker or triggerer is executing the task."""
        self._wait_until(self._is_released, f"Airflow to release {self.run_id} of {self.dag_id}")

    def _is_released(self) -> bool:
        if not self.dag_id.endswith("deferred"):
            return not self._airflow.task_processes()
        # Airflow 3 writes a line with `completed` to the task's log. Airflow 2 writes the line to the
        # triggerer's log.
        triggerer_log = (self._airflow.processes.home / "triggerer.out").read_text()
        completed = re.search(rf"trigger {self.dag_id}/{self.run_id}/.* completed", triggerer_log)
        return "trigger completed" in self.log() or completed is not None

    def mark(self, state: str) -> None:
        """Mark the task as failed or successful the way a user would."""
        self._airflow.control.mark(self.dag_id, self.run_id, self.task_id, state)

    def clear(self) -> None:
        """Clear the task the way a user would."""
        self._airflow.control.clear(self.dag_id, self.run_id, self.task_id)

    def xcom(self, key: str = "return_value") -> Any:
        return self._airflow.control.xcom(self.dag_id, self.run_id, self.task_id, key)

    def callbacks(self) -> list[str]:
        """Return the names of the callbacks that Airflow has called.

        If Airflow passed an exception to a callback, the name of the exception's class follows.
        """
        file = self._airflow.processes.home / "callbacks" / self.run_id
        return file.read_text().splitlines() if file.exists() else []

    def log(self) -> str:
        """Return the joined logs from all tries of the task, in workers and triggerers."""
        return "\n".join(file.read_text() for file in self._log_files())

    def tries_in_workers(self) -> list[str]:
        """Return the names of the log files that workers have written, one per try."""
        return [file.name for file in self._log_files() if ".trigger." not in file.name]

    def _log_files(self) -> list[Path]:
        folder = self._airflow.processes.logs_folder / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        return sorted(folder.glob(f"task_id={self.task_id}/**/*.log*"))


def _is_task(process: psutil.Process) -> bool:
    try:
        title = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    # In Airflow 3, the title of a task's process contains an id. The title of an idle worker contains
    # "LocalExecutor".
    in_airflow_3 = title.startswith("airflow worker -- ") and "LocalExecutor" not in title
    return in_airflow_3 or title.startswith("airflow task runner")


@contextmanager
def running_airflow(
    connection: str, *, home: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Airflow]:
    """Run Airflow until the context ends.

    Before the context starts, wait until Airflow has parsed the DAG files.

    :param connection: the Airflow connection to Stitch, as JSON.
    :param home: a folder for Airflow's home, which is not deleted at the end. If `home` is None, use a
        temporary folder.
    :param settings: additional Airflow settings.
    """
    deadline = Deadline(TIMEOUT, poll_interval=0.2)
    connection = with_redis(connection)
    # On Airflow 2, the tests access Airflow's database directly, so the tests and Airflow must use the same
    # home.
    home = Path(os.environ["AIRFLOW_HOME"]) if IS_AIRFLOW_2 else home
    settings = {**SETTINGS, **database_settings(home), **executor_settings(), **(settings or {})}
    with (
        deadline.deferring_signals(),
        _redis() as redis,
        LocalAirflow(
            connection,
            deadline,
            DAGS_FOLDER,
            settings=settings,
            home=home,
            connections={} if redis is None else {REDIS_CONN_ID: redis.connection_json()},
            hosts=redis is not None,
        ) as local,
    ):
        control = Control() if IS_AIRFLOW_2 else Control(local.url)
        airflow = Airflow(local, control, deadline, [json.loads(connection)["password"]])
        airflow.redis = redis
        with _reporting_failures():
            local.start()
        for name in WORKERS:
            local.start_component(WORKER, name)
        airflow.wait_until(control.is_up, "Airflow to respond")
        for dag_id in DAG_IDS:
            airflow.wait_until(lambda dag_id=dag_id: control.has_dag(dag_id), f"Airflow to parse {dag_id}")
        yield airflow


def with_redis(connection: str) -> str:
    """Return a connection to Stitch.

    If the tests use Celery, the connection shares its request budget through Redis.
    """
    fields = json.loads(connection)
    if CELERY:
        fields["extra"] = {**fields.get("extra", {}), "redis_conn_id": REDIS_CONN_ID}
    return json.dumps(fields)


@contextmanager
def _redis() -> Iterator[RedisProcess | None]:
    """Run a Redis server for the request budget if the tests use Celery."""
    if not CELERY:
        yield None
        return
    redis = RedisProcess()
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()


@contextmanager
def _reporting_failures(read_log: Callable[[], str] = lambda: "") -> Iterator[None]:
    """If Airflow fails, fail the test and show the end of the relevant logs.

    After a signal, stop pytest cleanly.
    """
    try:
        yield
    except LocalAirflowFailed as failure:
        end_of_log = [f"task: {line}" for line in read_log().splitlines()[-20:]]
        pytest.fail("\n".join([str(failure), *failure.log_end, *end_of_log]), pytrace=False)
    except Interrupted as signal:
        pytest.exit(f"Received {signal}.")
