"""Requests that Stitch did not answer, and when each may be made again.

Stitch as a whole may be out of order, or a single page or log only: so all pause after a failure, and then it
is another request's turn. What fails alone must not keep back whom other requests would serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    StitchUnavailable,
    UnexpectedAnswer,
)
from airflow_provider_stitch.connect.transport import pause_before_retry
from airflow_provider_stitch.replication.budget import WINDOW

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.replication.planner import Request

# A request that failed so often, with others answered in between each time, fails alone.
ALONE_AFTER = 5

# Of the pause before a request that failed is made again, so much is the pause before any other.
OTHERS_PAUSE = 0.75

# A response that Stitch does not document may have been cut, or come from something on the way. It is an
# error only if it repeats.
GARBAGE_ATTEMPTS = 5


def is_undocumented(error: StitchError) -> bool:
    """Return whether an error stands for a response that Stitch does not document."""
    return isinstance(error, UnexpectedAnswer) or error.is_doubtful


def is_transient(error: StitchError) -> bool:
    """Return whether a request that failed may succeed if it is sent again."""
    # The address of a log expires soon, so a log is requested from Stitch again and not from there.
    is_outage = isinstance(error, StitchUnavailable) and not isinstance(error, ExtractionLogUnavailable)
    return is_outage or is_undocumented(error)


@dataclass(slots=True)
class Attempts:
    """The failed attempts at one request, one after the other."""

    number: int = 0
    undocumented: int = 0  #: of these the last, as far as their responses were undocumented

    def may_go_on(self, error: StitchError) -> bool:
        """Record a failed attempt, and return whether to make another one."""
        self.number += 1
        self.undocumented = self.undocumented + 1 if is_undocumented(error) else 0
        return is_transient(error) and self.undocumented < GARBAGE_ATTEMPTS


@dataclass(slots=True)
class _Setback:
    attempts: Attempts
    alone: int  #: of these the first, and each before which another request was answered
    answers: int  #: to other requests, when the last failed
    again_at: float


class Setbacks:
    """The failures of one account's requests. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._setbacks: dict[Request, _Setback] = {}
        self._in_a_row = 0
        self._all_again_at = float("-inf")
        self._answers = 0

    def answered(self, request: Request) -> None:
        """Take in that a request was answered."""
        self.give_up(request)
        self._answers += 1

    def failed(self, request: Request, error: StitchError, now: float) -> tuple[int, bool]:
        """Record that a request failed; return how often it has in a row, and whether to send it again."""
        recent = {
            each: setback for each, setback in self._setbacks.items() if setback.again_at > now - WINDOW
        }
        before = recent.get(request)
        attempts = before.attempts if before else Attempts()
        may_go_on = attempts.may_go_on(error)
        # An outage fails all: it says nothing of this one.
        alone = before.alone + (self._answers > before.answers) if before else 1
        self._in_a_row += 1
        # All others have their turn in between, or one that is wanted at once would always be the first.
        asked_for: float = getattr(error, "retry_after", None) or 0.0
        pause = pause_before_retry(self._in_a_row, None)
        self._all_again_at = now + max(pause * OTHERS_PAUSE, asked_for)
        pause = max(pause, pause_before_retry(attempts.number, None))
        again_at = now + max(pause, asked_for + pause * (1 - OTHERS_PAUSE))
        self._setbacks = {**recent, request: _Setback(attempts, alone, self._answers, again_at)}
        return attempts.number, may_go_on

    def give_up(self, request: Request) -> None:
        """Begin anew, at once: whoever wanted a request is told what there is to say."""
        self._setbacks.pop(request, None)
        self._in_a_row = 0
        self._all_again_at = float("-inf")

    def fails_alone(self, request: Request) -> bool:
        """Say whether a request failed again and again while others were answered."""
        setback = self._setbacks.get(request)
        return setback is not None and setback.alone >= ALONE_AFTER

    def free_in(self, request: Request, now: float) -> float:
        """Return in how many seconds a request may be made, 0.0 or less for now."""
        setback = self._setbacks.get(request)
        return max(self._all_again_at, setback.again_at if setback else self._all_again_at) - now

    def clock_was_set_back(self) -> None:
        """Let every request be made at once: no instant that was noted tells anything any more."""
        self._all_again_at = float("-inf")
        for setback in self._setbacks.values():
            setback.again_at = float("-inf")
