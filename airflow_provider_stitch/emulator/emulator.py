"""The emulator: a server, a clock, and an initial account."""

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
_TOKEN_PREFIX = "ac_"  # noqa: S105 - a prefix is not a token


class StitchEmulator(EmulatedAccount):
    """A local Stitch that serves the API over real HTTP, and starts with one account.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. All times and durations are in
    Stitch's virtual time, which runs ``speed`` times as fast as real time. Only the delays of faults are in
    real time.

    :param speed: virtual seconds per real second.
    :param access_token: the token of the account. None: a random token.
    :param port: the API's port; 0 is a free port. Logs are served on another free port.
    :param start: the initial virtual time. None: the real time.
    :param quirks: behaviour that Stitch's documentation leaves open. It can be changed later.
    :param state_file: a file for the complete state, except faults and recorded requests. If an emulator is
        killed, a new one with the same file continues, and the time in between counts. If the file exists,
        only ``speed``, ``host`` and ``port`` of the other arguments are used. The file is written for every
        request, so accounts should be small.
    :param partner_id: id of the partner that can create accounts. None: a random id. ``partner_secret`` is
        the partner's secret.
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
        """Start to listen.

        :raises OSError: if the port is in use.
        """
        if self._url is not None:
            raise RuntimeError("The Stitch emulator is already running.")
        self._url = self._server.start()
        return self

    def stop(self) -> None:
        """Close all connections and stop listening. Stopping twice is not an error."""
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

    # Accounts and connections

    def add_account(self, client_id: int | None = None, access_token: str | None = None) -> EmulatedAccount:
        """Add another account with a destination. Its token gives no access to other accounts."""
        with self._state.locked() as now:
            token = access_token or self._state.new_token(_TOKEN_PREFIX)
            account = self._state.add_account(client_id, token)
            add_default_destination(account, now)
            return EmulatedAccount(self._state, account, token)

    @property
    def client_ids(self) -> list[int]:
        """The client IDs of all accounts, including those created through the API."""
        with self._state.locked():
            return list(self._state.accounts)

    def account(self, client_id: int) -> EmulatedAccount:
        """Return an account by its client ID, for example one that was created through the API.

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
        """The partner's secret, which is needed to create accounts and to exchange OAuth codes."""
        return self._state.partner.secret

    def add_oauth_code(self, account: EmulatedAccount | None = None) -> str:
        """Give the partner access to an account (None: the first one) as a user would, and return the code.

        The code can be exchanged once, within 5 minutes.
        """
        with self._state.locked() as now:
            return self._state.partner.add_code((account or self).client_id, now)

    def connection_json(self, account: EmulatedAccount | None = None) -> str:
        """Return the Airflow connection to an account as JSON, for an ``AIRFLOW_CONN_...`` variable.

        Its request limit is ``speed`` times Stitch's, because the client counts requests per 10 real minutes.
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
        """Return the virtual time in UTC. Each response contains it in its ``Date`` header."""
        return self._state.clock.now()

    def advance(self, seconds: float) -> None:
        """Move the virtual time forward, and run all events in between."""
        self._state.clock.advance(seconds)
        with self._state.locked():
            return

    # Recorded requests and faults

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests to the API host, with and without a valid token."""
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
        """Let the next matching requests fail. Without further arguments the response is a 500.

        :param path_regex: searched anywhere in path and query, as with ``re.search``. None: every path.
        :param times: number of requests that fail. None: all until the fault is cancelled.
        :param after_effect: whether Stitch processes the request before its response is lost or replaced.
        :param status: the response's status, with ``body`` (bytes, a string, or a JSON-serializable value)
            and ``headers``.
        :param delay: real seconds until the response, which is Stitch's own if no other argument changes it.
            If the client disconnects before it, Stitch has not processed the request, unless ``after_effect``
            is set.
        :param cut: close the connection without a response; ``"mid-body"``: after half of the body.
        :param garbage: a body that is not JSON, with status 200 or ``status``; True: the HTML page of a
            gateway.
        :param drip: real seconds between two bytes of the body.
        :param host: ``"log"``: fail requests to the host that serves logs.
        :return: the fault, with ``hits``, the number of failed requests so far, and ``cancel()``.
        """
        fault = Fault(
            method, path_regex, times, host, after_effect, status, body, headers, delay, cut, garbage, drip
        )
        self._state.faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        """End all faults."""
        self._state.faults.clear()
