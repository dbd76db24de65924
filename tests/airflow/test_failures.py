"""Test that an error fails the task without a retry if a retry could not succeed."""

from __future__ import annotations

import copy
import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_stitch.common.failures import fail_without_retry, permanent_error
from airflow_provider_stitch.connect.errors import ERROR_CLASSES, CannotFinish, InvalidProperties, StitchError
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator


def test_failure_callback_receives_the_permanent_error(airflow, stitch, github, deferrable):
    stitch.start_job(github, tap_seconds=36_000)
    stitch.pause_source(github)
    stitch.delete_destinations()
    errors = []
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate",
            source="github",
            if_running="join",
            deferrable=deferrable,
            retries=1,
            on_failure_callback=lambda context: errors.append(context["exception"]),
        )

    dag_run = airflow.run(dag)

    assert dag_run.instances["replicate"].try_number == 1
    (error,) = errors
    assert isinstance(error, CannotFinish)
    assert isinstance(error, AirflowFailException)
    assert error.source_id == github


@pytest.mark.parametrize("kind", [kind for kind in ERROR_CLASSES.values() if not kind.retryable])
def test_permanent_error_keeps_its_class_when_copied_or_pickled(kind):
    error = kind("Something happened.", source_id=7, job_name="a job")

    with pytest.raises(kind) as raised, fail_without_retry():
        raise error

    for error in (raised.value, copy.copy(raised.value), pickle.loads(pickle.dumps(raised.value))):
        assert isinstance(error, AirflowFailException)
        assert isinstance(error, kind)
        assert type(error).__name__ == kind.__name__
        assert (str(error), error.source_id, error.job_name) == ("Something happened.", 7, "a job")


def test_permanent_error_keeps_the_attributes_of_its_class():
    assert permanent_error(InvalidProperties("No.", bad_properties=("host",))).bad_properties == ("host",)


def test_retryable_error_is_raised_unchanged():
    error = StitchError("Later.")

    with pytest.raises(StitchError) as raised, fail_without_retry():
        raise error

    assert raised.value is error
