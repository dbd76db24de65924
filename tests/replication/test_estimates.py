"""Test the estimated time at which a poll will detect a change."""

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
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate, DurationHistory
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.goal import DEFAULT_QUIET_PERIOD, Goal
from airflow_provider_stitch.replication.rules.observations import Observations
from tests.support.builders import at, extraction, goal, load, log, replicated, sent, stream

HISTORY = DurationHistory.from_durations([300, 320, 310])


def context(now: str, last_check: str | None = None, *, clock_offset: float = 0.0) -> EstimateContext:
    """Return an `EstimateContext`. The arguments `now` and `last_check` are times on Stitch's clock."""
    return EstimateContext(
        now=at(now).timestamp() - clock_offset,
        last_checked_at=at(last_check).timestamp() - clock_offset if last_check else None,
        even_interval=20.0,
        clock_offset=clock_offset,
    )


def seconds_after(time: str, estimated: float) -> float:
    return estimated - at(time).timestamp()


# --- The extraction -------------------------------------------------------------------------------------


def test_extraction_of_a_named_job_may_end_from_its_start_on():
    estimate = estimate_extraction_end(goal(), context("06:00:10"), HISTORY)

    assert seconds_after("06:00:02", estimate.since) == 0
    assert estimate.activity_start == estimate.since == estimate.last_checked_at
    assert estimate.history is HISTORY
    assert estimate.done_by == math.inf


def test_extraction_may_have_ended_since_the_last_poll():
    estimate = estimate_extraction_end(goal(), context("06:03:00", last_check="06:02:00"), HISTORY)

    assert seconds_after("06:02:00", estimate.last_checked_at) == 0
    assert seconds_after("06:00:02", estimate.since) == 0


def test_first_poll_of_a_late_waiter_is_due_at_once():
    first = estimate_extraction_end(goal(), context("06:30:00"), None)
    second = estimate_extraction_end(goal(), context("06:30:00", last_check="06:29:00"), None)

    assert first.done_by == at("06:30:00").timestamp()
    assert second.done_by == math.inf


@pytest.mark.parametrize(
    ("phase", "requests"),
    [("structure_sync", 0), ("extraction", 0), ("extraction_end", 0), ("preparation", 2), ("loading", 2)],
)
def test_extraction_that_must_be_loaded_has_two_follow_up_requests(phase, requests):
    assert estimate_extraction_end(goal(phase), context("06:00:10"), None).follow_ups == requests


def test_scheduled_job_is_timed_from_its_start_but_may_start_earlier():
    estimate = estimate_extraction_end(
        goal(started_after=at("06:00:00")), context("06:00:30"), HISTORY, scheduled_start=at("06:20:00")
    )

    assert seconds_after("06:00:00", estimate.since) == 0
    assert seconds_after("06:20:00", estimate.activity_start) == 0


def test_extraction_cannot_end_before_started_after():
    estimate = estimate_extraction_end(goal(started_after=at("07:00:00")), context("06:00:00"), HISTORY)

    assert seconds_after("07:00:00", estimate.since) == 0
    assert estimate.probability_done(at("07:00:00").timestamp()) == 0


def test_job_of_unknown_start_uses_no_history():
    estimate = estimate_extraction_end(
        goal("extraction_end", running_at=at("06:00:00")), context("06:00:01"), HISTORY
    )

    assert estimate.history is None
    assert seconds_after("06:00:00", estimate.since) == 0


@pytest.mark.parametrize("offset", [-3600.0, -5.0, 5.0, 3600.0])
def test_stitch_times_are_converted_to_the_local_clock(offset):
    same_clock, other_clock = (
        estimate_extraction_end(goal(), context("06:00:30", clock_offset=each), HISTORY)
        for each in (0.0, offset)
    )

    assert other_clock.since == same_clock.since - offset
    assert other_clock.last_checked_at == same_clock.last_checked_at - offset


def test_start_of_a_job_is_never_in_the_future_if_the_clock_is_wrong():
    """This machine's clock is an hour behind Stitch's clock, but the clock offset is not known yet."""
    now = at("05:00:00").timestamp()

    estimate = estimate_extraction_end(goal(), EstimateContext(now, None, 20.0), HISTORY)

    assert estimate.since == estimate.last_checked_at == now


# --- The log --------------------------------------------------------------------------------------------


