"""The chance that it has happened."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.polling.completion import (
    MAX_SHAPE,
    MIN_SHAPE,
    SCALE,
    CompletionEstimate,
    DurationHistory,
)

SECONDS = st.floats(0, 30 * 86_400)
TOOK = st.lists(st.floats(0.001, 86_400), max_size=5)
HISTORY_LENGTH = TOOK.map(DurationHistory.of)


@st.composite
def prospects(draw):
    since = draw(st.floats(-86_400, 86_400))
    return CompletionEstimate(
        known_at=since + draw(st.floats(-3_600, 86_400)),
        since=since,
        scheduled_start=draw(st.none() | st.floats(-86_400, 86_400)),
        experience=draw(HISTORY_LENGTH),
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
    experience = DurationHistory.of(took)

    assert experience is not None
    assert experience.usual == pytest.approx(usual)
    assert experience.shape == pytest.approx(shape)
    assert experience.weight == weight


def test_nothing_seen_is_no_experience():
    assert DurationHistory.of([]) is None


@given(TOOK.filter(bool))
def test_half_of_all_are_expected_to_take_longer_than_usual(took):
    experience = DurationHistory.of(took)

    assert experience.pending(experience.usual) == pytest.approx(0.5)
    assert min(took) <= max(1, experience.usual) * 1.001
    assert experience.usual <= max(1, *took) * 1.001


@given(TOOK.filter(bool), SECONDS, SECONDS)
def test_it_is_ever_less_likely_to_take_longer_still(took, one, other):
    experience = DurationHistory.of(took)
    earlier, later = sorted([one, other])

    assert 0 <= experience.pending(later) <= experience.pending(earlier) <= 1


def test_at_most_14_percent_off_half_of_the_time_if_it_never_varied():
    experience = DurationHistory.of([1000] * 5)

    within = experience.pending(1000 / 1.147) - experience.pending(1000 * 1.147)

    assert within == pytest.approx(0.5, abs=0.01)


# --- What may have happened since -----------------------------------------------------------------------


@given(prospects(), SECONDS, SECONDS)
def test_what_may_happen_has_ever_likelier_happened(prospect, one, other):
    earlier, later = (prospect.known_at + seconds for seconds in sorted([one, other]))

    assert 0 <= prospect.happened(earlier) <= prospect.happened(later) + 1e-12
    assert prospect.happened(later) <= 1


@given(prospects(), SECONDS)
def test_the_delay_is_at_most_half_of_the_time_since_the_last_look(prospect, seconds):
    at = prospect.known_at + seconds

    assert 0 <= prospect.delay(at) <= seconds / 2 + 1e-9


@given(prospects())
def test_right_after_a_look_nothing_has_happened_unless_it_is_certain(prospect):
    assert prospect.happened(prospect.known_at) == (1.0 if prospect.known_at >= prospect.done_by else 0.0)
    assert prospect.delay(prospect.known_at) == 0
    assert prospect.delay(prospect.known_at - 100) == 0


@given(prospects(), SECONDS)
def test_from_a_certain_instant_on_it_has_happened(prospect, seconds):
    at = prospect.done_by + seconds

    assert not math.isfinite(at) or prospect.happened(at) == 1


@given(st.floats(0, 86_400))
def test_where_nothing_is_known_half_of_what_goes_on_for_long_goes_on_for_as_long_again(age):
    prospect = CompletionEstimate(known_at=age, since=0)

    assert prospect.happened(age + SCALE + age) == pytest.approx(0.5)


def test_what_did_not_begin_yet_does_not_happen():
    prospect = CompletionEstimate(known_at=0, since=1000)

    assert prospect.happened(1000) == 0
    assert prospect.happened(1000 + SCALE) == pytest.approx(0.5)


def test_what_begins_later_is_expected_that_much_later():
    """A sensor may look from an instant on, and Stitch's schedule begins the job an hour later."""
    experience = DurationHistory.of([300] * 5)
    at_once = CompletionEstimate(known_at=0, since=0, experience=experience)
    in_an_hour = CompletionEstimate(known_at=0, since=0, scheduled_start=3600, experience=experience)

    assert at_once.happened(600) > 0.9
    assert in_an_hour.happened(3600) < 0.1
    assert in_an_hour.happened(3600 + 600) > 0.9


def test_experience_makes_a_look_worth_while_where_it_is_due():
    usual = CompletionEstimate(known_at=0, since=0, experience=DurationHistory.of([1000] * 5))
    unknown = CompletionEstimate(known_at=0, since=0)

    assert usual.happened(500) < 0.1 < unknown.happened(500)
    due = [prospect.happened(1100) - prospect.happened(900) for prospect in (usual, unknown)]
    assert due[0] > 10 * due[1]


def test_a_surprise_is_never_ruled_out():
    """What always took 1000 s may take 10 times as long, or the experience may be another job's."""
    late = CompletionEstimate(known_at=10_000, since=0, experience=DurationHistory.of([1000] * 5))

    assert 0.05 < late.happened(20_000) < 0.95
