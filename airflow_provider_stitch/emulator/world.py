"""All that an emulator holds, shared by the HTTP face and the Python face, under one lock."""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_stitch.emulator.account import Account
from airflow_provider_stitch.emulator.faults import Faults
from airflow_provider_stitch.emulator.ids import Ids
from airflow_provider_stitch.emulator.ledger import Limit, LogHostRequest, RequestRecord
from airflow_provider_stitch.emulator.webhooks import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_stitch.emulator.clock import Clock
    from airflow_provider_stitch.emulator.jobs import Timeline
    from airflow_provider_stitch.emulator.partner import Partner
    from airflow_provider_stitch.emulator.plans import Quirks


class _LogKey(NamedTuple):
    account: Account
    job_name: str
    expires: datetime


# What outlives a process, if it is kept. Faults are arranged anew, and the record of requests begins anew.
_STATE = ("quirks", "partner", "ids", "accounts", "limits", "outbox", "_tokens", "_log_keys")


class World:
    """Accounts, the clock, the arranged faults, and the record of what was asked."""

    def __init__(self, clock: Clock, quirks: Quirks, partner: Partner) -> None:
        self.clock = clock
        self.quirks = quirks
        self.partner = partner
        self.ids = Ids()
        self.accounts: dict[int, Account] = {}
        self.limits: dict[int, Limit] = {}
        self.faults = Faults()
        self.outbox = Outbox()
        self.requests: list[RequestRecord] = []
        self.log_host_requests: list[LogHostRequest] = []
        self.on_change: Callable[[], None] | None = None  #: called when hooks may have something to be told
        self.keep: Callable[[World], None] | None = None  #: called when anything may have changed
        self._tokens: dict[str, Account] = {}
        self._log_keys: dict[str, _LogKey] = {}
        self._lock = threading.RLock()

    @contextmanager
    def at_now(self, *, tell: bool = True) -> Iterator[datetime]:
        """Hold the lock; what was due by now has happened.

        :param tell: whoever delivers webhooks is told to look again, for something may have changed.
        """
        with self._lock:
            now = self.clock.now()
            for account in self.accounts.values():
                account.catch_up(now)
            yield now
            if self.keep is not None:
                self.keep(self)
            told = self.on_change if tell and self._somebody_listens() else None
        if told is not None:
            told()

    def state(self) -> dict[str, Any]:
        """All that outlives a process."""
        return {name: getattr(self, name) for name in _STATE}

    @classmethod
    def resumed(cls, clock: Clock, state: dict[str, Any]) -> World:
        """A world that goes on from a state."""
        world = cls(clock, state["quirks"], state["partner"])
        for name, value in state.items():
            setattr(world, name, value)
        return world

    def next_event(self) -> datetime | None:
        """When something happens next that a webhook may tell of; None if nobody listens."""
        known = [self.outbox.next_at()]
        known += [a.agenda.next_at() for a in self.accounts.values() if a.notifications.hooks]
        return min((at for at in known if at is not None), default=None)

    def _somebody_listens(self) -> bool:
        return self.outbox.next_at() is not None or any(
            account.notifications.hooks for account in self.accounts.values()
        )

    # Accounts and tokens

    def add_account(self, client_id: int | None, token: str, email: str | None = None) -> Account:
        """A new, empty account with one enabled token. ValueError for a number or token that is taken."""
        with self.at_now():
            if client_id in self.accounts:
                raise ValueError(f"There is an account {client_id} already.")
            self._check_new(token)
            number = self.ids.take("account", client_id)
            account = Account(
                number, self.quirks, self.ids, self.outbox, email or f"owner.{number}@acme.example"
            )
            self.accounts[number] = account
            self.limits[number] = Limit()
            self.add_token(account, token)
            return account

    def add_token(self, account: Account, token: str) -> None:
        """A further token of an account. A token belongs to one account."""
        self._check_new(token)
        self._tokens[token] = account
        account.tokens[token] = True

    def _check_new(self, token: str) -> None:
        if token in self._tokens:
            raise ValueError("This token belongs to an account already.")

    def new_token(self, prefix: str) -> str:
        """A token that nobody has."""
        return prefix + secrets.token_hex(24)

    def account_of(self, authorization: str | None) -> Account | None:
        """The account of an ``Authorization`` header; None if it is missing, wrong or disabled."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        account = self._tokens.get(token.strip())
        return account if account is not None and account.tokens[token.strip()] else None

    # Logs

    def sign_log(self, account: Account, job_name: str, now: datetime) -> str:
        """A token that opens the log of a job for a while."""
        key = secrets.token_urlsafe(24)
        expires = now + timedelta(seconds=self.quirks.log_url_seconds)
        self._log_keys[key] = _LogKey(account, job_name, expires)
        return key

    def open_log(self, key: str, job_name: str, now: datetime) -> Timeline | None:
        """The job whose log may be read with this token; None if it is wrong or too old."""
        found = self._log_keys.get(key)
        if found is None or found.job_name != job_name or found.expires <= now:
            return None
        job = found.account.jobs.find(job_name)
        return job.timeline if job else None
