"""The operator that creates Stitch accounts with partner credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators._secrets import mask
from airflow_provider_stitch.operators._setup import StitchSetupOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Connection, Context

    from airflow_provider_stitch.connect.objects import AccountAccess
    from airflow_provider_stitch.operators._token_storage import TokenStorage


class StitchTokenOperator(StitchSetupOperator):
    """Base class of operators that store the token of an account as an Airflow connection.

    :param connection_id: id of the connection. (templated)
    :param airflow_api_conn_id: id of an Airflow connection to Airflow's own API server. The connection's host
        is the address of the server. The connection's login and password belong to a user who may create
        connections. This argument is used only on Airflow 3.
    :param store: a function that writes a connection to a place that Airflow reads. The arguments of the
        function are the connection's id and the connection as JSON. The task first writes a probe, whose id
        ends with `__probe`, and then the connection with the token.
    """

    def __init__(
        self,
        *,
        connection_id: str,
        airflow_api_conn_id: str | None = None,
        store: Callable[[str, str], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if airflow_api_conn_id is not None and store is not None:
            raise ValueError(
                "Pass airflow_api_conn_id or store, not both: each determines where the token is stored."
            )
        self.connection_id = connection_id
        self.airflow_api_conn_id = airflow_api_conn_id
        self.store = store

    def existing_connection(self) -> Connection | None:
        """Return the task's connection if it exists and has a token, otherwise None."""
        from airflow_provider_stitch.operators._token_storage import existing_token

        return existing_token(self.connection_id)

    def token_storage(self, base_url: str, *, email: str | None = None) -> TokenStorage:
        """Return an object that can store the token in the task's connection.

        :param email: e-mail address of a new account's first user. Pass None if the account already exists.
        """
        from airflow_provider_stitch.operators._connections.store import connection_store
        from airflow_provider_stitch.operators._token_storage import TokenStorage

        return TokenStorage(
            connection_store(self.store, self.airflow_api_conn_id),
            self.connection_id,
            base_url=base_url,
            operator=type(self).__name__,
            email=email,
            log=self.log,
        )


def account_id_of(connection: Connection) -> int | None:
    """Return the client ID in the login of a connection, or None if the login is not a number."""
    login = (connection.login or "").strip()
    return int(login) if login.isdecimal() else None


class StitchCreateAccountOperator(StitchTokenOperator):
    """Create a Stitch account with partner credentials, and store its access token as an Airflow connection.

    Stitch shows the token only once, and the task does not write the token to XCom or to the log. To use the
    new account in other tasks, set their `stitch_conn_id` to the id of the new connection. If the connection
    already exists and has a token, the task does not create an account. Before creating the account, the task
    makes sure that the token can be stored:

    - On Airflow 2, the task writes the connection to Airflow's database.
    - On Airflow 3, tasks cannot access the database. If `airflow_api_conn_id` is set, the task writes the
      connection through Airflow's REST API.
    - If `store` is set, your function writes the connection, for example to a secrets backend.

    The task never deletes an existing connection, and does not overwrite a connection that has a token or a
    different type. After creating the account, the task immediately stores the token, with retries. The task
    reacts to signals and to its `execution_timeout` only after the token is stored.

    The XCom is a dict: `stitch_account_id` (None if an existing connection has no login), `connection_id` and
    `created` (bool).

    :param company: name of the new account's company. (templated)
    :param user_email: e-mail address of the account's first user, which must be new to Stitch. (templated)
    :param first_name: first name of the account's first user. (templated)
    :param last_name: last name of the account's first user. (templated)
    :param region: the region where Stitch processes the data: `us-east-1` or `eu-central-1`. The region
        cannot be changed later. (templated)
    :param connection_id: id of the Airflow connection for the new account. (templated)
    :param airflow_api_conn_id: id of an Airflow connection to Airflow's own API server. The connection's host
        is the address of the server. The connection's login and password belong to a user who may create
        connections. Plain HTTP requires the extra `allow_http`.
    :param store: a function that writes a connection to a place that Airflow reads. The arguments of the
        function are the connection's id and the connection as JSON. The task first writes a probe, whose id
        ends with `__probe`, and then the connection with the token.
    :param stitch_conn_id: id of the Airflow connection that contains `partner_id` and `partner_secret`.
        (templated)
    """

    template_fields: Sequence[str] = (
        "company",
        "user_email",
        "first_name",
        "last_name",
        "region",
        "connection_id",
        "stitch_conn_id",
    )
    string_arguments = ("company", "user_email", "first_name", "last_name", "region", "connection_id")

    def __init__(
        self,
        *,
        company: str,
        user_email: str,
        first_name: str,
        last_name: str,
        region: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.company = company
        # This argument is not named `email`, because Airflow sends failure notifications to the address in
        # that argument.
        self.user_email = user_email
        self.first_name = first_name
        self.last_name = last_name
        self.region = region

    def set_up(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Prepare a place for the token, create the account, and then store the token."""
        from airflow_provider_stitch.operators._hold_signals import hold_signals

        existing = self.existing_connection()
        if existing is not None:
            self.log.info("Connection %s has a token, so no account is created", self.connection_id)
            return self._xcom(account_id_of(existing), created=False)
        storage = self.token_storage(self.hook.partner.base_url, email=self.user_email)
        storage.prepare()
        with hold_signals():
            account = self._create(storage)
            token = account.access_token.reveal()
            mask(token)
            storage.store(
                token,
                account.stitch_account_id,
                how_to_replace=(
                    "Create an API access key in that account (Account Settings, API Access Keys) and set it "
                    f"as the password of connection {self.connection_id}, or let the account's user "
                    "authorize you and run StitchAttachAccountOperator."
                ),
            )
        self.log.info(
            "Created Stitch account %s, stored its token as connection %s",
            account.stitch_account_id,
            self.connection_id,
        )
        return self._xcom(account.stitch_account_id, created=True)

    def _create(self, storage: TokenStorage) -> AccountAccess:
        """Create the account.

        If it is certain that Stitch has not created the account, delete the reserved connection.
        """
        from airflow_provider_stitch.connect.errors import EmailInUse, StitchError

        in_use: str | None = None
        try:
            return self.hook.partner.create_account(
                company=self.company,
                email=self.user_email,
                first_name=self.first_name,
                last_name=self.last_name,
                region=self.region,
            )
        except EmailInUse as error:
            # Keep the connection, because an earlier try or another run may have created the account.
            in_use = str(error)
        except StitchError as error:
            if not getattr(error, "maybe_received", error.retryable):
                storage.release()
            raise
        raise EmailInUse(
            f"{in_use} No connection was changed. If an earlier try of this task created the account and was "
            "ended before it stored the token, obtain a new token: let the account's user authorize you and "
            "run StitchAttachAccountOperator, or set an API access key (Stitch: Account Settings, API Access "
            f"Keys) as the password of connection {self.connection_id}."
        )

    def _xcom(self, account_id: int | None, *, created: bool) -> dict[str, Any]:
        return {
            "stitch_account_id": account_id,
            "connection_id": self.connection_id,
            "created": created,
        }
