"""Test that jobs keep running if the triggerer that waits for them exits or is suspended."""

from __future__ import annotations

import psutil


def test_restarted_triggerer_resumes_the_wait(airflow, source):
    run = source.run_until_waiting("plain_deferred")
    airflow.processes.terminate("triggerer")
    airflow.processes.start_component("triggerer")
    run.wait_until_waiting(waiter=2)

    assert not source.jobs[0].stopped
    _assert_succeeds_with_first_job(run, source)


def test_other_triggerer_resumes_the_wait_of_a_killed_triggerer(airflow, source):
    run = source.run_until_waiting("plain_deferred")
    airflow.processes.start_component("triggerer", "other triggerer")
    output = airflow.processes.home / "other-triggerer.out"
    airflow.wait_until(lambda: "Starting the triggerer" in output.read_text(), "the other triggerer")
    airflow.processes.kill("triggerer")
    run.wait_until_waiting(waiter=2)

    _assert_succeeds_with_first_job(run, source)
    airflow.processes.start_component("triggerer")
    airflow.processes.terminate("other triggerer")


def test_dag_test_beside_a_triggerer_does_not_stop_the_job(airflow, source):
    """`dag.test()` sets a deferred task to `queued` and runs the task's trigger in its own process."""
    run = source.run_until_waiting("plain_deferred")
    run.wait_until_task_is("deferred")
    airflow.set_state_in_database(run, "queued")
    run.wait_until_logged("its task is still deferred")

    assert not source.jobs[0].stopped
    run.mark("failed")


def _assert_succeeds_with_first_job(run, source):
    source.finish_jobs()
    assert run.wait_until_finished() == "success"
    (job,) = source.jobs
    assert run.xcom()["job_name"] == job.job_name
    assert not job.stopped


def test_resumed_triggerer_leaves_the_job_to_the_other_triggerer(airflow, source):
    """When the triggerer resumes, it cancels its trigger.

    Airflow 3.3 then calls `on_kill` in the same way as after a user action.
    """
    run = source.run_until_waiting("plain_deferred")
    with airflow.suspended(psutil.Process(airflow.processes.pid("triggerer"))):
        airflow.processes.start_component("triggerer", "second triggerer")
        run.wait_until_waiting(waiter=2)
    run.wait_until_logged("its task is still deferred")
    source.finish_jobs()

    assert run.wait_until_finished() == "success"
    (job,) = source.jobs
    assert not job.stopped
    airflow.processes.terminate("second triggerer")


def test_first_job_is_stopped_if_task_is_cleared_during_a_suspension(airflow, source):
    """The cleared task is deferred again before the triggerer resumes.

    Therefore, the state of the task does not show that the task was cleared.
    """
    run = source.run_until_waiting("plain_deferred")
    with airflow.suspended(psutil.Process(airflow.processes.pid("triggerer"))):
        run.clear()
        run.wait_until_logged("already has a running job; waiting for it to finish before starting a new job")
        run.wait_until_task_is("deferred")

    source.wait_until_stopped(source.jobs[0])
    source.wait_until_job(2)
    source.finish_jobs()
    assert run.wait_until_finished() == "success"
