"""An emulated account that a test can control and inspect."""

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
    """An emulated Stitch account. A test can add sources, plan jobs and inspect requests."""

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
        """Disable an access token, so that requests with this token return 401.

        :param token: the token to disable. The default is the first token of the account.
        """
        with self._state.locked():
            self._account.tokens[self._known_token(token)] = False

    def enable_token(self, token: str | None = None) -> None:
        """Enable an access token again.

        :param token: the token to enable. The default is the first token of the account.
        """
        with self._state.locked():
            self._account.tokens[self._known_token(token)] = True

    def _known_token(self, token: str | None) -> str:
        token = self.access_token if token is None else token
        if token not in self._account.tokens:
            raise ValueError(f"Account {self.client_id} does not have this token.")
        return token

    # Pricing plan

    def allow_cron(self, allowed: bool) -> None:  # noqa: FBT001
        """Set whether the account's pricing plan includes cron schedules.

        If the plan does not include cron schedules, Stitch rejects cron expressions.
        """
        with self._state.locked():
            self._account.pricing_plan.cron = allowed

    def allow_hooks(self, allowed: bool) -> None:  # noqa: FBT001
        """Set whether the account's pricing plan includes post-load hooks."""
        with self._state.locked():
            self._account.pricing_plan.hooks = allowed

    def allow_custom_emails(self, allowed: bool) -> None:  # noqa: FBT001
        """Set whether the account's pricing plan includes custom e-mail addresses."""
        with self._state.locked():
            self._account.pricing_plan.custom_emails = allowed

    def allow_source_type(self, type: str, allowed: bool) -> None:  # noqa: A002, FBT001
        """Set whether the account's pricing plan includes a source type.

        :raises ValueError: if the source type is neither documented by Stitch nor planned with
            ``plan_new_sources``.
        """
        with self._state.locked():
            check_source_type(type, self._account.new_source_plans)
            excluded = self._account.pricing_plan.excluded_source_types
            (excluded.discard if allowed else excluded.add)(type)

    def allow_destination_type(self, type: str, allowed: bool) -> None:  # noqa: A002, FBT001
        """Set whether the account's pricing plan includes a destination type.

        :raises ValueError: if Stitch does not have this destination type.
        """
        check_destination_type(type)
        with self._state.locked():
            excluded = self._account.pricing_plan.excluded_destination_types
            (excluded.discard if allowed else excluded.add)(type)

    def limit_destinations(self, number: int) -> None:
        """Set how many destinations the account's pricing plan includes. The default number is 3."""
        with self._state.locked():
            self._account.pricing_plan.max_destinations = number

    # Hooks

    def add_hook(self, url: str, destination_id: int | None = None) -> int:
        """Add a post-load hook to a destination, and return the id of the hook.

        :param destination_id: the id of the destination. The default is the account's first destination.
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
                raise ValueError(
                    f"Stitch rejects the hook with status {error.status}: {error.body}"
                ) from error

    @property
    def webhooks(self) -> list[Webhook]:
        """All webhooks of this account, oldest first."""
        with self._state.locked():
            return [copy.deepcopy(w) for w in self._state.outbox.webhooks if w.client_id == self.client_id]

    def settle_webhooks(self, timeout: float = 10.0) -> list[Webhook]:
        """Wait until all due deliveries have been attempted, then return all webhooks of the account.

        :param timeout: how long to wait, in real seconds.
        :raises TimeoutError: if a webhook receiver does not respond in time.
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

    def enforce_limit(self, enforced: bool = True) -> None:  # noqa: FBT001, FBT002
        """Set whether a request that exceeds the rate limit of 30 requests in 10 minutes returns a 429 error.

        By default, the rate limit is not enforced, because Stitch does not enforce it.
        """
        with self._state.locked():
            self._state.limits[self.client_id].enforced = enforced

    @property
    def limited_requests(self) -> list[RequestRecord]:
        """The requests of this account that count against the rate limit."""
        with self._state.locked():
            return [r for r in self._state.requests if r.counted and r.client_id == self.client_id]

    def busiest_window(self) -> int:
        """Return the highest number of rate-limited requests within any 10 virtual minutes."""
        return request_log.busiest_window(request.at for request in self.limited_requests)
