"""Which process runs the task of which run."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from local_airflow.waiting import NotAvailableYet

if TYPE_CHECKING:
    from tests.system.harness import Airflow, Run

UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class Tasks:
    """Airflow 3 titles a task's process by the id of the try, which is another in each try."""

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow
        self._runs: dict[str, str] = {}  # by the id of a try

    def process_of(self, run: Run) -> psutil.Process | None:
        """Return the process in which the task of a run is; of several, the last one."""
        found = None
        for process in self._airflow.task_processes():
            if self._run_of(process) == run.run_id:
                found = process
        return found

    def _run_of(self, process: psutil.Process) -> str | None:
        try:
            title = UUID.search(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            return None
        if title is None:
            return None
        if title[0] not in self._runs:
            with suppress(NotAvailableYet):
                self._runs |= self._airflow.control.runs_of_tasks()
        return self._runs.get(title[0])
