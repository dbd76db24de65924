"""What a waiter may expect, and when."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.objects import Source
from airflow_provider_stitch.replication.estimates import (
    EstimateContext,
    estimate_baseline,
    estimate_extraction_end,
    estimate_loads_done,
    estimate_log_ready,
    next_scheduled_start,
)
from airflow_provider_stitch.replication.polling.completion import DurationHistory
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.goal import DEFAULT_QUIET_PERIOD
from airflow_provider_stitch.replication.rules.observations import Observations
from tests.support.builders import at, extraction, goal, load, log, replicated, sent, stream

USUAL = DurationHistory.from_durations([300, 320, 310])


def moment(now: str, known: str | None = None, *, ahead: float = 0.0) -> EstimateContext:
    """Asked at an instant of Stitch's, by a clock that Stitch's is so many seconds ahead of."""
    return EstimateContext(
        now=at(now).timestamp() - ahead,
        last_checked_at=at(known).timestamp() - ahead if known else None,
        even_interval=20.0,
        clock_offset=ahead,
    )


def seconds(estimated_time: float, instant: str) -> float:
    return estimated_time - at(instant).timestamp()


# --- The extraction -------------------------------------------------------------------------------------


def test_a_named_job_may_end_from_its_beginning_on():
    estimate = estimate_extraction_end(goal(), moment("06:00:10"), USUAL)

    assert seconds(estimate.since, "06:00:02") == 0
    assert estimate.timed_from == estimate.since == estimate.last_checked_at
    assert estimate.history is USUAL
    assert estimate.done_by == math.inf


def test_after_a_look_it_may_have_ended_since_that_look():
    estimate = estimate_extraction_end(goal(), moment("06:03:00", known="06:02:00"), USUAL)

    assert seconds(estimate.last_checked_at, "06:02:00") == 0
    assert seconds(estimate.since, "06:00:02") == 0


def test_who_comes_late_is_served_at_once():
    assert estimate_extraction_end(goal(), moment("06:30:00"), None).done_by == at("06:30:00").timestamp()
    assert estimate_extraction_end(goal(), moment("06:30:00", known="06:29:00"), None).done_by == math.inf


@pytest.mark.parametrize(
    ("phase", "requests"),
    [("structure_sync", 0), ("extraction", 0), ("extraction_end", 0), ("preparation", 2), ("loading", 2)],
)
def test_after_an_extraction_that_is_to_be_loaded_come_its_log_and_the_loads(phase, requests):
    assert estimate_extraction_end(goal(phase), moment("06:00:10"), None).follow_ups == requests


def test_a_job_of_the_schedule_is_expected_from_its_beginning_on_but_may_have_begun_before():
    estimate = estimate_extraction_end(
        goal(started_after=at("06:00:00")), moment("06:00:30"), USUAL, scheduled_start=at("06:20:00")
    )

    assert seconds(estimate.since, "06:00:00") == 0
    assert seconds(estimate.timed_from, "06:20:00") == 0


def test_an_instant_in_the_future_is_nothing_to_look_for_before_it():
    estimate = estimate_extraction_end(goal(started_after=at("07:00:00")), moment("06:00:00"), USUAL)

    assert seconds(estimate.since, "07:00:00") == 0
    assert estimate.probability_done(at("07:00:00").timestamp()) == 0


def test_of_a_job_that_was_running_nobody_knows_when_it_began():
    estimate = estimate_extraction_end(
        goal("extraction_end", running_at=at("06:00:00")), moment("06:00:01"), USUAL
    )

    assert estimate.history is None
    assert seconds(estimate.since, "06:00:00") == 0


@pytest.mark.parametrize("ahead", [-3600.0, -5.0, 5.0, 3600.0])
def test_stitch_s_instants_are_told_by_this_machine_s_clock(ahead):
    here, there = (
        estimate_extraction_end(goal(), moment("06:00:30", ahead=each), USUAL) for each in (0.0, ahead)
    )

    assert there.since == here.since - ahead
    assert there.last_checked_at == here.last_checked_at - ahead


def test_what_has_begun_has_not_begun_in_the_future_however_wrong_the_clocks():
    """Nothing has told yet how far Stitch's clock is ahead."""
    now = at("05:00:00").timestamp()

    estimate = estimate_extraction_end(goal(), EstimateContext(now, None, 20.0), USUAL)

    assert estimate.since == estimate.last_checked_at == now


