"""The verdict on an extraction, as tables of what Stitch may list."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_stitch.connect.errors import (
    ExtractionFailed,
    JobOutcomeUnknown,
    JobTerminated,
    StructureSyncFailed,
)
from airflow_provider_stitch.connect.extraction_log import parse_extraction_log
from airflow_provider_stitch.replication.rules.evaluate import Need, evaluate
from airflow_provider_stitch.replication.rules.extraction import evaluate_extraction
from airflow_provider_stitch.replication.rules.observations import Observations
from tests.support.builders import EARLIER, LATER, OURS, at, extraction, goal, log

EARLIER_JOB = extraction(EARLIER, start="05:00:02", end="05:03:00")
LATER_JOB = extraction(LATER, start="07:00:02", end="07:03:00")
NO_LOG = (at("06:05:00"),)
NO_LOG_FOR_LONG = (at("06:05:00"), at("06:05:30"), at("06:10:00"))


@pytest.mark.parametrize(
    ("listed", "state"),
    [
        pytest.param(None, "running", id="no job of a new source is listed"),
        pytest.param(EARLIER_JOB, "running", id="an earlier job is listed as long as ours runs"),
        pytest.param(extraction(), "finished", id="all three statuses are 0"),
        pytest.param(extraction(end=None, statuses=(0, None, None)), "running", id="the tap still reads"),
        pytest.param(extraction(end=None, statuses=(0, 1, None)), "running", id="the target still writes"),
        pytest.param(extraction(statuses=(0, 1, 0)), "failed", id="the tap failed while the target is 0"),
        pytest.param(extraction(statuses=(1, None, None)), "failed", id="discovery failed"),
        pytest.param(extraction(statuses=(0, 0, 1)), "failed", id="the target failed"),
        pytest.param(extraction(statuses=(None, None, None)), "failed", id="terminated: all null, yet over"),
        pytest.param(extraction(statuses=(0, 0, None)), "failed", id="the target's status is null, yet over"),
        pytest.param(extraction(statuses=(None, 0, 0)), "finished", id="a tap without discovery"),
        pytest.param(extraction(statuses=(None, 1, 0)), "failed", id="a tap without discovery failed"),
        pytest.param(extraction(statuses=(0, -9, 0)), "failed", id="the tap was killed"),
    ],
)
def test_the_listed_job_decides(listed, state):
    assert evaluate_extraction(goal(), Observations(extraction=listed, log_missing_at=NO_LOG)).state == state


@pytest.mark.parametrize(
    ("statuses", "descriptions", "kind", "words"),
    [
        pytest.param(
            (1, None, None),
            ("no such host", None, None),
            StructureSyncFailed,
            ["Structure sync", "discovery", "exit status 1", "no such host"],
            id="discovery",
        ),
        pytest.param(
            (0, 1, 0),
            (None, "401 Client Error", None),
            ExtractionFailed,
            ["Extraction", "the tap ended", "exit status 1", "401 Client Error"],
            id="tap",
        ),
        pytest.param(
            (0, -15, 1),
            (None, None, "400: bad schema"),
            ExtractionFailed,
            ["the target ended", "bad schema"],
            id="the target died and the tap was stopped for it",
        ),
        pytest.param(
            (0, -9, 1),
            (None, "Killed", "x"),
            ExtractionFailed,
            ["the tap ended", "-9"],
            id="the tap was killed and the target failed after it",
        ),
        pytest.param(
            (None, None, None),
            ("Terminated",) * 3,
            JobTerminated,
            ["terminated", "24 hours"],
            id="terminated",
        ),
    ],
)
def test_a_failure_says_which_part_and_why_and_what_to_do(statuses, descriptions, kind, words):
    listed = extraction(statuses=statuses, descriptions=descriptions)

    failure = evaluate_extraction(goal(), Observations(extraction=listed, log_missing_at=NO_LOG)).failure

    assert type(failure) is kind
    assert failure.job_name == OURS
    for word in [*words, "github (310442)", OURS, "run the task again"]:
        assert word in str(failure)


def test_a_failure_first_asks_for_the_log_which_has_the_words_for_it():
    known = Observations(extraction=extraction(statuses=(0, 1, 0), descriptions=(None, "boom", None)))

    assert evaluate(goal(), known).needs == (Need.LOG,)


def test_a_failure_quotes_errors_and_exit_line_of_the_log_and_no_other_line():
    ending = (
        "06:30:08 main INFO Exit status is: Discovery succeeded. Tap failed with code 1. Target succeeded."
    )
    failed_log = log(
        "06:30:07 tap INFO row of a customer", "06:30:08 tap CRITICAL 401 Unauthorized", ending=ending
    )
    known = Observations(extraction=extraction(statuses=(0, 1, 0)), log=failed_log)

    said = str(evaluate(goal(), known).failure)

    assert "CRITICAL 401 Unauthorized" in said
    assert "Tap failed with code 1." in said
    assert "customer" not in said


@pytest.mark.parametrize(
    ("known_log", "refused", "state", "kind"),
    [
        pytest.param(log(), (), "finished", None, id="its log says that it succeeded"),
        pytest.param(
            log(ending="06:01:00 main INFO Exit status is: Discovery failed with code 1."),
            (),
            "failed",
            StructureSyncFailed,
            id="its log says that discovery failed",
        ),
        pytest.param(
            log(
                ending="06:01:00 main INFO Exit status is: Discovery succeeded. Tap failed with code -9. "
                "Target succeeded."
            ),
            (),
            "failed",
            ExtractionFailed,
            id="its log says that the tap failed",
        ),
        pytest.param(None, (), "running", None, id="its log was not asked for yet"),
        pytest.param(None, NO_LOG, "running", None, id="its log may still come"),
        pytest.param(
            None, NO_LOG_FOR_LONG, "failed", JobOutcomeUnknown, id="there is no log: an error, and no guess"
        ),
        pytest.param(log(ending=None), NO_LOG_FOR_LONG, "failed", JobOutcomeUnknown, id="its log is cut off"),
    ],
)
def test_a_job_overtaken_by_a_later_one_is_judged_by_its_log(known_log, refused, state, kind):
    verdict = evaluate_extraction(
        goal(), Observations(extraction=LATER_JOB, log=known_log, log_missing_at=refused)
    )

    assert verdict.state == state
    assert verdict.failure is None if kind is None else type(verdict.failure) is kind
    assert verdict.ended


def test_a_job_whose_name_tells_no_time_is_overtaken_by_the_time_that_its_start_was_answered():
    unnamed = "104857.310442.sync.7b2a8ee8-6a52-4a1e-8a6f-7b6f1d0a2c11"  # a random UUID
    ours = goal(job_name=unnamed, job_started_at=at("06:00:02"))

    assert not evaluate_extraction(ours, Observations(extraction=EARLIER_JOB)).ended
    assert evaluate_extraction(ours, Observations(extraction=LATER_JOB)).ended


@pytest.mark.parametrize(
    ("which", "listed", "meant"),
    [
        pytest.param({"started_after": at("06:00:00")}, extraction(), True, id="began after the instant"),
        pytest.param({"started_after": at("06:00:02")}, extraction(), True, id="began at the instant"),
        pytest.param({"started_after": at("06:00:03")}, extraction(), False, id="began before the instant"),
        pytest.param({"running_at": at("06:02:00")}, extraction(), True, id="ran at the instant"),
        pytest.param({"running_at": at("06:04:51.900")}, extraction(), True, id="ended in the very second"),
        pytest.param({"running_at": at("06:04:52")}, extraction(), False, id="had ended before the instant"),
        pytest.param(
            {"running_at": at("06:02:00")}, extraction(end=None), False, id="was running on an older page"
        ),
        pytest.param({"running_at": at("06:00:02")}, extraction(), True, id="began in the very second"),
        pytest.param({"running_at": at("06:00:01")}, extraction(), False, id="began after the instant"),
        pytest.param(
            {"running_at": at("05:30:00")}, extraction(), False, id="is a later job, the next to end"
        ),
    ],
)
def test_a_job_without_a_name_is_told_by_its_times(which, listed, meant):
    verdict = evaluate_extraction(goal(**which), Observations(extraction=listed))

    assert (verdict.job_name == OURS) is meant
    assert (verdict.state == "finished") is meant


def test_a_running_job_of_unknown_name_is_lost_if_only_a_later_job_is_listed():
    verdict = evaluate_extraction(goal(running_at=at("05:30:00")), Observations(extraction=extraction()))

    assert verdict.ended
    assert isinstance(verdict.failure, JobOutcomeUnknown)
    for words in ("github (310442)", "2026-08-17 05:30:00", OURS, "run the task again"):
        assert words in str(verdict.failure)


def test_the_structure_sync_of_a_tap_without_discovery_is_finished_with_its_job():
    known = Observations(extraction=extraction(statuses=(None, 0, 0)))

    assert evaluate(goal("structure_sync"), known).state == "finished"


@pytest.mark.parametrize(
    ("known", "state"),
    [
        pytest.param(
            Observations(extraction=extraction(end=None, statuses=(0, None, None))),
            "finished",
            id="the rest runs",
        ),
        pytest.param(
            Observations(extraction=extraction(statuses=(0, 1, 0))), "finished", id="the rest failed"
        ),
        pytest.param(
            Observations(extraction=extraction(statuses=(1, None, None)), log_missing_at=NO_LOG),
            "failed",
            id="discovery failed",
        ),
        pytest.param(Observations(extraction=EARLIER_JOB), "running", id="not listed yet"),
        pytest.param(
            Observations(
                extraction=LATER_JOB,
                log=log(
                    ending="06:01:00 main INFO Exit status is: Discovery succeeded. "
                    "Tap failed with code 1. Target succeeded."
                ),
            ),
            "finished",
            id="overtaken, and the log says that discovery succeeded",
        ),
    ],
)
def test_the_structure_sync_is_the_discovery_part(known, state):
    assert evaluate(goal("structure_sync"), known).state == state


def test_the_end_of_a_job_is_its_end_however_it_went():
    assert (
        evaluate(goal("extraction_end"), Observations(extraction=extraction(statuses=(0, 1, 0)))).state
        == "finished"
    )
    assert evaluate(goal("extraction_end"), Observations(extraction=LATER_JOB)).state == "finished"
    assert evaluate(goal("extraction_end"), Observations(extraction=EARLIER_JOB)).state == "running"
    assert (
        evaluate(
            goal("extraction_end"), Observations(extraction=replace(extraction(), completion_time=None))
        ).state
        == "running"
    )


def test_a_log_without_times_still_ended_before_the_next_job_began():
    timeless = parse_extraction_log(
        [b"main - INFO Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."]
    )

    verdict = evaluate_extraction(goal(), Observations(extraction=LATER_JOB, log=timeless))

    assert verdict.state == "finished"
    assert verdict.completed_at == at("07:00:02")


def test_a_listed_job_with_a_name_of_an_unknown_form_is_told_by_its_start():
    odd = extraction("new-form-of-name", start="07:00:02", end="07:03:00")

    assert evaluate_extraction(goal(), Observations(extraction=odd)).ended
    assert (
        evaluate_extraction(goal(started_after=at("07:00:00")), Observations(extraction=odd)).state
        == "finished"
    )
