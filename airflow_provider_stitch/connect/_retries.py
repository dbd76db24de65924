"""How long to be patient with Stitch, and how to pause between tries."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

import tenacity

from airflow_provider_stitch.connect.errors import StitchError, StitchUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_PAUSE = 60.0  #: seconds; only a Retry-After can ask for more

_log = logging.getLogger(__name__)


def pause_before_retry(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait after a failed try: 1 to 2, then 2 to 4, and so on up to 60, by chance.

    By chance, so that a hundred tasks that lost Stitch together do not come back together.

    :param attempt: number of the try that failed, from 1.
    :param retry_after: seconds that Stitch asked for; the pause is not shorter.
    """
    longest = min(LONGEST_PAUSE, 2.0 ** min(max(attempt, 1), 16))
    pause = random.uniform(longest / 2, longest)  # noqa: S311 - spreads requests, protects nothing
    return max(pause, retry_after or 0.0)


def retry_policy(
    retry_for: float,
    *,
    kinds: tuple[type[StitchError], ...] = (StitchUnavailable,),
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> tenacity.Retrying:
    """Return a policy that tries again for `retry_for` seconds from now, and then raises the last error.

    Call it with the function to try. No pause reaches beyond the time left, so the last try is at its end.

    :param kinds: the errors after which to try again; all others are raised at once.
    """
    ends_at = monotonic() + retry_for

    def pause(state: tenacity.RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        wanted = pause_before_retry(state.attempt_number, getattr(failure, "retry_after", None))
        return max(0.0, min(wanted, ends_at - monotonic()))

    def tell(state: tenacity.RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        _log.warning("%s Next try in %.0f s.", failure, state.upcoming_sleep)

    return tenacity.Retrying(
        stop=lambda _state: monotonic() >= ends_at,
        wait=pause,
        retry=tenacity.retry_if_exception_type(kinds),
        before_sleep=tell,
        sleep=sleep,
        reraise=True,
    )
