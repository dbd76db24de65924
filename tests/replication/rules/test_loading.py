"""Test which loads finish the loading phase, with fixed examples and with generated loads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.observations import Observations
from tests.replication.rules.loading_states import COMMITS, IN_ERROR, ONE_BATCH, observed, state_of
from tests.support.builders import (
    at,
    avro_log,
    extraction,
    goal,
    load,
    log,
    marker,
    replicated,
    sent,
)

TWO_BATCHES = log(sent("06:01:00", "commits"), sent("06:04:40", "commits"))


# --- The time of a load ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("the_log", "loads", "polled_at", "state"),
    [
        pytest.param(ONE_BATCH, [], "06:10:00", "running", id="no load is listed"),
        pytest.param(
            ONE_BATCH, [load("commits", "06:04:39")], "06:10:00", "running", id="a load before the batch"
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:39")],
            "09:00:00",
            "running",
            id="a load before the batch, hours ago",
        ),
        pytest.param(
            ONE_BATCH, [load("commits", "06:04:41")], "06:04:42", "finished", id="a load just after the batch"
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:09:47")],
            "06:09:48",
            "finished",
            id="a load minutes after the batch",
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:40")],
            "06:05:00",
            "running",
            id="a load in the second of the batch, not settled",
        ),
        pytest.param(
            ONE_BATCH,
            [load("commits", "06:04:40")],
            "06:06:40",
            "finished",
            id="a load in the second of the batch, settled",
        ),
        pytest.param(
            TWO_BATCHES,
            [load("commits", "06:05:00")],
            "06:09:39",
            "running",
            id="two batches; the second load may follow with the same gap",
        ),
        pytest.param(
            log(sent("06:04:30", "commits"), sent("06:04:40", "commits")),
            [load("commits", "06:05:00")],
            "06:07:00",
            "finished",
            id="two batches; the load has settled",
        ),
        pytest.param(log(), [], "06:05:00", "finished", id="no batch"),
        pytest.param(
            log(sent("06:04:40", "issues"), replicated("06:02:33", "commits", 7)),
            [load("issues", "06:05:00")],
            "06:05:01",
            "finished",
            id="rows counted by the tap but not sent by the target",
        ),
        pytest.param(
            log(sent("06:04:40", "commits", rows=0)),
            [],
            "06:05:00",
            "finished",
            id="only a version message",
        ),
        pytest.param(
            log(sent("06:04:40", "commits"), sent("06:04:50", "commits", rows=0)),
            [load("commits", "06:04:45")],
            "06:08:00",
            "finished",
            id="a version message after the last batch with rows",
        ),
    ],
)
def test_loading_finishes_once_each_load_has_passed_its_last_batch(the_log, loads, polled_at, state):
    assert state_of(the_log, loads, polled_at) == state


def test_loading_accepts_a_load_before_the_end_of_the_job():
    assert state_of(log(sent("06:00:30", "commits")), [load("commits", "06:02:00")], "06:05:00") == "finished"


def test_load_settle_zero_accepts_the_first_load():
    assert state_of(TWO_BATCHES, [load("commits", "06:05:00")], "06:05:00", load_settle=0) == "finished"


def test_settle_period_is_at_most_15_minutes():
    far_apart = log(sent("06:00:10", "commits"), sent("06:04:40", "commits"))
    hours = log(sent("06:04:40", "commits"), sent("08:04:40", "commits"))

    assert state_of(far_apart, [load("commits", "06:05:00")], "06:10:29") == "running"
    assert state_of(far_apart, [load("commits", "06:05:00")], "06:10:30") == "finished"
    assert state_of(hours, [load("commits", "08:05:00")], "08:19:59") == "running"
    assert state_of(hours, [load("commits", "08:05:00")], "08:20:00") == "finished"


def test_third_load_of_four_batches_does_not_finish_loading():
    """Each batch is loaded six minutes after it is sent, so the third load is later than the fourth batch."""
    batches = log(*(sent(f"06:{minute:02d}:00", "commits") for minute in (0, 5, 10, 15)))

    assert state_of(batches, [load("commits", "06:16:00")], "06:20:59") == "running"
    assert state_of(batches, [load("commits", "06:21:00")], "06:21:00") == "running"
    assert state_of(batches, [load("commits", "06:21:00")], "06:27:00") == "finished"


def test_batch_in_two_requests_must_settle():
    request = sent("06:04:40", "commits").split("\n", 1)[1]
    two_requests = log(sent("06:04:40", "commits"), request)

    assert state_of(two_requests, [load("commits", "06:05:00")], "06:05:30") == "running"
    assert state_of(two_requests, [load("commits", "06:05:00")], "06:07:00") == "finished"


@pytest.mark.parametrize(
    "retry",
    [
        pytest.param("Error sending data to Stitch. Sleeping 30 seconds before trying again: 502", id="1.x"),
        pytest.param("Backing off post_coroutine(...) for 4.2s (StitchClientResponseError)", id="later"),
    ],
)
def test_retried_batch_counts_as_sent_at_the_next_state_update(retry):
    update = '06:03:20 main INFO State update: adding bookmarks.commits.at = "2026-08-17T05:57:13Z"'
    retried = log(sent("06:03:00", "commits"), f"06:03:01 target INFO {retry}", update)
    update_before_retry = log(sent("06:03:00", "commits"), update, f"06:03:21 target INFO {retry}")

    assert state_of(retried, [load("commits", "06:03:19")], "06:09:00") == "running"
    assert state_of(retried, [load("commits", "06:03:20")], "06:09:00") == "finished"
    assert state_of(update_before_retry, [load("commits", "06:03:01")], "06:03:30") == "finished"


def test_load_after_a_retry_counts_once_the_source_is_quiet():
    """The log contains no state update, so the target's last line determines the time of the last batch.

    The target's last line is much later than the load of the last batch.
    """
    retry = "06:01:01 target INFO Backing off post_coroutine(...) for 4.2s (StitchClientResponseError)"
    retried = log(sent("06:01:00", "commits"), retry)

    assert state_of(retried, [load("commits", "06:03:00")], "06:19:50") == "running"
    assert state_of(retried, [load("commits", "06:03:00")], "06:19:51") == "finished"
    assert state_of(retried, [load("commits", "06:00:59")], "08:00:00") == "running"


def test_evaluation_contains_rows_and_load_time_of_each_stream():
    finished = evaluate(goal("loading"), observed(polls=([load("commits", "06:09:47")], "06:10:00")))

    assert [(each.expected.label, each.expected.rows, each.loaded_at) for each in finished.streams] == [
        ("commits", 412, at("06:09:47"))
    ]
    assert "Loaded commits: 412 rows at 2026-08-17T06:09:47Z" in finished.log_lines


def test_rows_of_tap_and_target_are_never_added():
    both = log(replicated("06:02:00", "commits", 5), sent("06:02:01", "commits", 5))
    avro = avro_log(replicated("06:02:00", "commits", 5), marker("06:02:01", "commits"))

    for the_log in (both, avro):
        evaluation = evaluate(
            goal("loading"), observed(the_log, polls=([load("commits", "06:05:00")], "06:30:00"))
        )
        assert [each.expected.rows for each in evaluation.streams] == [5]


def test_load_after_the_last_batch_causes_no_warning():
    after = ([load("commits", "06:09:47")], "06:20:00")

    assert evaluate(goal("loading"), observed(ONE_BATCH, polls=after)).warnings == ()


# --- The previous job, and observations over several polls ----------------------------------------------


@pytest.mark.parametrize(
    ("previous_job", "state"),
    [
        pytest.param({"previous_job_polled_at": at("06:00:10")}, "finished", id="no previous job"),
        pytest.param(
            {"previous_job_polled_at": at("06:00:10"), "previous_job_ended_at": at("05:00:00")},
            "finished",
            id="it ended an hour before",
        ),
        pytest.param(
            {"previous_job_polled_at": at("06:00:10"), "previous_job_ended_at": at("05:59:00")},
            "running",
            id="it ended a minute before",
        ),
        pytest.param({"previous_job_polled_at": None}, "running", id="its end was not seen"),
        pytest.param(
            {"previous_job_polled_at": at("05:59:59")},
            "running",
            id="another job may have run since the poll",
        ),
    ],
)
def test_load_settles_if_rows_of_the_previous_job_may_be_pending(previous_job, state):
    observations = observed(polls=([load("commits", "06:05:00")], "06:05:30"), **previous_job)

    assert evaluate(goal("loading"), observations).state == state
    later = observations.with_loads([load("commits", "06:05:00")], at("06:07:00"))
    assert evaluate(goal("loading"), later).state == "finished"


def test_poll_for_one_load_keeps_the_other_loads():
    """A source's loads can be on several pages, but the poller polls only pages with expected loads."""
    both = log(sent("06:04:30", "commits"), sent("06:04:40", "issues"))
    observations = observed(
        both, polls=([load("commits", "06:05:00"), load("issues", None, "locked")], "06:06:00")
    )
    observations = observations.with_loads([load("issues", "06:06:10")], at("06:08:10"), {"issues"})

    assert evaluate(goal("loading"), observations).state == "finished"


