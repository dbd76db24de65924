"""Test job names and the errors that the client raises."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

from airflow_provider_stitch.connect import errors
from airflow_provider_stitch.connect.errors import (
    ERROR_CLASSES,
    InvalidArgument,
    StitchError,
    StitchUnavailable,
)
from airflow_provider_stitch.connect.objects import (
    Extraction,
    JobName,
)
from tests.connect.utc_times import utc

from . import samples


@pytest.mark.parametrize(
    ("name", "source_id", "mode", "start_time"),
    [
        pytest.param(
            samples.EXTRACTION_GOOD["job_name"], 310442, "sync", utc(2026, 8, 17, 6, 0, 2, 418000), id="a job"
        ),
        pytest.param(
            samples.CHECK_FAILED["name"],
            310444,
            "check",
            utc(2026, 8, 17, 7, 20, 15, 0),
            id="a connection check",
        ),
        pytest.param("1.2.check.9c6b1c3e-1f57-4a0e-9c57-0a3c5d7e9f11", 2, "check", None, id="a random uuid"),
    ],
)
def test_job_name_contains_source_and_start_time(name, source_id, mode, start_time):
    job = JobName.parse(name)

    assert (job.full, job.source_id, job.mode) == (name, source_id, mode)
    if start_time is None:
        assert job.start_time is None
    else:
        assert job.start_time is not None
        assert job.start_time.replace(microsecond=0) == start_time.replace(microsecond=0)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("310442", id="a source id"),
        pytest.param("104857.310442.sync", id="no uuid"),
        pytest.param("104857.310442.sync.43c122b0", id="a short uuid"),
        pytest.param(f"{samples.JOB_NAME}\n", id="a line break"),
        pytest.param(f" {samples.JOB_NAME}", id="a leading space"),
        pytest.param(samples.JOB_NAME.replace(".sync.", ".."), id="no mode"),
        pytest.param("x.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d", id="a client id with letters"),
        pytest.param("٣.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d", id="non-ASCII digits"),
    ],
)
def test_invalid_job_name_is_rejected_with_an_example(name):
    with pytest.raises(InvalidArgument, match="An example of a name: 104857"):
        JobName.parse(name)


# Errors.


@pytest.mark.parametrize("name", sorted(ERROR_CLASSES))
def test_error_survives_pickle_copy_and_trigger_event(name):
    error = ERROR_CLASSES[name]("What happened.", source_id=310442, job_name=samples.JOB_NAME)

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is ERROR_CLASSES[name]
        assert str(twin) == "What happened."
        assert vars(twin) == vars(error)


def test_error_attributes_survive_pickle():
    error = StitchUnavailable("Away.", retry_after=3.5, maybe_received=False)

    twin = pickle.loads(pickle.dumps(error))

    assert (twin.retry_after, twin.maybe_received) == (3.5, False)


def test_errors_that_a_person_must_fix_are_not_retryable():
    final = {name for name, error_class in ERROR_CLASSES.items() if not error_class.retryable}

    assert final == {
        "StitchConfigurationError",
        "StitchUnauthorized",
        "StitchBadRequest",
        "InvalidProperties",
        "NameInUse",
        "EmailInUse",
        "LimitReached",
        "NotInPlan",
        "StitchNotFound",
        "UnknownSource",
        "UnknownDestination",
        "PausedByStitch",
        "DeletedSource",
        "AmbiguousSource",
        "UnknownStream",
        "InvalidArgument",
        "CannotFinish",
        "AccountHasProblems",
    }
    assert ERROR_CLASSES["StitchError"] is StitchError
    defined = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == ERROR_CLASSES


def test_errors_and_objects_import_only_the_standard_library():
    code = (
        "import sys; from airflow_provider_stitch.connect import errors, objects; "
        "print(sorted({'requests', 'urllib3', 'tenacity', 'airflow'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("statuses", "completed", "expected"),
    [
        pytest.param((0, 0, 0), True, (True, False, False), id="succeeded"),
        pytest.param((None, 0, 0), True, (True, False, False), id="a tap without discovery"),
        pytest.param((0, 1, 0), True, (False, True, False), id="the tap failed"),
        pytest.param((1, None, None), True, (False, True, False), id="discovery failed"),
        pytest.param((None, None, None), True, (False, True, True), id="terminated"),
        pytest.param((0, None, None), False, (False, False, False), id="running"),
    ],
)
def test_extraction_succeeded_failed_or_terminated(statuses, completed, expected):
    parts = ("discovery", "tap", "target")
    extraction = Extraction.from_json(
        {
            "job_name": "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d",
            "source_id": 310442,
            "completion_time": "2026-08-17T06:04:51Z" if completed else None,
            **{f"{part}_exit_status": status for part, status in zip(parts, statuses, strict=True)},
        }
    )

    assert (extraction.succeeded, extraction.failed, extraction.terminated) == expected
