"""A triggerer ends, or is held up. The jobs that its triggers wait for go on."""

from __future__ import annotations

import psutil


def test_a_restarted_triggerer_goes_on_waiting_for_the_job(airflow, source):
    run = source.run_until_it_waits("plain_deferred")
    airflow.processes.terminate("triggerer")
    airflow.processes.start_component("triggerer")
    run.until_it_waits(times=2)

    assert not source.jobs[0].stopped
    _ends_well(run, source)


def test_when_one_of_two_triggerers_is_killed_the_other_goes_on_waiting_for_the_job(airflow, source):
    run = source.run_until_it_waits("plain_deferred")
    airflow.processes.start_component("triggerer", "other triggerer")
    output = airflow.processes.home / "other-triggerer.out"
    airflow.until(lambda: "Starting the triggerer" in output.read_text(), "the other triggerer")
    airflow.processes.kill("triggerer")
    run.until_it_waits(times=2)

    _ends_well(run, source)
    airflow.processes.start_component("triggerer")
    airflow.processes.terminate("other triggerer")


def test_dag_test_beside_a_triggerer_does_not_stop_the_job(airflow, source):
    """`dag.test()` sets a deferred task to `queued` and runs its trigger itself."""
    run = source.run_until_it_waits("plain_deferred")
    run.until_task_is("deferred")
    airflow.set_state_in_database(run, "queued")
    run.until_logged("no user has ended its task")

    assert not source.jobs[0].stopped
    run.mark("failed")


def _ends_well(run, source):
    source.let_jobs_end()
    assert run.end() == "success"
    (job,) = source.jobs
    assert run.xcom()["job_name"] == job.job_name
    assert not job.stopped


def test_a_triggerer_that_was_held_up_leaves_the_job_to_the_one_that_took_over(airflow, source):
    """It cancels the trigger, and Airflow 3.3 then calls `on_kill` as if a user had acted."""
    run = source.run_until_it_waits("plain_deferred")
    held_up = psutil.Process(airflow.processes.pid("triggerer"))
    airflow.hold_up(held_up)
    airflow.processes.start_component("triggerer", "second triggerer")
    run.until_it_waits(times=2)
    held_up.resume()
    run.until_logged("no user has ended its task")
    source.let_jobs_end()

    assert run.end() == "success"
    (job,) = source.jobs
    assert not job.stopped
    airflow.processes.terminate("second triggerer")


def test_a_task_that_is_deferred_again_before_the_triggerer_looks_has_its_first_job_stopped(airflow, source):
    """To the triggerer a cleared task may look as if it had never ceased to wait."""
    run = source.run_until_it_waits("plain_deferred")
    held_up = psutil.Process(airflow.processes.pid("triggerer"))
    airflow.hold_up(held_up)
    run.clear()
    run.until_logged("is running already; ours starts when it has ended")
    run.until_task_is("deferred")
    held_up.resume()

    source.until_stopped(source.jobs[0])
    source.until_job(2)
    source.let_jobs_end()
    assert run.end() == "success"
