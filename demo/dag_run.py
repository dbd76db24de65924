"""One run of the demo's DAG, from its start to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_airflow.patience import LocalAirflowFailed, Patience
from local_airflow.task_log import readable_end

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_airflow.rest import AirflowApi

RUN_ID = "demo"
LOG_LINES = 25
"""How much of a failed task's log is shown."""


class DagRun:
    """A run that is triggered and followed through Airflow's REST API.

    :param logs_folder: where Airflow writes the logs of tasks.
    """

    def __init__(self, api: AirflowApi, patience: Patience, dag_id: str, logs_folder: Path) -> None:
        self._api = api
        self._patience = patience
        self._dag_id = dag_id
        self._logs_folder = logs_folder
        self._state = ""

    def trigger(self) -> None:
        """Start the run."""
        self._patience.until(
            lambda: self._api.trigger(self._dag_id, RUN_ID), f"Airflow to take a run of {self._dag_id}"
        )

    def logs_of(self, task_id: str) -> Path:
        """Return the folder of a task's logs."""
        return self._logs_folder / f"dag_id={self._dag_id}" / f"run_id={RUN_ID}" / f"task_id={task_id}"

    def wait(self, meanwhile: Callable[[], object]) -> None:
        """Return when the run is over.

        :param meanwhile: called at each look, and once after the end.
        :raises LocalAirflowFailed: it takes too long, or Airflow has died.
        """

        def is_over() -> bool:
            self._state = self._api.state_of_run(self._dag_id, RUN_ID)
            meanwhile()
            return self._state in ("success", "failed")

        self._patience.until(is_over, f"the DAG run {RUN_ID}")
        meanwhile()

    def raise_if_failed(self) -> None:
        """:raises LocalAirflowFailed: the run has failed; with the end of the first failed task's log."""
        if self._state == "success":
            return
        states = self._api.states_of_tasks(self._dag_id, RUN_ID)
        failed = [task_id for task_id, state in states.items() if state == "failed"]
        if not failed:
            raise LocalAirflowFailed(f"The DAG run {RUN_ID} has failed; its tasks: {states}")
        raise LocalAirflowFailed(
            f"The task {failed[0]} has failed. The end of its log:",
            readable_end(self.logs_of(failed[0]), LOG_LINES),
        )

    def xcom(self, task_id: str) -> Any:
        """Return what a task returned."""
        return self._api.xcom(self._dag_id, RUN_ID, task_id)