def test_load_that_a_poll_no_longer_lists_is_dropped():
    observations = observed(polls=([load("commits", "06:04:39")], "06:06:00"))

    assert observations.with_loads([], at("06:06:20"), {"commits"}).loads == {}
    assert observations.with_loads([], at("06:06:20"), {"issues"}).loads == observations.loads


# --- Properties -----------------------------------------------------------------------------------------

times = st.integers(min_value=0, max_value=7200).map(lambda s: at("06:00:00") + timedelta(seconds=s))


@given(
    batches=st.lists(times, min_size=1, max_size=4),
    loaded_at=times,
    polled_at=times,
    settle=st.integers(0, 600),
)
def test_loading_never_finishes_with_a_load_before_the_last_batch(batches, loaded_at, polled_at, settle):
    """If the log contains several batches, loading finishes once the stream's load has settled."""
    the_log = log(*(sent(f"{time:%H:%M:%S}", "commits") for time in sorted(batches)))
    polled_at = max(polled_at, loaded_at)
    loads = [load("commits", f"{loaded_at:%H:%M:%S}")]
    base = Observations(
        extraction=extraction(end="08:00:00"),
        log=the_log,
        streams=(COMMITS,),
        previous_job_polled_at=at("06:00:10"),
    )

    now = evaluate(goal("loading", load_settle=settle), base.with_loads(loads, polled_at)).state
    later_at = polled_at + timedelta(seconds=max(900, settle))
    later = evaluate(goal("loading", load_settle=settle), base.with_loads(loads, later_at)).state

    if loaded_at < max(batches):
        assert now == later == "running"
    else:
        if len(batches) == 1 or settle == 0:
            assert now == "finished"
        elif polled_at - loaded_at < timedelta(seconds=settle):
            assert now == "running"
        assert later == "finished"


@given(st.lists(st.sampled_from([None, "05:00:00", "06:04:41", "06:09:47"]), max_size=4), times)
def test_preparation_finishes_no_later_than_loading(load_times, polled_at):
    loads = [load("commits", time) if time else IN_ERROR for time in load_times]
    observations = observed(TWO_BATCHES, polls=[(loads, "06:00:10"), (loads, f"{polled_at:%H:%M:%S}")])

    if evaluate(goal("loading"), observations).state == "finished":
        assert evaluate(goal("preparation"), observations).state == "finished"
