"""Store the access token of an account as an Airflow connection, without losing the token.

Stitch shows a token only once. Therefore the task reserves the connection before it requests the token. If
the token cannot be stored, the task retries for several minutes. The task never overwrites a connection that
has another use.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import StitchConfigurationError, StitchError, StitchUnavailable
from airflow_provider_stitch.connect.transport.retry import retry_policy
from airflow_provider_stitch.operators._connections.lookup import find_connection
from airflow_provider_stitch.operators._connections.stored import CONN_TYPE, ConnectionTaken, StoredConnection

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_stitch.operators._connections.store import ConnectionStore

#: Seconds to keep trying to store the token. The time is long, because the token exists nowhere else.
STORING_TIMEOUT = 600.0
#: Seconds to wait until Airflow finds the stored connection.
LOOKUP_TIMEOUT = 60.0


class TokenStorage:
    """Stores the token of an account in one connection.

    :param store: the place where connections are stored.
    :param conn_id: id of the Airflow connection.
    :param base_url: base URL of Stitch's API, which is stored as the connection's host.
    :param operator: name of the operator, which is included in the connection's description.
    :param email: e-mail address of a new account's first user. Pass None if the account already exists.
    """

    def __init__(
        self,
        store: ConnectionStore,
        conn_id: str,
        *,
        base_url: str,
        operator: str,
        email: str | None,
        log: Any,
    ) -> None:
        self._store = store
        self._conn_id = conn_id
        self._log = log
        self._is_reserved = False  # whether this run has reserved the connection
        self._is_new_account = email is not None
        # The description of the connection identifies the account, and the run that has reserved the
        # connection.
        self._owner = f"Stitch account, stored by {operator} ({_digest(email or secrets.token_hex(8))}"
        description = f"{self._owner}-{secrets.token_hex(4)})"
        self._fields = {"conn_type": CONN_TYPE, "description": description, "host": base_url}

    def prepare(self) -> None:
        """Make sure that a token can be stored. If the connection does not exist, reserve the connection.

        This method does not change or delete an existing connection.

        :raises StitchError: if the token cannot be stored, or if it is unknown whether the connection exists.
        """
        found, stored = find_connection(self._conn_id), self._store.find(self._conn_id)
        if (found is None) != (stored is None):
            raise _disagreement(self._conn_id, found)
        for each in (stored, None if found is None else StoredConnection.of(found)):
            if each is not None:
                self._reject_existing(each)
        if found is None:
            self._reserve()

    def _reserve(self) -> None:
        self._store.reserve(self._conn_id, self._fields)
        self._is_reserved = True
        if self._store.find(self._conn_id) is None:  # a user's store function has written only a probe
            return
        found = find_connection(self._conn_id)
        if found is None or found.conn_type != CONN_TYPE or found.password:
            self.release()
            raise StitchConfigurationError(
                f"Airflow does not find the connection {self._conn_id} where the token would be stored. "
                "Check that the store belongs to this Airflow, and that no environment variable or secrets "
                "backend has a connection of this id. No token was requested."
            )

    def _reject_existing(self, existing: StoredConnection) -> None:
        existing.reject_other_use(self._conn_id)
        if existing.password is not None:
            reason = (
                "has a token, but Airflow finds a connection of this id without one. Remove the one without "
                "a token: an environment variable, or an entry of a secrets backend."
            )
        elif self._is_new_account and existing.login is not None:
            reason = (
                f"belongs to Stitch account {existing.login} (its login), but has no token. Set an API "
                "access key of that account as its password, or choose another connection_id."
            )
        elif self._is_new_account and self._is_reserved_for_another(existing.description or ""):
            reason = (
                "is reserved for the account of another user_email, which a task may be creating now. Choose "
                "another connection_id, or delete the connection if no such task is running."
            )
        else:
            return
        raise ConnectionTaken(f"Connection {self._conn_id} {reason} Nothing was created or changed.")

    def _is_reserved_for_another(self, description: str) -> bool:
        operator, _, _ = self._owner.partition("(")
        return description.startswith(operator) and not description.startswith(self._owner)

    def release(self) -> None:
        """Delete the connection if this run has created it and the connection is unchanged."""
        if not self._is_reserved:
            return
        try:
            self._store.release(self._conn_id, self._fields)
        except Exception as error:  # noqa: BLE001 - the task fails with the original error from Stitch
            self._log.warning(
                "Could not delete the reserved connection %s, which has no token (%s)",
                self._conn_id,
                type(error).__name__,
            )

    def store(self, token: str, account_id: int | None, *, how_to_replace: str) -> None:
        """Store the token, with retries, and verify that Airflow finds it.

        :param how_to_replace: a sentence for the error message that explains how to obtain another token.
        :raises StitchConfigurationError: if the token cannot be stored, or another connection hides it.
        :raises StitchUnavailable: if the token is stored, but Airflow does not find its connection yet. The
            next try of the task can find the connection.
        """
        login = {} if account_id is None else {"login": str(account_id)}
        fields = {**self._fields, **login, "password": token}
        reason: str | None = None
        try:
            retry_policy(STORING_TIMEOUT)(self._write, fields)
        except StitchError as error:
            reason = str(error)
        if reason is not None:
            # Raise the new error outside of the except clause, because the original error may contain the
            # token.
            raise StitchConfigurationError(
                f"{_account(account_id)} has a token that could not be stored as connection {self._conn_id}, "
                f"and Stitch shows it only once. {reason} {how_to_replace}"
            )
        retry_policy(LOOKUP_TIMEOUT)(self._verify, token, account_id)

    def _write(self, fields: dict[str, str]) -> None:
        """Write the connection once.

        :raises ConnectionTaken: if the connection is in use for something else.
        :raises StitchUnavailable: after any other failure, so that the write is retried.
        """
        try:
            self._store.fill(self._conn_id, fields)
        except ConnectionTaken:
            raise
        except StitchError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a user's function may raise any error
            reason = f"The store raised {type(error).__name__}."
        else:
            return
        raise StitchUnavailable(reason)

    def _verify(self, token: str, account_id: int | None) -> None:
        found = find_connection(self._conn_id)
        if found is None:
            raise StitchUnavailable(
                f"The token of {_account(account_id)} is stored as connection {self._conn_id}, but Airflow "
                "does not find the connection yet."
            )
        if found.conn_type != CONN_TYPE or found.password != token:
            raise StitchConfigurationError(
                f"The token of {_account(account_id)} is stored as connection {self._conn_id}, but Airflow "
                f"finds another connection of this id: the environment variable "
                f"AIRFLOW_CONN_{self._conn_id.upper()} or a secrets backend hides it. Remove or rename "
                "that connection; the stored token is not lost."
            )


def _account(account_id: int | None) -> str:
    return "The Stitch account" if account_id is None else f"Stitch account {account_id}"


def existing_token(conn_id: str) -> Connection | None:
    """Return the connection with this id if the connection exists and has a token, otherwise None.

    :raises StitchError: if the connection is in use for something else, or cannot be looked up.
    """
    found = find_connection(conn_id)
    if found is None:
        return None
    StoredConnection.of(found).reject_other_use(conn_id)
    return found if found.password else None


def _digest(value: str) -> str:
    """Return a short hash, which identifies a string without revealing the string."""
    return hashlib.sha256(value.lower().encode()).hexdigest()[:8]


def _disagreement(conn_id: str, found: Connection | None) -> StitchError:
    if found is None:
        return StitchUnavailable(
            f"Connection {conn_id} is stored, but Airflow does not find it. It may have a token, so nothing "
            "was created or changed. Check that the store belongs to this Airflow, then run the task again."
        )
    return StitchConfigurationError(
        f"Airflow finds a connection {conn_id} without a token, but not where the token would be stored. So "
        f"it is an environment variable (AIRFLOW_CONN_{conn_id.upper()}) or an entry of a secrets backend, "
        "which would hide the token. Remove it or choose another connection_id. Nothing was created or "
        "changed."
    )