def test_log_of_a_finished_job_is_available_now():
    estimate = estimate_log_ready(Observations(), context("06:05:00"))

    assert estimate.probability_done(at("06:05:00").timestamp()) == 1
    assert estimate.follow_ups == 1


def test_three_requests_for_a_missing_log_take_at_least_5_minutes():
    missing = Observations(incomplete_log_times=(at("06:05:00"),))

    estimate = estimate_log_ready(missing, context("06:05:00"))

    assert seconds_after("06:05:00", estimate.done_by) == pytest.approx(152)
    assert 2 * seconds_after("06:05:00", estimate.done_by) >= 300
    assert estimate.probability_done(at("06:05:01").timestamp()) < 0.5


# --- The loads ------------------------------------------------------------------------------------------


LOG = log(
    sent("06:03:00", "commits"),
    replicated("06:03:01", "commits", 12),
    sent("06:04:30", "pulls"),
    replicated("06:04:31", "pulls", 3),
)
OBSERVATIONS = Observations(
    extraction=extraction(),
    log=LOG,
    streams=(stream("commits"), stream("pulls"), stream("issues")),
    previous_job_polled_at=at("06:00:30"),
)


def loads_estimate(
    *loads: Any,
    polled: str | None = None,
    observations: Observations = OBSERVATIONS,
    now: str = "06:06:00",
) -> CompletionEstimate:
    """Return the completion estimate after a baseline poll at 06:00:10 that found no loads.

    :param loads: the loads that a second poll found.
    :param polled: the time of the second poll, or None if there was no second poll.
    """
    observations = observations.with_loads([], at("06:00:10"))
    if polled:
        observations = observations.with_loads(loads, at(polled))
    return estimate_of(goal("loading"), observations, context(now, polled), HISTORY)


def estimate_of(
    goal: Goal, observations: Observations, context: EstimateContext, history: DurationHistory | None
) -> CompletionEstimate:
    return estimate_loads_done(goal, observations, evaluate(goal, observations), context, history)


def test_stream_may_be_loaded_from_its_last_flush_on():
    estimate = loads_estimate()

    assert seconds_after("06:04:30", estimate.since) == 0
    assert estimate.last_checked_at == estimate.since
    assert estimate.history is HISTORY
    assert estimate.done_by == math.inf
    assert estimate.follow_ups == 0


def test_estimate_ignores_streams_that_are_loaded():
    estimate = loads_estimate(load("pulls", "06:05:10"), polled="06:05:30")

    assert seconds_after("06:03:00", estimate.since) == 0
    assert seconds_after("06:05:30", estimate.last_checked_at) == 0


def test_load_that_must_settle_is_due_when_it_has_settled():
    two_batches = replace(
        OBSERVATIONS,
        log=log(sent("06:01:00", "commits"), sent("06:03:00", "commits")),
        streams=(stream("commits"),),
    )

    estimate = loads_estimate(load("commits", "06:05:00"), polled="06:05:30", observations=two_batches)

    assert seconds_after("06:08:00", estimate.done_by) == 0


def test_no_poll_is_due_while_a_stream_is_not_loaded():
    two_batches = replace(
        OBSERVATIONS,
        log=log(sent("06:01:00", "commits"), sent("06:03:00", "commits"), sent("06:04:00", "pulls")),
    )

    estimate = loads_estimate(load("commits", "06:05:00"), polled="06:05:30", observations=two_batches)

    assert estimate.done_by == math.inf


def test_poll_is_due_when_the_last_of_two_loads_has_settled():
    two_batches = replace(
        OBSERVATIONS,
        log=log(*(sent(clock, name) for name in ("commits", "pulls") for clock in ("06:01:00", "06:03:00"))),
    )

    estimate = loads_estimate(
        load("commits", "06:05:00"), load("pulls", "06:05:20"), polled="06:05:30", observations=two_batches
    )

    assert seconds_after("06:08:20", estimate.done_by) == 0


def test_old_load_error_is_polled_twice_within_five_minutes():
    """After a poll finds a load error, one poll is due after 2.5 minutes and another after 5 minutes."""
    failed = load("commits", None, error="disk full")
    first = OBSERVATIONS.with_loads([failed], at("06:00:10"))
    first = replace(
        first, load_errors={"commits": replace(first.load_errors["commits"], last_without_error_at=None)}
    )
    second = first.with_loads([failed], at("06:02:40"))

    first_due, second_due = (
        estimate_of(goal("loading", streams=("commits",)), each, context("06:06:00"), None).done_by
        for each in (first, second)
    )

    assert seconds_after("06:02:40", first_due) == 0
    assert seconds_after("06:05:10", second_due) == 0


