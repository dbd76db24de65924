"""The operator that attaches an existing Stitch account: its token becomes an Airflow connection."""

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

    Give the token (`access_token`), or the code that Stitch sends when the account's user has authorized a
    partner (`code`), which is exchanged for a token. The user authorizes at the address that
    `StitchHook("stitch_partner").partner.authorization_url()` returns. A code works once, for 5 minutes.

    If the connection exists and has a token, nothing is done, and the code is not used. The token is stored
    as by `StitchCreateAccountOperator`: a connection of a different type, or with a different token, is never
    overwritten.

    The XCom is a dict: `stitch_account_id` (None if it cannot be found), `connection_id` and `attached`
    (bool).

    :param connection_id: id of the Airflow connection for the account. (templated)
    :param access_token: an API access token of the account, such as `"{{ conn.acme_token.password }}"`.
        Rendered when the task runs, and neither shown nor stored but in the connection.
    :param code: the code of an authorization, such as `"{{ dag_run.conf['code'] }}"`. Rendered likewise.
    :param stitch_account_id: the account's number. With `access_token` it is found from the account's sources
        and destinations; an account that has none needs it here. (templated)
    :param base_url: base URL of Stitch's API. None uses the host of `stitch_conn_id` if `code` is set, and
        otherwise Stitch's public address.
    :param airflow_api_conn_id: id of an Airflow connection to Airflow's own API server: its address as host,
        a user who may create connections as login and password. Plain HTTP needs the extra `allow_http`.
    :param store: a function that writes a connection where Airflow finds it. It is called with the id of the
        connection and the connection as JSON: first with a probe (its id ends with `__probe`), then with
        the connection and its token.
    :param stitch_conn_id: id of the Airflow connection that has `partner_id` and `partner_secret`; only
        `code` needs it. (templated)
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
            raise ValueError("Give access_token or code, not both: each leads to the token of an account.")
        self.access_token = reject_group_argument("access_token", access_token)
        self.code = reject_group_argument("code", code)
        self.stitch_account_id = stitch_account_id
        self.base_url = base_url

    def set_up(self, context: Context) -> dict[str, Any]:
        """Prepare a place for the token, obtain the token, and store it."""
        existing = self.existing_connection()
        if existing is not None:
            self.log.info("Connection %s has a token, so nothing is attached", self.connection_id)
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
        """Exchange the code. Reject an account other than the expected one."""
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
                f"The code is of Stitch account {account.stitch_account_id}, not {expected}. No token was "
                f"stored. Correct stitch_account_id. {_NEW_CODE}"
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
        """Return the id of the token's account, or the expected id if it has no source or destination.

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
                f"The token is of Stitch account {min(accounts)}, not {expected}. Nothing was stored. "
                "Correct stitch_account_id, or give the token of that account."
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
