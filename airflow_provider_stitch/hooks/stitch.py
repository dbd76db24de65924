"""StitchHook: an Airflow connection becomes a client of the Stitch Connect API."""

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

# The Test button should answer while a person looks at it.
TEST_TIMEOUT = 5.0


class StitchHook(BaseHook):
    """Talks to one Stitch account with the access token of an Airflow connection.

    The connection's password is the API access token; its login the Stitch client ID (optional: found from
    the account); its host the base URL (optional). Extras: `request_timeout` (seconds, 30),
    `requests_per_10_minutes` (30), and for partners `partner_id` and `partner_secret`. Those need no access
    token, and can do no more than create accounts: see `partner`.

    :param stitch_conn_id: id of the Airflow connection.
    :param budget_timeout: seconds for which a call for extractions, loads or a log waits while the account's
        request budget has no free request. After it the call raises RateLimited, whose `retry_after` is the
        number of seconds until the next free one; 0 never waits.
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
        """The client of this account. It is made, and the connection read, at the first use.

        Its requests for extractions, loads and logs count in the request budget that the account's tasks
        share: each waits for a free request, for at most `budget_timeout` seconds.

        :raises StitchConfigurationError: the connection can't be used; the message says why.
        """
        from airflow_provider_stitch.replication.budget.client_limiter import ClientLimiter

        client = client_from(self._connection)
        client.request_budget = ClientLimiter(client, airflow_home(), timeout=self.budget_timeout)
        return client

    @cached_property
    def _connection(self) -> Connection:
        return self.get_connection(self.stitch_conn_id)

    def has_changed(self) -> bool:
        """Whether the connection is another than when its client was made: it may have a new token by now.

        False if there is none any more.
        """
        try:
            return _fields(self.get_connection(self.stitch_conn_id)) != _fields(self._connection)
        except AirflowNotFoundException:
            return False

    @cached_property
    def partner(self) -> StitchPartner:
        """The partner that the connection's `partner_id` and `partner_secret` name: it can create accounts.

        :raises StitchConfigurationError: the connection can't be used so; the message says why.
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
        """Return the source with this id, or `name`, or display name.

        :param client: this hook's client with another patience.
        :param sources: all of the account, if they are known already; None asks Stitch: for the one with this
            id, or else for all.

        :raises UnknownSource: there is none; the message lists candidates.
        :raises AmbiguousSource: there are several; the message lists them.
        :raises StitchConfigurationError: the connection names another account than the token's.
        """
        from airflow_provider_stitch.replication.sources import find_source

        client = client or self.client
        if sources is None:
            # To list all, of which there may be thousands, takes a while.
            living = _living_by_id(client, source)
            sources = client.list_sources() if living is None else [living]
        _check_account(client, sources)
        return find_source(sources, source)

    def source_url(self, source_id: int) -> str:
        """Return the address of a source's page in Stitch's web application."""
        return source_url(self.client.client_id, source_id)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the account's sources; return whether that worked, and a sentence for a person.

        Partner credentials alone are only looked at: Stitch has no request that tries them and does nothing.
        """
        from airflow_provider_stitch.connect.errors import StitchError

        try:
            if has_only_partner_credentials(self.get_connection(self.stitch_conn_id)):
                return True, f"Partner credentials for {self.partner.base_url}. {PARTNER_UNTESTED}"
            client = self.client.with_retries(TEST_TIMEOUT)
            sources = client.list_sources()
            _check_account(client, sources)
            account = client.client_id
        except StitchError as error:
            return False, str(error)
        living = [source for source in sources if source.deleted_at is None]
        paused = sum(source.paused_at is not None or source.system_paused_at is not None for source in living)
        plural = "source" if len(living) == 1 else "sources"
        return (
            True,
            f"Connected to Stitch account {account}: {len(living)} {plural}, {paused} of them paused.",
        )

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow 2 shows the form, made of what Airflow 3 reads from the provider info."""
        behaviour = _connection_type()["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's further fields for Airflow 2, from the provider info that Airflow 3 reads."""
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
    "They were not tried: Stitch has no request for that but the creation of an account. There is no access "
    "token, so nothing else can be done with this connection."
)


def _living_by_id(client: StitchClient, wanted: int | str) -> Source | None:
    from airflow_provider_stitch.connect.errors import UnknownSource
    from airflow_provider_stitch.replication.sources import parse_source_id

    number = parse_source_id(wanted)
    if number is None:
        return None
    try:
        source = client.get_source(number)
    except UnknownSource:  # another may have this number as its name
        return None
    return source if source.deleted_at is None else None


