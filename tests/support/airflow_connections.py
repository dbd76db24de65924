"""Read and change the connections in Airflow's database."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

AIRFLOW_2 = version("apache-airflow").startswith("2.")
ON_AIRFLOW_2 = pytest.mark.skipif(not AIRFLOW_2, reason="only Airflow 2 lets tasks write to its database")
ON_AIRFLOW_3 = pytest.mark.skipif(AIRFLOW_2, reason="this REST API for connections came with Airflow 3")


def stored_connection(conn_id: str) -> tuple[str | None, ...] | None:
    """Return the type, host, login and password of a connection, or None if the connection does not exist."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(Connection).filter(Connection.conn_id == conn_id).one_or_none()
        return found and (found.conn_type, found.host, found.login, found.password)


def add_connection(conn_id: str, **fields: Any) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id=conn_id, **fields))


def update_connection(conn_id: str, **fields: Any) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(Connection).filter(Connection.conn_id == conn_id).one()
        for name, value in fields.items():
            setattr(found, name, value)


def delete_connection(conn_id: str) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Connection).filter(Connection.conn_id == conn_id).delete()


def hide_connection(conn_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Airflow report that a connection does not exist, as if the lookup in the database had failed."""
    if AIRFLOW_2:
        from airflow.secrets.metastore import MetastoreBackend as Backend
    else:
        from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend as Backend
    get_connection = Backend.get_connection

    def find_unless_hidden(self: Any, requested: str | None = None, **kwargs: Any) -> Any:
        requested = kwargs.pop("conn_id", requested)
        return None if requested == conn_id else get_connection(self, requested, **kwargs)

    monkeypatch.setattr(Backend, "get_connection", find_unless_hidden)