# --- The log --------------------------------------------------------------------------------------------


def test_the_log_of_a_job_that_is_over_can_be_had_now():
    estimate = estimate_log_ready(Observations(), moment("06:05:00"))

    assert estimate.probability_done(at("06:05:00").timestamp()) == 1
    assert estimate.follow_ups == 1


def test_a_log_that_was_refused_three_times_is_asked_for_over_at_least_5_minutes():
    refused = Observations(log_missing_at=(at("06:05:00"),))

    estimate = estimate_log_ready(refused, moment("06:05:00"))

    assert seconds(estimate.done_by, "06:05:00") == pytest.approx(152)
    assert 2 * seconds(estimate.done_by, "06:05:00") >= 300
    assert estimate.probability_done(at("06:05:01").timestamp()) < 0.5


# --- The loads ------------------------------------------------------------------------------------------


LOG = log(
    sent("06:03:00", "commits"),
    replicated("06:03:01", "commits", 12),
    sent("06:04:30", "pulls"),
    replicated("06:04:31", "pulls", 3),
)
KNOWN = Observations(
    extraction=extraction(),
    log=LOG,
    streams=(stream("commits"), stream("pulls"), stream("issues")),
    previous_job_polled_at=at("06:00:30"),
)
OVER = "06:04:51"


def loads_estimate(
    *loads: Any, looked: str | None = None, known: Observations = KNOWN, now: str = "06:06:00", **changes: Any
):
    the_goal = goal("loading", **changes)
    known = known.with_loads([], at("06:00:10"))
    if looked:
        known = known.with_loads(loads, at(looked))
    return estimate_loads_done(the_goal, known, evaluate(the_goal, known), moment(now, looked), USUAL)


def test_streams_may_be_loaded_from_their_last_flush_on():
    estimate = loads_estimate()

    assert seconds(estimate.since, "06:04:30") == 0
    assert estimate.last_checked_at == estimate.since
    assert estimate.history is USUAL
    assert estimate.done_by == math.inf
    assert estimate.follow_ups == 0


def test_only_what_is_not_loaded_yet_counts():
    estimate = loads_estimate(load("pulls", "06:05:10"), looked="06:05:30")

    assert seconds(estimate.since, "06:03:00") == 0
    assert seconds(estimate.last_checked_at, "06:05:30") == 0


def test_a_load_that_must_stand_still_is_looked_at_again_when_it_has():
    twice = replace(
        KNOWN,
        log=log(sent("06:01:00", "commits"), sent("06:03:00", "commits")),
        streams=(stream("commits"),),
    )

    estimate = loads_estimate(load("commits", "06:05:00"), looked="06:05:30", known=twice)

    assert seconds(estimate.done_by, "06:08:00") == 0


def test_as_long_as_one_stream_is_not_loaded_nothing_is_certain():
    twice = replace(
        KNOWN,
        log=log(sent("06:01:00", "commits"), sent("06:03:00", "commits"), sent("06:04:00", "pulls")),
    )

    estimate = loads_estimate(load("commits", "06:05:00"), looked="06:05:30", known=twice)

    assert estimate.done_by == math.inf


def test_of_two_that_must_stand_still_the_later_one_decides():
    twice = replace(
        KNOWN,
        log=log(*(sent(clock, name) for name in ("commits", "pulls") for clock in ("06:01:00", "06:03:00"))),
    )

    estimate = loads_estimate(
        load("commits", "06:05:00"), load("pulls", "06:05:20"), looked="06:05:30", known=twice
    )

    assert seconds(estimate.done_by, "06:08:20") == 0


