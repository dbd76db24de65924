"""The request budget of each account, which the whole process shares."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from airflow_provider_stitch.replication.budget.hosts_limiter import HostsRequestBudget
from airflow_provider_stitch.replication.budget.limiter import RequestBudget

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

_budgets: dict[tuple[tuple[str, int], Path | None], RequestBudget] = {}
_budgets_lock = threading.Lock()


def account_budget(
    account: tuple[str, int],
    limit: int,
    folder: Path | None = None,
    *,
    connection_id: str = "",
    redis: Redis | None = None,
) -> RequestBudget:
    """Return the budget of an account, which the whole process shares.

    If two connections to one account have different limits, the lower one applies to both. If the limit of a
    connection changes, its latest value applies. With a `folder`, all processes of this host that use it
    share one count, each up to its own limit. With `redis` too, all hosts share one.

    :param account: base URL and client ID.
    :param folder: the folder of the shared count's file; None counts in this process only.
    :param redis: a client of the Redis server that the hosts share. If two connections to one account name
        different servers, one of them applies to both.
    """
    with _budgets_lock:
        if (budget := _budgets.get((account, folder))) is None:
            budget = RequestBudget(limit) if folder is None else HostsRequestBudget(limit, folder, account)
            _budgets[account, folder] = budget
        budget.set_limit(connection_id, limit)
        if isinstance(budget, HostsRequestBudget):
            budget.set_redis(connection_id, redis)
        return budget


def _reset_after_fork() -> None:
    """Discard the budgets that a forked process inherits.

    The parent's requests in flight would never be released in the child, and neither would a lock that
    another thread of the parent held during the fork.
    """
    global _budgets_lock  # noqa: PLW0603 - the inherited lock may be held, so it must be replaced
    _budgets_lock = threading.Lock()
    _budgets.clear()


os.register_at_fork(after_in_child=_reset_after_fork)
