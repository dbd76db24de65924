"""Test how the status of an extraction is determined from Stitch's list of jobs and from the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

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
from tests.support.builders import EARLIER, LATER, OURS, SUCCEEDED, at, extraction, goal, log, parsed_log

EARLIER_JOB = extraction(EARLIER, start="05:00:02", end="05:03:00")
LATER_JOB = extraction(LATER, start="07:00:02", end="07:03:00")
LOG_MISSING_ONCE = (at("06:05:00"),)
LOG_UNAVAILABLE = (at("06:05:00"), at("06:05:30"), at("06:10:00"))


@pytest.mark.parametrize(
    ("listed", "state"),
    [
        pytest.param(None, "running", id="no job of the source is listed"),
        pytest.param(EARLIER_JOB, "running", id="an earlier job is listed while ours runs"),
        pytest.param(extraction(), "finished", id="all statuses are 0"),
        pytest.param(
            extraction(end=None, statuses=(0, None, None)), "running", id="the tap is still reading"
        ),
        pytest.param(
            extraction(end=None, statuses=(0, 1, None)), "running", id="the target is still writing"
        ),
        pytest.param(extraction(statuses=(0, 1, 0)), "failed", id="the tap failed and the target did not"),
        pytest.param(extraction(statuses=(1, None, None)), "failed", id="discovery failed"),
        pytest.param(extraction(statuses=(0, 0, 1)), "failed", id="the target failed"),
        pytest.param(
            extraction(statuses=(None, None, None)), "failed", id="terminated: ended with all statuses null"
        ),
        pytest.param(
            extraction(statuses=(0, 0, None)), "failed", id="terminated: ended with a null target status"
        ),
        pytest.param(extraction(statuses=(None, 0, 0)), "finished", id="a tap without discovery"),
        pytest.param(extraction(statuses=(None, 1, 0)), "failed", id="a tap without discovery failed"),
        pytest.param(extraction(statuses=(0, -9, 0)), "failed", id="the tap was killed"),
    ],
)
def test_evaluate_extraction_uses_the_statuses_of_the_listed_job(listed, state):
    assert (
        evaluate_extraction(
            goal(), Observations(extraction=listed, incomplete_log_times=LOG_MISSING_ONCE)
        ).state
        == state
    )


@pytest.mark.parametrize(
    ("statuses", "descriptions", "kind", "phrases"),
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
            id="the target failed, so the runner stopped the tap",
        ),
        pytest.param(
            (0, -9, 1),
            (None, "Killed", "x"),
            ExtractionFailed,
            ["the tap ended", "-9"],
            id="the tap was killed, then the target failed",
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
def test_failure_names_part_reason_and_next_step(statuses, descriptions, kind, phrases):
    listed = extraction(statuses=statuses, descriptions=descriptions)

    failure = evaluate_extraction(
        goal(), Observations(extraction=listed, incomplete_log_times=LOG_MISSING_ONCE)
    ).failure

    assert type(failure) is kind
    assert failure.job_name == OURS
    for phrase in [*phrases, "github (310442)", OURS, "run the task again"]:
        assert phrase in str(failure)


def test_failed_extraction_needs_its_log_for_the_error_message():
    observations = Observations(extraction=extraction(statuses=(0, 1, 0), descriptions=(None, "boom", None)))

    assert evaluate(goal(), observations).needs == (Need.LOG,)


def test_failure_quotes_only_errors_and_exit_line_of_the_log():
    ending = (
        "06:30:08 main INFO Exit status is: Discovery succeeded. Tap failed with code 1. Target succeeded."
    )
    failed_log = log(
        "06:30:07 tap INFO row of a customer", "06:30:08 tap CRITICAL 401 Unauthorized", ending=ending
    )
    observations = Observations(extraction=extraction(statuses=(0, 1, 0)), log=failed_log)

    message = str(evaluate(goal(), observations).failure)

    assert "CRITICAL 401 Unauthorized" in message
    assert "Tap failed with code 1." in message
    assert "customer" not in message


@pytest.mark.parametrize(
    ("the_log", "incomplete_log_times", "state", "kind"),
    [
        pytest.param(log(), (), "finished", None, id="the log shows success"),
        pytest.param(
            log(ending="06:01:00 main INFO Exit status is: Discovery failed with code 1."),
            (),
            "failed",
            StructureSyncFailed,
            id="the log shows that discovery failed",
        ),
        pytest.param(
            log(
                ending="06:01:00 main INFO Exit status is: Discovery succeeded. Tap failed with code -9. "
                "Target succeeded."
            ),
            (),
            "failed",
            ExtractionFailed,
            id="the log shows that the tap failed",
        ),
        pytest.param(None, (), "running", None, id="the log was not requested yet"),
        pytest.param(None, LOG_MISSING_ONCE, "running", None, id="the log may still become available"),
        pytest.param(None, LOG_UNAVAILABLE, "failed", JobOutcomeUnknown, id="there is no log"),
        pytest.param(
            log(ending=None), LOG_UNAVAILABLE, "failed", JobOutcomeUnknown, id="the log is truncated"
        ),
    ],
)
def test_superseded_job_is_evaluated_by_its_log(the_log, incomplete_log_times, state, kind):
    status = evaluate_extraction(
        goal(), Observations(extraction=LATER_JOB, log=the_log, incomplete_log_times=incomplete_log_times)
    )

    assert status.state == state
    assert status.failure is None if kind is None else type(status.failure) is kind
    assert status.ended


@pytest.mark.parametrize(
    ("logged_at", "completed_at"),
    [
        pytest.param("06:04:51", "06:04:51", id="between the starts of the two jobs"),
        pytest.param("05:04:51", "07:00:02", id="before the start of the job"),
        pytest.param("08:04:51", "07:00:02", id="after the start of the later job"),
    ],
)
def test_end_of_superseded_job_is_not_before_its_start_or_after_a_later_start(logged_at, completed_at):
    the_log = log(ending=f"{logged_at} main INFO {SUCCEEDED}")
    status = evaluate_extraction(goal(), Observations(extraction=LATER_JOB, log=the_log))

    assert status.state == "finished"
    assert status.completed_at == at(completed_at)


def test_end_of_superseded_job_is_ignored_if_its_log_begins_before_the_job():
    first = "05:30:02 main INFO Running tap-github version 3.1.2 and target-stitch version 4.0.3"
    the_log = parsed_log(first, f"06:04:51 main INFO {SUCCEEDED}")
    status = evaluate_extraction(goal(), Observations(extraction=LATER_JOB, log=the_log))

    assert status.completed_at == at("07:00:02")


def test_job_start_time_replaces_a_name_without_time():
    unnamed = "104857.310442.sync.7b2a8ee8-6a52-4a1e-8a6f-7b6f1d0a2c11"  # the name contains a random UUID
    ours = goal(job_name=unnamed, job_started_at=at("06:00:02"))

    assert not evaluate_extraction(ours, Observations(extraction=EARLIER_JOB)).ended
    assert evaluate_extraction(ours, Observations(extraction=LATER_JOB)).ended


@pytest.mark.parametrize(
    ("identified_by", "listed", "matches"),
    [
        pytest.param({"started_after": at("06:00:00")}, extraction(), True, id="started after the time"),
        pytest.param({"started_after": at("06:00:02")}, extraction(), True, id="started at the time"),
        pytest.param({"started_after": at("06:00:03")}, extraction(), False, id="started before the time"),
        pytest.param({"running_at": at("06:02:00")}, extraction(), True, id="was running at the time"),
        pytest.param({"running_at": at("06:04:51.900")}, extraction(), True, id="ended in the same second"),
        pytest.param({"running_at": at("06:04:52")}, extraction(), False, id="had ended before"),
        pytest.param(
            {"running_at": at("06:02:00")},
            extraction(end=None),
            False,
            id="listed as running, perhaps on an older page",
        ),
        pytest.param({"running_at": at("06:00:02")}, extraction(), True, id="started in the same second"),
        pytest.param({"running_at": at("06:00:01")}, extraction(), False, id="started after the time"),
        pytest.param({"running_at": at("05:30:00")}, extraction(), False, id="a later job that ended first"),
    ],
)
def test_job_without_name_is_identified_by_its_times(identified_by, listed, matches):
    status = evaluate_extraction(goal(**identified_by), Observations(extraction=listed))

    assert (status.job_name == OURS) is matches
    assert (status.state == "finished") is matches


def test_outcome_of_unnamed_job_is_unknown_once_a_later_job_is_listed():
    status = evaluate_extraction(goal(running_at=at("05:30:00")), Observations(extraction=extraction()))

    assert status.ended
    assert isinstance(status.failure, JobOutcomeUnknown)
    for phrase in ("github (310442)", "2026-08-17 05:30:00", OURS, "run the task again"):
        assert phrase in str(status.failure)


def test_structure_sync_without_discovery_finishes_with_the_job():
    observations = Observations(extraction=extraction(statuses=(None, 0, 0)))

    assert evaluate(goal("structure_sync"), observations).state == "finished"


@pytest.mark.parametrize(
    ("observations", "state"),
    [
        pytest.param(
            Observations(extraction=extraction(end=None, statuses=(0, None, None))),
            "finished",
            id="tap and target are running",
        ),
        pytest.param(
            Observations(extraction=extraction(statuses=(0, 1, 0))), "finished", id="the tap failed"
        ),
        pytest.param(
            Observations(
                extraction=extraction(statuses=(1, None, None)), incomplete_log_times=LOG_MISSING_ONCE
            ),
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
            id="superseded, and the log shows that discovery succeeded",
        ),
    ],
)
def test_structure_sync_is_the_discovery_of_the_extraction(observations, state):
    assert evaluate(goal("structure_sync"), observations).state == state


def test_extraction_end_finishes_even_if_the_job_failed():
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


def test_completion_time_is_the_next_start_if_the_log_has_no_times():
    timeless = parse_extraction_log(
        [b"main - INFO Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."]
    )

    status = evaluate_extraction(goal(), Observations(extraction=LATER_JOB, log=timeless))

    assert status.state == "finished"
    assert status.completed_at == at("07:00:02")


def test_listed_job_with_undocumented_name_is_compared_by_start_time():
    odd = extraction("new-form-of-name", start="07:00:02", end="07:03:00")

    assert evaluate_extraction(goal(), Observations(extraction=odd)).ended
    assert (
        evaluate_extraction(goal(started_after=at("07:00:00")), Observations(extraction=odd)).state
        == "finished"
    )


@pytest.mark.parametrize("listed", [None, EARLIER_JOB], ids=["no job is listed", "an earlier job is listed"])
def test_job_that_is_not_listed_after_25_hours_has_ended(listed):
    """Stitch terminates a job after 24 hours, and lists the job for 60 days."""
    polled = Observations().with_extraction(listed, at("06:00:02") + timedelta(hours=25), is_ours=False)
    assert evaluate_extraction(goal(), polled).state == "running"

    polled = Observations().with_extraction(listed, at("06:00:04") + timedelta(hours=25), is_ours=False)
    status = evaluate_extraction(goal(), polled)
    assert (status.state, status.ended, status.needs_log) == ("running", True, True)

    succeeded = replace(polled, log=log())
    assert evaluate_extraction(goal(), succeeded).state == "finished"

    without_time = replace(polled, log=replace(log(), exited_at=None))
    assert evaluate_extraction(goal(), without_time).completed_at == at("06:00:02") + timedelta(hours=25)

    failure = evaluate_extraction(goal(), replace(polled, incomplete_log_times=LOG_UNAVAILABLE)).failure
    assert isinstance(failure, JobOutcomeUnknown)
    assert "no longer lists it" in str(failure)
