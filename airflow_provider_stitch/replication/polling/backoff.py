"""Decide whether and when to send a failed request again.

A failure can affect all of Stitch, or only one page or log. After a failure, the poller therefore delays all
requests for the account, and then sends a different request first. An isolated failure must not block other
requests.
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

# A failure is isolated if the same request has failed this number of times, and other requests have succeeded
# in between.
ISOLATED_AFTER = 5

# After a failure, other requests are delayed by this fraction of the failed request's delay.
SHARED_BACKOFF_RATIO = 0.75

# An undocumented response may be truncated, or come from a proxy. A request fails only after this number of
# consecutive undocumented responses.
MAX_UNDOCUMENTED_RESPONSES = 5


def is_undocumented(error: StitchError) -> bool:
    """Return whether an error was caused by a response that Stitch does not document."""
    return isinstance(error, UnexpectedResponse) or error.needs_confirmation


def may_be_outage(error: StitchError) -> bool:
    """Return whether the cause of an error may be that Stitch or a log host is unavailable."""
    return isinstance(error, StitchUnavailable) or is_undocumented(error)


def is_transient(error: StitchError) -> bool:
    """Return whether a failed request may succeed if it is sent again."""
    # The pre-signed URL of an unavailable log expires soon. The waiter requests the log again, with a new
    # URL.
    is_outage = isinstance(error, StitchUnavailable) and not isinstance(error, ExtractionLogUnavailable)
    return is_outage or is_undocumented(error)


def with_time_limit(error: StitchError, time_limit: str) -> StitchError:
    """Return a copy of the error with a sentence about the time limit that ended the retries."""
    return error.with_sentence(f"Retries ended at the task's {time_limit}.")


@dataclass(slots=True)
class Attempts:
    """The consecutive failed attempts to send one request."""

    number: int = 0
    consecutive_undocumented: int = 0  #: number of undocumented responses in a row, up to the latest attempt
    is_out_of_time: bool = False  #: whether only the deadline prevents another attempt

    def record_failure(self, error: StitchError) -> bool:
        """Record a failed attempt, and return whether to make another attempt."""
        self.number += 1
        self.consecutive_undocumented = self.consecutive_undocumented + 1 if is_undocumented(error) else 0
        return is_transient(error) and self.consecutive_undocumented < MAX_UNDOCUMENTED_RESPONSES

    def next_pause(self, error: StitchError, seconds_left: float) -> float | None:
        """Record a failed attempt. Return the number of seconds until the next attempt, or None to give up.

        :param seconds_left: seconds until the deadline. If the pause would extend beyond the deadline, the
            method returns None.
        """
        may_retry = self.record_failure(error)
        pause = seconds_before_retry(self.number, getattr(error, "retry_after", None))
        self.is_out_of_time = may_retry and pause > seconds_left
        return pause if may_retry and pause <= seconds_left else None

    def last_error(self, error: StitchError, time_limit: str) -> StitchError:
        """Return the error from the last attempt.

        If the task's time limit prevented another attempt, the message contains the name of the limit.
        """
        return with_time_limit(error, time_limit) if self.is_out_of_time else error


@dataclass(slots=True)
class _FailureRecord:
    attempts: Attempts
    #: How often the request has failed. Repeated failures count only if other requests have succeeded in
    #: between.
    isolated_failures: int
    successes_before: int  #: number of the account's successful requests before the latest failure
    retry_at: float


class Backoff:
    """The failed requests of one account, and when each request may be sent again.

    All times are in seconds, by the same clock.
    """

    def __init__(self) -> None:
        self._failures: dict[LimitedRequest, _FailureRecord] = {}
        self._consecutive_failures = 0
        self._account_retry_at = float("-inf")
        self._successes = 0

    def record_response(self, request: LimitedRequest) -> None:
        """Record that Stitch responded to a request."""
        self.reset(request)
        self._successes += 1

    def record_failure(self, request: LimitedRequest, error: StitchError, now: float) -> tuple[int, bool]:
        """Record a failure of a request.

        Return the number of the request's consecutive failures, and whether to send the request again.
        """
        recent = {each: record for each, record in self._failures.items() if record.retry_at > now - WINDOW}
        previous = recent.get(request)
        attempts = previous.attempts if previous else Attempts()
        may_retry = attempts.record_failure(error)
        # In a general outage, no other request succeeds between two failures, so the failures are not
        # isolated.
        isolated_failures = (
            previous.isolated_failures + (self._successes > previous.successes_before) if previous else 1
        )
        self._consecutive_failures += 1
        requested_pause: float = getattr(error, "retry_after", None) or 0.0
        account_pause = seconds_before_retry(self._consecutive_failures, None)
        self._account_retry_at = now + max(account_pause * SHARED_BACKOFF_RATIO, requested_pause)
        # The failed request waits longer than other requests. Otherwise, a failing request that is needed
        # immediately would always be sent first.
        pause = max(account_pause, seconds_before_retry(attempts.number, None))
        retry_at = now + max(pause, requested_pause + pause * (1 - SHARED_BACKOFF_RATIO))
        record = _FailureRecord(attempts, isolated_failures, self._successes, retry_at)
        self._failures = {**recent, request: record}
        return attempts.number, may_retry

    def reset(self, request: LimitedRequest) -> None:
        """Clear the backoff after a request has succeeded or its error was delivered to the waiters."""
        self._failures.pop(request, None)
        self._consecutive_failures = 0
        self._account_retry_at = float("-inf")

    def is_isolated_failure(self, request: LimitedRequest) -> bool:
        """Return whether a request failed repeatedly while other requests succeeded."""
        record = self._failures.get(request)
        return record is not None and record.isolated_failures >= ISOLATED_AFTER

    def seconds_until_retry(self, request: LimitedRequest, now: float) -> float:
        """Return the number of seconds until a request may be sent. A value of 0 or less means now."""
        record = self._failures.get(request)
        return max(self._account_retry_at, record.retry_at if record else self._account_retry_at) - now

    def forget_times(self) -> None:
        """Allow all requests immediately.

        Call this method after the clock was set back, because the recorded times are then meaningless.
        """
        self._account_retry_at = float("-inf")
        for record in self._failures.values():
            record.retry_at = float("-inf")
