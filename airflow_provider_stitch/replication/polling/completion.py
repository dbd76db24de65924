"""Model when jobs and loads finish, as a probability over time.

Stitch does not report the progress of a job. The end of a job is therefore estimated from the durations of
the source's earlier jobs, and the end of loading from earlier loads of the account. If there is no history, a
job that has run for a long time is expected to run for even longer. All times are in seconds, by the same
clock.

The prior distribution and the distribution that is fitted to earlier durations are both log-logistic. The
probability that a duration exceeds an age is the survival function

    S(age) = 1 / (1 + (age / scale) ** shape)

where `scale` is the median. The prior has shape 1, so its hazard falls with age. The fitted distribution has
a greater shape if the earlier durations are more regular.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_stitch.connect.objects import Extraction

# Median of the prior, in seconds. Without earlier durations, the prior is the only estimate.
PRIOR_SCALE = 60.0

# With a shape of 8, half of the durations are within about 14 % of the median.
MAX_SHAPE = 8.0
MIN_SHAPE = 1.0

# Maximum number of durations to keep, per source for jobs and per account for loads.
HISTORY_LENGTH = 5


@dataclass(frozen=True, slots=True)
class DurationHistory:
    """A log-logistic distribution that was fitted to earlier durations."""

    scale: float  #: median of the durations, in seconds
    shape: float  #: shape of the distribution, which is higher if the durations are more regular
    weight: float  #: weight of the fit, relative to a weight of 1 for the prior

    @classmethod
    def from_durations(cls, durations: Sequence[float]) -> DurationHistory | None:
        """Fit a distribution to durations in seconds. Return None if there are no durations."""
        logs = [math.log(max(1.0, duration)) for duration in durations]
        if not logs:
            return None
        scale = math.exp(sum(logs) / len(logs))
        if len(logs) == 1:
            return cls(scale, MAX_SHAPE / 2, 1.0)
        # The logarithms of the durations have a logistic distribution. The mean range of three logarithms is
        # 3 / shape.
        spread = max(logs) - min(logs)
        shape = min(MAX_SHAPE, max(MIN_SHAPE, 3 / spread if spread else MAX_SHAPE))
        return cls(scale, shape, 3.0 * (len(logs) - 1))

    def survival(self, age: float) -> float:
        """Return the probability that a duration exceeds `age` seconds."""
        return 1 / (1 + (age / self.scale) ** self.shape) if age > 0 else 1.0


@dataclass(frozen=True, slots=True)
class CompletionEstimate:
    """The probability that an expected event has occurred, as a function of time.

    :param last_checked_at: time of the last check, which found that the event had not occurred.
    :param since: earliest possible time of the event.
    :param activity_start: likely start time of the activity that ends with the event. If None, `since` is
        used.
    :param history: durations of the same activity in the past.
    :param done_by: time by which the event has certainly occurred, so that its result can be fetched.
    :param follow_ups: number of requests that the waiter needs after the event.
    """

    last_checked_at: float
    since: float
    activity_start: float | None = None
    history: DurationHistory | None = None
    done_by: float = math.inf
    follow_ups: int = 0

    def survival(self, at: float) -> float:
        """Return the probability that the event has not occurred by time `at`, ignoring the last check."""
        age = at - self.since
        prior = PRIOR_SCALE / (PRIOR_SCALE + age) if age > 0 else 1.0
        if self.history is None:
            return prior
        activity_start = self.since if self.activity_start is None else self.activity_start
        weight = self.history.weight
        return (prior + weight * self.history.survival(at - activity_start)) / (1 + weight)

    def probability_done(self, at: float) -> float:
        """Return the probability that the event has occurred between the last check and time `at`."""
        if at >= self.done_by:
            return 1.0
        return (
            1 - self.survival(at) / self.survival(self.last_checked_at) if at > self.last_checked_at else 0.0
        )

    def expected_delay(self, at: float) -> float:
        """Return the expected number of seconds from the event until a poll at time `at` detects it.

        If the event has occurred since the last check, it is assumed to have occurred halfway between the
        last check and `at`.
        """
        return max(0.0, at - self.last_checked_at) * self.probability_done(at) / 2


class ObservedDurations:
    """The durations of an account's jobs and loads, as observed by this process."""

    def __init__(self) -> None:
        self._jobs: dict[int, dict[str, float]] = {}  # durations in seconds, by source id and job name
        self._load_lags: deque[float] = deque(maxlen=HISTORY_LENGTH)

    def jobs(self, source_id: int) -> DurationHistory | None:
        """Return the distribution of the durations of a source's jobs, or None if no duration is known."""
        return DurationHistory.from_durations(list(self._jobs.get(source_id, {}).values()))

    def load_lags(self) -> DurationHistory | None:
        """Return the distribution of the times from a source's last batch to its last load, or None."""
        return DurationHistory.from_durations(self._load_lags)

    def record_jobs(self, extractions: Iterable[Extraction]) -> None:
        """Record the durations of completed jobs."""
        for extraction in extractions:
            if extraction.start_time and extraction.completion_time:
                durations = self._jobs.setdefault(extraction.source_id, {})
                durations.pop(extraction.job_name, None)
                seconds = (extraction.completion_time - extraction.start_time).total_seconds()
                durations[extraction.job_name] = seconds
                if len(durations) > HISTORY_LENGTH:
                    del durations[next(iter(durations))]

    def record_load_lag(self, seconds: float) -> None:
        """Record the time from a source's last batch to its last load."""
        self._load_lags.append(seconds)
