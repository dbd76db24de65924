"""Helpers that send requests within a shared budget, from this process or from a child process."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow_provider_stitch.replication.budget.limiter import (
    SharedRequestBudget,
)
from airflow_provider_stitch.replication.budget.store import BudgetStore
from tests.support.budget_worker import ACCOUNT

SPAWN = multiprocessing.get_context("spawn")


def start_process(work: Any, *args: Any) -> Any:
    process = SPAWN.Process(target=work, args=args, daemon=True)
    process.start()
    return process


def send(budget: SharedRequestBudget) -> float:
    """Send a request and return 0. If the budget is used up, return the number of seconds to wait."""
    if not (wait := budget.acquire()):
        budget.release()
    return wait


def rows(folder: Path, table: str = "requests") -> list[Any]:
    with closing(sqlite3.connect(BudgetStore(folder, ACCOUNT).path)) as db:
        return db.execute(f"SELECT * FROM {table}").fetchall()
