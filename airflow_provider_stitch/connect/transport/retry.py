"""Retry failed requests with exponential backoff and jitter."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

import tenacity

from airflow_provider_stitch.connect.errors import StitchError, StitchUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_RETRY_DELAY = 60.0  #: seconds; only a Retry-After header can exceed it

_log = logging.getLogger(__name__)


def seconds_before_retry(attempt: int, retry_after: float | None) -> float:
    """Return the delay before the next attempt in seconds: random in 1 to 2, then 2 to 4, up to 60.

    The jitter keeps a hundred tasks that lost their connection together from retrying together.

    :param attempt: number of the failed attempt, from 1.
    :param retry_after: lower limit of the delay in seconds, from the response's `Retry-After`.
    """
    max_delay = min(MAX_RETRY_DELAY, 2.0 ** min(max(attempt, 1), 16))
    delay = random.uniform(max_delay / 2, max_delay)  # noqa: S311 - jitter needs no secure randomness
    return max(delay, retry_after or 0.0)


def retry_policy(
    retry_for: float,
    *,
    retry_on: tuple[type[StitchError], ...] = (StitchUnavailable,),
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> tenacity.Retrying:
    """Return a policy that retries for `retry_for` seconds from now, and then raises the last error.

    Call it with the function to retry. Delays are cut to the time left, so the last attempt is made at the
    deadline.

    :param retry_on: the errors to retry; all others are raised at once.
    """
    deadline = monotonic() + retry_for

    def delay(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        seconds = seconds_before_retry(state.attempt_number, getattr(error, "retry_after", None))
        return max(0.0, min(seconds, deadline - monotonic()))

    def log_retry(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.warning("%s Retrying in %.0f s.", error, state.upcoming_sleep)

    return tenacity.Retrying(
        stop=lambda _state: monotonic() >= deadline,
        wait=delay,
        retry=tenacity.retry_if_exception_type(retry_on),
        before_sleep=log_retry,
        sleep=sleep,
        reraise=True,
    )
