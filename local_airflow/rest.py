"""A client for Airflow's REST API, with the calls that the demo and the tests need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests

from local_airflow.waiting import LocalAirflowFailed, NotAvailableYet

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 20.0  # seconds


class AirflowApi:
    """A client of Airflow's REST API that uses an admin token of Airflow's simple auth manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # ignore the proxy settings and .netrc of this machine
        # Close each connection after its response, because an open connection delays the server's shutdown.
        self._session.headers["Connection"] = "close"

    def is_up(self) -> bool:
        """Return whether the API server responds. Store the token in the response for all other calls."""
        try:
            response = self._session.get(f"{self._url}/auth/token", timeout=TIMEOUT)
        except (requests.ConnectionError, requests.Timeout):
            return False
        if not response.ok:
            return False
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        return True

    def has_dag(self, dag_id: str) -> bool:
        """Return whether Airflow has parsed the DAG.

        :raises LocalAirflowFailed: if the DAG file has an import error. `log_end` contains the traceback.
        """
        errors = self._call("GET", "importErrors")["import_errors"]
        if errors:
            raise LocalAirflowFailed("Airflow cannot import the DAG:", errors[0]["stack_trace"].splitlines())
        dags = self._call("GET", "dags", params={"dag_id_pattern": dag_id})["dags"]
        return any(dag["dag_id"] == dag_id for dag in dags)

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> bool:
        """Start a run, unless a run with this id already exists. Return True."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        self._call("POST", f"dags/{dag_id}/dagRuns", json=body, accept=(requests.codes.conflict,))
        return True

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's runs."""
        return [run["dag_run_id"] for run in self._call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]]

    def state_of_run(self, dag_id: str, run_id: str) -> str:
        """Return a run's state: `queued`, `running`, `success` or `failed`."""
        state: str = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def states_of_runs(self) -> dict[str, str]:
        """Return the states of the 100 newest runs of all DAGs, by run id."""
        runs = self._call("GET", "dags/~/dagRuns", params={"limit": 100, "order_by": "-id"})["dag_runs"]
        return {run["dag_run_id"]: run["state"] for run in runs}

    def states_of_tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run, by task id."""
        tasks = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in tasks}

    def states_of_mapped_task(self, dag_id: str, run_id: str, task_id: str) -> list[str | None]:
        """Return the states of the first 1000 instances of a mapped task, ordered by map index."""
        path, instances = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/listMapped", []
        while len(instances) < 1000:
            params = {"limit": 100, "offset": len(instances), "order_by": "map_index"}
            page = self._call("GET", path, params=params)["task_instances"]
            if not page:
                break
            instances += page
        return [instance["state"] for instance in instances]

    def updated_assets(self, dag_id: str) -> list[str]:
        """Return the asset URIs of up to 100 events that a DAG's tasks have emitted."""
        events = self._call("GET", "assets/events", params={"source_dag_id": dag_id, "limit": 100})
        return sorted(event["uri"] for event in events["asset_events"])

    def add_connection(self, connection_id: str, connection: Mapping[str, Any]) -> None:
        """Create a connection from its JSON representation."""
        body = {"connection_id": connection_id, **connection, "extra": json.dumps(connection["extra"])}
        self._call("POST", "connections", json=body)

    def remove_connection(self, connection_id: str) -> None:
        """Remove a connection."""
        self._session.delete(f"{self._url}/api/v2/connections/{connection_id}", timeout=TIMEOUT)

    def runs_of_tasks(self) -> dict[str, str]:
        """Return the run ids of the 100 newest task instances, by task instance id."""
        path, newest = "dags/~/dagRuns/~/taskInstances", {"limit": 100, "order_by": "-run_after"}
        tasks = self._call("GET", path, params=newest)["task_instances"]
        return {task["id"]: task["dag_run_id"] for task in tasks}

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as `failed` or `success`, in the same way as a user."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._call("PATCH", path, json={"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task in the same way as a user, so that the task runs again."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self._call("POST", f"dags/{dag_id}/clearTaskInstances", json=body)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom of a task, which is the task's return value by default."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self._call("GET", path)["value"]

    def asset_events(self, uri: str) -> list[dict[str, Any]]:
        """Return the `extra` of the 1000 newest events of an asset, in ascending order of time."""
        assets = self._call("GET", "assets", params={"uri_pattern": uri})["assets"]
        ids = [asset["id"] for asset in assets if asset["uri"] == uri]
        events: list[dict[str, Any]] = []
        for asset_id in ids:
            while len(events) < 1000:
                params = {"asset_id": asset_id, "limit": 100, "offset": len(events), "order_by": "-timestamp"}
                page = self._call("GET", "assets/events", params=params)["asset_events"]
                events += page
                if len(page) < 100:
                    break
        return [event["extra"] for event in reversed(events)]

    def set_password(self, connection_id: str, password: str) -> None:
        """Change the access token of a Stitch connection."""
        body = {"connection_id": connection_id, "conn_type": "stitch", "password": password}
        self._call("PATCH", f"connections/{connection_id}", params={"update_mask": "password"}, json=body)

    def set_port(self, connection_id: str, port: int) -> None:
        """Change the port of a Stitch connection."""
        body = {"connection_id": connection_id, "conn_type": "stitch", "port": port}
        self._call("PATCH", f"connections/{connection_id}", params={"update_mask": "port"}, json=body)

    def _call(
        self, method: str, path: str, *, accept: tuple[int, ...] = (), **options: Any
    ) -> dict[str, Any]:
        call = f"{method} {path}"
        try:
            response = self._session.request(method, f"{self._url}/api/v2/{path}", timeout=TIMEOUT, **options)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise NotAvailableYet(f"Airflow did not respond to {call}: {type(error).__name__}") from error
        if not response.ok and response.status_code not in accept:
            is_transient = response.status_code >= requests.codes.server_error
            kind = NotAvailableYet if is_transient else LocalAirflowFailed
            message = f"Airflow responded to {call} with status {response.status_code}:"
            raise kind(message, [response.text[:500]])
        body: dict[str, Any] = response.json()
        return body
