"""The operator that creates Stitch accounts, for partners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_stitch.operators.masking import mask
from airflow_provider_stitch.operators.setup import StitchSetupOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Connection, Context

    from airflow_provider_stitch.connect.objects import AccountAccess
    from airflow_provider_stitch.hooks.connection_store import ConnectionStore

DESCRIPTION = "Stitch account, created by StitchCreateAccountOperator"


class StitchCreateAccountOperator(StitchSetupOperator):
    """Create a Stitch account with partner credentials, and store its access token as an Airflow connection.

    Stitch shows the token once. It is in no XCom and no log: tasks that work in the new account name the new
    connection as their `stitch_conn_id`. If that connection exists and has a token, nothing is created. That
    it can be written is made sure of before the account is created:

    - On Airflow 2 the task writes it to Airflow's database.
    - On Airflow 3 tasks can't. Give `airflow_api_conn_id`, and the task writes it by Airflow's REST API.
    - With `store`, a function of yours writes it, such as to a secrets backend.

    The XCom is a dict: `stitch_account_id` (None if the connection existed and does not tell),
    `connection_id` and `created` (bool).

    :param company: (templated)
    :param user_email: e-mail address of account's first user; Stitch takes one once. (templated)
    :param first_name: (templated)
    :param last_name: (templated)
    :param region: where its data is processed, for good: `us-east-1` or `eu-central-1`. (templated)
    :param connection_id: id of the Airflow connection for the new account. (templated)
    :param airflow_api_conn_id: id of an Airflow connection to Airflow's own API server: its address as host,
        a user who may create connections as login and password.
    :param store: a function that is given the connection's id and the connection as JSON, first without its
        password, and must write it where Airflow finds it.
    :param stitch_conn_id: id of the Airflow connection that has `partner_id` and `partner_secret`.
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

    def __init__(
        self,
        *,
        company: str,
        user_email: str,
        first_name: str,
        last_name: str,
        region: str,
        connection_id: str,
        airflow_api_conn_id: str | None = None,
        store: Callable[[str, str], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if airflow_api_conn_id is not None and store is not None:
            raise ValueError("Give airflow_api_conn_id or store, not both: each says where the token goes.")
        self.company = company
        # Not `email`: to that Airflow would write when the task fails.
        self.user_email = user_email
        self.first_name = first_name
        self.last_name = last_name
        self.region = region
        self.connection_id = connection_id
        self.airflow_api_conn_id = airflow_api_conn_id
        self.store = store

    def set_up(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Make sure of a place for the token, create the account, and store it."""
        from airflow_provider_stitch.hooks.connection_store import connection_store

        existing = self._existing_connection()
        if existing is not None and existing.password:
            self.log.info("Connection %s has a token, so no account is created", self.connection_id)
            login = (existing.login or "").strip()
            return self._xcom(int(login) if login.isdecimal() else None, created=False)
        partner = self.hook.partner
        fields = {"conn_type": "stitch", "description": DESCRIPTION, "host": partner.base_url}
        store = connection_store(self.store, self.airflow_api_conn_id)
        store.reserve(self.connection_id, fields)
        account = self._create(release=None if existing else store)
        mask(account.access_token.reveal())
        login = str(account.stitch_account_id)
        self._fill(store, account, {**fields, "login": login, "password": account.access_token.reveal()})
        self.log.info(
            "Created Stitch account %s, stored its token as connection %s", login, self.connection_id
        )
        return self._xcom(account.stitch_account_id, created=True)

    def _existing_connection(self) -> Connection | None:
        """Return the connection of this id. Without a token it is reserved: by an earlier try, or by hand."""
        from airflow_provider_stitch.connect.errors import StitchConfigurationError

        try:
            found = BaseHook.get_connection(self.connection_id)
        except AirflowNotFoundException:
            return None
        if found.conn_type != "stitch":
            raise StitchConfigurationError(
                f"Connection {self.connection_id} exists, and it is of type {found.conn_type}. Choose "
                "another connection_id. No account was created."
            )
        return found

    def _create(self, *, release: ConnectionStore | None) -> AccountAccess:
        """Create the account; if that fails, take the reserved connection away again."""
        from airflow_provider_stitch.connect.errors import StitchError

        try:
            return self.hook.partner.create_account(
                company=self.company,
                email=self.user_email,
                first_name=self.first_name,
                last_name=self.last_name,
                region=self.region,
            )
        except StitchError:
            if release is not None:
                self._release(release)
            raise

    def _release(self, store: ConnectionStore) -> None:
        try:
            store.release(self.connection_id)
        except Exception as error:  # noqa: BLE001 - what Stitch said is what the task should fail with
            self.log.warning("Connection %s, without a token, is left: %s", self.connection_id, error)

    def _fill(self, store: ConnectionStore, account: AccountAccess, fields: dict[str, str]) -> None:
        from airflow_provider_stitch.connect.errors import StitchConfigurationError

        try:
            store.fill(self.connection_id, fields)
        except Exception as error:  # noqa: BLE001 - whatever it is, a second account would not mend it
            why = type(error).__name__
        else:
            return
        # Outside of the except clause: what failed may hold the token.
        raise StitchConfigurationError(
            f"Stitch account {account.stitch_account_id} was created, but its token could not be stored as "
            f"connection {self.connection_id} ({why}), and Stitch does not show it again. Create an API "
            "access key in that account (Account Settings, API Access Keys) and set it as the connection's "
            "password."
        )

    def _xcom(self, account_id: int | None, *, created: bool) -> dict[str, Any]:
        return {
            "stitch_account_id": account_id,
            "connection_id": self.connection_id,
            "created": created,
        }
