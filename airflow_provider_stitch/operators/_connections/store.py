"""Stores, which are the places where a task can create a connection.

On Airflow 2, a task writes a connection to Airflow's database. On Airflow 3, a task cannot access the
database, and the API for tasks can only read connections. The task therefore writes to a secrets backend, or
uses Airflow's public REST API with the login of a user who may create connections.

A connection is first reserved without its secret. If the reservation fails, the task ends before it requests
a token from Stitch.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_stitch.connect.errors import (
    InvalidArgument,
    StitchConfigurationError,
    StitchUnavailable,
)
from airflow_provider_stitch.connect.transport.retry import retry_policy
from airflow_provider_stitch.operators._connections.lookup import find_connection
from airflow_provider_stitch.operators._connections.stored import ReservationLost, StoredConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Seconds to wait until Airflow finds a new connection. A secrets backend may need some time before it
#: returns a new connection.
LOOKUP_TIMEOUT = 60.0

HOW_TO = (
    "A task on Airflow 3 cannot write connections. Set airflow_api_conn_id: the id of an Airflow "
    "connection with the address of Airflow's API server (host) and a user who may create connections (login "
    "and password). Or set store: a function that writes the connection to your secrets backend. No account "
    "was created."
)


class ConnectionStore(Protocol):
    """A place where a task can store connections."""

    def find(self, conn_id: str) -> StoredConnection | None:
        """Return the connection with this id, or None if the store does not contain the connection."""

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Create a connection without its secret, but never overwrite an existing connection.

        :raises ReservationLost: if the connection already exists.
        """

    def fill(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Write the complete connection with its secret. The connection may already exist.

        :raises ConnectionTaken: if the connection is now in use for something else.
        """

    def release(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Delete the connection if it is unchanged since `reserve` created it with these fields."""


def connection_store(
    store: Callable[[str, str], None] | None, airflow_api_conn_id: str | None
) -> ConnectionStore:
    """Return the store that the user has chosen, or the default store for this version of Airflow.

    :raises StitchConfigurationError: if there is no default store; the message contains the alternatives.
    """
    if store is not None:
        return CallableStore(store)
    if airflow_api_conn_id is not None:
        from airflow_provider_stitch.operators._connections.rest_api import RestStore

        return RestStore(BaseHook.get_connection(airflow_api_conn_id))
    if not _tasks_can_access_database():
        raise StitchConfigurationError(HOW_TO)
    return DatabaseStore()


def _tasks_can_access_database() -> bool:
    from airflow import __version__

    return __version__.startswith("2.")


class CallableStore:
    """A store that calls a user's function to write a connection.

    The user's function can only write connections. The store therefore first writes a probe, which is a
    connection with a different id. If Airflow finds the probe, the function writes to a place that Airflow
    reads. The function writes the requested connection only once, with the token.
    """

    def __init__(self, store: Callable[[str, str], None]) -> None:
        self._store = store

    def find(self, conn_id: str) -> StoredConnection | None:
        """Return the connection that Airflow finds, because the user's function cannot read connections."""
        found = find_connection(conn_id)
        return None if found is None else StoredConnection.of(found)

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Write and read a probe, but do not write the requested connection."""
        probe_id, nonce = f"{conn_id}__probe", secrets.token_hex(8)
        self._store(probe_id, json.dumps({**fields, "login": nonce}))
        retry_policy(LOOKUP_TIMEOUT)(self._read_probe, probe_id, nonce)
        if self.find(conn_id) is not None:
            raise ReservationLost(f"Connection {conn_id} already exists. Nothing was created or changed.")
        # If the secrets backend was unavailable during this lookup, the connection may exist nevertheless.
        self._read_probe(probe_id, nonce)

    def fill(self, conn_id: str, fields: Mapping[str, str]) -> None:
        found = find_connection(conn_id)
        whole = dict(fields)
        if found is not None:
            StoredConnection.of(found).reject_foreign_token(conn_id, fields)
            if found.extra:
                whole["extra"] = found.extra
        self._store(conn_id, json.dumps(whole))

    def release(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Do nothing, because `reserve` has not written the requested connection."""

    def _read_probe(self, probe_id: str, nonce: str) -> None:
        found = find_connection(probe_id)
        if found is None or found.login != nonce:
            raise StitchUnavailable(
                f"The store function wrote the connection {probe_id}, but Airflow does not find it. It is "
                "therefore unknown which connections exist, and nothing was created. Check that the function "
                "writes to a secrets backend that this Airflow reads, and that the backend can be read."
            )


# Pattern of the connection ids that Airflow 2 accepts. If an id is invalid, Airflow 2 stores NULL instead.
_ID_IN_DATABASE = re.compile(r"[\w#!()\-.:/\\]{1,250}")


class DatabaseStore:
    """A store that uses Airflow's database, to which tasks on Airflow 2 have access."""

    def find(self, conn_id: str) -> StoredConnection | None:
        """Return the connection that is in Airflow's database, if any."""
        from airflow.utils.session import create_session

        with create_session() as session:
            found = _row(session, conn_id)
            return None if found is None else StoredConnection.of(found)

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        from airflow.utils.session import create_session
        from sqlalchemy.exc import IntegrityError

        if not _ID_IN_DATABASE.fullmatch(conn_id):
            raise InvalidArgument(
                "Airflow accepts only connection ids of letters, digits and _ - . : / \\ # ! ( ). Choose "
                "another connection_id. No account was created."
            )
        try:
            with create_session() as session:
                session.add(_new_row(conn_id, fields))
        except IntegrityError:
            raise ReservationLost(
                f"Another task created the connection {conn_id} at the same time, so this task created no "
                "account. The next try of this task reads that connection."
            ) from None

    def fill(self, conn_id: str, fields: Mapping[str, str]) -> None:
        from airflow.utils.session import create_session

        with create_session() as session:
            found = _row(session, conn_id, lock=True)
            if found is None:
                session.add(_new_row(conn_id, fields))
                return
            StoredConnection.of(found).reject_foreign_token(conn_id, fields)
            for name, value in fields.items():
                setattr(found, name, value)

    def release(self, conn_id: str, fields: Mapping[str, str]) -> None:
        from airflow.utils.session import create_session

        with create_session() as session:
            found = _row(session, conn_id, lock=True)
            if found is not None and StoredConnection.of(found).is_reservation(fields):
                session.delete(found)


def _new_row(conn_id: str, fields: Mapping[str, Any]) -> Any:
    from airflow.models import Connection

    return Connection(conn_id=conn_id, **fields)


def _row(session: Any, conn_id: str, *, lock: bool = False) -> Any:
    from airflow.models import Connection

    query = session.query(Connection).filter(Connection.conn_id == conn_id)
    return (query.with_for_update() if lock else query).one_or_none()
