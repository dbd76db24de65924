"""One emulated account, as a test speaks to it."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator import ledger
from airflow_provider_stitch.emulator.handle_jobs import JobRecord, JobsHandle
from airflow_provider_stitch.emulator.handle_sources import SourcesHandle
from airflow_provider_stitch.emulator.loopback import hook_address
from airflow_provider_stitch.emulator.refusal import Refusal

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.account import Account
    from airflow_provider_stitch.emulator.ledger import RequestRecord
    from airflow_provider_stitch.emulator.webhooks import Webhook
    from airflow_provider_stitch.emulator.world import World

__all__ = ["EmulatedAccount", "JobRecord"]


class EmulatedAccount(SourcesHandle, JobsHandle):
    """One Stitch account: sources can be added to it, jobs planned, and its requests looked at."""

    def __init__(self, world: World, account: Account, access_token: str) -> None:
        super().__init__(world, account)
        self.access_token = access_token  #: the first token of the account

    @property
    def client_id(self) -> int:
        """The account's number."""
        return self._account.client_id

    @property
    def email(self) -> str:
        """The address of the account's owner."""
        return self._account.email

    # Tokens, plan and limit

    def add_token(self, token: str) -> None:
        """A further token of this account."""
        with self._world.at_now():
            self._world.add_token(self._account, token)

    def disable_token(self, token: str | None = None) -> None:
        """A user disables a token (None: the first). It is then answered with 401."""
        with self._world.at_now():
            self._account.tokens[self._known_token(token)] = False

    def enable_token(self, token: str | None = None) -> None:
        """A user enables a token again."""
        with self._world.at_now():
            self._account.tokens[self._known_token(token)] = True

    def _known_token(self, token: str | None) -> str:
        token = self.access_token if token is None else token
        if token not in self._account.tokens:
            raise ValueError("The account has no such token.")
        return token

    def allow_cron(self, allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Whether the account's plan has cron schedules. Without, a cron expression is refused."""
        with self._world.at_now():
            self._account.allowed.cron = allowed

    def allow_hooks(self, allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Whether the account's plan has post-load hooks."""
        with self._world.at_now():
            self._account.allowed.hooks = allowed

    def allow_custom_emails(self, allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Whether the account's plan has custom e-mail addresses."""
        with self._world.at_now():
            self._account.allowed.custom_emails = allowed

    def allow_source_type(self, type: str, allowed: bool) -> None:  # noqa: A002, FBT001 - as above; Stitch's word
        """Whether the account's plan has sources of a type."""
        with self._world.at_now():
            refused = self._account.allowed.refused_types
            (refused.discard if allowed else refused.add)(type)

    def limit_destinations(self, number: int) -> None:
        """How many destinations the account's plan has: 3 at first."""
        with self._world.at_now():
            self._account.allowed.destinations = number

    # Hooks

    def add_hook(self, url: str, destination_id: int | None = None) -> int:
        """A user adds a post-load hook of a destination (None: the first) and this returns its id.

        :raises ValueError: Stitch would not take it.
        """
        with self._world.at_now() as now:
            hook_address(url)
            known = [destination.id for destination in self._account.live_destinations()]
            number = known[0] if known and destination_id is None else destination_id
            if number is None or number not in known:
                raise ValueError(f"Account {self.client_id} has no such destination.")
            try:
                return self._account.notifications.add_hook(number, url, now).id
            except Refusal as refusal:
                raise ValueError(f"Stitch says: {refusal.body}.") from refusal

    @property
    def webhooks(self) -> list[Webhook]:
        """Every webhook that a load into this account has caused, the first first."""
        with self._world.at_now():
            return [copy.deepcopy(w) for w in self._world.outbox.webhooks if w.client_id == self.client_id]

    def settle_webhooks(self, timeout: float = 10.0) -> list[Webhook]:
        """Wait (real seconds) until each webhook that is due was tried, and return them all.

        :raises TimeoutError: a receiver takes longer.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._world.at_now() as now:
                if self._world.outbox.idle(now):
                    return self.webhooks
            if time.monotonic() > deadline:
                raise TimeoutError(f"A receiver of webhooks has not answered within {timeout:g} s.")
            time.sleep(0.005)

    # The limit

    def enforce_limit(self, enforced: bool = True) -> None:  # noqa: FBT001, FBT002 - reads as a sentence
        """Answer 429 to more than 30 limited requests in 10 minutes. As documented, Stitch does not."""
        with self._world.at_now():
            self._world.limits[self.client_id].enforced = enforced

    @property
    def limited_requests(self) -> list[RequestRecord]:
        """The requests of this account that count against the limit."""
        with self._world.at_now():
            return [r for r in self._world.requests if r.counted and r.client_id == self.client_id]

    def busiest_window(self) -> int:
        """The most limited requests of this account in any ten (virtual) minutes."""
        return ledger.busiest_window(request.at for request in self.limited_requests)
