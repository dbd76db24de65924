"""Look up a connection as tasks do, and notice a lookup that failed.

Airflow reports a secrets backend that cannot be read as "not found". Before a token is stored, the
difference matters: a connection that was not found can be created, one that could not be read must be left
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_stitch.connect.errors import StitchUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.common.compat.sdk import Connection


def find_connection(conn_id: str) -> Connection | None:
    """Return the connection that tasks find under this id, or None if no place has it.

    :raises StitchUnavailable: if a secrets backend that Airflow searches first could not be read.
    """
    for backend in _secrets_backends():
        failure: str | None = None
        try:
            found: Connection | None = backend.get_connection(conn_id=conn_id)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything, which Airflow ignores
            failure = type(error).__name__
        if failure is not None:
            # Outside of the except clause, because the original error may contain a secret.
            raise StitchUnavailable(
                f"Connection {conn_id} could not be looked up: the secrets backend {type(backend).__name__} "
                f"failed ({failure}). It may exist, so nothing was created or changed. Fix the secrets "
                "backend, then run the task again."
            )
        if found is not None:
            return found
    # Airflow 3.0 reads its own database after all backends, and only here.
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None


def _secrets_backends() -> Iterable[Any]:
    """Return the places that Airflow searches, in order."""
    try:
        from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded
    except ImportError:  # Airflow 2
        from airflow.configuration import ensure_secrets_loaded

        return ensure_secrets_loaded()
    return ensure_secrets_backend_loaded()
