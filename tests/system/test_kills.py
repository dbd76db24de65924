"""Test that the next try of a task resumes the job if a worker is killed."""

from __future__ import annotations

import pytest

from local_airflow.processes import IS_AIRFLOW_2
from tests.support.task_state import STORES_TASK_STATE
from tests.system.conftest import VERY_LONG


@STORES_TASK_STATE
def test_retry_resumes_job_of_killed_worker(airflow, source):
    run = source.run_until_waiting("plain_in_worker")
    airflow.kill_tasks()
    run.wait_until_logged("which an earlier try of this task started")
    source.finish_jobs()

    assert run.wait_until_finished() == "success"
    (job,) = source.jobs
    assert run.xcom()["job_name"] == job.job_name


@STORES_TASK_STATE
def test_retry_finds_job_if_worker_was_killed_before_the_start_response(airflow, stitch, source, where):
    """Stitch has started the job, but the response with the job name has not arrived yet."""
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=30, after_effect=True)
    run = source.run(f"plain_{where}")
    source.wait_until_job()
    airflow.kill_tasks()
    run.wait_until_logged("Received no response to the start")
    source.finish_jobs()

    assert run.wait_until_finished() == "success"
    (job,) = source.jobs
    assert run.xcom()["job_name"] == job.job_name


@STORES_TASK_STATE
def test_retry_starts_another_job_if_the_first_was_terminated(airflow, stitch, source):
    """The worker is killed, and the job is stopped before the next try of the task finds the job."""
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=30, after_effect=True)
    run = source.run("plain_in_worker")
    source.wait_until_job()
    stitch.stop_job(source.id)
    airflow.kill_tasks()
    second = source.wait_until_job(2)
    run.wait_until_waiting()
    source.finish_jobs()

    assert run.wait_until_finished() == "success"
    assert run.xcom()["job_name"] == second.job_name
    assert "JobTerminated" not in run.log()


@STORES_TASK_STATE
def test_cleared_task_of_a_killed_worker_starts_another_job(airflow, source):
    """If a running task is cleared and its worker is killed, Airflow 3.3 does not increase `max_tries`.

    Therefore, the operator detects the clear only by the run's `clear_number`.
    """
    run = source.run_until_waiting("plain_in_worker")
    source.set_new_rows(7)
    airflow.kill_workers()
    run.clear()
    run.wait_until_logged("waiting for it to finish before starting a new job")
    source.finish_jobs()

    assert run.wait_until_finished() == "success"
    first, second = source.jobs
    assert not first.stopped
    assert (run.xcom()["job_name"], run.xcom()["streams"]["commits"]["rows"]) == (second.job_name, 7)


def run_until_process_waits(airflow, source, dag_id):
    """Start a DAG run, and wait until its task waits for its job.

    Return the run and the task's process.
    """
    earlier = airflow.task_processes()  # a worker from the previous test may still be exiting
    run = source.run_until_waiting(dag_id)
    (task,) = (process for process in airflow.task_processes() if process not in earlier)
    return run, task


@STORES_TASK_STATE
@pytest.mark.parametrize(
    ("dag_id", "message"),
    [
        pytest.param("plain_in_worker", "a later try of this task waits for it", id="Airflow responds"),
        pytest.param("unanswered_in_worker", "Airflow did not respond in time", id="Airflow is too slow"),
    ],
)
def test_resumed_worker_leaves_the_job_to_the_next_try(airflow, source, dag_id, message):
    """Airflow starts another try and then kills the first try.

    The first try must not stop the job.
    """
    run, task = run_until_process_waits(airflow, source, dag_id)
    with airflow.suspended(airflow.supervisor_of(task)):
        run.wait_until_logged("which an earlier try of this task started")
    run.wait_until_logged(message)
    # Wait until the first try has exited. Until then, the first try could still stop the job.
    airflow.wait_until(lambda: task not in airflow.task_processes(), "the first try to exit")
    source.finish_jobs()

    assert run.wait_until_finished() == "success"
    (job,) = source.jobs
    assert not job.stopped


@pytest.mark.skipif(not IS_AIRFLOW_2, reason="Airflow 3 ends a worker that it has given up")
def test_resumed_worker_finishes_the_task_on_airflow_2(airflow, stitch, source):
    """Airflow 2.11 lets both tries run.

    When the first try ends, Airflow also ends the second try, which stops its own job.
    """
    run, task = run_until_process_waits(airflow, source, "plain_in_worker")
    with airflow.suspended(airflow.supervisor_of(task)):
        # Airflow gives up the first try 40 seconds after the try's last heartbeat.
        run.wait_until_logged("waiting for it to finish before starting a new job", timeout=180)
    stitch.advance(VERY_LONG + 300)  # past the end of the first job, but not past the end of the second job

    assert run.wait_until_finished() == "success"
    first = source.jobs[0]
    assert not first.stopped
    assert run.xcom()["job_name"] == first.job_name
    airflow.wait_until(lambda: not airflow.task_processes(), "the second try to exit")
    assert all(job.stopped for job in source.jobs[1:])
