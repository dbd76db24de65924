"""The complete state of an emulator. HTTP requests and test code access the state under one lock."""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_stitch.emulator.model.account import Account
from airflow_provider_stitch.emulator.model.faults import Faults
from airflow_provider_stitch.emulator.model.ids import Ids
from airflow_provider_stitch.emulator.model.request_log import LogHostRequest, RateLimit, RequestRecord
from airflow_provider_stitch.emulator.model.webhooks import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_stitch.emulator.clock import Clock
    from airflow_provider_stitch.emulator.model.jobs.timeline import Timeline
    from airflow_provider_stitch.emulator.model.partner import Partner
    from airflow_provider_stitch.emulator.model.quirks import Quirks


class _LogKey(NamedTuple):
    account: Account
    job_name: str
    expires_at: datetime


#: Names of the attributes that a state file contains. Faults and recorded requests are not saved.
_PERSISTED = ("quirks", "partner", "ids", "accounts", "limits", "outbox", "_tokens", "_log_keys")


class EmulatorState:
    """The accounts, clock, faults and recorded requests of an emulator."""

    def __init__(self, clock: Clock, quirks: Quirks, partner: Partner) -> None:
        self.clock = clock
        self.quirks = quirks
        self.partner = partner
        self.ids = Ids()
        self.accounts: dict[int, Account] = {}
        self.limits: dict[int, RateLimit] = {}  # rate limits by client id
        self.faults = Faults()
        self.outbox = Outbox()
        self.requests: list[RequestRecord] = []
        self.log_host_requests: list[LogHostRequest] = []
        #: Function to call when a webhook may be due.
        self.on_webhook_change: Callable[[], None] | None = None
        #: Function to call when the state may have changed.
        self.save: Callable[[EmulatorState], None] | None = None
        self._tokens: dict[str, Account] = {}
        self._log_keys: dict[str, _LogKey] = {}
        self._lock = threading.RLock()

    @contextmanager
    def locked(self, *, notify: bool = True) -> Iterator[datetime]:
        """Lock the state, run all due events, and yield the current virtual time.

        :param notify: whether to call ``on_webhook_change`` after releasing the lock.
        """
        with self._lock:
            now = self.clock.now()
            for account in self.accounts.values():
                account.catch_up(now)
            yield now
            if self.save is not None:
                self.save(self)
            callback = self.on_webhook_change if notify and self._has_hooks() else None
        if callback is not None:
            callback()

    def export(self) -> dict[str, Any]:
        """Return the attributes that a state file contains."""
        return {name: getattr(self, name) for name in _PERSISTED}

    @classmethod
    def restore(cls, clock: Clock, exported: dict[str, Any]) -> EmulatorState:
        """Create a state from the attributes that :meth:`export` returned."""
        state = cls(clock, exported["quirks"], exported["partner"])
        for name, value in exported.items():
            setattr(state, name, value)
        return state

    def next_webhook_event(self) -> datetime | None:
        """Return the earliest time at which a webhook can be due, or None if no webhook can be due."""
        times = [self.outbox.next_time()]
        times += [a.events.next_time() for a in self.accounts.values() if a.notifications.hooks]
        return min((time for time in times if time is not None), default=None)

    def _has_hooks(self) -> bool:
        return self.outbox.next_time() is not None or any(
            account.notifications.hooks for account in self.accounts.values()
        )

    # Accounts and tokens

    def add_account(self, client_id: int | None, token: str, email: str | None = None) -> Account:
        """Add an empty account with one enabled token.

        :raises ValueError: if the client id or the token is already in use.
        """
        with self.locked():
            if client_id in self.accounts:
                raise ValueError(f"Account {client_id} already exists.")
            self._check_token_is_unused(token)
            number = self.ids.take("account", client_id)
            email = email or f"owner.{number}@acme.example"
            account = Account(number, self.quirks, self.ids, self.outbox, email)
            self.accounts[number] = account
            self.limits[number] = RateLimit()
            self.add_token(account, token)
            return account

    def add_token(self, account: Account, token: str) -> None:
        """Add a token to an account.

        :raises ValueError: if the token is already in use.
        """
        self._check_token_is_unused(token)
        self._tokens[token] = account
        account.tokens[token] = True

    def _check_token_is_unused(self, token: str) -> None:
        if token in self._tokens:
            raise ValueError("This token already belongs to an account. Use another token.")

    def new_token(self, prefix: str) -> str:
        """Return a random access token with the given prefix."""
        return prefix + secrets.token_hex(24)

    def authenticate(self, authorization: str | None) -> Account | None:
        """Return the account with the enabled token in an ``Authorization`` header, if any."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        account = self._tokens.get(token.strip())
        return account if account is not None and account.tokens[token.strip()] else None

    # Logs

    def create_log_key(self, account: Account, job_name: str, now: datetime) -> str:
        """Return a temporary key that allows access to the log of a job."""
        key = secrets.token_urlsafe(24)
        expires_at = now + timedelta(seconds=self.quirks.log_url_seconds)
        self._log_keys[key] = _LogKey(account, job_name, expires_at)
        return key

    def find_log(self, key: str, job_name: str, now: datetime) -> Timeline | None:
        """Return the timeline of a job, or None if the key is wrong or expired."""
        found = self._log_keys.get(key)
        if found is None or found.job_name != job_name or found.expires_at <= now:
            return None
        job = found.account.jobs.find(job_name)
        return job.timeline if job else None
