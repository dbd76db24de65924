"""Where a task may store a connection that it has made: not every Airflow lets tasks do that.

On Airflow 2 a task has the database. On Airflow 3 it has none, and the API that tasks use can read
connections and not write them; there the public REST API takes them from somebody who may, or a secrets
backend does.

A connection is reserved first, without its secret, so that a place that can't be written to shows itself
before anything is made that needs one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

import requests
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_stitch.connect._addresses import is_loopback
from airflow_provider_stitch.connect._retries import retry_policy
from airflow_provider_stitch.connect._sessions import NoAuth
from airflow_provider_stitch.connect.errors import StitchConfigurationError, StitchError, StitchUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Connection

TIMEOUT = 30.0  #: seconds that Airflow's REST API may take for an answer
PATIENCE = 60.0  #: seconds for which it is asked again once there is a secret to store

HOW_TO = (
    "A task on Airflow 3 can't write connections by itself. Give airflow_api_conn_id: the id of an Airflow "
    "connection with the address of Airflow's API server (host) and a user who may create connections (login "
    "and password). Or give store: a function that writes the connection to your secrets backend. No account "
    "was created."
)


class ConnectionStore(Protocol):
    """A place for connections."""

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Write a connection without its secret, or raise."""

    def fill(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Write the whole connection over the reserved one."""

    def release(self, conn_id: str) -> None:
        """Take a reserved connection away again."""


def connection_store(
    store: Callable[[str, str], None] | None, airflow_api_conn_id: str | None
) -> ConnectionStore:
    """Return the store that a user chose, or that this Airflow has for its tasks.

    :raises StitchConfigurationError: there is none; the message says what to do.
    """
    if store is not None:
        return CallableStore(store)
    if airflow_api_conn_id is not None:
        return RestStore(BaseHook.get_connection(airflow_api_conn_id))
    if not _tasks_have_the_database():
        raise StitchConfigurationError(HOW_TO)
    return DatabaseStore()


def _tasks_have_the_database() -> bool:
    from airflow import __version__

    return __version__.startswith("2.")


class CallableStore:
    """A function of the user's, called with the connection's id and the connection as JSON.

    It is called twice: to reserve, without a password, and to fill.
    """

    def __init__(self, store: Callable[[str, str], None]) -> None:
        self._store = store

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        self._store(conn_id, json.dumps(dict(fields)))

    fill = reserve

    def release(self, conn_id: str) -> None:
        """Leave it: what has no password is of no use, and is written over by the next try."""


class DatabaseStore:
    """Airflow's own database, which tasks on Airflow 2 have."""

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        from airflow.models import Connection
        from airflow.utils.session import create_session

        with create_session() as session:
            found = session.query(Connection).filter(Connection.conn_id == conn_id).one_or_none()
            connection = found or Connection(conn_id=conn_id)
            for name, value in fields.items():
                setattr(connection, name, value)
            session.add(connection)

    fill = reserve

    def release(self, conn_id: str) -> None:
        from airflow.models import Connection
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(Connection).filter(Connection.conn_id == conn_id).delete()


class RestStore:
    """The public REST API of Airflow 3.

    :param api: an Airflow connection: the address of the API server as host, and a user's login and password,
        or as password alone a token of Airflow's API.
    :raises StitchConfigurationError: a secret must not be sent there.
    """

    def __init__(self, api: Connection) -> None:
        self._url = _api_url(api)
        self._session = requests.Session()
        local = is_loopback(urlsplit(self._url).hostname or "")
        self._session.trust_env = not local
        self._session.auth = NoAuth()  # or a .netrc would replace our token
        token = self._login(api) if api.login else (api.password or "")
        self._session.headers["Authorization"] = f"Bearer {token}"

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        path = _path_of(conn_id)
        if self._call("GET", path, fine=(200, 404)).status_code == 200:
            self._patch(conn_id, fields)
        else:
            self._call("POST", "/api/v2/connections", json=_body(conn_id, fields), fine=(200, 201))

    def fill(self, conn_id: str, fields: Mapping[str, str]) -> None:
        retry_policy(PATIENCE)(self._patch, conn_id, fields)

    def release(self, conn_id: str) -> None:
        self._call("DELETE", _path_of(conn_id), fine=(200, 204, 404))

    def _patch(self, conn_id: str, fields: Mapping[str, str]) -> None:
        mask = [("update_mask", name) for name in fields]
        self._call("PATCH", _path_of(conn_id), json=_body(conn_id, fields), params=mask, fine=(200,))

    def _login(self, api: Connection) -> str:
        user = {"username": api.login, "password": api.password or ""}
        answer = self._call("POST", "/auth/token", json=user, fine=(200, 201))
        token = _token_in(answer)
        if token is None:
            raise StitchConfigurationError(
                f"{self._url}/auth/token gives no token, so it is no API server of Airflow 3. No account was "
                "created."
            )
        return token

    def _call(self, method: str, path: str, *, fine: tuple[int, ...], **options: Any) -> requests.Response:
        asked = f"Airflow's API ({method} {self._url}{path})"
        try:
            answer = self._session.request(
                method, f"{self._url}{path}", timeout=TIMEOUT, allow_redirects=False, **options
            )
        except (requests.RequestException, OSError) as fault:
            kind = type(fault).__name__
        else:
            if answer.status_code in fine:
                return answer
            raise _refused(asked, answer.status_code)
        # Outside of the except clause: the fault holds the request, and so the secret.
        raise StitchUnavailable(f"{asked} can't be reached ({kind}).")


def _refused(asked: str, status: int) -> StitchError:
    # The answer is not shown: it may repeat what was sent.
    if status >= 500:
        return StitchUnavailable(f"{asked} has a problem (HTTP {status}).")
    return StitchConfigurationError(
        f"{asked} refuses (HTTP {status}). Its user must be allowed to read, create, change and delete "
        "connections."
    )


def _token_in(answer: requests.Response) -> str | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    token = body.get("access_token") if isinstance(body, dict) else None
    return token if isinstance(token, str) else None


def _path_of(conn_id: str) -> str:
    return f"/api/v2/connections/{quote(conn_id, safe='')}"


def _body(conn_id: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {"connection_id": conn_id, **fields}


def _api_url(api: Connection) -> str:
    host = (api.host or "").strip().rstrip("/")
    if host and "://" not in host:
        scheme = api.schema if api.schema in ("http", "https") else "https"
        host = f"{scheme}://{host}{f':{api.port}' if api.port else ''}"
    parts = urlsplit(host)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return host
    raise StitchConfigurationError(
        f"The host of connection {api.conn_id!r} must be an https:// address of Airflow's API server (plain "
        "HTTP only on this machine), for a secret is sent there. No account was created."
    )
