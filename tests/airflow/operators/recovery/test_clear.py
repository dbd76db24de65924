"""Test that a cleared task starts a new job, and that a try stops its job if Airflow ends the try."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_stitch.connect.errors import JobNotStarted, PhaseTimedOut, StitchError
from airflow_provider_stitch.emulator import JobPlan
from tests.support.interrupted_runs import (
    FakeTaskStateStore,
    expire_deadline_when_waiting,
    interrupt_before_wait,
    run_job_operator,
)


def test_cleared_task_starts_new_job(stitch, github, context, mocker):
    interrupt_before_wait(mocker, context)
    context["ti"].max_tries += 2

    result = run_job_operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_task_cleared_while_running_starts_new_job(stitch, github, context, mocker):
    """Airflow does not increase `max_tries` if a running task is cleared.

    Therefore, the operator detects the clear only by the run's `clear_number`.
    """
    context["dag_run"] = SimpleNamespace(clear_number=0)
    interrupt_before_wait(mocker, context)
    context["dag_run"].clear_number = 1

    result = run_job_operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_retry_resumes_its_job_if_another_task_was_cleared(stitch, github, context, mocker):
    context["dag_run"] = SimpleNamespace(clear_number=0)
    stitch.plan_next_job(github, JobPlan(tap_seconds=1200))
    expire_deadline_when_waiting(mocker, times=1)
    with pytest.raises(PhaseTimedOut):
        run_job_operator().execute(context)
    context["dag_run"].clear_number = 1

    assert run_job_operator().execute(context)["job_name"] == stitch.jobs(github)[0].job_name


class OutdatedStore(FakeTaskStateStore):
    """The task state store of a try that Airflow has given up.

    Such a store is empty and rejects writes with the status 404.

    :param accepted_writes: number of writes that succeed before Airflow gives up the try.
    """

    def __init__(self, accepted_writes):
        self.accepted_writes = accepted_writes

    def set(self, key, value):
        if self.accepted_writes > 0:
            self.accepted_writes -= 1
            super().set(key, value)
            return
        self.clear()
        error = RuntimeError("API_SERVER_ERROR: 404")
        error.error = SimpleNamespace(detail={"status_code": 404})
        raise error


@pytest.mark.parametrize(
    ("state", "stopped"),
    [
        pytest.param("restarting", True, id="cleared by a user"),
        pytest.param("queued", False, id="given up, next try is queued"),
    ],
)
def test_try_that_airflow_ends_during_the_start_stops_job_if_cleared(stitch, github, context, state, stopped):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    context["task_state_store"] = OutdatedStore(accepted_writes=1)
    context["ti"].state = state

    with pytest.raises(StitchError, match="Airflow ended this try"):
        run_job_operator().execute(context)

    assert [job.stopped for job in stitch.jobs(github)] == [stopped]


def test_try_that_airflow_ends_before_the_start_starts_no_job(stitch, github, context):
    context["task_state_store"] = OutdatedStore(accepted_writes=0)

    with pytest.raises(JobNotStarted, match="Airflow ended this try"):
        run_job_operator().execute(context)

    assert stitch.jobs(github) == []
