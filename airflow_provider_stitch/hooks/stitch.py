"""The hook that creates a client of the Stitch Connect API from an Airflow connection."""

from __future__ import annotations

import threading
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_stitch import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.connect.partner import StitchPartner

APP_URL = "https://app.stitchdata.com"

# Seconds to retry failed requests when a user tests a connection, because the user waits for the result.
TEST_TIMEOUT = 5.0


class StitchHook(BaseHook):
    """Interact with a Stitch account, using the access token of an Airflow connection.

    The password of the connection is the API access token. The login is the Stitch client ID, and the host is
    the base URL of the API. The login and the host are optional. Without a login, the hook requests the
    client ID from Stitch. Without a host, the hook uses Stitch's public address. The connection can have the
    following extras:

    - `request_timeout`: maximum number of seconds to wait for each part of a response (30 by default).
    - `requests_per_10_minutes`: maximum number of status requests in 10 minutes (30 by default).
    - `redis_conn_id`: id of a Redis connection, with which several hosts share the request budget.
    - `partner_id` and `partner_secret`: credentials of a Stitch partner, which are required to create
      accounts (see `partner`).
    - `webhook_secret`: secret of the URL at which Airflow receives Stitch's post-load webhooks.

    A connection with partner credentials can create accounts without an access token. All other requests
    require an access token.

    :param stitch_conn_id: id of the Airflow connection.
    :param budget_timeout: maximum number of seconds that a request for extractions, loads or a log waits if
        the account's request budget is used up. If the wait would be longer, the client raises RateLimited.
        The attribute `retry_after` of the error is the number of seconds until the budget permits a request.
        If 0, requests do not wait.
    """

    conn_name_attr = "stitch_conn_id"
    default_conn_name = "stitch_default"
    conn_type = "stitch"
    hook_name = "Stitch"

    def __init__(
        self, stitch_conn_id: str = default_conn_name, *, budget_timeout: float = 600.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.stitch_conn_id = stitch_conn_id
        self.budget_timeout = budget_timeout

    @cached_property
    def client(self) -> StitchClient:
        """The client of this account. The hook reads the connection when the client is first used.

        Requests for extractions, loads and logs count against the request budget that all tasks of the
        account share. Each request waits for up to `budget_timeout` seconds until the budget permits the
        request.

        :raises StitchConfigurationError: if the connection is invalid; the message contains the reason.
        """
        from airflow_provider_stitch.replication.budget.client_limiter import ClientLimiter

        client = client_from(self._connection)
        client.request_budget = ClientLimiter(client, airflow_home(), timeout=self.budget_timeout)
        return client

    @cached_property
    def _connection(self) -> Connection:
        return self.get_connection(self.stitch_conn_id)

    def has_changed(self) -> bool:
        """Return whether the connection, for example its token, has changed since the creation of the client.

        If the connection has been deleted, return False.
        """
        try:
            return _fields(self.get_connection(self.stitch_conn_id)) != _fields(self._connection)
        except AirflowNotFoundException:
            return False

    @cached_property
    def partner(self) -> StitchPartner:
        """The client for Stitch partners, which creates accounts with `partner_id` and `partner_secret`.

        :raises StitchConfigurationError: if the connection is invalid; the message contains the reason.
        """
        return partner_from(self.get_connection(self.stitch_conn_id))

    def get_conn(self) -> StitchClient:
        """Return the client of this account."""
        return self.client

    def resolve_source(
        self,
        source: int | str,
        *,
        client: StitchClient | None = None,
        sources: Sequence[Source] | None = None,
    ) -> Source:
        """Return the source with this id, `name` or display name.

        :param client: a client to use instead of this hook's client, for example a client with a different
            timeout.
        :param sources: all sources of the account, if they are known. If None, the hook first requests the
            source with this id. If no source has this id, the hook requests all sources.

        :raises UnknownSource: if no source matches; the message lists candidates.
        :raises AmbiguousSource: if several sources match; the message lists them.
        :raises StitchConfigurationError: if the connection's client ID and its token belong to different
            accounts.
        """
        from airflow_provider_stitch.connect.references import find_source

        client = client or self.client
        if sources is None:
            # Try the id first, because it takes some time to list thousands of sources.
            found = client.find_source_by_id(source)
            sources = client.list_sources() if found is None else [found]
        _check_account(client, sources)
        return find_source(sources, source)

    def source_url(self, source_id: int) -> str:
        """Return the address of a source's page in Stitch's web application."""
        return source_url(self.client.client_id, source_id)

    def test_connection(self) -> tuple[bool, str]:
        """Test the connection. Return whether the test succeeded, and a message for the user.

        The test requests the account's sources and, if `redis_conn_id` is set, connects to the Redis server.
        Only the format of partner credentials is checked, because only creating an account would test them.
        """
        from airflow_provider_stitch.connect.errors import StitchError
        from airflow_provider_stitch.hooks.redis_connection import redis_problem

        try:
            if has_only_partner_credentials(self.get_connection(self.stitch_conn_id)):
                return True, f"Partner credentials for {self.partner.base_url}. {PARTNER_UNTESTED}"
            client = self.client.with_retries(TEST_TIMEOUT)
            sources = client.list_sources()
            _check_account(client, sources)
            account = client.client_id
            problem = redis_problem(self._connection, (client.base_url, account))
        except StitchError as error:
            return False, str(error)
        if problem is not None:
            return False, (
                f"Connected to Stitch account {account}, but not to the Redis that redis_conn_id names: "
                f"{problem}. Check the server and that connection. Tasks run without Redis, but then each "
                "host counts its own status requests."
            )
        existing = [source for source in sources if source.deleted_at is None]
        paused = sum(
            source.paused_at is not None or source.system_paused_at is not None for source in existing
        )
        plural = "source" if len(existing) == 1 else "sources"
        return (
            True,
            f"Connected to Stitch account {account}: {len(existing)} {plural}, {paused} of them paused.",
        )

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the fields of the connection form for Airflow 2.

        Airflow 3 reads these fields from the provider info.
        """
        behaviour = _connection_type()["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form for Airflow 2.

        Airflow 3 reads these fields from the provider info.
        """
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import IntegerField, PasswordField, StringField
        from wtforms.validators import Optional

        kinds = {"string": StringField, "number": StringField, "integer": IntegerField}
        widgets = {}
        for name, field in _connection_type()["conn-fields"].items():
            schema = field["schema"]
            secret = schema.get("format") == "password"
            kind = PasswordField if secret else kinds[schema["type"][0]]
            widgets[name] = kind(
                field["label"],
                widget=BS3PasswordFieldWidget() if secret else BS3TextFieldWidget(),
                description=field["description"],
                validators=[Optional()],
            )
        return widgets


PARTNER_UNTESTED = (
    "They were not tested, because only creating an account would test them. Without an access token, this "
    "connection can only create accounts."
)


def _check_account(client: StitchClient, sources: Sequence[Source]) -> None:
    """Reject a connection if its client ID and access token belong to different accounts."""
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    accounts = {source.stitch_client_id for source in sources if source.stitch_client_id is not None}
    if accounts and client.client_id not in accounts:
        raise StitchConfigurationError(
            f"The connection's client ID (login) is {client.client_id}, but its token belongs to account "
            f"{min(accounts)}. Correct the client ID, or leave it empty."
        )


def source_url(client_id: int, source_id: int) -> str:
    """Return the address of a source's page in Stitch's web application."""
    return f"{APP_URL}/client/{client_id}/pipeline/v2/sources/{source_id}/summary"


def token_changed(stitch_conn_id: str) -> str:
    """Return the log message for a task that continues with the connection's new token."""
    return (
        f"Stitch no longer accepts the access token, and the connection {stitch_conn_id!r} has changed; "
        "continuing with its new token"
    )


def with_url(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a wait, including the address of the source's page."""
    return {**result, "url": source_url(result["client_id"], result["source_id"])}


def _connection_type() -> dict[str, Any]:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]
    return connection_type


def client_from(connection: Connection) -> StitchClient:
    """Return a client with the token and settings of an Airflow connection.

    :raises StitchConfigurationError: if the token or a setting is invalid. The message contains the name of
        the setting.
    """
    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.errors import StitchConfigurationError
    from airflow_provider_stitch.hooks.redis_connection import redis_client_of

    if has_only_partner_credentials(connection):
        raise StitchConfigurationError(
            f"The connection {connection.conn_id!r} has partner credentials but no access token, so it can "
            "only create accounts. Set an API access token (Stitch: Account Settings, API Access Keys) as "
            "its password, or use the connection of the account itself."
        )
    extras = connection.extra_dejson
    client = StitchClient(
        connection.password or "",
        base_url=_base_url(connection),
        client_id=_client_id(connection.login),
        request_timeout=_number(extras, "request_timeout", 30.0),
        requests_per_10_minutes=_whole_number(extras, "requests_per_10_minutes", 30),
    )
    client.connection_id = connection.conn_id or ""
    client.redis = redis_client_of(connection)
    return client


def partner_from(connection: Connection) -> StitchPartner:
    """Return a client with the partner credentials of an Airflow connection.

    :raises StitchConfigurationError: if the credentials are invalid; the message contains the reason.
    """
    from airflow_provider_stitch.connect.errors import StitchConfigurationError
    from airflow_provider_stitch.connect.partner import StitchPartner

    extras = connection.extra_dejson
    if not (extras.get("partner_id") or extras.get("partner_secret")) and connection.password:
        raise StitchConfigurationError(
            f"The connection {connection.conn_id!r} has no partner credentials in its extras. Set partner_id "
            "and partner_secret as extras. Login and password are for the client ID and the access token of "
            "one account."
        )
    return StitchPartner(
        extras.get("partner_id") or "",
        extras.get("partner_secret") or "",
        base_url=_base_url(connection),
        request_timeout=_number(extras, "request_timeout", 30.0),
    )


def has_only_partner_credentials(connection: Connection) -> bool:
    """Return whether a connection has partner credentials and no access token."""
    extras = connection.extra_dejson
    return not connection.password and bool(extras.get("partner_id") or extras.get("partner_secret"))


@cache
def airflow_home() -> Path:
    """Return Airflow's home folder, where the processes on this host store the shared request budget."""
    from airflow.configuration import AIRFLOW_HOME

    return Path(AIRFLOW_HOME)


_clients: dict[tuple[Any, ...], StitchClient] = {}
_clients_lock = threading.Lock()


def shared_client_from(connection: Connection) -> StitchClient:
    """Return the client of a connection. All tasks in this process share this client.

    If the connection has changed, for example because it has a new token, create a new client.

    :raises StitchConfigurationError: if a field of the connection is invalid. The message contains the name
        of the field.
    """
    from airflow_provider_stitch.hooks.redis_connection import redis_client_of

    # If the Redis connection has changed, `redis_client_of` returns a different client.
    fields = (*_fields(connection), redis_client_of(connection))
    with _clients_lock:
        if fields not in _clients:
            _clients[fields] = client_from(connection)
        return _clients[fields]


def _fields(connection: Connection) -> tuple[Any, ...]:
    """Return the fields of the connection on which its client depends."""
    address = (connection.host, connection.port, connection.schema)
    return (*address, connection.login, connection.password, connection.extra)


def _base_url(connection: Connection) -> str:
    from airflow_provider_stitch.connect.transport.urls import DEFAULT_BASE_URL

    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" in host:
        return host
    # If a connection is defined by a URI, Airflow stores the scheme and port of the URI in separate fields.
    port = f":{connection.port}" if connection.port else ""
    scheme = connection.schema if connection.schema in ("http", "https") else "https"
    return f"{scheme}://{host}{port}"


def _client_id(login: str | None) -> int | None:
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    text = (login or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise StitchConfigurationError(
            "The connection's client ID (login) must be the number of a Stitch account. Correct the "
            "client ID, or leave it empty to use the account of the access token."
        )
    return int(text)


def _whole_number(extras: dict[str, Any], name: str, default: int) -> int:
    number = _number(extras, name, default)
    if number != int(number):
        raise _bad_extra(name, "a whole number", default)
    return int(number)


def _number(extras: dict[str, Any], name: str, default: float) -> float:
    value = extras.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        number = 0.0
    if not 1 <= number < float("inf"):
        raise _bad_extra(name, "a number", default)
    return number


def _bad_extra(name: str, expected: str, default: float) -> StitchError:
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    return StitchConfigurationError(
        # The message does not contain the value, because a secret may be in the wrong field.
        f"The connection's extra {name!r} must be {expected} of at least 1. Remove it to use {default:g}."
    )
