"""Functions that build job names and failing clients."""

from __future__ import annotations

import math

from simulated_stitch.large_account import (
    LargeAccount,
    extraction_of,
)
from tests.support.polled_account import SOURCES


def failing(error: Exception, times: float = math.inf) -> LargeAccount:
    """Return a client that raises an error for its first requests.

    :param times: the number of requests that raise the error.
    """
    client = LargeAccount(extractions=[extraction_of(each) for each in SOURCES])
    failures = 0

    def fail() -> None:
        nonlocal failures
        if failures < times:
            failures += 1
            raise error

    client.before_each = fail
    return client


def job_of(source_id: int) -> str:
    return f"104857.{source_id}.sync.00000000-0000-1000-8000-000000000000"
