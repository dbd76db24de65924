"""All that an emulator holds, shared by the HTTP face and the Python face, under one lock."""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.emulator.account import Account
from airflow_provider_stitch.emulator.faults import Faults
from airflow_provider_stitch.emulator.ledger import Limit, LogHostRequest, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator.clock import Clock
    from airflow_provider_stitch.emulator.jobs import Timeline
    from airflow_provider_stitch.emulator.plans import Quirks


class _LogKey(NamedTuple):
    account: Account
    job_name: str
    expires: datetime


class World:
    """Accounts, the clock, the arranged faults, and the record of what was asked."""

    def __init__(self, clock: Clock, quirks: Quirks) -> None:
        self.clock = clock
        self.quirks = quirks
        self.accounts: dict[int, Account] = {}
        self.limits: dict[int, Limit] = {}
        self.faults = Faults()
        self.requests: list[RequestRecord] = []
        self.log_host_requests: list[LogHostRequest] = []
        self._log_keys: dict[str, _LogKey] = {}
        self._lock = threading.RLock()

    @contextmanager
    def at_now(self) -> Iterator[datetime]:
        """Hold the lock; what was due by now has happened."""
        with self._lock:
            now = self.clock.now()
            for account in self.accounts.values():
                account.catch_up(now)
            yield now

    def add_account(self, client_id: int, token: str) -> Account:
        """A new account with one enabled token."""
        with self.at_now() as now:
            if client_id in self.accounts:
                raise ValueError(f"There is an account {client_id} already.")
            account = Account(client_id, now, self.quirks)
            self.accounts[client_id] = account
            self.limits[client_id] = Limit()
            self.add_token(account, token)
            return account

    def add_token(self, account: Account, token: str) -> None:
        """A further token of an account. A token belongs to one account."""
        if any(token in other.tokens for other in self.accounts.values()):
            raise ValueError("This token belongs to an account already.")
        account.tokens[token] = True

    def account_of(self, authorization: str | None) -> Account | None:
        """The account of an ``Authorization`` header; None if it is missing, wrong or disabled."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return next((a for a in self.accounts.values() if a.tokens.get(token.strip())), None)

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
        job = found.account.find_job(job_name)
        return job.timeline if job else None
