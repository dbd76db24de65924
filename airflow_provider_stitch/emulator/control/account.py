"""One emulated account, as a test controls it."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.control.jobs import JobControl
from airflow_provider_stitch.emulator.control.sources import SourceControl
from airflow_provider_stitch.emulator.model import request_log
from airflow_provider_stitch.emulator.model.api_errors import ApiError
from airflow_provider_stitch.emulator.model.connections.connector_types import (
    check_destination_type,
    check_source_type,
)
from airflow_provider_stitch.emulator.model.webhook_url import loopback_address

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.model.account import Account
    from airflow_provider_stitch.emulator.model.request_log import RequestRecord
    from airflow_provider_stitch.emulator.model.state import EmulatorState
    from airflow_provider_stitch.emulator.model.webhooks import Webhook


class EmulatedAccount(SourceControl, JobControl):
    """One Stitch account. A test adds its sources, plans its jobs and inspects its requests."""

    def __init__(self, state: EmulatorState, account: Account, access_token: str) -> None:
        super().__init__(state, account)
        self.access_token = access_token  #: the first token of the account

    @property
    def client_id(self) -> int:
        """The client ID, which identifies the account in Stitch."""
        return self._account.client_id

    @property
    def email(self) -> str:
        """The e-mail address of the account's owner."""
        return self._account.email

    # Tokens

    def add_token(self, token: str) -> None:
        """Add an access token.

        :raises ValueError: if the token is already in use.
        """
        with self._state.locked():
            self._state.add_token(self._account, token)

    def disable_token(self, token: str | None = None) -> None:
        """Disable a token (None: the first one). Requests with it then return 401."""
        with self._state.locked():
            self._account.tokens[self._known_token(token)] = False

    def enable_token(self, token: str | None = None) -> None:
        """Enable a token again (None: the first one)."""
        with self._state.locked():
            self._account.tokens[self._known_token(token)] = True

    def _known_token(self, token: str | None) -> str:
        token = self.access_token if token is None else token
        if token not in self._account.tokens:
            raise ValueError(f"Account {self.client_id} does not have this token.")
        return token

    # Plan

    def allow_cron(self, allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Set whether the account's plan includes cron schedules. If not, cron expressions are rejected."""
        with self._state.locked():
            self._account.plan.cron = allowed

    def allow_hooks(self, allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Set whether the account's plan includes post-load hooks."""
        with self._state.locked():
            self._account.plan.hooks = allowed

    def allow_custom_emails(self, allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Set whether the account's plan includes custom e-mail addresses."""
        with self._state.locked():
            self._account.plan.custom_emails = allowed

    def allow_source_type(self, type: str, allowed: bool) -> None:  # noqa: A002, FBT001 - as above; Stitch's word
        """Set whether the account's plan includes sources of a type.

        :raises ValueError: if Stitch documents no such type and `plan_new_sources` was not called for it.
        """
        with self._state.locked():
            check_source_type(type, self._account.new_source_plans)
            excluded = self._account.plan.excluded_source_types
            (excluded.discard if allowed else excluded.add)(type)

    def allow_destination_type(self, type: str, allowed: bool) -> None:  # noqa: A002, FBT001 - as above
        """Set whether the account's plan includes destinations of a type.

        :raises ValueError: if Stitch has no such type.
        """
        check_destination_type(type)
        with self._state.locked():
            excluded = self._account.plan.excluded_destination_types
            (excluded.discard if allowed else excluded.add)(type)

    def limit_destinations(self, number: int) -> None:
        """Set how many destinations the account's plan includes. The default is 3."""
        with self._state.locked():
            self._account.plan.max_destinations = number

    # Hooks

    def add_hook(self, url: str, destination_id: int | None = None) -> int:
        """Add a post-load hook to a destination (None: the first one) and return its id.

        :raises ValueError: if Stitch rejects the URL, or if the destination does not exist.
        """
        with self._state.locked() as now:
            loopback_address(url)  # raises ValueError for a URL that Stitch rejects
            known = [destination.id for destination in self._account.active_destinations()]
            hook_destination = known[0] if known and destination_id is None else destination_id
            if hook_destination is None or hook_destination not in known:
                which = "destination" if destination_id is None else f"destination {destination_id}"
                raise ValueError(f"Account {self.client_id} has no {which}.")
            try:
                return self._account.notifications.add_hook(hook_destination, url, now).id
            except ApiError as error:
                raise ValueError(f"Stitch rejects this with {error.status}: {error.body}") from error

    @property
    def webhooks(self) -> list[Webhook]:
        """All webhooks for loads of this account, oldest first."""
        with self._state.locked():
            return [copy.deepcopy(w) for w in self._state.outbox.webhooks if w.client_id == self.client_id]

    def settle_webhooks(self, timeout: float = 10.0) -> list[Webhook]:
        """Wait until every webhook that is due has been attempted, then return all webhooks.

        :param timeout: real seconds.
        :raises TimeoutError: if a receiver does not respond in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._state.locked() as now:
                if self._state.outbox.is_idle(now):
                    return self.webhooks
            if time.monotonic() > deadline:
                raise TimeoutError(f"A webhook receiver did not respond within {timeout:g} s.")
            time.sleep(0.005)

    # Rate limit

    def enforce_limit(self, enforced: bool = True) -> None:  # noqa: FBT001, FBT002 - reads as a sentence
        """Set whether requests above 30 in 10 minutes return 429. Stitch does not enforce the limit."""
        with self._state.locked():
            self._state.limits[self.client_id].enforced = enforced

    @property
    def limited_requests(self) -> list[RequestRecord]:
        """The requests of this account that count against the rate limit."""
        with self._state.locked():
            return [r for r in self._state.requests if r.counted and r.client_id == self.client_id]

    def busiest_window(self) -> int:
        """Return the largest number of limited requests in any 10 (virtual) minutes."""
        return request_log.busiest_window(request.at for request in self.limited_requests)
