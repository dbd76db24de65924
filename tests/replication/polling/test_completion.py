"""The chance that it has happened."""

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
TOOK = st.lists(st.floats(0.001, 86_400), max_size=5)
HISTORIES = TOOK.map(DurationHistory.from_durations)


@st.composite
def estimates(draw):
    since = draw(st.floats(-86_400, 86_400))
    return CompletionEstimate(
        last_checked_at=since + draw(st.floats(-3_600, 86_400)),
        since=since,
        timed_from=draw(st.none() | st.floats(-86_400, 86_400)),
        history=draw(HISTORIES),
        done_by=draw(st.just(math.inf) | st.floats(-86_400, 172_800)),
    )


# --- What was seen before -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("took", "usual", "shape", "weight"),
    [
        pytest.param(
            [300], 300, MAX_SHAPE / 2, 1, id="once is half sure, and weighs as much as knowing nothing"
        ),
        pytest.param([300, 300], 300, MAX_SHAPE, 3, id="twice the same is as sure as can be"),
        pytest.param([300] * 5, 300, MAX_SHAPE, 12, id="and weighs more each time"),
        pytest.param(
            [100, 400], 200, 3 / math.log(4), 3, id="what varies is flatter, around the middle ratio"
        ),
        pytest.param([10, 86_400], math.sqrt(864_000), MIN_SHAPE, 3, id="but never flatter than that"),
        pytest.param([0, 0], 1, MAX_SHAPE, 3, id="Stitch's whole seconds may show none"),
    ],
)
def test_what_it_took_before_is_an_experience(took, usual, shape, weight):
    experience = DurationHistory.from_durations(took)

    assert experience is not None
    assert experience.scale == pytest.approx(usual)
    assert experience.shape == pytest.approx(shape)
    assert experience.weight == weight


def test_nothing_seen_is_no_experience():
    assert DurationHistory.from_durations([]) is None


@given(TOOK.filter(bool))
def test_half_of_all_are_expected_to_take_longer_than_usual(took):
    experience = DurationHistory.from_durations(took)

    assert experience.survival(experience.scale) == pytest.approx(0.5)
    assert min(took) <= max(1, experience.scale) * 1.001
    assert experience.scale <= max(1, *took) * 1.001


@given(TOOK.filter(bool), SECONDS, SECONDS)
def test_it_is_ever_less_likely_to_take_longer_still(took, one, other):
    experience = DurationHistory.from_durations(took)
    earlier, later = sorted([one, other])

    assert 0 <= experience.survival(later) <= experience.survival(earlier) <= 1


def test_at_most_14_percent_off_half_of_the_time_if_it_never_varied():
    experience = DurationHistory.from_durations([1000] * 5)

    within = experience.survival(1000 / 1.147) - experience.survival(1000 * 1.147)

    assert within == pytest.approx(0.5, abs=0.01)


# --- What may have happened since -----------------------------------------------------------------------


@given(estimates(), SECONDS, SECONDS)
def test_what_may_happen_has_ever_likelier_happened(estimate, one, other):
    earlier, later = (estimate.last_checked_at + seconds for seconds in sorted([one, other]))

    assert 0 <= estimate.probability_done(earlier) <= estimate.probability_done(later) + 1e-12
    assert estimate.probability_done(later) <= 1


@given(estimates(), SECONDS)
def test_the_delay_is_at_most_half_of_the_time_since_the_last_look(estimate, seconds):
    at = estimate.last_checked_at + seconds

    assert 0 <= estimate.expected_delay(at) <= seconds / 2 + 1e-9


@given(estimates())
def test_right_after_a_look_nothing_has_happened_unless_it_is_certain(estimate):
    assert estimate.probability_done(estimate.last_checked_at) == (
        1.0 if estimate.last_checked_at >= estimate.done_by else 0.0
    )
    assert estimate.expected_delay(estimate.last_checked_at) == 0
    assert estimate.expected_delay(estimate.last_checked_at - 100) == 0


@given(estimates(), SECONDS)
def test_from_a_certain_instant_on_it_has_happened(estimate, seconds):
    at = estimate.done_by + seconds

    assert not math.isfinite(at) or estimate.probability_done(at) == 1


@given(st.floats(0, 86_400))
def test_where_nothing_is_known_half_of_what_goes_on_for_long_goes_on_for_as_long_again(age):
    estimate = CompletionEstimate(last_checked_at=age, since=0)

    assert estimate.probability_done(age + PRIOR_SCALE + age) == pytest.approx(0.5)


def test_what_did_not_begin_yet_does_not_happen():
    estimate = CompletionEstimate(last_checked_at=0, since=1000)

    assert estimate.probability_done(1000) == 0
    assert estimate.probability_done(1000 + PRIOR_SCALE) == pytest.approx(0.5)


def test_what_begins_later_is_expected_that_much_later():
    """A sensor may look from an instant on, and Stitch's schedule begins the job an hour later."""
    experience = DurationHistory.from_durations([300] * 5)
    at_once = CompletionEstimate(last_checked_at=0, since=0, history=experience)
    in_an_hour = CompletionEstimate(last_checked_at=0, since=0, timed_from=3600, history=experience)

    assert at_once.probability_done(600) > 0.9
    assert in_an_hour.probability_done(3600) < 0.1
    assert in_an_hour.probability_done(3600 + 600) > 0.9


def test_experience_makes_a_look_worth_while_where_it_is_due():
    usual = CompletionEstimate(last_checked_at=0, since=0, history=DurationHistory.from_durations([1000] * 5))
    unknown = CompletionEstimate(last_checked_at=0, since=0)

    assert usual.probability_done(500) < 0.1 < unknown.probability_done(500)
    due = [estimate.probability_done(1100) - estimate.probability_done(900) for estimate in (usual, unknown)]
    assert due[0] > 10 * due[1]


def test_a_surprise_is_never_ruled_out():
    """What always took 1000 s may take 10 times as long, or the experience may be another job's."""
    late = CompletionEstimate(
        last_checked_at=10_000, since=0, history=DurationHistory.from_durations([1000] * 5)
    )

    assert 0.05 < late.probability_done(20_000) < 0.95
