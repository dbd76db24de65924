"""Test which load errors make a phase fail."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import LoadingFailed
from airflow_provider_stitch.replication.rules.evaluate import Need, evaluate
from tests.replication.rules.loading_states import IN_ERROR, ORDERS, observed
from tests.support.builders import (
    OURS,
    at,
    goal,
    load,
    log,
    sent,
    stream,
)

WITHOUT_ERROR = load("commits", "05:00:00")
LOADED = load("commits", "06:09:47")


@pytest.mark.parametrize(
    ("polls", "state"),
    [
        pytest.param(
            [([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR], "06:06:00")],
            "failed",
            id="new: the load had no error before",
        ),
        pytest.param(
            [([], "06:00:10"), ([IN_ERROR], "06:06:00")],
            "running",
            id="perhaps old: the load was not listed before",
        ),
        pytest.param(
            [([], "06:00:10"), ([IN_ERROR], "06:01:00"), ([IN_ERROR], "06:02:00"), ([IN_ERROR], "06:06:00")],
            "failed",
            id="not listed before, then in two later polls, the last after 5 minutes",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00")], "running", id="old: in one later poll"
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00"), ([IN_ERROR], "06:05:09")],
            "running",
            id="old: in two later polls within less than 5 minutes",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:30:00")],
            "running",
            id="old: in one later poll after a long time",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00"), ([IN_ERROR], "06:05:10")],
            "failed",
            id="old: in two later polls, the last after 5 minutes",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([], "06:01:00"), ([IN_ERROR], "06:02:00")],
            "running",
            id="old: one poll missed it because it moved to another page",
        ),
        pytest.param(
            [([WITHOUT_ERROR], "05:30:00"), ([IN_ERROR], "06:06:00")],
            "running",
            id="perhaps old: the load had no error before the job",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([IN_ERROR], "06:01:00"), ([LOADED], "06:09:48")],
            "running",
            id="old: cleared by a load that may contain only earlier rows",
        ),
        pytest.param(
            [
                ([IN_ERROR], "06:00:10"),
                ([WITHOUT_ERROR], "06:01:00"),
                ([WITHOUT_ERROR], "06:02:00"),
                ([LOADED], "06:09:48"),
            ],
            "running",
            id="old: cleared, then a load that may contain only earlier rows",
        ),
        pytest.param(
            [
                ([IN_ERROR], "06:00:10"),
                ([IN_ERROR], "06:01:00"),
                ([LOADED], "06:09:48"),
                ([LOADED], "06:11:47"),
            ],
            "finished",
            id="old: cleared, and the load has settled",
        ),
        pytest.param(
            [([IN_ERROR], "06:00:10"), ([WITHOUT_ERROR], "06:01:00"), ([IN_ERROR], "06:02:00")],
            "failed",
            id="old: cleared, then in error again",
        ),
        pytest.param(
            [([IN_ERROR, WITHOUT_ERROR], "06:00:10"), ([IN_ERROR, LOADED], "06:09:48")],
            "finished",
            id="a deleted source's error beside our load",
        ),
        pytest.param(
            [
                ([IN_ERROR, WITHOUT_ERROR], "06:00:10"),
                *[([IN_ERROR, WITHOUT_ERROR], f"06:{minute}:00") for minute in ("01", "05", "20", "59")],
            ],
            "running",
            id="a deleted source's error beside a load that is still missing",
        ),
        pytest.param(
            [([IN_ERROR, WITHOUT_ERROR], "06:00:10"), ([IN_ERROR, IN_ERROR], "06:06:00")],
            "failed",
            id="a new error beside a deleted source's",
        ),
        pytest.param(
            [([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR, LOADED], "06:09:48")],
            "finished",
            id="a namesake's new error beside our load",
        ),
    ],
)
def test_load_error_fails_loading_if_it_is_new_or_lasts(polls, state):
    assert evaluate(goal("loading"), observed(polls=polls)).state == state


@pytest.mark.parametrize(
    ("polls", "state"),
    [
        pytest.param(
            [([load("orders", None, "old")], f"06:{minute}:00") for minute in ("05", "06", "15")],
            "running",
            id="an old error under the name of a deselected table",
        ),
        pytest.param(
            [
                ([load("orders", "05:00:00")], "06:00:10"),
                ([load("orders", None, "new"), load("public_orders", "06:05:00")], "06:08:00"),
            ],
            "finished",
            id="an error under another name than the load's",
        ),
        pytest.param(
            [([load("public_orders", None, "old")], f"06:{minute}:00") for minute in ("05", "06", "15")],
            "failed",
            id="an old error under the load's name",
        ),
    ],
)
def test_error_of_a_deselected_namesake_does_not_fail_loading(polls, state):
    streams = (ORDERS, stream("orders", "shopdb-archive-orders", schema="archive", selected=False))
    the_log = log(sent("06:04:40", "public_orders", 3))

    assert evaluate(goal("loading"), observed(the_log, streams=streams, polls=polls)).state == state


@pytest.mark.parametrize(
    ("deleted_namesakes", "last_polled_at", "state"),
    [
        pytest.param(0, "06:15:00", "failed", id="no deleted source has the name"),
        pytest.param(1, "06:15:00", "running", id="the error may belong to a deleted source"),
        pytest.param(1, "07:05:59", "running", id="for almost an hour"),
        pytest.param(1, "07:06:00", "failed", id="for an hour, so it is probably ours"),
    ],
)
def test_old_error_of_a_deleted_source_fails_loading_late(deleted_namesakes, last_polled_at, state):
    polls = [([IN_ERROR], time) for time in ("06:06:00", "06:12:00", last_polled_at)]
    observations = observed(polls=polls, deleted_namesakes=deleted_namesakes)

    assert evaluate(goal("loading"), observations).state == state


@pytest.mark.parametrize(
    ("last_polled_at", "state"),
    [
        pytest.param("07:04:00", "running", id="less than an hour after the job"),
        pytest.param("07:10:00", "failed", id="more than an hour after the job"),
    ],
)
def test_time_of_an_old_error_before_the_end_of_the_job_does_not_count(last_polled_at, state):
    polls = [([IN_ERROR], time) for time in ("04:00:00", "06:06:00", last_polled_at)]

    assert evaluate(goal("loading"), observed(polls=polls, deleted_namesakes=1)).state == state


def test_old_error_beside_a_load_without_error_does_not_fail_loading():
    loads = [load("commits", "05:30:00", "old"), load("commits", "05:00:00")]
    polls = [(loads, time) for time in ("06:06:00", "06:30:00", "09:00:00")]

    assert evaluate(goal("loading"), observed(polls=polls, deleted_namesakes=1)).state == "running"


@pytest.mark.parametrize("phase", ["preparation", "loading"])
def test_error_requires_the_deleted_sources_with_the_name(phase):
    polls = [([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR], "06:06:00")]

    assert evaluate(goal(phase), observed(polls=polls, deleted_namesakes=None)).needs == (Need.SOURCES,)


def test_poll_of_other_loads_keeps_an_error():
    observations = observed(polls=([IN_ERROR], "06:06:00"))

    polled_others = observations.with_loads([load("issues", "06:06:10")], at("06:06:20"), {"issues"})

    assert polled_others.load_errors == observations.load_errors
    assert (
        polled_others.with_loads([IN_ERROR], at("06:06:40"), {"commits"}).load_errors["commits"].repeats == 1
    )


def test_failure_contains_the_destinations_message():
    failure = evaluate(
        goal("loading"), observed(polls=[([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR], "06:06:00")])
    ).failure

    assert isinstance(failure, LoadingFailed)
    for phrase in ("Loading", "github (310442)", OURS, "commits: relation is locked", "Fix the destination"):
        assert phrase in str(failure)


def test_load_error_of_a_stream_without_new_rows_is_a_warning():
    polls = [([LOADED, load("issues", None, error="disk full")], "06:10:00")]

    evaluation = evaluate(goal("loading"), observed(polls=polls))

    assert evaluation.state == "finished"
    assert any("issues (disk full)" in warning for warning in evaluation.warnings)


def test_preparation_finishes_despite_a_load_error():
    polls = [([WITHOUT_ERROR], "06:00:10"), ([IN_ERROR], "06:06:00")]

    assert evaluate(goal("preparation"), observed(polls=polls)).state == "finished"
    assert evaluate(goal("preparation"), observed(polls=[([WITHOUT_ERROR], "06:10:00")])).state == "running"
