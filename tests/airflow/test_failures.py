"""What Airflow is told of a task that fails."""

from __future__ import annotations

import copy
import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_stitch.common.failures import fail_without_retry, permanent_error
from airflow_provider_stitch.connect.errors import KINDS, CannotFinish, InvalidProperties, StitchError
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator


def test_callback_gets_the_kind_and_attributes_of_a_permanent_error(airflow, stitch, github, deferrable):
    stitch.start_job(github, tap_seconds=36_000)
    stitch.pause_source(github)
    stitch.delete_destinations()
    caught = []
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(
            task_id="replicate",
            source="github",
            if_running="join",
            deferrable=deferrable,
            retries=1,
            on_failure_callback=lambda context: caught.append(context["exception"]),
        )

    dag_run = airflow.run(dag)

    assert dag_run.instances["replicate"].try_number == 1
    (error,) = caught
    assert isinstance(error, CannotFinish)
    assert isinstance(error, AirflowFailException)
    assert error.source_id == github


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if not kind.retryable])
def test_permanent_error_is_of_its_kind_and_can_be_copied(kind):
    error = kind("Something happened.", source_id=7, job_name="a job")

    with pytest.raises(kind) as raised, fail_without_retry():
        raise error

    for made in (raised.value, copy.copy(raised.value), pickle.loads(pickle.dumps(raised.value))):
        assert isinstance(made, AirflowFailException)
        assert isinstance(made, kind)
        assert type(made).__name__ == kind.__name__
        assert (str(made), made.source_id, made.job_name) == ("Something happened.", 7, "a job")


def test_permanent_error_keeps_attributes_of_its_own_kind():
    assert permanent_error(InvalidProperties("No.", bad_properties=("host",))).bad_properties == ("host",)


def test_error_that_a_retry_may_fix_stays_as_it_is():
    error = StitchError("Later.")

    with pytest.raises(StitchError) as raised, fail_without_retry():
        raise error

    assert raised.value is error
