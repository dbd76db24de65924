"""The operator that stores the token of an existing Stitch account as an Airflow connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators._secrets import reject_group_argument, render_secrets
from airflow_provider_stitch.operators.create_account import StitchTokenOperator, account_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import AccountAccess


class StitchAttachAccountOperator(StitchTokenOperator):
    """Store the token of an existing Stitch account as an Airflow connection.

    Pass either a token (`access_token`) or a code (`code`). Stitch issues a code when a user of the account
    authorizes a partner, and the task exchanges the code for a token. The user authorizes the partner at the
    address that `StitchHook("stitch_partner").partner.authorization_url()` returns. A code can be used once,
    within 5 minutes.

    If the connection exists and has a token, the task does nothing and does not use the code.
    `StitchCreateAccountOperator` documents how the token is stored. The task never overwrites a connection
    that has a different type or a different token.

    The XCom is a dict: `stitch_account_id` (None if unknown), `connection_id` and `attached` (bool).

    :param connection_id: id of the Airflow connection for the account. (templated)
    :param access_token: an API access token of the account, such as `"{{ conn.acme_token.password }}"`. The
        template is rendered when the task runs. Airflow does not show the token, and stores it only in the
        connection.
    :param code: the code from a user's authorization, such as `"{{ dag_run.conf['code'] }}"`. The template is
        rendered when the task runs, and Airflow neither shows nor stores the code.
    :param stitch_account_id: the Stitch client ID of the account. Set this argument together with
        `access_token` if the account has no sources and no destinations. Otherwise, the task reads the client
        ID from a source or destination. (templated)
    :param base_url: base URL of Stitch's API. If None, the task uses Stitch's public address or, if `code` is
        set, the host of the connection `stitch_conn_id`.
    :param airflow_api_conn_id: id of an Airflow connection to Airflow's own API server. The connection's host
        is the address of the server. The connection's login and password belong to a user who may create
        connections. Plain HTTP requires the extra `allow_http`.
    :param store: a function that writes a connection to a place that Airflow reads. The arguments of the
        function are the connection's id and the connection as JSON. The task first writes a probe, whose id
        ends with `__probe`, and then the connection with the token.
    :param stitch_conn_id: id of the Airflow connection that contains `partner_id` and `partner_secret`. The
        task uses this connection only if `code` is set. (templated)
    """

    template_fields: Sequence[str] = ("connection_id", "stitch_account_id", "stitch_conn_id")
    secret_arguments: Sequence[str] = ("access_token", "code")

    def __init__(
        self,
        *,
        connection_id: str,
        access_token: str | None = None,
        code: str | None = None,
        stitch_account_id: int | str | None = None,
        base_url: str | None = None,
        airflow_api_conn_id: str | None = None,
        store: Callable[[str, str], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            connection_id=connection_id, airflow_api_conn_id=airflow_api_conn_id, store=store, **kwargs
        )
        if access_token is not None and code is not None:
            raise ValueError("Pass access_token or code, not both: each of them provides the token.")
        self.access_token = reject_group_argument("access_token", access_token)
        self.code = reject_group_argument("code", code)
        self.stitch_account_id = stitch_account_id
        self.base_url = base_url

    def set_up(self, context: Context) -> dict[str, Any]:
        """Prepare a place for the token, obtain the token, and store the token."""
        existing = self.existing_connection()
        if existing is not None:
            self.log.info("Connection %s already has a token; no token was stored", self.connection_id)
            return self._xcom(account_id_of(existing), attached=False)
        if self.code is not None:
            account_id: int | None = self._attach_by_code(context)
        else:
            account_id = self._attach_by_token(context)
        self.log.info(
            "Stored the token of Stitch account %s as connection %s", account_id, self.connection_id
        )
        return self._xcom(account_id, attached=True)

    def _attach_by_code(self, context: Context) -> int:
        from airflow_provider_stitch.operators._hold_signals import hold_signals
        from airflow_provider_stitch.operators._secrets import mask

        code = render_secrets(self, {"code": self.code or ""}, context)["code"]
        storage = self.token_storage(self.base_url or self.hook.partner.base_url)
        storage.prepare()
        with hold_signals():
            try:
                account = self._exchange(code)
            except Exception:
                storage.release()
                raise
            token = account.access_token.reveal()
            mask(token)
            storage.store(
                token,
                account.stitch_account_id,
                how_to_replace=_NEW_CODE,
            )
        return account.stitch_account_id

    def _exchange(self, code: str) -> AccountAccess:
        """Exchange the code for a token, and reject the token if it belongs to an unexpected account."""
        from airflow_provider_stitch.connect.errors import InvalidArgument, StitchError

        try:
            account = self.hook.partner.exchange_code(code)
        except StitchError as error:
            if getattr(error, "maybe_received", True):
                error.args = (f"{str(error).rstrip('.')}. {_NEW_CODE}",)
            raise
        expected = self._expected_account_id()
        if expected not in (None, account.stitch_account_id):
            raise InvalidArgument(
                f"The code belongs to Stitch account {account.stitch_account_id}, not {expected}. No token "
                f"was stored. Correct stitch_account_id. {_NEW_CODE}"
            )
        return account

    def _attach_by_token(self, context: Context) -> int | None:
        from airflow_provider_stitch.connect.transport.urls import DEFAULT_BASE_URL

        token = render_secrets(self, {"access_token": self.access_token or ""}, context)["access_token"]
        base_url = self.base_url or DEFAULT_BASE_URL
        account_id = self._account_of(token, base_url)
        storage = self.token_storage(base_url)
        storage.prepare()
        storage.store(token, account_id, how_to_replace="Run the task again with the same token.")
        return account_id

    def _account_of(self, token: str, base_url: str) -> int | None:
        """Return the client ID of the token's account, or the expected client ID if the account is unknown.

        :raises StitchUnauthorized: if Stitch refuses the token.
        """
        from airflow_provider_stitch.connect.client import StitchClient
        from airflow_provider_stitch.connect.errors import InvalidArgument

        with StitchClient(token, base_url=base_url, retry_for=self.seconds_left) as client:
            found = [source.stitch_client_id for source in client.list_sources()]
            found += [destination.stitch_client_id for destination in client.list_destinations()]
        expected = self._expected_account_id()
        accounts = {account for account in found if account is not None}
        if accounts and expected is not None and expected not in accounts:
            raise InvalidArgument(
                f"The token belongs to Stitch account {min(accounts)}, not {expected}. Nothing was stored. "
                "Correct stitch_account_id, or pass the token of that account."
            )
        return min(accounts) if accounts else expected

    def _expected_account_id(self) -> int | None:
        from airflow_provider_stitch.connect.errors import InvalidArgument

        text = "" if self.stitch_account_id is None else str(self.stitch_account_id).strip()
        if text and not (text.isascii() and text.isdecimal()):
            raise InvalidArgument("stitch_account_id must be the number of a Stitch account.")
        return int(text) if text else None

    def _xcom(self, account_id: int | None, *, attached: bool) -> dict[str, Any]:
        return {
            "stitch_account_id": account_id,
            "connection_id": self.connection_id,
            "attached": attached,
        }


_NEW_CODE = (
    "A code works once, for 5 minutes: let the account's user authorize you again, and run the task with the "
    "new code."
)
