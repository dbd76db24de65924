"""Run setup operators without a DAG, in a thread or in several processes.

The command `python -m tests.support.setup_without_dag KIND NUMBER` runs an operator of the given kind in
NUMBER processes at the same time, and prints the results as a JSON list. The command imports Airflow only
once and then forks, because the import takes seconds. Each process connects to Stitch before it waits for the
others. The Airflow connection `stitch_default` must exist.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
)

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

TIMEOUT = 600.0  #: maximum number of seconds to wait for the other processes


class FakeSetupInstance:
    """A task instance for a setup task that runs without Airflow's database."""

    start_date = None
    dag_id = task_id = "setup"
    map_index = -1

    def __init__(self, run_number: int) -> None:
        self.run_id = f"run_{run_number}"

    def xcom_push(self, key: str, value: Any) -> None:
        """Discard the XCom."""


def destination_operator() -> Any:
    return StitchCreateDestinationOperator(
        task_id="task",
        destination_type="postgres",
        name="Warehouse",
        properties={"host": "pg.acme.example", "port": 5432, "database": "dwh", "username": "stitch"},
        credentials={"password": "hush"},
        poll_interval=0.001,
    )


def source_operator() -> Any:
    return StitchCreateSourceOperator(
        task_id="task",
        source_type="platform.github",
        display_name="GitHub",
        properties={"repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"},
        credentials={"access_token": "hush"},
    )


#: Functions that return a new operator, by the kind of object that the operator creates.
OPERATORS = {"destination": destination_operator, "source": source_operator}


def execute(operator: Any, run_number: int) -> Any:
    """Execute an operator as part of a DAG run.

    :param run_number: number of the DAG run, which is equal for all tries of a task.
    """
    # Airflow 2 wraps `execute` in a function that fails outside the main thread.
    method = type(operator).execute
    unwrapped = getattr(method, "__wrapped__", method)
    return unwrapped(operator, {"ti": FakeSetupInstance(run_number)})


def _keep_barrier(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - a barrier can be passed to the processes of a pool only when they start
    _barrier = barrier


def _execute_with_others(kind: str, run_number: int) -> Any:
    """Execute an operator as soon as all processes in the pool are ready."""
    operator = OPERATORS[kind]()
    operator.hook.client.list_sources()  # connects to Stitch
    _barrier.wait(TIMEOUT)
    return execute(operator, run_number)


def main(kind: str, number: int) -> None:
    """Run an operator in several processes at the same time, and print the results as JSON."""
    # imports the modules that all processes need, before the processes are forked
    OPERATORS[kind]().hook.client.list_sources()
    context = multiprocessing.get_context("fork")
    with context.Pool(number, _keep_barrier, [context.Barrier(number)]) as pool:
        results = pool.starmap(_execute_with_others, [(kind, run) for run in range(number)], chunksize=1)
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
