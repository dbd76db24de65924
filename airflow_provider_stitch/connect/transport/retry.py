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

MAX_RETRY_DELAY = 60.0  #: maximum delay in seconds; only a `Retry-After` header can cause a longer delay

_log = logging.getLogger(__name__)


def seconds_before_retry(attempt: int, retry_after: float | None) -> float:
    """Return the delay before the next attempt in seconds.

    The delay is random, from 1 to 2 s after the first attempt, from 2 to 4 s after the second, and so on up
    to 60 s.

    The jitter prevents tasks that lost their connection at the same time from retrying at the same time.

    :param attempt: the number of the failed attempt, starting at 1.
    :param retry_after: the minimum delay in seconds, from the `Retry-After` header of the response.
    """
    max_delay = min(MAX_RETRY_DELAY, 2.0 ** min(max(attempt, 1), 16))
    delay = random.uniform(max_delay / 2, max_delay)  # noqa: S311 - jitter does not need secure randomness
    return max(delay, retry_after or 0.0)


def retry_policy(
    retry_for: float,
    *,
    retry_on: tuple[type[StitchError], ...] = (StitchUnavailable,),
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> tenacity.Retrying:
    """Return a policy that retries a function for `retry_for` seconds and then raises the last error.

    Call the policy with the function to retry. The deadline is set when the policy is created. A delay never
    extends beyond the deadline, so the last attempt is made at the deadline.

    :param retry_on: the classes of errors to retry. All other errors are raised immediately.
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