def test_an_old_load_error_is_looked_at_twice_within_five_minutes():
    """Half-way, and when it has lasted for as long as decides. Before that it may clear at any time."""
    broken = load("commits", None, error="disk full")
    known = KNOWN.with_loads([broken], at("06:00:10"))
    known = replace(known, load_errors={"commits": replace(known.load_errors["commits"], last_clear_at=None)})
    the_goal = goal("loading", streams=("commits",))

    def done_by(known: Observations) -> float:
        return estimate_loads_done(
            the_goal, known, evaluate(the_goal, known), moment("06:06:00"), None
        ).done_by

    assert seconds(done_by(known), "06:02:40") == 0
    again = known.with_loads([broken], at("06:02:40"))
    assert seconds(done_by(again), "06:05:10") == 0


def test_without_a_log_a_stream_without_a_load_is_given_up_after_15_quiet_minutes():
    without = replace(
        KNOWN,
        log=None,
        log_missing_at=(at("06:05:00"), at("06:07:30"), at("06:10:01")),
        streams=(stream("commits"),),
    )

    estimate = loads_estimate(load("pulls", "06:11:00"), looked="06:12:00", known=without, now="06:12:00")

    assert seconds(estimate.done_by, "06:11:00") == DEFAULT_QUIET_PERIOD


def test_a_first_look_at_the_loads_may_be_worth_while_at_any_time():
    estimate = estimate_baseline(moment("06:00:10"))

    assert estimate.probability_done(at("06:00:10").timestamp()) == 0
    assert estimate.probability_done(at("06:05:10").timestamp()) > 0.5


# --- Stitch's schedule ----------------------------------------------------------------------------------


def scheduled(**schedule: Any) -> Source:
    return Source.from_json(
        {"id": 310442, "name": "github", "display_name": "GitHub", "schedule": schedule or None}
    )


def every(minutes: Any, next_fire: Any) -> Source:
    return scheduled(type="interval", unit="minute", interval=minutes, next_fire_time=next_fire)


@pytest.mark.parametrize(
    ("source", "begins"),
    [
        pytest.param(every(60.0, "2026-08-17T07:00:00Z"), "07:00:00", id="the next start"),
        pytest.param(every(30.0, "2026-08-17T08:00:00Z"), "06:30:00", id="the first after the instant"),
        pytest.param(every(30, "2026-08-17T06:15:00Z"), "06:15:00", id="the very instant"),
        pytest.param(every(30, "2026-08-17T06:00:00Z"), "06:30:00", id="the one after a start before it"),
        pytest.param(
            scheduled(type="cron", cron_expression="0 0 7 ? * *", next_fire_time="2026-08-17T07:00:00Z"),
            "07:00:00",
            id="a cron expression's next start",
        ),
        pytest.param(every(0, "2026-08-17T07:00:00Z"), "07:00:00", id="an interval of nothing"),
        pytest.param(every(1e-9, "2026-08-17T07:00:00Z"), "07:00:00", id="an interval of next to nothing"),
        pytest.param(every(1e300, "2026-08-17T07:00:00Z"), "07:00:00", id="an interval beyond all time"),
        pytest.param(every(None, "2026-08-17T07:00:00Z"), "07:00:00", id="no interval"),
        pytest.param(every(60.0, "soon"), None, id="no time"),
        pytest.param(every(60.0, None), None, id="no next start"),
        pytest.param(scheduled(), None, id="no schedule"),
    ],
)
def test_when_stitch_starts_the_job(source, begins):
    told = next_scheduled_start(goal(started_after=at("06:15:00")), source)

    assert told == (at(begins) if begins else None)


def test_a_named_job_is_not_the_schedule_s():
    assert next_scheduled_start(goal(), every(60.0, "2026-08-17T07:00:00Z")) is None


@given(st.floats(1, 1440), st.integers(0, 100_000), st.floats(-86_400, 86_400))
def test_it_is_a_start_of_the_schedule_and_the_first_that_counts(minutes, instant, later):
    started_after = at("06:00:00") + timedelta(seconds=instant)
    fires = started_after + timedelta(seconds=round(later))
    source = every(minutes, fires.strftime("%Y-%m-%dT%H:%M:%SZ"))

    begins = next_scheduled_start(goal(started_after=started_after), source)

    assert begins is not None
    assert started_after <= begins
    slots = (fires - begins) / timedelta(minutes=minutes)
    assert slots == pytest.approx(round(slots), abs=1e-6)
    assert begins - timedelta(minutes=minutes) < started_after
