"""A worker is killed without a warning. The next try goes on with its job."""

from __future__ import annotations

from importlib.metadata import version

import pytest

# Before, Airflow keeps nothing of a task for its next try, and the name of the job dies with the worker.
pytestmark = pytest.mark.skipif(
    tuple(int(part) for part in version("apache-airflow").split(".")[:2]) < (3, 3),
    reason="Airflow keeps a task's state from 3.3 on",
)


def test_a_retry_goes_on_with_the_job_of_a_worker_that_was_killed(airflow, source):
    run = source.run_until_it_waits("plain_in_worker")
    airflow.kill_the_task()
    run.until_logged("An earlier try of this task started job")
    source.let_jobs_end()

    assert run.end() == "success"
    (job,) = source.jobs
    assert run.xcom()["job_name"] == job.job_name


def test_a_worker_that_is_killed_before_it_hears_of_its_job_has_not_lost_it(airflow, stitch, source, where):
    """Killed between Stitch's start of the job and its answer: nobody in Airflow knows the job's name."""
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=30, after_effect=True)
    run = source.run(f"plain_{where}")
    source.until_job()
    airflow.kill_the_task()
    run.until_logged("The answer to the start was lost")
    source.let_jobs_end()

    assert run.end() == "success"
    (job,) = source.jobs
    assert run.xcom()["job_name"] == job.job_name


def test_start_whose_job_was_terminated_is_made_again(airflow, stitch, source):
    """Its worker is killed, and the job is stopped before the next try finds it."""
    stitch.fail("POST", f"/sources/{source.id}/sync", delay=30, after_effect=True)
    run = source.run("plain_in_worker")
    source.until_job()
    stitch.stop_job(source.id)
    airflow.kill_the_task()
    second = source.until_job(2)
    run.until_it_waits()
    source.let_jobs_end()

    assert run.end() == "success"
    assert run.xcom()["job_name"] == second.job_name
    assert "JobTerminated" not in run.log()


@pytest.mark.parametrize(
    ("dag_id", "words"),
    [
        pytest.param("plain_in_worker", "a later try of this task waits for it", id="Airflow responds"),
        pytest.param("unanswered_in_worker", "Airflow did not respond in time", id="Airflow is too slow"),
    ],
)
def test_a_worker_that_was_held_up_leaves_the_job_to_the_next_try(airflow, source, dag_id, words):
    """Airflow starts another try; then it kills the first, which must not take the job along."""
    run = source.run_until_it_waits(dag_id)
    (task,) = airflow.task_processes()
    supervisor = airflow.supervisor_of(task)
    airflow.hold_up(supervisor)
    run.until_logged("An earlier try of this task started job")
    supervisor.resume()
    run.until_logged(words)
    source.let_jobs_end()

    assert run.end() == "success"
    (job,) = source.jobs
    assert not job.stopped
