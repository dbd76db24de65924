"""Functions that tests run in separate processes to share a request budget.

This module does not import pytest, so that these processes start quickly.
"""

from __future__ import annotations

import logging
import math
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from airflow_provider_stitch.replication.budget import store as budget_store
from airflow_provider_stitch.replication.budget.limiter import SharedRequestBudget
from airflow_provider_stitch.replication.budget.store import BudgetStore

ACCOUNT = ("https://api.stitchdata.com", 104857)


class Time:
    """A clock that advances only when `now` is set."""

    now: float = 0

    def __call__(self) -> float:
        return self.now


def hammer(folder: Path, limit: int, requests: int, clock: Any, results: Any) -> None:
    """Send requests as fast as possible, and report the time when Stitch counts each request.

    Stitch counts half of the requests at their start, and the other half at their end. Virtual time passes
    only while a process waits for permission to send a request.
    """
    warnings = record_warnings()
    # The virtual clock can advance by minutes while a process waits a few milliseconds for a CPU.
    budget_store.MAX_IN_FLIGHT_SECONDS = math.inf
    budget = SharedRequestBudget(limit, folder, ACCOUNT, monotonic=lambda: clock.value)
    counted = []
    for number in range(requests):
        while budget.acquire():
            with clock.get_lock():
                clock.value += 10
        counts_at_start = number % 2
        if counts_at_start:
            counted.append(clock.value)
        time.sleep(0.0005)  # lets other processes advance the clock
        if not counts_at_start:
            counted.append(clock.value)
        budget.release()
    results.put((counted, warnings))


def acquire_and_hang(folder: Path, limit: int, acquired: Any) -> None:
    acquired.put(SharedRequestBudget(limit, folder, ACCOUNT, monotonic=Time()).acquire())
    time.sleep(60)


def hang_in_a_transaction(folder: Path, started: Any) -> None:
    store = BudgetStore(folder, ACCOUNT)
    with store._connection() as db:
        db.execute("PRAGMA cache_size = 1")  # writes part of the transaction to the file before the commit
        db.execute("BEGIN EXCLUSIVE")
        db.execute("UPDATE requests SET responded_at = NULL, process = hex(zeroblob(100000))")
        db.executemany("INSERT INTO requests VALUES (?, 'p', 0, 0)", [(store._account,)] * 1000)
        started.put(True)
        time.sleep(60)


def acquire_forever(folder: Path, done: Any, number: int) -> None:
    """Acquire requests until the process is killed, and count the requests in a shared array.

    The array has no lock, because a killed process might never release a lock.
    """
    time = Time()
    budget = SharedRequestBudget(30, folder, ACCOUNT, monotonic=time)
    while True:
        budget.acquire()
        budget.release()
        time.now += 20
        done[number] += 1


def acquire_without_space(folder: Path, results: Any) -> None:
    warnings = record_warnings()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    results.put((_waits_with_a_limit_of_two(folder), warnings))


def acquire_without_rights(folder: Path, results: Any) -> None:
    warnings = record_warnings()
    with tempfile.TemporaryDirectory() as other_folder:
        _waits_with_a_limit_of_two(Path(other_folder))  # imports modules before permissions are dropped
    if os.geteuid() == 0:
        os.seteuid(65534)  # root would have permission to write to every folder
    results.put((_waits_with_a_limit_of_two(folder), warnings))


def _waits_with_a_limit_of_two(folder: Path) -> list[float]:
    """Return how long each of three requests has to wait if the limit is two requests."""
    budget = SharedRequestBudget(2, folder, ACCOUNT, monotonic=Time())
    waits = []
    for _ in range(3):
        waits.append(budget.acquire())
        if not waits[-1]:
            budget.release()
    return waits


def record_warnings() -> list[str]:
    """Return a list to which each warning from this process is appended."""
    messages: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logging.getLogger("airflow_provider_stitch").addHandler(Recorder(logging.WARNING))
    return messages
