"""Describe the progress of a wait in the task's log and in error messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.replication.outcome import error_to_dict
from airflow_provider_stitch.replication.polling.log_throttle import HEARTBEAT_LOG
from airflow_provider_stitch.replication.rules.evaluate import Need
from airflow_provider_stitch.replication.rules.streams import join_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.replication.polling.caller import Clock
    from airflow_provider_stitch.replication.rules.evaluate import Evaluation
    from airflow_provider_stitch.replication.rules.goal import Goal, Phase
    from airflow_provider_stitch.replication.rules.observations import Observations

# Seconds between two heartbeats of a task. The interval is longer if a large number of tasks are waiting.
HEARTBEAT_INTERVAL = 600.0

# A heartbeat that is late by more than this number of seconds reserves a new slot, because the heartbeats of
# many other tasks may also be late.
HEARTBEAT_GRACE = 10.0

# What the source must finish in each phase.
_PHASE_NAMES: dict[Phase, str] = {
    "connection_check": "its connection check",
    "structure_sync": "its structure sync",
    "extraction": "its extraction",
    "extraction_end": "its running job",
    "preparation": "preparation",
    "loading": "loading",
}


class ProgressLog:
    """Writes the progress of one wait to the task's log.

    To save memory, no method is a coroutine. Structlog inspects the frame of its caller, and a waiting
    coroutine would keep the memory that the inspection allocates.

    :param log_info: a function that is called once with each line.
    :param log_warning: a function that is called once with each warning.
    """

    def __init__(
        self, clock: Clock, log_info: Callable[[str], None], log_warning: Callable[[str], None]
    ) -> None:
        self.next_heartbeat_at = float("inf")
        self._clock = clock
        self._log_info = log_info
        self._log_warning = log_warning
        # An empty dict uses a third of the memory that an empty set uses.
        self._logged_lines: dict[str, None] = {}
        self._slot_reserved = False

    def log_wait_started(self, goal: Goal) -> None:
        self._log_info(f"Waiting for {describe_event(goal)}")
        self.next_heartbeat_at = self._clock.time() + HEARTBEAT_INTERVAL

    def log_heartbeat(self, goal: Goal, evaluation: Evaluation, observations: Observations) -> None:
        """Log that the task is still waiting, if a heartbeat is due."""
        now = self._clock.time()
        if now < self.next_heartbeat_at:
            return
        if not self._slot_reserved or now > self.next_heartbeat_at + HEARTBEAT_GRACE:
            self.next_heartbeat_at, self._slot_reserved = now + HEARTBEAT_LOG.reserve_slot(), True
        if now >= self.next_heartbeat_at:
            progress = describe_progress(goal, evaluation, observations)
            self._log_info(f"Still waiting for {describe_event(goal)}: {progress}")
            self.next_heartbeat_at, self._slot_reserved = now + HEARTBEAT_INTERVAL, False

    def log_job_name(self, job_name: str) -> None:
        self._log_info(f"The job is {job_name}")

    def has_news(self, evaluation: Evaluation) -> bool:
        """Return whether an evaluation ends the wait, or contains lines that have not been logged."""
        lines = (*evaluation.log_lines, *evaluation.warnings)
        return evaluation.state != "running" or any(line not in self._logged_lines for line in lines)

    def log_evaluation(self, evaluation: Evaluation) -> None:
        """Log the evaluation's lines and warnings that have not been logged yet."""
        for line in evaluation.log_lines:
            self._log_once(line, self._log_info)
        for line in evaluation.warnings:
            self.warn(line)

    def warn(self, line: str) -> None:
        """Log a warning, unless the same wait has already logged the warning."""
        self._log_once(line, self._log_warning)

    def _log_once(self, line: str, log: Callable[[str], None]) -> None:
        if line not in self._logged_lines:
            self._logged_lines[line] = None
            log(line)


def describe_event(goal: Goal) -> str:
    """Return the event that a goal waits for, such as `source github (310442) to finish loading`."""
    return f"source {goal.source_name} ({goal.source_id}) to finish {_PHASE_NAMES[goal.phase]}"


def describe_job(goal: Goal) -> str:
    """Return a description of a goal's job, with the job's name if the name is known."""
    if goal.job_name is not None:
        return f"job {goal.job_name}"
    if goal.started_after is not None:
        return f"a job that started at {format_time(goal.started_after)} or later"
    return "a job of unknown name"


def error_in_context(goal: Goal, error: StitchError) -> dict[str, Any]:
    """Return an error as a JSON-serializable dict.

    If the message does not contain the source, a description of the goal is added.
    """
    fields = error_to_dict(error)
    if f"{goal.source_name} ({goal.source_id})" not in fields["message"]:
        fields["message"] += f"\nRaised while waiting for {describe_event(goal)} ({describe_job(goal)})."
    return fields


def describe_progress(goal: Goal, evaluation: Evaluation, observations: Observations) -> str:
    """Return a description of the progress that Stitch has reported for a goal's job."""
    if goal.phase == "connection_check":
        since = f" that started at {format_time(goal.started_after)} or later" if goal.started_after else ""
        return f"no connection check{since} has finished"
    if not evaluation.extraction.ended:
        return _describe_extraction(goal, observations)
    if Need.LOG in evaluation.needs:
        return "the extraction has finished, but its log is not available yet"
    waiting = [status for status in evaluation.streams if status.state == "waiting"]
    if not waiting:
        return "the extraction has finished"
    labels = join_names(status.expected.label for status in waiting)
    is_settling = all(status.loaded_at is not None for status in waiting)
    return f"loads that may still change: {labels}" if is_settling else f"still to be loaded: {labels}"


def _describe_extraction(goal: Goal, observations: Observations) -> str:
    listed_job = observations.extraction
    if listed_job is None and observations.previous_job_polled_at is None:
        return (
            "Stitch has not yet returned the list of extractions to this task, which waits for "
            f"{describe_job(goal)}"
        )
    seen = "Stitch lists no finished job of the source"
    if listed_job is not None and listed_job.completion_time is None:
        seen = f"Stitch lists job {listed_job.job_name} as running"
    elif listed_job is not None:
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
    evaluation: Evaluation,
    observations: Observations,
    *,
    time_limit: str,
    requests_sent: int,
    next_request_in: float,
) -> str:
    """Return the error message for a wait that reached its time limit.

    :param time_limit: the name of the time limit, which is `timeout` or Airflow's `execution_timeout`.
    :param requests_sent: number of status requests that were sent for the wait.
    :param next_request_in: seconds until the account's budget has a free request; 0 if a request is free.
    """
    job = f" (job {goal.job_name})" if goal.job_name is not None and evaluation.extraction.ended else ""
    budget = ""
    if next_request_in > 0:
        budget = (
            " The account has no free status request, and the next request is free in "
            f"{next_request_in:.0f} s. Let fewer tasks wait at the same time, or set deferrable=True."
        )
    return (
        f"Waiting for {describe_event(goal)} took longer than the task's {time_limit}: "
        f"{describe_progress(goal, evaluation, observations)}{job}. "
        f"Status requests sent: {requests_sent}.{budget} {_advice(goal, time_limit)}"
    )


def _advice(goal: Goal, time_limit: str) -> str:
    if goal.phase == "connection_check":
        return "To start a check, save the source's settings in Stitch."
    return f"Raise the {time_limit}, or check the source's page in Stitch for the cause of the delay."
