"""Run setup operators without a DAG, in a thread or in several processes.

`python -m tests.support.setup_without_dag KIND NUMBER` imports Airflow, which takes seconds, and forks NUMBER
processes. Each process sends a request, and then all processes run the operator at the same time. The command
prints their results as a JSON list. Airflow's connection `stitch_default` must exist.
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

TIMEOUT = 600.0  #: seconds to wait for the other processes


class FakeSetupInstance:
    """The task instance of a setup task that runs without Airflow's database."""

    start_date = None
    dag_id = task_id = "setup"
    map_index = -1

    def __init__(self, run_number: int) -> None:
        self.run_id = f"run_{run_number}"

    def xcom_push(self, key: str, value: Any) -> None:
        """Discard an XCom."""


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


#: Functions that return a new operator, by the kind of object that it creates.
OPERATORS = {"destination": destination_operator, "source": source_operator}


def execute(operator: Any, run_number: int) -> Any:
    """Execute an operator in a DAG run. Two tries of the same task have the same run number."""
    # Airflow 2 wraps `execute` in a check that fails outside the main thread.
    method = type(operator).execute
    unwrapped = getattr(method, "__wrapped__", method)
    return unwrapped(operator, {"ti": FakeSetupInstance(run_number)})


def _keep_barrier(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - a pool passes a barrier to its processes only at their start
    _barrier = barrier


def _execute_with_others(kind: str, run_number: int) -> Any:
    """Execute an operator as soon as all processes of the pool are ready."""
    operator = OPERATORS[kind]()
    operator.hook.client.list_sources()  # opens the connection to Stitch
    _barrier.wait(TIMEOUT)
    return execute(operator, run_number)


def main(kind: str, number: int) -> None:
    """Run the operator in the given number of processes at the same time, and print the results as JSON."""
    # imports the modules that all processes need before the fork
    OPERATORS[kind]().hook.client.list_sources()
    context = multiprocessing.get_context("fork")
    with context.Pool(number, _keep_barrier, [context.Barrier(number)]) as pool:
        results = pool.starmap(_execute_with_others, [(kind, run) for run in range(number)], chunksize=1)
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
