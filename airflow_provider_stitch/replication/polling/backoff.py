"""Decide whether and when to send a failed request again.

A failure can affect all of Stitch, or only one page or log. So after a failure, all requests of the account
back off, and then a different request is sent first. An isolated failure must not block other requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    StitchUnavailable,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.transport.retry import seconds_before_retry
from airflow_provider_stitch.replication.budget.window import WINDOW

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest

# A request fails in isolation if it fails this often, and other requests succeed in between.
ISOLATED_AFTER = 5

# Other requests pause for this fraction of the pause of the request that failed.
SHARED_BACKOFF_RATIO = 0.75

# An undocumented response may be truncated, or come from a proxy. It is an error only if it repeats.
MAX_UNDOCUMENTED_RESPONSES = 5


def is_undocumented(error: StitchError) -> bool:
    """Return whether an error is due to a response that Stitch does not document."""
    return isinstance(error, UnexpectedResponse) or error.needs_confirmation


def is_transient(error: StitchError) -> bool:
    """Return whether a request that failed may succeed if it is sent again."""
    # The pre-signed URL of a log expires soon, so a new one must be requested from Stitch.
    is_outage = isinstance(error, StitchUnavailable) and not isinstance(error, ExtractionLogUnavailable)
    return is_outage or is_undocumented(error)


def with_time_limit(error: StitchError, time_limit: str) -> StitchError:
    """Return a copy of the error that names the time limit at which the retries ended."""
    return error.with_sentence(f"Retries ended at the task's {time_limit}.")


@dataclass(slots=True)
class Attempts:
    """The consecutive failed attempts at one request."""

    number: int = 0
    consecutive_undocumented: int = 0  #: undocumented responses in a row, including the latest attempt's
    is_out_of_time: bool = False  #: only the deadline prevents another attempt

    def record_failure(self, error: StitchError) -> bool:
        """Record a failed attempt, and return whether to make another one."""
        self.number += 1
        self.consecutive_undocumented = self.consecutive_undocumented + 1 if is_undocumented(error) else 0
        return is_transient(error) and self.consecutive_undocumented < MAX_UNDOCUMENTED_RESPONSES

    def next_pause(self, error: StitchError, seconds_left: float) -> float | None:
        """Record a failed attempt, and return the seconds before the next one; None to give up.

        :param seconds_left: seconds until the deadline. Give up if the pause would be longer.
        """
        may_retry = self.record_failure(error)
        pause = seconds_before_retry(self.number, getattr(error, "retry_after", None))
        self.is_out_of_time = may_retry and pause > seconds_left
        return pause if may_retry and pause <= seconds_left else None

    def last_error(self, error: StitchError, time_limit: str) -> StitchError:
        """Return the last attempt's error, with the task's time limit if that ended the attempts."""
        return with_time_limit(error, time_limit) if self.is_out_of_time else error


@dataclass(slots=True)
class _FailureRecord:
    attempts: Attempts
    isolated_failures: int  #: the first failure, and each one that followed a success of another request
    successes_before: int  #: successes of other requests, up to the last failure
    retry_at: float


class Backoff:
    """Records failed requests of one account, and when each may be retried (seconds of one clock)."""

    def __init__(self) -> None:
        self._failures: dict[LimitedRequest, _FailureRecord] = {}
        self._consecutive_failures = 0
        self._account_retry_at = float("-inf")
        self._successes = 0

    def record_success(self, request: LimitedRequest) -> None:
        """Record that Stitch responded to a request."""
        self.reset(request)
        self._successes += 1

    def record_failure(self, request: LimitedRequest, error: StitchError, now: float) -> tuple[int, bool]:
        """Record a failure; return the consecutive failures of the request, and whether to send it again."""
        recent = {each: record for each, record in self._failures.items() if record.retry_at > now - WINDOW}
        previous = recent.get(request)
        attempts = previous.attempts if previous else Attempts()
        may_retry = attempts.record_failure(error)
        # A general outage is not isolated: no other request succeeds between two failures.
        isolated_failures = (
            previous.isolated_failures + (self._successes > previous.successes_before) if previous else 1
        )
        self._consecutive_failures += 1
        requested_pause: float = getattr(error, "retry_after", None) or 0.0
        pause = seconds_before_retry(self._consecutive_failures, None)
        self._account_retry_at = now + max(pause * SHARED_BACKOFF_RATIO, requested_pause)
        # Send other requests before this one; otherwise an immediate request would always come first.
        pause = max(pause, seconds_before_retry(attempts.number, None))
        retry_at = now + max(pause, requested_pause + pause * (1 - SHARED_BACKOFF_RATIO))
        record = _FailureRecord(attempts, isolated_failures, self._successes, retry_at)
        self._failures = {**recent, request: record}
        return attempts.number, may_retry

    def reset(self, request: LimitedRequest) -> None:
        """Clear the backoff, because the request succeeded or its error was delivered."""
        self._failures.pop(request, None)
        self._consecutive_failures = 0
        self._account_retry_at = float("-inf")

    def is_isolated_failure(self, request: LimitedRequest) -> bool:
        """Return whether a request failed repeatedly while other requests succeeded."""
        record = self._failures.get(request)
        return record is not None and record.isolated_failures >= ISOLATED_AFTER

    def seconds_until_retry(self, request: LimitedRequest, now: float) -> float:
        """Return the seconds until a request may be sent; 0 or less means now."""
        record = self._failures.get(request)
        return max(self._account_retry_at, record.retry_at if record else self._account_retry_at) - now

    def forget_times(self) -> None:
        """Allow all requests now, because recorded times are meaningless after the clock was set back."""
        self._account_retry_at = float("-inf")
        for record in self._failures.values():
            record.retry_at = float("-inf")
