"""Read and write connections directly in Airflow's database."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy
from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTION_TABLE = sqlalchemy.table(
    "connection",
    *map(
        sqlalchemy.column,
        ["conn_id", "conn_type", "description", "host", "login", "password", "extra"],
    ),
    sqlalchemy.column("is_encrypted", sqlalchemy.Boolean),
    sqlalchemy.column("is_extra_encrypted", sqlalchemy.Boolean),
)


class Connections:
    """The connections in the database of one Airflow installation.

    :param database: URL of Airflow's database.
    :param key: the Fernet key that Airflow uses to encrypt passwords.
    """

    def __init__(self, database: str, key: str) -> None:
        self._engine = sqlalchemy.create_engine(database)
        self._fernet = Fernet(key)

    def close(self) -> None:
        self._engine.dispose()

    def add(self, conn_id: str, **fields: Any) -> None:
        """Add a connection the way a user would."""
        row = {"conn_id": conn_id, "is_encrypted": False, "is_extra_encrypted": False, **fields}
        if row.get("password"):
            row |= {"password": self._fernet.encrypt(row["password"].encode()).decode(), "is_encrypted": True}
        if row.get("extra"):
            row["extra"] = json.dumps(row["extra"])
        with self._engine.begin() as connection:
            connection.execute(sqlalchemy.insert(CONNECTION_TABLE).values(row))

    def get(self, conn_id: str) -> dict[str, Any] | None:
        """Return all fields of a connection, or None if the connection does not exist."""
        query = sqlalchemy.select(CONNECTION_TABLE).where(CONNECTION_TABLE.c.conn_id == conn_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        fields = dict(row)
        if fields["password"] and fields["is_encrypted"]:
            fields["password"] = self._fernet.decrypt(fields["password"].encode()).decode()
        return fields


@contextmanager
def open_connections(database: str, key: str) -> Iterator[Connections]:
    """Open Airflow's database, and close it when the context ends."""
    connections = Connections(database, key)
    try:
        yield connections
    finally:
        connections.close()
