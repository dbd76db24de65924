"""What other processes do to a budget in the tests. Without pytest, so that they start quickly."""

from __future__ import annotations

import logging
import math
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from airflow_provider_stitch.replication.budget import store as budget_file
from airflow_provider_stitch.replication.budget.limiter import SharedRequestBudget
from airflow_provider_stitch.replication.budget.store import BudgetStore

ACCOUNT = ("https://api.stitchdata.com", 104857)


class Time:
    now: float = 0

    def __call__(self) -> float:
        return self.now


def hammer(folder: Path, limit: int, requests: int, clock: Any, results: Any) -> None:
    """Send so many requests, and tell when Stitch counted each: sometimes at once, sometimes at the end.

    Time passes only while somebody is refused.
    """
    warnings = warnings_kept()
    # A process that has to wait for a processor some milliseconds is not dead, though minutes pass here.
    budget_file.MAX_IN_FLIGHT_SECONDS = math.inf
    budget = SharedRequestBudget(limit, folder, ACCOUNT, monotonic=lambda: clock.value)
    counted = []
    for n in range(requests):
        while budget.acquire():
            with clock.get_lock():
                clock.value += 10
        if n % 2:
            counted.append(clock.value)
        time.sleep(0.0005)  # others move the time on meanwhile
        if not n % 2:
            counted.append(clock.value)
        budget.release()
    results.put((counted, warnings))


def take_and_hang(folder: Path, limit: int, taken: Any) -> None:
    taken.put(SharedRequestBudget(limit, folder, ACCOUNT, monotonic=Time()).acquire())
    time.sleep(60)


def hang_in_a_transaction(folder: Path, begun: Any) -> None:
    file = BudgetStore(folder, ACCOUNT)
    with file._connection() as db:
        db.execute("PRAGMA cache_size = 1")  # so that half of it is in the file already
        db.execute("BEGIN EXCLUSIVE")
        db.execute("UPDATE requests SET responded_at = NULL, process = hex(zeroblob(100000))")
        db.executemany("INSERT INTO requests VALUES (?, 'p', 0, 0)", [(file._account,)] * 1000)
        begun.put(True)
        time.sleep(60)


def take_for_ever(folder: Path, done: Any, number: int) -> None:
    """Count what is done in a place of its own: who is killed would never give back a common lock."""
    time = Time()
    budget = SharedRequestBudget(30, folder, ACCOUNT, monotonic=time)
    while True:
        budget.acquire()
        budget.release()
        time.now += 20
        done[number] += 1


def take_without_space(folder: Path, results: Any) -> None:
    warnings = warnings_kept()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    results.put((_takes_of_two(folder), warnings))


def take_without_rights(folder: Path, results: Any) -> None:
    warnings = warnings_kept()
    with tempfile.TemporaryDirectory() as elsewhere:
        _takes_of_two(Path(elsewhere))  # whatever is imported when it is first needed
    if os.geteuid() == 0:
        os.seteuid(65534)  # nothing is closed to root
    results.put((_takes_of_two(folder), warnings))


def _takes_of_two(folder: Path) -> list[float]:
    budget = SharedRequestBudget(2, folder, ACCOUNT, monotonic=Time())
    takes = []
    for _ in range(3):
        takes.append(budget.acquire())
        budget.release() if not takes[-1] else None
    return takes


def warnings_kept() -> list[str]:
    """Return a list that will hold what this process warns of."""
    kept: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    logging.getLogger("airflow_provider_stitch").addHandler(Keep(logging.WARNING))
    return kept
