"""A separate process that adds deferred tasks to Airflow's database, like a worker, and reads results."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from typing import Any

results = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # redirect Airflow's output, because standard output must contain only results

from airflow.dag_processing.bundles.manager import DagBundlesManager  # noqa: E402
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db  # noqa: E402
from airflow.models import Connection, TaskInstance, Trigger  # noqa: E402
from airflow.models.serialized_dag import SerializedDagModel  # noqa: E402
from airflow.providers.standard.operators.empty import EmptyOperator  # noqa: E402
from airflow.sdk import DAG  # noqa: E402
from airflow.sdk.serde import deserialize  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402
from airflow.utils.state import DagRunState, TaskInstanceState  # noqa: E402
from airflow.utils.types import DagRunTriggeredByType, DagRunType  # noqa: E402
from sqlalchemy import delete, func, select, update  # noqa: E402

DAG_ID, TASK_ID = "benchmark", "wait"


def set_up(connections: list[dict[str, Any]]) -> None:
    """Add connections and a DAG with one mapped task."""
    with DAG(DAG_ID, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        EmptyOperator(task_id=TASK_ID)
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    with create_session() as session:
        session.add_all(Connection(**connection) for connection in connections)


def start_run(run_id: str) -> None:
    """Fail all tasks of earlier runs that are still deferred, and start a run of the DAG."""
    with create_session() as session:
        is_deferred = TaskInstance.state == TaskInstanceState.DEFERRED
        session.execute(
            update(TaskInstance).where(is_deferred).values(state=TaskInstanceState.FAILED, trigger_id=None)
        )
        session.execute(delete(Trigger))
    dag = SerializedDagModel.get_dag(DAG_ID)
    dag.create_dagrun(
        run_id=run_id,
        run_after=datetime.now(timezone.utc),
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.RUNNING,
    )


def add_deferred(run_id: str, first: int, triggers: list[tuple[str, dict[str, Any]]]) -> None:
    """Add a deferred task for each trigger. The map indexes start at `first`."""
    with create_session() as session:
        task = SerializedDagModel.get_dag(DAG_ID).get_task(TASK_ID)
        version = session.scalar(
            select(TaskInstance.dag_version_id).where(
                TaskInstance.run_id == run_id, TaskInstance.map_index == -1
            )
        )
        for index, (classpath, arguments) in enumerate(triggers, first):
            trigger = Trigger(classpath=classpath, kwargs=arguments)
            session.add(trigger)
            session.flush()
            instance = TaskInstance(task, version, run_id, TaskInstanceState.DEFERRED, index)
            instance.try_number = 1
            instance.start_date = datetime.now(timezone.utc)
            instance.trigger_id = trigger.id
            instance.next_method, instance.next_kwargs = "execute_complete", {}
            session.add(instance)


def count_deferred(run_id: str) -> int:
    """Return the number of deferred tasks in a run."""
    with create_session() as session:
        is_deferred = TaskInstance.state == TaskInstanceState.DEFERRED
        query = select(func.count()).select_from(TaskInstance)
        count: int = session.scalar(query.where(TaskInstance.run_id == run_id, is_deferred))
        return count


def events(run_id: str) -> list[dict[str, Any]]:
    """Return the map index, time (epoch) and event for each task that an event has resumed."""
    with create_session() as session:
        resumed = session.scalars(
            select(TaskInstance).where(
                TaskInstance.run_id == run_id, TaskInstance.state == TaskInstanceState.SCHEDULED
            )
        )
        return [
            {
                "index": each.map_index,
                "at": each.scheduled_dttm.timestamp(),
                "event": deserialize(each.next_kwargs).get("event"),
            }
            for each in resumed
        ]


FUNCTIONS = {
    function.__name__: function for function in (set_up, start_run, add_deferred, count_deferred, events)
}
for line in sys.stdin:
    call = json.loads(line)
    results.write(json.dumps(FUNCTIONS[call.pop("function")](**call)) + "\n")
    results.flush()
