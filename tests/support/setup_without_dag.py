"""Run setup operators without a DAG: in a thread, or in a separate process.

`python -m tests.support.setup_without_dag KIND RUN` is such a process. It prints "ready", waits for a line,
runs the operator, and prints the result as JSON. Airflow's connection `stitch_default` must exist.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
)


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
    """Execute an operator in a DAG run. Two tries of one task have the same run number."""
    # Airflow 2 wraps `execute` in a check that fails outside the main thread.
    method = type(operator).execute
    unwrapped = getattr(method, "__wrapped__", method)
    return unwrapped(operator, {"ti": FakeSetupInstance(run_number)})


if __name__ == "__main__":
    kind, run_number = sys.argv[1:]
    operator = OPERATORS[kind]()
    operator.hook.client.list_sources()  # imports what the task needs
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(json.dumps(execute(operator, int(run_number))))
