"""What a task's log and its errors say about the progress of a wait. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.replication.phases import Question
from airflow_provider_stitch.replication.words import listed

if TYPE_CHECKING:
    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.known import Known
    from airflow_provider_stitch.replication.phases import Assessment


def describe(goal: Goal) -> str:
    """Return what a goal waits for, such as `loading of source github (310442)`."""
    phase = "the end of the running job" if goal.phase == "end" else goal.phase.replace("_", " ")
    return f"{phase} of source {goal.source_name} ({goal.source_id})"


def job_of(goal: Goal) -> str:
    """Return which job a goal is about."""
    if goal.job_name is not None:
        return goal.job_name
    if goal.started_after is not None:
        return f"a job that started at {format_time(goal.started_after)} or later"
    return "a job of unknown name"


def progress_of(goal: Goal, assessment: Assessment, known: Known) -> str:
    """Return how far a goal's job has come, as far as Stitch has reported it."""
    if goal.phase == "connection_check":
        since = f" that started at {format_time(goal.started_after)} or later" if goal.started_after else ""
        return f"no connection check{since} has finished"
    if not assessment.extraction.over:
        return _progress_of_extraction(goal, known)
    if Question.LOG in assessment.asks:
        return "the extraction has finished, its log is not available yet"
    waiting = [status for status in assessment.streams if status.state == "waiting"]
    if not waiting:
        return "the extraction has finished"
    labels = listed(status.expected.label for status in waiting)
    settling = all(status.loaded_at is not None for status in waiting)
    return f"loads that may still change: {labels}" if settling else f"still to be loaded: {labels}"


def _progress_of_extraction(goal: Goal, known: Known) -> str:
    listed_job = known.extraction
    if listed_job is None and known.earlier_seen_at is None:
        return f"Stitch has returned no list of extractions in this wait, which is for {job_of(goal)}"
    seen = "Stitch lists no finished job of the source"
    if listed_job is not None:
        seen = f"the last finished job that Stitch lists is {listed_job.job_name}"
    if goal.job_name is not None:
        return f"job {goal.job_name} is not listed as finished; {seen}"
    if goal.started_after is not None:
        return (
            f"no extraction that started at {format_time(goal.started_after)} or later has finished; {seen}"
        )
    return f"the extraction that was running has not finished; {seen}"


def timeout_message(
    goal: Goal,
    assessment: Assessment,
    known: Known,
    *,
    time_limit: str,
    polls: int,
    next_request_in: float,
) -> str:
    """Return the error of a wait that reached its time limit.

    :param time_limit: the name of the limit: `timeout`, or Airflow's `execution_timeout`.
    :param polls: how many results of status requests the wait has had.
    :param next_request_in: seconds until the account's budget has a free request; 0 if it has one.
    """
    job = f" (job {goal.job_name})" if goal.job_name is not None and assessment.extraction.over else ""
    budget = ""
    if next_request_in > 0:
        budget = (
            f" The account's requests are used up, and the next one is free in {next_request_in:.0f} s: "
            "let fewer tasks wait at once, or wait with deferrable=True."
        )
    return (
        f"Waiting for {describe(goal)} took longer than the task's {time_limit}: "
        f"{progress_of(goal, assessment, known)}{job}. Results of {polls} status requests were seen.{budget} "
        f"{_advice(goal, time_limit)}"
    )


def _advice(goal: Goal, time_limit: str) -> str:
    if goal.phase == "connection_check":
        return "Saving the source's settings in Stitch starts a check."
    return f"Raise the {time_limit}, or check on the source's page in Stitch what delays it."
