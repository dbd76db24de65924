"""Find the process that executes the task of a DAG run."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from local_airflow.waiting import NotAvailableYet

if TYPE_CHECKING:
    from tests.system.harness import Airflow, Run

UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class TaskProcesses:
    """Task processes of Airflow 3. Each process title contains the id of a try."""

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow
        self._run_ids: dict[str, str] = {}  # DAG run ids, by the id of the try

    def find(self, run: Run) -> psutil.Process | None:
        """Return the newest process that executes the task of a DAG run."""
        found = None
        for process in self._airflow.task_processes():
            if self._run_id(process) == run.run_id:
                found = process
        return found

    def _run_id(self, process: psutil.Process) -> str | None:
        try:
            try_id = UUID.search(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            return None
        if try_id is None:
            return None
        if try_id[0] not in self._run_ids:
            with suppress(NotAvailableYet):
                self._run_ids |= self._airflow.control.runs_of_tasks()
        return self._run_ids.get(try_id[0])