def _check_account(client: StitchClient, sources: Sequence[Source]) -> None:
    """Refuse a connection whose client ID is not that of its token's account."""
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    accounts = {source.stitch_client_id for source in sources if source.stitch_client_id is not None}
    if accounts and client.client_id not in accounts:
        raise StitchConfigurationError(
            f"The connection's client ID (login) is {client.client_id}, but its token belongs to account "
            f"{min(accounts)}. Correct it, or leave it empty."
        )


def source_url(client_id: int, source_id: int) -> str:
    """Return the address of a source's page in Stitch's web application."""
    return f"{APP_URL}/client/{client_id}/pipeline/v2/sources/{source_id}/summary"


def token_changed(stitch_conn_id: str) -> str:
    """Return what a task's log says when its wait goes on with another token."""
    return (
        f"Stitch refuses the access token now. The connection {stitch_conn_id!r} has changed meanwhile, "
        "so the wait goes on with the one that it has."
    )


def with_url(result: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a job with the address of its source's page: what a task returns as XCom."""
    return {**result, "url": source_url(result["client_id"], result["source_id"])}


def _connection_type() -> dict[str, Any]:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]
    return connection_type


def client_from(connection: Connection) -> StitchClient:
    """Return a client with the token and settings of an Airflow connection.

    :raises StitchConfigurationError: one of them can't be used; the message names it.
    """
    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    if has_only_partner_credentials(connection):
        raise StitchConfigurationError(
            f"The connection {connection.conn_id!r} has no access token but partner credentials, which can "
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
    return client


def partner_from(connection: Connection) -> StitchPartner:
    """Return the partner of an Airflow connection.

    :raises StitchConfigurationError: its partner credentials can't be used; the message says why.
    """
    from airflow_provider_stitch.connect.errors import StitchConfigurationError
    from airflow_provider_stitch.connect.partner import StitchPartner

    extras = connection.extra_dejson
    if not (extras.get("partner_id") or extras.get("partner_secret")) and connection.password:
        raise StitchConfigurationError(
            f"The connection {connection.conn_id!r} has no partner credentials among its extras. Put "
            "partner_id and partner_secret into the extras, not into login and password, which are the "
            "client ID and the access token of one account."
        )
    return StitchPartner(
        extras.get("partner_id") or "",
        extras.get("partner_secret") or "",
        base_url=_base_url(connection),
        request_timeout=_number(extras, "request_timeout", 30.0),
    )


def has_only_partner_credentials(connection: Connection) -> bool:
    """Whether a connection has partner credentials and no access token."""
    extras = connection.extra_dejson
    return not connection.password and bool(extras.get("partner_id") or extras.get("partner_secret"))


@cache
def airflow_home() -> Path:
    """Return Airflow's home, in which the processes of this host share the budget of requests."""
    from airflow.configuration import AIRFLOW_HOME

    return Path(AIRFLOW_HOME)


_clients: dict[tuple[Any, ...], StitchClient] = {}
_clients_lock = threading.Lock()


def shared_client_from(connection: Connection) -> StitchClient:
    """Return this process's client of a connection, for a triggerer in which many tasks wait.

    A connection that was changed, such as by a new token, has a client of its own.

    :raises StitchConfigurationError: one of the connection's fields can't be used; the message names it.
    """
    fields = _fields(connection)
    with _clients_lock:
        if fields not in _clients:
            _clients[fields] = client_from(connection)
        return _clients[fields]


def _fields(connection: Connection) -> tuple[Any, ...]:
    """Return all that makes a connection's client what it is."""
    address = (connection.host, connection.port, connection.schema)
    return (*address, connection.login, connection.password, connection.extra)


def _base_url(connection: Connection) -> str:
    from airflow_provider_stitch.connect.transport.urls import DEFAULT_BASE_URL

    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" in host:
        return host
    # A connection from a URI has the parts of its address in fields of their own.
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
            "The connection's client ID (login) is no number, as a Stitch client ID is. "
            "Leave it empty to have it found from the account."
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


def _bad_extra(name: str, due: str, default: float) -> StitchError:
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    return StitchConfigurationError(
        # The value is not repeated: it may be a secret that got into the wrong field.
        f"The connection's extra {name!r} must be {due}, 1 or more. Leave it out to have {default:g}."
    )
