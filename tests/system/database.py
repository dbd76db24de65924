"""Perform user actions in Airflow 2 by calling Airflow's functions, without Airflow's REST API.

The REST API calls the same functions, but its web server takes ten seconds to start.
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
    """Performs the same actions as `AirflowApi`, but directly in Airflow's database."""

    def is_up(self) -> bool:
        """Return True, because no server has to start."""
        return True

    def has_dag(self, dag_id: str) -> bool:
        """Return whether Airflow has parsed a DAG."""
        with create_session() as session:
            return all(session.get(model, dag_id) is not None for model in (DagModel, SerializedDagModel))

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> bool:
        """Start a DAG run if Airflow has parsed the DAG.

        Return whether the run was started.
        """
        if not self.has_dag(dag_id):
            return False
        # Two DAG runs can start in the same second, so microseconds are required to distinguish their dates.
        trigger_dag(dag_id, run_id=run_id, conf=dict(conf or {}), replace_microseconds=False)
        return True

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's runs."""
        with create_session() as session:
            return [run_id for (run_id,) in session.query(DagRun.run_id).filter_by(dag_id=dag_id).all()]

    def updated_assets(self, dag_id: str) -> list[str]:
        """Return the dataset URI of each event from a DAG's tasks."""
        with create_session() as session:
            rows = session.query(DatasetModel.uri).join(
                DatasetEvent, DatasetEvent.dataset_id == DatasetModel.id
            )
            return sorted(uri for (uri,) in rows.filter(DatasetEvent.source_dag_id == dag_id).all())

    def state_of_run(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run."""
        with create_session() as session:
            run = session.query(DagRun.state).filter_by(dag_id=dag_id, run_id=run_id).one()
            return str(run.state)

    def states_of_tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task in a DAG run, by task id."""
        with create_session() as session:
            rows = session.query(TaskInstance.task_id, TaskInstance.state)
            return dict(rows.filter_by(dag_id=dag_id, run_id=run_id).all())

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as `failed` or `success` the way a user would."""
        dag = _dag(dag_id)  # closes the thread's shared session, so `create_session` must come later
        with create_session() as session:
            dag.set_task_instance_state(
                task_id=task_id, run_id=run_id, state=TaskInstanceState(state), session=session
            )

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task the way a user would, so that the task runs again."""
        dag = _dag(dag_id)
        with create_session() as session:
            tasks = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id).all()
            clear_task_instances(tasks, session, dag=dag)

    def add_connection(self, connection_id: str, connection: Mapping[str, Any]) -> None:
        """Add a connection to Airflow's database."""
        added = Connection.from_json(json.dumps(dict(connection)), conn_id=connection_id)
        # The values are stored unencrypted, because Airflow's processes use a different Fernet key.
        added._password, added.is_encrypted = connection["password"], False
        added._extra, added.is_extra_encrypted = json.dumps(connection["extra"]), False
        with create_session() as session:
            session.add(added)

    def remove_connection(self, connection_id: str) -> None:
        """Remove a connection from Airflow's database."""
        with create_session() as session:
            session.query(Connection).filter_by(conn_id=connection_id).delete()

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom of a task. The default is the task's return value."""
        with create_session() as session:
            run = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
            return run.get_task_instance(task_id, session=session).xcom_pull(task_ids=task_id, key=key)


def _dag(dag_id: str) -> Any:
    dag = DagBag(read_dags_from_db=True).get_dag(dag_id)
    if dag is None:
        raise LocalAirflowFailed(f"Airflow has no DAG {dag_id}.")
    return dag
