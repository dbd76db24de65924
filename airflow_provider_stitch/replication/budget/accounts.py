"""The request budget of each account, shared by the whole process."""

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
    """Return the budget of an account, which is shared by the whole process.

    If two connections to one account have different limits, the lower limit applies to both. If the limit of
    a connection changes, the latest limit applies. If `folder` is set, all processes on this host that use
    the folder share one count of requests, but each process applies its own limit. If `redis` is also set,
    all hosts share one count of requests.

    :param account: base URL and client ID of the account.
    :param folder: the folder that contains the file with the shared count of requests. If None, only the
        requests of this process are counted.
    :param redis: a client of the Redis server that the hosts share. If two connections to one account use
        different servers, both connections use one of these servers.
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

    A child process would never release the requests that its parent had in flight. If another thread of the
    parent held a lock during the fork, the child would never release this lock.
    """
    global _budgets_lock  # noqa: PLW0603 - another thread of the parent may hold the inherited lock
    _budgets_lock = threading.Lock()
    _budgets.clear()


os.register_at_fork(after_in_child=_reset_after_fork)
