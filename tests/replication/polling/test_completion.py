"""Test the estimated probability that a job or load has finished."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.polling.completion import (
    MAX_SHAPE,
    MIN_SHAPE,
    PRIOR_SCALE,
    CompletionEstimate,
    DurationHistory,
)

SECONDS = st.floats(0, 30 * 86_400)
DURATIONS = st.lists(st.floats(0.001, 86_400), max_size=5)
HISTORIES = DURATIONS.map(DurationHistory.from_durations)


@st.composite
def estimates(draw):
    since = draw(st.floats(-86_400, 86_400))
    return CompletionEstimate(
        last_checked_at=since + draw(st.floats(-3_600, 86_400)),
        since=since,
        activity_start=draw(st.none() | st.floats(-86_400, 86_400)),
        history=draw(HISTORIES),
        done_by=draw(st.just(math.inf) | st.floats(-86_400, 172_800)),
    )


# --- Duration histories ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("durations", "typical", "shape", "weight"),
    [
        pytest.param(
            [300], 300, MAX_SHAPE / 2, 1, id="one duration: half the maximum shape, the weight of the prior"
        ),
        pytest.param([300, 300], 300, MAX_SHAPE, 3, id="two equal durations: maximum shape"),
        pytest.param([300] * 5, 300, MAX_SHAPE, 12, id="five equal durations: more weight"),
        pytest.param(
            [100, 400], 200, 3 / math.log(4), 3, id="different durations: flatter, at the geometric mean"
        ),
        pytest.param(
            [10, 86_400], math.sqrt(864_000), MIN_SHAPE, 3, id="very different durations: minimum shape"
        ),
        pytest.param([0, 0], 1, MAX_SHAPE, 3, id="durations below Stitch's resolution of one second"),
    ],
)
def test_history_is_fitted_to_durations(durations, typical, shape, weight):
    history = DurationHistory.from_durations(durations)

    assert history is not None
    assert history.scale == pytest.approx(typical)
    assert history.shape == pytest.approx(shape)
    assert history.weight == weight


def test_history_without_durations_is_none():
    assert DurationHistory.from_durations([]) is None


@given(DURATIONS.filter(bool))
def test_half_of_the_jobs_are_expected_to_exceed_the_scale(durations):
    history = DurationHistory.from_durations(durations)

    assert history.survival(history.scale) == pytest.approx(0.5)
    assert min(durations) <= max(1, history.scale) * 1.001
    assert history.scale <= max(1, *durations) * 1.001


@given(DURATIONS.filter(bool), SECONDS, SECONDS)
def test_survival_never_increases_with_time(durations, first, second):
    history = DurationHistory.from_durations(durations)
    earlier, later = sorted([first, second])

    assert 0 <= history.survival(later) <= history.survival(earlier) <= 1


def test_equal_durations_put_half_of_the_jobs_within_14_percent():
    history = DurationHistory.from_durations([1000] * 5)

    within = history.survival(1000 / 1.147) - history.survival(1000 * 1.147)

    assert within == pytest.approx(0.5, abs=0.01)


# --- Completion estimates -------------------------------------------------------------------------------


@given(estimates(), SECONDS, SECONDS)
def test_probability_never_decreases_with_time(estimate, first, second):
    earlier, later = (estimate.last_checked_at + seconds for seconds in sorted([first, second]))

    assert 0 <= estimate.probability_done(earlier) <= estimate.probability_done(later) + 1e-12
    assert estimate.probability_done(later) <= 1


@given(estimates(), SECONDS)
def test_expected_delay_is_at_most_half_of_the_time_since_the_last_check(estimate, seconds):
    at = estimate.last_checked_at + seconds

    assert 0 <= estimate.expected_delay(at) <= seconds / 2 + 1e-9


@given(estimates())
def test_probability_at_the_last_check_is_0_unless_it_is_certain(estimate):
    assert estimate.probability_done(estimate.last_checked_at) == (
        1.0 if estimate.last_checked_at >= estimate.done_by else 0.0
    )
    assert estimate.expected_delay(estimate.last_checked_at) == 0
    assert estimate.expected_delay(estimate.last_checked_at - 100) == 0


@given(estimates(), SECONDS)
def test_probability_is_1_from_done_by_on(estimate, seconds):
    at = estimate.done_by + seconds

    assert not math.isfinite(at) or estimate.probability_done(at) == 1


@given(st.floats(0, 86_400))
def test_long_running_job_without_history_is_expected_to_double_its_age(age):
    estimate = CompletionEstimate(last_checked_at=age, since=0)

    assert estimate.probability_done(age + PRIOR_SCALE + age) == pytest.approx(0.5)


def test_probability_is_0_before_the_start():
    estimate = CompletionEstimate(last_checked_at=0, since=1000)

    assert estimate.probability_done(1000) == 0
    assert estimate.probability_done(1000 + PRIOR_SCALE) == pytest.approx(0.5)


def test_later_start_time_delays_the_estimate():
    """A sensor can accept any new job, but the next scheduled job does not start for another hour."""
    history = DurationHistory.from_durations([300] * 5)
    starts_now = CompletionEstimate(last_checked_at=0, since=0, history=history)
    starts_in_an_hour = CompletionEstimate(last_checked_at=0, since=0, activity_start=3600, history=history)

    assert starts_now.probability_done(600) > 0.9
    assert starts_in_an_hour.probability_done(3600) < 0.1
    assert starts_in_an_hour.probability_done(3600 + 600) > 0.9


def test_history_concentrates_the_probability_near_the_typical_end():
    typical = CompletionEstimate(
        last_checked_at=0, since=0, history=DurationHistory.from_durations([1000] * 5)
    )
    unknown = CompletionEstimate(last_checked_at=0, since=0)

    assert typical.probability_done(500) < 0.1 < unknown.probability_done(500)
    due = [
        estimate.probability_done(1100) - estimate.probability_done(900) for estimate in (typical, unknown)
    ]
    assert due[0] > 10 * due[1]


def test_estimate_stays_uncertain_long_after_the_typical_end():
    """All earlier jobs took 1000 s, but the current job can take 10 times as long.

    It is also possible that the duration history no longer applies.
    """
    late = CompletionEstimate(
        last_checked_at=10_000, since=0, history=DurationHistory.from_durations([1000] * 5)
    )

    assert 0.05 < late.probability_done(20_000) < 0.95
