"""Acquires each status request that a client sends by itself from the account's shared budget.

What waits for a job acquires its requests in its event loop (see `reader`). This module is for a client in a
user's own code, which waits in its own thread.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.connect.errors import RateLimited, StitchConfigurationError
from airflow_provider_stitch.replication.budget.limiter import RequestBudget, shared_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_stitch.connect.client import StitchClient

T = TypeVar("T")

DEFAULT_BUDGET_TIMEOUT = 600.0
"""Seconds for which a call waits for a free request: one window, after which one is usually free."""

_log = logging.getLogger(__name__)

_is_acquired: ContextVar[bool] = ContextVar("_is_acquired", default=False)


def run_with_acquired_request(call: Callable[[], T]) -> T:
    """Return what a call returns whose request was acquired already."""
    token = _is_acquired.set(True)
    try:
        return call()
    finally:
        _is_acquired.reset(token)


class ClientLimiter:
    """Lets a client send a status request when the account's budget has a free one.

    :param client: its account and number of requests count.
    :param folder: where the processes of this host share the budget.
    :param budget: None is that of the account.
    :param timeout: seconds for which a call waits for a free request; 0 never waits.
    """

    def __init__(
        self,
        client: StitchClient,
        folder: Path | None = None,
        *,
        budget: RequestBudget | None = None,
        timeout: float = DEFAULT_BUDGET_TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not timeout >= 0:
            raise StitchConfigurationError(
                f"budget_timeout must be a number of seconds, 0 or more; it is {timeout!r}."
            )
        self._client = client
        self._folder = folder
        self._budget = budget
        self._timeout = timeout
        self._sleep = sleep
        self._monotonic = monotonic

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Acquire a request, and release it when Stitch has responded.

        :raises RateLimited: if none becomes free in time.
        """
        if _is_acquired.get():
            yield
            return
        budget = self._budget or self._shared_budget()
        self._acquire(budget)
        try:
            yield
        except RateLimited as error:
            budget.block(error.retry_after or budget.even_interval)
            raise
        finally:
            budget.release()

    def _shared_budget(self) -> RequestBudget:
        client = self._client
        return shared_budget(
            (client.base_url, client.client_id),
            client.requests_per_10_minutes,
            self._folder,
            connection_id=client.connection_id,
        )

    def _acquire(self, budget: RequestBudget) -> None:
        gives_up_at = self._monotonic() + self._timeout
        has_logged = False
        while wait := budget.acquire():
            left = gives_up_at - self._monotonic()
            if wait > left:
                raise self._rate_limited(wait, budget.limit)
            if not has_logged:
                has_logged = True
                _log.info(
                    "Waiting for a free status request of Stitch account %s: %d in 10 minutes are used. The "
                    "next one is free in %.0f s; this call waits for at most %.0f s.",
                    self._client.client_id,
                    budget.limit,
                    wait,
                    self._timeout,
                )
            self._sleep(wait)

    def _rate_limited(self, wait: float, limit: int) -> RateLimited:
        return RateLimited(
            f"No status request of Stitch account {self._client.client_id} is free: {limit} in 10 minutes "
            f"are used, or Stitch asked for a pause. The next one is free in {wait:.0f} s, and this call "
            f"waits for at most {self._timeout:g} s. Try again later, send fewer requests for extractions, "
            "loads and logs, or raise the hook's budget_timeout.",
            retry_after=wait,
            maybe_received=False,
        )
