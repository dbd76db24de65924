"""The emulator, which consists of a server, a clock and an initial account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.emulator.clock import Clock
from airflow_provider_stitch.emulator.control.account import EmulatedAccount
from airflow_provider_stitch.emulator.model.destination_updates import add_default_destination
from airflow_provider_stitch.emulator.model.faults import Fault, Host
from airflow_provider_stitch.emulator.model.partner import Partner
from airflow_provider_stitch.emulator.model.quirks import Quirks
from airflow_provider_stitch.emulator.model.request_log import (
    REQUESTS_PER_WINDOW,
    LogHostRequest,
    RequestRecord,
)
from airflow_provider_stitch.emulator.model.state import EmulatorState
from airflow_provider_stitch.emulator.server.app import EmulatorApp
from airflow_provider_stitch.emulator.server.server import Server
from airflow_provider_stitch.emulator.server.webhook_delivery import WebhookDelivery
from airflow_provider_stitch.emulator.state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

_FIRST_CLIENT_ID = 104857
_TOKEN_PREFIX = "ac_"  # noqa: S105 - the prefix of a token is not secret


class StitchEmulator(EmulatedAccount):
    """A local Stitch that serves the Stitch Connect API over HTTP. A new emulator has one account.

    Use the emulator as a context manager, or call :meth:`start` and :meth:`stop`. Times and durations are
    virtual unless stated otherwise, and virtual time runs ``speed`` times as fast as real time.

    :param speed: virtual seconds per real second.
    :param access_token: the access token of the account. The default is a random token.
    :param port: the port of the API, or 0 for a free port. Extraction logs are served on a second free port.
    :param start: the initial virtual time. The default is the current real time.
    :param quirks: how the emulator behaves where Stitch's behavior is not documented. Quirks can be changed
        later.
    :param partner_id: the id of the partner that can create accounts. The default is a random id.
    :param partner_secret: the partner's secret. The default is a random secret.
    :param state_file: a file that stores the complete state, except faults and recorded requests. If an
        emulator is killed, a new emulator with the same file continues from the stored state. The virtual
        clock of the new emulator includes the time in between. If the state file already exists, all other
        arguments except ``speed``, ``host`` and ``port`` are ignored. The emulator writes the file for every
        request, so accounts should be small.
    """

    def __init__(
        self,
        speed: float = 1.0,
        *,
        access_token: str | None = None,
        client_id: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        start: datetime | None = None,
        quirks: Quirks | None = None,
        partner_id: str | None = None,
        partner_secret: str | None = None,
        state_file: str | Path | None = None,
    ) -> None:
        self.speed = speed
        file = None if state_file is None else StateFile(state_file)
        state = None if file is None else file.load(speed)
        if state is None:
            state = EmulatorState(
                Clock(start, speed), quirks or Quirks(), Partner(partner_id, partner_secret)
            )
            number = _FIRST_CLIENT_ID if client_id is None else client_id
            first = state.add_account(number, access_token or state.new_token(_TOKEN_PREFIX))
            add_default_destination(first, state.clock.now())
        if file is not None:
            state.save = file.save
            file.save(state)
        self.quirks = state.quirks
        account = next(iter(state.accounts.values()))
        super().__init__(state, account, next(iter(account.tokens)))
        delivery = WebhookDelivery(state)
        state.on_webhook_change = delivery.wake
        self._app = EmulatorApp(state)
        self._server = Server(self._app, delivery, host, port)
        self._url: str | None = None

    # Start and stop

    def start(self) -> StitchEmulator:
        """Start the server.

        :raises OSError: if the port is in use.
        """
        if self._url is not None:
            raise RuntimeError("The Stitch emulator is already running.")
        self._url = self._server.start()
        return self

    def stop(self) -> None:
        """Close all connections and stop listening. Stopping a stopped emulator is not an error."""
        self._url = None
        self._server.stop()

    def __enter__(self) -> StitchEmulator:  # noqa: PYI034 - typing.Self requires Python 3.11
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL of the API."""
        if self._url is None:
            raise RuntimeError(
                "The Stitch emulator is not running. Use it in a with statement, or call start()."
            )
        return self._url

    @property
    def log_url(self) -> str:
        """The base URL of the host that serves logs."""
        return self._app.log_url

    # Accounts, partners and Airflow connections

    def add_account(self, client_id: int | None = None, access_token: str | None = None) -> EmulatedAccount:
        """Add another account with a destination.

        The token of the new account cannot access other accounts.
        """
        with self._state.locked() as now:
            token = access_token or self._state.new_token(_TOKEN_PREFIX)
            account = self._state.add_account(client_id, token)
            add_default_destination(account, now)
            return EmulatedAccount(self._state, account, token)

    @property
    def client_ids(self) -> list[int]:
        """The client IDs of all accounts, including those that were created through the API."""
        with self._state.locked():
            return list(self._state.accounts)

    def account(self, client_id: int) -> EmulatedAccount:
        """Return the account with the given client ID. The account may have been created through the API.

        :raises ValueError: if the account does not exist.
        """
        with self._state.locked():
            found = self._state.accounts.get(client_id)
            if found is None:
                raise ValueError(f"Account {client_id} does not exist.")
            return EmulatedAccount(self._state, found, next(iter(found.tokens)))

    @property
    def partner_id(self) -> str:
        """The id of the partner that can create accounts."""
        return self._state.partner.id

    @property
    def partner_secret(self) -> str:
        """The partner's secret, which is required to create accounts and to exchange OAuth codes."""
        return self._state.partner.secret

    def add_oauth_code(self, account: EmulatedAccount | None = None) -> str:
        """Authorize the partner on behalf of an account's user, and return an OAuth code.

        The code can be exchanged once, within 5 minutes.

        :param account: the account. The default is the first account.
        """
        with self._state.locked() as now:
            return self._state.partner.add_code((account or self).client_id, now)

    def connection_json(self, account: EmulatedAccount | None = None) -> str:
        """Return the Airflow connection to an account as JSON, for an ``AIRFLOW_CONN_...`` variable.

        The connection allows ``speed`` times as many requests as Stitch, because clients limit their requests
        per 10 real minutes instead of virtual minutes.
        """
        shown = account or self
        limit = max(REQUESTS_PER_WINDOW, round(REQUESTS_PER_WINDOW * self.speed))
        return json.dumps(
            {
                "conn_type": "stitch",
                "host": self.url,
                "login": str(shown.client_id),
                "password": shown.access_token,
                "extra": {"requests_per_10_minutes": limit},
            }
        )

    # Time

    def now(self) -> datetime:
        """Return the virtual time in UTC. The ``Date`` header of each response contains this time."""
        return self._state.clock.now()

    def advance(self, seconds: float) -> None:
        """Move the virtual time forward by a number of virtual seconds, and run all due events."""
        self._state.clock.advance(seconds)
        with self._state.locked():
            return

    # Recorded requests and faults

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests to the API, including requests without a valid token."""
        with self._state.locked():
            return list(self._state.requests)

    @property
    def log_host_requests(self) -> list[LogHostRequest]:
        """All requests to the host that serves logs."""
        with self._state.locked():
            return list(self._state.log_host_requests)

    def fail(
        self,
        method: str | None = None,
        path_regex: str | None = None,
        times: int | None = 1,
        *,
        after_effect: bool = False,
        status: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        cut: bool | Literal["mid-body"] = False,
        garbage: bool | str | bytes = False,
        drip: float | None = None,
        host: Host = "api",
    ) -> Fault:
        """Make the next matching requests fail. By default, the response is a 500 error.

        :param method: the HTTP method of the requests. If None, requests with any method match.
        :param path_regex: a regular expression to search for in the path and query, as with ``re.search``.
            If None, requests for any path match.
        :param times: the number of requests that fail. If None, requests fail until the fault is cancelled.
        :param after_effect: whether Stitch processes the request before the response is lost or replaced.
        :param status: the status of the response.
        :param body: the body of the response, as bytes, a string or a JSON-serializable value.
        :param headers: the HTTP headers of the response.
        :param delay: real seconds before the response, which is Stitch's own response by default. If the
            client disconnects earlier, Stitch does not process the request unless ``after_effect`` is set.
        :param cut: whether to close the connection without a response, or ``"mid-body"`` after half the body.
        :param garbage: a non-JSON body, or True for a gateway's HTML page. The status is 200 by default.
        :param drip: real seconds between two bytes of the body.
        :param host: ``"api"`` for requests to the API, or ``"log"`` for requests for logs.
        :return: the fault. Its attribute ``hits`` is the number of failed requests, and its method
            ``cancel()`` ends the fault.
        """
        fault = Fault(
            method, path_regex, times, host, after_effect, status, body, headers, delay, cut, garbage, drip
        )
        self._state.faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        """End all faults."""
        self._state.faults.clear()
