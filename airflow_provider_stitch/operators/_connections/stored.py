"""Describe a stored connection, and decide whether a token may be written to it."""

# ruff: noqa: N818 - the names of these errors have no suffix `Error`, like subclasses of StitchError

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import StitchConfigurationError, StitchUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Connection

CONN_TYPE = "stitch"


class ConnectionTaken(StitchConfigurationError):
    """The connection has another use, so a token must not be written to the connection."""


class ReservationLost(StitchUnavailable):
    """Another task has created the connection at the same time. The next try can use that connection."""


@dataclass(frozen=True)
class StoredConnection:
    """The fields of a connection that decide whether a token may be written to it."""

    conn_type: str
    login: str | None
    description: str | None
    password: str | None = field(repr=False)  #: asterisks if the connection is from Airflow's REST API
    is_partner: bool  #: whether the extras contain partner credentials

    @classmethod
    def of(cls, connection: Connection) -> StoredConnection:
        """Return the fields of an Airflow connection that must be known before a token is stored."""
        extras = connection.extra_dejson
        return cls(
            conn_type=connection.conn_type or "",
            login=(connection.login or "").strip() or None,
            description=getattr(connection, "description", None),
            password=connection.password or None,
            is_partner=bool(extras.get("partner_id") or extras.get("partner_secret")),
        )

    def is_reservation(self, fields: Mapping[str, str]) -> bool:
        """Return whether `reserve` created this connection with these fields, and no token has been added."""
        return self.password is None and self.login is None and self.description == fields["description"]

    def reject_other_use(self, conn_id: str) -> None:
        """Reject a connection that does not belong to a Stitch account.

        :raises ConnectionTaken: if the connection has a different type, or has partner credentials.
        """
        if self.conn_type != CONN_TYPE:
            reason = f"it is of type {self.conn_type}"
        elif self.is_partner:
            reason = "it has partner credentials"
        else:
            return
        raise ConnectionTaken(f"Connection {conn_id} exists, and {reason}. Choose another connection_id.")

    def reject_foreign_token(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Reject fields if they would replace the token of another account.

        :param fields: the fields to write. The description in the fields identifies the run that writes the
            connection.
        :raises ConnectionTaken: if the connection is in use for something else.
        """
        self.reject_other_use(conn_id)
        login = fields.get("login")
        if login is not None and self.login not in (None, login):
            raise ConnectionTaken(
                f"Connection {conn_id} belongs to Stitch account {self.login} (its login). Choose another "
                "connection_id."
            )
        is_ours = self.password == fields["password"] or self.description == fields["description"]
        if self.password is not None and not is_ours:
            raise ConnectionTaken(f"Connection {conn_id} has another token. Choose another connection_id.")