WITHOUT_LOG = replace(
    OBSERVATIONS,
    log=None,
    incomplete_log_times=(at("06:05:00"), at("06:07:30"), at("06:10:01")),
    streams=(stream("commits"),),
)


def test_possible_stream_without_a_load_is_due_after_the_quiet_period():
    estimate = loads_estimate(
        load("pulls", "06:11:00"), polled="06:12:00", observations=WITHOUT_LOG, now="06:12:00"
    )

    assert seconds_after("06:11:00", estimate.done_by) == DEFAULT_QUIET_PERIOD


@pytest.mark.parametrize("loads", [(), (load("pulls", "05:00:00"),)], ids=["no load", "an old load"])
def test_quiet_period_begins_at_the_end_of_the_job(loads):
    estimate = loads_estimate(*loads, polled="06:12:00", observations=WITHOUT_LOG, now="06:12:00")

    assert seconds_after("06:04:51", estimate.done_by) == DEFAULT_QUIET_PERIOD


def test_no_poll_is_due_if_the_quiet_period_was_not_conclusive():
    """The log proves that "commits" had rows, but the stream has no load after the quiet period."""
    truncated = replace(WITHOUT_LOG, log=log(sent("06:03:00", "commits"), ending=None))

    estimate = loads_estimate(polled="06:25:00", observations=truncated, now="06:25:00")

    assert estimate.done_by == math.inf


def test_baseline_poll_becomes_more_useful_with_time():
    estimate = estimate_baseline(context("06:00:10"))

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
    ("source", "start"),
    [
        pytest.param(every(60.0, "2026-08-17T07:00:00Z"), "07:00:00", id="the next start"),
        pytest.param(every(30.0, "2026-08-17T08:00:00Z"), "06:30:00", id="the first start after the instant"),
        pytest.param(every(30, "2026-08-17T06:15:00Z"), "06:15:00", id="a start at the instant"),
        pytest.param(every(30, "2026-08-17T06:00:00Z"), "06:30:00", id="the start after one that has passed"),
        pytest.param(
            scheduled(type="cron", cron_expression="0 0 7 ? * *", next_fire_time="2026-08-17T07:00:00Z"),
            "07:00:00",
            id="the next start of a cron expression",
        ),
        pytest.param(every(0, "2026-08-17T07:00:00Z"), "07:00:00", id="an interval of zero"),
        pytest.param(every(1e-9, "2026-08-17T07:00:00Z"), "07:00:00", id="an interval near zero"),
        pytest.param(every(1e300, "2026-08-17T07:00:00Z"), "07:00:00", id="an interval that overflows"),
        pytest.param(every(None, "2026-08-17T07:00:00Z"), "07:00:00", id="no interval"),
        pytest.param(every(60.0, "soon"), None, id="a next start that is not a time"),
        pytest.param(every(60.0, None), None, id="no next start"),
        pytest.param(scheduled(), None, id="no schedule"),
    ],
)
def test_next_scheduled_start_is_the_first_at_or_after_started_after(source, start):
    scheduled_start = next_scheduled_start(goal(started_after=at("06:15:00")), source)

    assert scheduled_start == (at(start) if start else None)


def test_named_job_has_no_scheduled_start():
    assert next_scheduled_start(goal(), every(60.0, "2026-08-17T07:00:00Z")) is None


@given(st.floats(1, 1440), st.integers(0, 100_000), st.floats(-86_400, 86_400))
def test_next_scheduled_start_is_a_multiple_of_the_interval(minutes, seconds, offset):
    started_after = at("06:00:00") + timedelta(seconds=seconds)
    next_fire_time = started_after + timedelta(seconds=round(offset))
    source = every(minutes, next_fire_time.strftime("%Y-%m-%dT%H:%M:%SZ"))

    start = next_scheduled_start(goal(started_after=started_after), source)

    assert start is not None
    assert started_after <= start
    intervals = (next_fire_time - start) / timedelta(minutes=minutes)
    assert intervals == pytest.approx(round(intervals), abs=1e-6)
    assert start - timedelta(minutes=minutes) < started_after
