"""Limit the status requests of a `StitchClient` in a user's own code.

Tasks that wait for a job obtain permission for their requests in an event loop (see `polling`). A client in a
user's code has no event loop, so it waits in its own thread until the budget allows a request.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.connect.errors import RateLimited, StitchConfigurationError
from airflow_provider_stitch.replication.budget.accounts import account_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.replication.budget.limiter import RequestBudget

T = TypeVar("T")

DEFAULT_BUDGET_TIMEOUT = 600.0
"""Maximum number of seconds that a call waits for a free request.

The default is one window, after which a request is usually free.
"""

_log = logging.getLogger(__name__)

_is_acquired: ContextVar[bool] = ContextVar("_is_acquired", default=False)


def run_with_acquired_request(call: Callable[[], T]) -> T:
    """Run a call whose status request is already counted, so that no limiter counts the request again."""
    token = _is_acquired.set(True)
    try:
        return call()
    finally:
        _is_acquired.reset(token)


class ClientLimiter:
    """Obtains permission from the account's budget for each status request of a client.

    If the budget allows no request, the limiter waits until the budget allows one.

    :param client: the client, whose account and limit determine the budget.
    :param folder: the folder that contains the budget file, which the processes on this host share.
    :param budget: the budget to use instead of the account's shared budget.
    :param timeout: maximum number of seconds that a call waits for a free request. If 0, a call never waits.
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
        """Count the request that the body of a `with` statement sends, and record when it has ended.

        :raises RateLimited: if the budget does not allow the request in time.
        """
        if _is_acquired.get():
            yield
            return
        budget = self._budget or self._account_budget()
        self._acquire(budget)
        try:
            yield
        except RateLimited as error:
            budget.block(error.retry_after or budget.even_interval)
            raise
        finally:
            budget.release()

    def _account_budget(self) -> RequestBudget:
        client = self._client
        return account_budget(
            (client.base_url, client.client_id),
            client.requests_per_10_minutes,
            self._folder,
            connection_id=client.connection_id,
            redis=client.redis,
        )

    def _acquire(self, budget: RequestBudget) -> None:
        deadline = self._monotonic() + self._timeout
        has_logged = False
        while wait := budget.acquire():
            if wait > deadline - self._monotonic():
                raise self._rate_limited(wait, budget.limit)
            if not has_logged:
                has_logged = True
                _log.info(
                    "Waiting for a free status request of Stitch account %s, because the limit of %d in 10 "
                    "minutes is reached. The next request is free in %.0f s; this call waits for at most "
                    "%.0f s.",
                    self._client.client_id,
                    budget.limit,
                    wait,
                    self._timeout,
                )
            self._sleep(wait)

    def _rate_limited(self, wait: float, limit: int) -> RateLimited:
        return RateLimited(
            f"Stitch account {self._client.client_id} has no free status request: the limit of {limit} in 10 "
            f"minutes is reached, or Stitch requested a pause. The next request is free in {wait:.0f} s, but "
            f"this call waits for at most {self._timeout:g} s. Try again later, send fewer requests for "
            "extractions, loads and logs, or increase the hook's budget_timeout.",
            retry_after=wait,
            maybe_received=False,
        )
