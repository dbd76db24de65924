"""Start one run of the demo's DAG, and follow its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_airflow.task_log import readable_end
from local_airflow.waiting import Deadline, LocalAirflowFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_airflow.rest import AirflowApi

RUN_ID = "demo"
MAX_LOG_LINES = 25  #: maximum number of lines to print from the end of a failed task's log


class DagRun:
    """A DAG run, controlled through Airflow's REST API.

    :param logs_folder: the folder that contains the task logs.
    """

    def __init__(self, api: AirflowApi, deadline: Deadline, dag_id: str, logs_folder: Path) -> None:
        self._api = api
        self._deadline = deadline
        self._dag_id = dag_id
        self._logs_folder = logs_folder
        self._state = ""

    def trigger(self) -> None:
        """Start the DAG run."""
        self._deadline.wait_until(
            lambda: self._api.trigger(self._dag_id, RUN_ID), f"Airflow to accept a run of {self._dag_id}"
        )

    def logs_of(self, task_id: str) -> Path:
        """Return the folder that contains the logs of a task."""
        return self._logs_folder / f"dag_id={self._dag_id}" / f"run_id={RUN_ID}" / f"task_id={task_id}"

    def wait(self, on_poll: Callable[[], object]) -> None:
        """Wait until the run has finished.

        :param on_poll: called at each poll, and once after the run has finished.
        :raises LocalAirflowFailed: if the deadline has passed or a process of Airflow has exited.
        """

        def is_finished() -> bool:
            self._state = self._api.state_of_run(self._dag_id, RUN_ID)
            on_poll()
            return self._state in ("success", "failed")

        self._deadline.wait_until(is_finished, f"the DAG run {RUN_ID} to finish")
        on_poll()

    def raise_if_failed(self) -> None:
        """Raise an error if the run failed.

        The error shows the last log lines of the first failed task. Airflow can fail a task before the task
        writes a log. The error then shows the last log lines of Airflow's components.
        """
        if self._state == "success":
            return
        states = self._api.states_of_tasks(self._dag_id, RUN_ID)
        failed = [task_id for task_id, state in states.items() if state == "failed"]
        if not failed:
            raise LocalAirflowFailed(f"The DAG run {RUN_ID} failed. The states of its tasks: {states}")
        log_end = readable_end(self.logs_of(failed[0]), MAX_LOG_LINES)
        if not log_end:
            raise LocalAirflowFailed(
                f"The task {failed[0]} failed without a log. The last lines of the components' logs:",
                self._deadline.collect_log_ends(),
            )
        raise LocalAirflowFailed(f"The task {failed[0]} failed. The last lines of its log:", log_end)

    def xcom(self, task_id: str) -> Any:
        """Return the value that a task has returned."""
        return self._api.xcom(self._dag_id, RUN_ID, task_id)
