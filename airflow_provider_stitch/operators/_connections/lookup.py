"""Look up a connection in the same places as Airflow, but raise an error if a place cannot be read.

If a secrets backend cannot be read, Airflow reports that the connection was not found. Before a token is
stored, this package must know whether a connection is missing or unreadable. A missing connection can be
created, but an unreadable connection must not be changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_stitch.connect.errors import StitchUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.common.compat.sdk import Connection


def find_connection(conn_id: str) -> Connection | None:
    """Return the connection that Airflow finds for this id, or None if there is no such connection.

    :raises StitchUnavailable: if a secrets backend fails before the connection is found.
    """
    for backend in _secrets_backends():
        failure: str | None = None
        try:
            found: Connection | None = backend.get_connection(conn_id=conn_id)
        except Exception as error:  # noqa: BLE001 - a backend may raise any error, which Airflow ignores
            failure = type(error).__name__
        if failure is not None:
            # Raise the new error outside of the except clause, because the original error may contain a
            # secret.
            raise StitchUnavailable(
                f"Connection {conn_id} could not be looked up: the secrets backend {type(backend).__name__} "
                f"failed ({failure}). The connection may exist, so nothing was created or changed. "
                "Fix the secrets backend, then run the task again."
            )
        if found is not None:
            return found
    # In Airflow 3.0, only `get_connection` reads Airflow's own database, after all secrets backends.
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None


def _secrets_backends() -> Iterable[Any]:
    """Return the secrets backends in Airflow's search order."""
    try:
        from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded
    except ImportError:  # Airflow 2
        from airflow.configuration import ensure_secrets_loaded

        return ensure_secrets_loaded()
    return ensure_secrets_backend_loaded()
