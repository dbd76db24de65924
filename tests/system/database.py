"""Perform user actions in Airflow 2 by calling its own functions on its database.

The handlers of its REST API call the same functions, but a web server takes ten seconds to start.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.models.dataset import DatasetEvent, DatasetModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState

from local_airflow.waiting import LocalAirflowFailed

if TYPE_CHECKING:
    from collections.abc import Mapping


class AirflowDatabase:
    """Implements the interface of `AirflowApi`."""

    def is_up(self) -> bool:
        """Return True, because the database needs no server."""
        return True

    def has_dag(self, dag_id: str) -> bool:
        """Return whether Airflow has parsed the DAG."""
        with create_session() as session:
            return all(session.get(model, dag_id) is not None for model in (DagModel, SerializedDagModel))

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> bool:
        """Start a run if Airflow has parsed the DAG. Return whether the run was started."""
        if not self.has_dag(dag_id):
            return False
        # Two runs may start in the same second, so their dates need microseconds.
        trigger_dag(dag_id, run_id=run_id, conf=dict(conf or {}), replace_microseconds=False)
        return True

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's runs."""
        with create_session() as session:
            return [run_id for (run_id,) in session.query(DagRun.run_id).filter_by(dag_id=dag_id).all()]

    def updated_assets(self, dag_id: str) -> list[str]:
        """Return the URI of the dataset of each event that a DAG's tasks emitted."""
        with create_session() as session:
            rows = session.query(DatasetModel.uri).join(
                DatasetEvent, DatasetEvent.dataset_id == DatasetModel.id
            )
            return sorted(uri for (uri,) in rows.filter(DatasetEvent.source_dag_id == dag_id).all())

    def state_of_run(self, dag_id: str, run_id: str) -> str:
        """Return a run's state."""
        with create_session() as session:
            run = session.query(DagRun.state).filter_by(dag_id=dag_id, run_id=run_id).one()
            return str(run.state)

    def states_of_tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run, by task id."""
        with create_session() as session:
            rows = session.query(TaskInstance.task_id, TaskInstance.state)
            return dict(rows.filter_by(dag_id=dag_id, run_id=run_id).all())

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task `failed` or `success`, as a user would."""
        dag = _dag(dag_id)  # must precede `create_session`, because it closes the thread's shared session
        with create_session() as session:
            dag.set_task_instance_state(
                task_id=task_id, run_id=run_id, state=TaskInstanceState(state), session=session
            )

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task as a user would, so that the task runs again."""
        dag = _dag(dag_id)
        with create_session() as session:
            tasks = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id).all()
            clear_task_instances(tasks, session, dag=dag)

    def add_connection(self, connection_id: str, connection: Mapping[str, Any]) -> None:
        """Create a connection from its JSON representation."""
        added = Connection.from_json(json.dumps(dict(connection)), conn_id=connection_id)
        # Airflow's processes use a different Fernet key, so the values must be stored unencrypted.
        added._password, added.is_encrypted = connection["password"], False
        added._extra, added.is_extra_encrypted = json.dumps(connection["extra"]), False
        with create_session() as session:
            session.add(added)

    def remove_connection(self, connection_id: str) -> None:
        """Remove a connection."""
        with create_session() as session:
            session.query(Connection).filter_by(conn_id=connection_id).delete()

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom of a task, by default its return value."""
        with create_session() as session:
            run = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
            return run.get_task_instance(task_id, session=session).xcom_pull(task_ids=task_id, key=key)


def _dag(dag_id: str) -> Any:
    dag = DagBag(read_dags_from_db=True).get_dag(dag_id)
    if dag is None:
        raise LocalAirflowFailed(f"Airflow has no DAG {dag_id}.")
    return dag
