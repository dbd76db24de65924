"""Run DAGs in the installed Airflow, and read their results."""

from __future__ import annotations

import functools
import itertools
import os
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

AIRFLOW_HOME = Path(os.environ["AIRFLOW_HOME"])
_dag_numbers = itertools.count(1)


@dataclass
class DagRunResult:
    """The result of a DAG run.

    The keys of the dicts are task ids. The key of a mapped task ends with `[index]`.
    """

    state: str
    output: str  #: Airflow's complete output, including the logs of tasks and triggers
    states: dict[str, str]
    xcom: dict[str, Any]  #: the return value of each task, or None for a task without a return value
    instances: dict[str, Any] = field(repr=False)


class DagRunner:
    """Runs DAGs with `dag.test()`, which uses Airflow's task runner, real triggers and a real database."""

    def __init__(self, read_output: Callable[[], str]) -> None:
        self.read_output = read_output

    def dag(self, **options: Any) -> Any:
        """Return a new DAG with a unique id and, by default, no schedule."""
        from airflow.providers.common.compat.sdk import DAG

        start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        options = {"schedule": None, "start_date": start, "catchup": False, **options}
        return DAG(dag_id=f"dag_{next(_dag_numbers)}", **options)

    def run(self, dag: Any) -> DagRunResult:
        """Run a DAG in this process, and wait until the DAG run has ended."""
        _register(dag)
        self.read_output()  # discards the output from earlier DAG runs
        dag_run = dag.test()
        output = self.read_output()
        instances = {_key(ti): ti for ti in dag_run.get_task_instances()}
        return DagRunResult(
            state=str(dag_run.state),
            output=output,
            states={key: str(ti.state) for key, ti in instances.items()},
            xcom={key: xcom_of(ti) for key, ti in instances.items()},
            instances=instances,
        )


def load_dag(path: Path) -> Any:
    """Return the only DAG in a file, as Airflow parses it."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2
        from airflow.models.dagbag import DagBag

    bag = DagBag(path)
    assert not bag.import_errors
    (dag,) = bag.dags.values()
    return dag


def xcom_of(ti: Any, key: str = "return_value") -> Any:
    """Return the value of a task instance's XCom, or None if the XCom does not exist."""
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)


def _register(dag: Any) -> None:
    """Write a DAG to the database.

    Airflow 3 only runs a DAG that is in its database. Airflow itself adds only DAGs from files to the
    database.
    """
    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 2
        return
    _register_bundles()
    bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)


@functools.cache
def _register_bundles() -> None:
    """Write the configured DAG bundle to the database.

    One call is enough, because all DAGs are in the same bundle.
    """
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    DagBundlesManager().sync_bundles_to_db()


def _key(ti: Any) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
