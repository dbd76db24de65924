"""Store connections through the public REST API of Airflow 3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import requests

from airflow_provider_stitch.connect.errors import StitchConfigurationError, StitchError, StitchUnavailable
from airflow_provider_stitch.connect.transport.session import NoAuth
from airflow_provider_stitch.connect.transport.urls import is_loopback
from airflow_provider_stitch.operators._connections.stored import ReservationLost, StoredConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Connection

TIMEOUT = 30.0  #: seconds to wait for a response of Airflow's REST API


class RestStore:
    """A store that uses the public REST API of Airflow 3.

    :param api: an Airflow connection whose host is the address of the API server. The login and password
        belong to a user of Airflow. If the connection has no login, the password is a token for Airflow's
        API. Plain HTTP requires the extra `allow_http`.
    :raises StitchConfigurationError: if it is not safe to send secrets to the host, or if the login fails.
    """

    def __init__(self, api: Connection) -> None:
        self._api = api
        self._url = _api_url(api)
        self._session = requests.Session()
        local = is_loopback(urlsplit(self._url).hostname or "")
        self._session.trust_env = not local
        self._session.auth = NoAuth()  # do not let requests use a login from .netrc instead of the token
        self._log_in()

    def find(self, conn_id: str) -> StoredConnection | None:
        """Return the connection in Airflow's database, or None if the connection does not exist."""
        response = self._request("GET", _path_of(conn_id), expected=(200, 404))
        return _stored(response) if response.status_code == 200 else None

    def reserve(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Create the connection in Airflow's database, without its secret."""
        self._post(conn_id, fields)

    def fill(self, conn_id: str, fields: Mapping[str, str]) -> None:
        try:
            self._fill(conn_id, fields)
        except _NotLoggedIn:
            # The token for Airflow's API may have expired.
            self._log_in()
            self._fill(conn_id, fields)

    def release(self, conn_id: str, fields: Mapping[str, str]) -> None:
        found = self.find(conn_id)
        if found is not None and found.is_reservation(fields):
            self._request("DELETE", _path_of(conn_id), expected=(200, 204, 404))

    def _fill(self, conn_id: str, fields: Mapping[str, str]) -> None:
        found = self.find(conn_id)
        if found is None:
            self._post(conn_id, fields)
            return
        found.reject_foreign_token(conn_id, fields)
        mask = [("update_mask", name) for name in fields]
        self._request("PATCH", _path_of(conn_id), json=_body(conn_id, fields), params=mask, expected=(200,))

    def _post(self, conn_id: str, fields: Mapping[str, str]) -> None:
        path, body = "/api/v2/connections", _body(conn_id, fields)
        response = self._request("POST", path, json=body, expected=(200, 201, 409))
        if response.status_code == 409:
            raise ReservationLost(
                f"Another task created the connection {conn_id} at the same time (HTTP 409). The next "
                "try of this task reads that connection."
            )

    def _log_in(self) -> None:
        self._session.headers.pop("Authorization", None)
        token = self._new_token() if self._api.login else (self._api.password or "")
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _new_token(self) -> str:
        user = {"username": self._api.login, "password": self._api.password or ""}
        token = _token_in(self._request("POST", "/auth/token", json=user, expected=(200, 201)))
        if token is None:
            raise StitchConfigurationError(
                f"{self._url}/auth/token returns no token, so this is not an API server of Airflow 3. "
                f"Correct the host of connection {self._api.conn_id!r}."
            )
        return token

    def _request(self, method: str, path: str, *, expected: tuple[int, ...], **options: Any) -> Any:
        request = f"Airflow's API ({method} {self._url}{path})"
        try:
            response = self._session.request(
                method, f"{self._url}{path}", timeout=TIMEOUT, allow_redirects=False, **options
            )
        except (requests.RequestException, OSError) as error:
            kind = type(error).__name__
        else:
            if response.status_code in expected:
                return response
            raise self._refused(request, response)
        # Raise the new error outside of the except clause, because the original error contains the request
        # with the secret.
        raise StitchUnavailable(f"{request} cannot be reached ({kind}).")

    def _refused(self, request: str, response: requests.Response) -> StitchError:
        # The message does not contain the response's body, because the body may repeat the secret.
        status, host = response.status_code, f"the host of connection {self._api.conn_id!r}"
        if status >= 500 or status in (408, 425, 429):
            return StitchUnavailable(f"{request} has a problem (HTTP {status}).")
        if status == 401:
            return _NotLoggedIn(
                f"{request} refuses the login (HTTP 401). Correct login and password of connection "
                f"{self._api.conn_id!r}."
            )
        if status == 403:
            advice = "Its user must be allowed to read, create, change and delete connections."
        elif 300 <= status < 400:
            advice = f"It redirects to {_place(response)}. Set the final address as {host}."
        elif status in (404, 405):
            advice = f"There is no API of Airflow 3 at this address. Correct {host}."
        elif status == 422:
            advice = (
                "It accepts only connection ids of at most 200 letters, digits and _ - . characters. Choose "
                "another connection_id."
            )
        else:
            advice = "Check its log."
        return StitchConfigurationError(f"{request} refuses (HTTP {status}). {advice}")


class _NotLoggedIn(StitchConfigurationError):  # noqa: N818 - subclasses of StitchError have no suffix
    """Airflow's API server refuses the token or the password."""


def _stored(response: requests.Response) -> StoredConnection:
    try:
        fields = response.json()
        extra = json.loads(fields.get("extra") or "{}")
        return StoredConnection(
            conn_type=str(fields["conn_type"]),
            login=(fields.get("login") or "").strip() or None,
            description=fields.get("description"),
            password=fields.get("password") or None,
            is_partner=bool(extra.get("partner_id") or extra.get("partner_secret")),
        )
    except (ValueError, KeyError, AttributeError, TypeError):
        reason = "it describes no connection"
    raise StitchUnavailable(f"The response of Airflow's API cannot be used: {reason}.")


def _token_in(response: requests.Response) -> str | None:
    try:
        body = response.json()
    except ValueError:
        return None
    token = body.get("access_token") if isinstance(body, dict) else None
    return token if isinstance(token, str) else None


def _place(response: requests.Response) -> str:
    """Return the target of a redirect, without the query string, which may contain a secret."""
    return response.headers.get("Location", "no address").partition("?")[0][:200]


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
    if not parts.hostname or parts.scheme not in ("http", "https"):
        problem = "must be an https:// address of Airflow's API server."
    elif parts.scheme == "https" or is_loopback(parts.hostname) or _allows_http(api):
        return host
    else:
        problem = (
            "must be an https:// address of Airflow's API server, because a secret is sent there. Plain HTTP "
            'is possible inside a cluster that you trust: set the extra {"allow_http": true}.'
        )
    raise StitchConfigurationError(
        f"The host of connection {api.conn_id!r} {problem} No account was created."
    )


def _allows_http(api: Connection) -> bool:
    """Return whether the user permits plain HTTP.

    If the connection is defined by a URI, the extra `allow_http` is a string.
    """
    return str(api.extra_dejson.get("allow_http", "")).lower() == "true"
