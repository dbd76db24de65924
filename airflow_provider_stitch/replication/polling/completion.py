"""When will it happen? What is known of somebody's wait, as a chance over time. Pure functions.

Stitch does not say how far a job is, so all there is to go by is how long this source's jobs, or this
account's loads, took before; and where nothing is known, that what has gone on for long goes on for longer.
Times are seconds of one clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Seconds after which half of all jobs of which nothing is known are expected to have ended.
SCALE = 60.0

# What takes as long as ever ends within some 14 % of it, half of the time (8); what varies, later or earlier.
MAX_SHAPE = 8.0
MIN_SHAPE = 1.0


@dataclass(frozen=True, slots=True)
class DurationHistory:
    """How long something took before, and how much to make of that."""

    usual: float  #: seconds
    shape: float  #: of the expectation around `usual`; the higher, the surer
    weight: float  #: beside knowing nothing, which weighs 1

    @classmethod
    def of(cls, took: Sequence[float]) -> DurationHistory | None:
        """Return what so many seconds each teach, or None for nothing."""
        logs = [math.log(max(1.0, each)) for each in took]
        if not logs:
            return None
        usual = math.exp(sum(logs) / len(logs))
        if len(logs) == 1:
            return cls(usual, MAX_SHAPE / 2, 1.0)
        spread = max(logs) - min(logs)
        shape = min(MAX_SHAPE, max(MIN_SHAPE, 3 / spread if spread else MAX_SHAPE))
        return cls(usual, shape, 3.0 * (len(logs) - 1))

    def pending(self, age: float) -> float:
        """Return the chance that it takes longer than `age` seconds."""
        return 1 / (1 + (age / self.usual) ** self.shape) if age > 0 else 1.0


@dataclass(frozen=True, slots=True)
class CompletionEstimate:
    """When what one waiter waits for may happen.

    :param known_at: until then it had not happened.
    :param since: from then on it may happen at any time, ever less likely.
    :param begins_at: when that began which takes as long as it usually does; None is `since`.
    :param experience: how long that took before.
    :param certain_at: by then it has happened, and all that is left is to fetch the answer.
    :param then: requests that will be needed next, once it has happened.
    """

    known_at: float
    since: float
    scheduled_start: float | None = None
    experience: DurationHistory | None = None
    done_by: float = math.inf
    then: int = 0

    def pending(self, at: float) -> float:
        """Return the chance that it has not happened at an instant, as it was before anything was known."""
        age = at - self.since
        chance = SCALE / (SCALE + age) if age > 0 else 1.0
        if self.experience is None:
            return chance
        scheduled_start = self.since if self.scheduled_start is None else self.scheduled_start
        weight = self.experience.weight
        return (chance + weight * self.experience.pending(at - scheduled_start)) / (1 + weight)

    def happened(self, at: float) -> float:
        """Return the chance that it has happened since `known_at`."""
        if at >= self.done_by:
            return 1.0
        return 1 - self.pending(at) / self.pending(self.known_at) if at > self.known_at else 0.0

    def delay(self, at: float) -> float:
        """Return for how many seconds it has been waited in vain on average, if it is looked at now only."""
        return max(0.0, at - self.known_at) * self.happened(at) / 2
