"""The emulator: a server, a clock, and one account to begin with."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.emulator.clock import Clock
from airflow_provider_stitch.emulator.courier import Courier
from airflow_provider_stitch.emulator.faults import Fault, Host
from airflow_provider_stitch.emulator.front import Front
from airflow_provider_stitch.emulator.handle import EmulatedAccount
from airflow_provider_stitch.emulator.ledger import REQUESTS_PER_WINDOW, LogHostRequest, RequestRecord
from airflow_provider_stitch.emulator.partner import Partner
from airflow_provider_stitch.emulator.plans import Quirks
from airflow_provider_stitch.emulator.server import Server
from airflow_provider_stitch.emulator.state_file import StateFile
from airflow_provider_stitch.emulator.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

_FIRST_CLIENT_ID = 104857
_PREFIX = "ac_"


class StitchEmulator(EmulatedAccount):
    """A local Stitch that answers real HTTP, with one account that it begins with.

    Used as a context manager, or with :meth:`start` and :meth:`stop`. All times and durations are Stitch's
    own, virtual ones, which run ``speed`` times as fast as real ones; only a fault's delay is real.

    :param speed: virtual seconds in a real second.
    :param access_token: the account's token; None makes one up.
    :param port: of the API; 0 takes a free one. Logs are served on another free port.
    :param start: the virtual time at which it begins; None: the real time.
    :param quirks: what Stitch's documentation leaves open. May be changed later, too.
    :param state_file: keeps all but faults and the record of requests, so that an emulator that was killed
        goes on where it was; its time has gone on meanwhile. If the file exists, of the other arguments only
        ``speed``, ``host`` and ``port`` count. It is written at every request: for small accounts.
    :param partner_id: of the partner that creates accounts, and ``partner_secret``. None makes one up.
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
        world = None if file is None else file.load(speed)
        if world is None:
            world = World(Clock(start, speed), quirks or Quirks(), Partner(partner_id, partner_secret))
            number = _FIRST_CLIENT_ID if client_id is None else client_id
            first = world.add_account(number, access_token or world.new_token(_PREFIX))
            first.add_usual_destination(world.clock.now())
        if file is not None:
            world.keep = file.save
            file.save(world)
        self.quirks = world.quirks
        account = next(iter(world.accounts.values()))
        super().__init__(world, account, next(iter(account.tokens)))
        courier = Courier(world)
        world.on_change = courier.wake
        self._front = Front(world)
        self._server = Server(self._front, courier, host, port)
        self._url: str | None = None

    # Begin and end

    def start(self) -> StitchEmulator:
        """Listen. OSError if the port is taken."""
        if self._url is not None:
            raise RuntimeError("The Stitch emulator is running already.")
        self._url = self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection and stop listening. Stopping twice does no harm."""
        self._url = None
        self._server.stop()

    def __enter__(self) -> StitchEmulator:  # noqa: PYI034 - typing.Self is younger than Python 3.10
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
                "The Stitch emulator is not running: use it in a with statement, or call start()."
            )
        return self._url

    @property
    def log_url(self) -> str:
        """The base URL of the host that serves logs."""
        return self._front.log_url

    # Accounts and connections

    def add_account(self, client_id: int | None = None, access_token: str | None = None) -> EmulatedAccount:
        """A further account in the same Stitch, with a destination. Tokens of one see nothing of another."""
        with self._world.at_now() as now:
            token = access_token or self._world.new_token(_PREFIX)
            account = self._world.add_account(client_id, token)
            account.add_usual_destination(now)
            return EmulatedAccount(self._world, account, token)

    @property
    def client_ids(self) -> list[int]:
        """The numbers of all accounts, those created through the API among them."""
        with self._world.at_now():
            return list(self._world.accounts)

    def account(self, client_id: int) -> EmulatedAccount:
        """An account by its number: one that was created through the API, say."""
        with self._world.at_now():
            found = self._world.accounts.get(client_id)
            if found is None:
                raise ValueError(f"There is no account {client_id}.")
            return EmulatedAccount(self._world, found, next(iter(found.tokens)))

    @property
    def partner_id(self) -> str:
        """The id of the partner that may create accounts."""
        return self._world.partner.id

    @property
    def partner_secret(self) -> str:
        """The partner's secret: to create accounts, and to exchange codes."""
        return self._world.partner.secret

    def add_oauth_code(self, account: EmulatedAccount | None = None) -> str:
        """A user lets the partner into an account (None: the first). The code works once, for 5 minutes."""
        with self._world.at_now() as now:
            of = self if account is None else account
            return self._world.partner.add_code(of._account, now)  # noqa: SLF001 - both are faces of one account

    def connection_json(self, account: EmulatedAccount | None = None) -> str:
        """The Airflow connection to an account as JSON, for an ``AIRFLOW_CONN_...`` variable.

        The limit in its extras is for real minutes: the emulator's ten last 10 / speed.
        """
        of = account or self
        budget = max(REQUESTS_PER_WINDOW, round(REQUESTS_PER_WINDOW * self.speed))
        return json.dumps(
            {
                "conn_type": "stitch",
                "host": self.url,
                "login": str(of.client_id),
                "password": of.access_token,
                "extra": {"requests_per_10_minutes": budget},
            }
        )

    # Time

    def now(self) -> datetime:
        """The virtual time, UTC. Every answer's ``Date`` says the same."""
        return self._world.clock.now()

    def advance(self, seconds: float) -> None:
        """Let so many virtual seconds pass at once, with all that happens in them."""
        self._world.clock.advance(seconds)
        with self._world.at_now():
            return

    # What was asked, and what is to go wrong

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request to the API host, of all accounts and of none."""
        with self._world.at_now():
            return list(self._world.requests)

    @property
    def log_host_requests(self) -> list[LogHostRequest]:
        """Every request to the host that serves logs."""
        with self._world.at_now():
            return list(self._world.log_host_requests)

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
        """Arrange a failure of the next requests that match. Without any kind of failure: 500.

        :param path_regex: found anywhere in path and query, as with ``re.search``. None: every path.
        :param times: how often it strikes; None: until it is cancelled.
        :param after_effect: Stitch does what was asked, and only then the answer is lost or another.
        :param status: the answer's status, with ``body`` (bytes, text, or what is made JSON) and ``headers``.
        :param delay: real seconds until the answer; with nothing else, the answer is Stitch's own. If the
            client gives up meanwhile, Stitch has done nothing, or, with ``after_effect``, everything.
        :param cut: close the connection without an answer; ``"mid-body"``: after half of the answer's body.
        :param garbage: answer 200, or ``status``, with this; True: an HTML page of a gateway.
        :param drip: send the body byte by byte, one in so many real seconds.
        :param host: ``"log"``: a request to the host that serves logs.
        :return: the fault, with ``hits``, the number of times it struck, and ``cancel()``.
        """
        fault = Fault(
            method=None if method is None else method.upper(),
            path=None if path_regex is None else re.compile(path_regex),
            times=times,
            host=host,
            after_effect=after_effect,
            status=status,
            body=body,
            headers=dict(headers or {}),
            delay=delay,
            cut=cut,
            garbage=garbage.encode() if isinstance(garbage, str) else garbage,
            drip=drip,
        )
        fault.settle_status()
        self._world.faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._world.faults.clear()
