"""The operator that starts a replication job and waits until a phase of the job has finished."""

from __future__ import annotations

import concurrent.futures
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_stitch.common.deadline import Deadline, parse_duration
from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.common.operator import default_deferrable, outcome_of, run
from airflow_provider_stitch.operators._job_start import (  # at run time, because Sphinx resolves `WaitFor`
    IfRunning,
    JobStart,
    ResumeState,
    WaitFor,
    WaitReason,
    WaitStep,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.operators.job_checkpoint import JobCheckpoint, SavedJob
    from airflow_provider_stitch.replication.outcome import Outcome
    from airflow_provider_stitch.replication.rules.goal import Goal

# Stitch terminates an extraction after 24 hours. The timeout leaves two more hours for the loads.
DEFAULT_TIMEOUT = timedelta(hours=26)

# Seconds after which a task with `if_running="queue"` tries again to start its job, even if Stitch does not
# list the running job as completed.
QUEUE_RETRY_SECONDS = 900.0

# Names of the errors after which the next try of the task must start a new job.
NEEDS_NEW_JOB = (
    "ExtractionFailed",
    "JobTerminated",
    "StructureSyncFailed",
    "JobOutcomeUnknown",
    "DeletedSource",
)


class StitchRunReplicationJobOperator(JobStart, BaseOperator):
    """Start a replication job of a source, and wait until a phase of the job has finished.

    By default, the task waits for the phase "loading". If such a task succeeds, the destination contains all
    rows that were new in the source when the task started. If the task fails, the error message states the
    failed phase and the cause, and gives advice.

    The XCom is a dict: `job_name`, `source_id`, `source_name`, `client_id`, `started_at`,
    `extraction_completed_at`, `loaded_at`, `streams` and `url`. `streams` contains the streams that had new
    rows: `{stream_name: {"rows": int or None, "loaded_at": iso}}`, where `rows` is None if the extraction log
    does not contain the number of rows. If the task waits for a phase before the preparation, `streams` is
    empty. With `wait_for=None`, the XCom contains only the first five keys and `url`. Times are ISO 8601 in
    UTC, by Stitch's clock.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param wait_for: the phase to wait for: `"structure_sync"`, `"extraction"`, `"preparation"`, `"loading"`,
        or None to start the job without waiting for it. (templated)
    :param streams: the streams to wait for, by `stream_name`. Pass a list, or a string that contains a JSON
        list or comma-separated names. If None, the task waits for all streams that had rows. (templated)
    :param if_running: what to do if the source already has a running job. Stitch runs only one job per source
        at a time. `"queue"` waits until the running job has ended, and then starts a new job. `"join"` waits
        for the running job in the same way as for a job that the task has started. `"restart"` stops the
        running job, and starts a new job. `"fail"` raises JobAlreadyRunning. (templated)
    :param load_settle: number of seconds to wait after a stream's last load, if this load might not contain
        the job's last batch. Each later load of the stream restarts the wait. The wait is longer if the gaps
        between the stream's batches are long. If 0, the first load after these batches counts. (templated)
    :param quiet_period: number of seconds to wait after the source's last load. If a stream has not been
        loaded by then, and the extraction log contains no evidence that the stream had rows, the stream is
        assumed to have had no rows. (templated)
    :param skip_if_no_rows: skip the task, and therefore its downstream tasks, if the extraction log proves
        that the job had no new rows. If `streams` is set, only the rows of those streams are considered.
        Before the skip, the task writes its XCom. Requires `wait_for="loading"`.
    :param timeout: maximum time to wait, in seconds or as a timedelta. A timeout does not stop the job.
        (templated)
    :param poll_interval: minimum number of seconds between two polls. If None, the task polls as often as the
        account's limit of 30 status requests in 10 minutes permits. The task polls less often if other tasks
        share this limit.
    :param deferrable: wait in the triggerer. The default is Airflow's `[operators] default_deferrable`.
    :param stop_on_kill: stop the job in Stitch if the task is killed or cleared, or exceeds its
        `execution_timeout`.
    :param emit_assets: after loading, update the assets of the source (`stitch_source`) and of streams with
        new rows (`stitch_stream`; none if more than 50). Pass a list of streams to update only their assets
        and the source's asset.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = (
        "source",
        "stitch_conn_id",
        "streams",
        "wait_for",
        "if_running",
        "load_settle",
        "quiet_period",
        "timeout",
    )
    operator_extra_links = (StitchSourceLink(),)
    ui_color = "#f9e3b4"

    def __init__(
        self,
        *,
        source: int | str,
        wait_for: WaitFor | str | None = "loading",
        streams: Sequence[str] | str | None = None,
        if_running: IfRunning | str = "queue",
        load_settle: float | str = 120,
        quiet_period: float | str = 900,
        skip_if_no_rows: bool = False,
        timeout: float | timedelta | str | None = DEFAULT_TIMEOUT,
        poll_interval: float | None = None,
        deferrable: bool | None = None,
        stop_on_kill: bool = True,
        emit_assets: bool | Sequence[str] = False,
        stitch_conn_id: str = "stitch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.wait_for = wait_for
        self.streams: Any = streams
        self.if_running = if_running
        self.load_settle: Any = load_settle
        self.quiet_period: Any = quiet_period
        self.timeout: Any = timeout
        self.skip_if_no_rows = skip_if_no_rows
        self.emit_assets = emit_assets
        self._parse_arguments()
        self.poll_interval = parse_duration(poll_interval, "poll_interval")
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.stop_on_kill = stop_on_kill
        self.stitch_conn_id = stitch_conn_id
        self.declare_assets()
        self._checkpoint: JobCheckpoint  #: assigned when the task runs
        self._own_job: Goal | None = None  #: the job that this task has started
        self._killed = False
        self._timed_out = False
        self._stop_failed = False
        self._nothing_to_stop = False  #: whether the job has ended or this try has tried to stop it

    def execute(self, context: Context) -> dict[str, Any]:
        """Start a job, or resume the job of an earlier try, and wait for the job."""
        from airflow_provider_stitch.common.failures import fail_without_retry

        with fail_without_retry():
            self._parse_rendered_arguments()
            self._open_checkpoint(context)
            deadline = Deadline.of(context, self.timeout, self.execution_timeout)
            try:
                return self._run(context, self._start_or_resume(context, deadline), deadline)
            except AirflowTaskTimeout:
                self._timed_out = True
                if self.stop_on_kill:  # next, Airflow calls `on_kill`, which stops the job
                    self._checkpoint.clear()
                raise
            except Exception:
                self._end_try_unless_killed()
                raise

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue the task after its wait in the triggerer."""
        from airflow_provider_stitch.common.failures import fail_without_retry
        from airflow_provider_stitch.replication.rules.goal import Goal

        with fail_without_retry():
            self._parse_rendered_arguments()
            self._open_checkpoint(context)
            outcome = outcome_of(event)
            state = ResumeState.from_dict(event["resume_state"])
            step = WaitStep(Goal.from_dict(outcome.goal), state.reason, state.first_attempt_at)
            # The event contains `stop_succeeded` if the trigger has already sent a stop request.
            self._nothing_to_stop = state.reason.is_own_job and (
                outcome.extraction_ended or "stop_succeeded" in event
            )
            self._stop_failed = not event.get("stop_succeeded", True)
            try:
                return self._run(
                    context, self._continue(context, step, outcome, state.deadline), state.deadline
                )
            except Exception:
                self._end_try_unless_killed()
                raise

    def on_kill(self) -> None:
        """Stop the job that this task started, if the job is still running and no later try waits for it."""
        self._killed = True
        if not self.stop_on_kill or self._own_job is None or self._nothing_to_stop:
            return
        if not self._timed_out and self._is_left_to_next_try(self._own_job.job_name):
            return
        from airflow_provider_stitch.replication.jobs import stop_job
        from airflow_provider_stitch.triggers.task_context import KILL_TIMEOUT, KILL_TIMEOUT_NAME

        self._nothing_to_stop = True
        observations = self.current_waiter.observations if self.current_waiter is not None else None
        session = self.session(time.time() + KILL_TIMEOUT, KILL_TIMEOUT_NAME)
        # The request runs in a thread, because Airflow may call this method in a signal handler that
        # interrupts a running event loop.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(run, stop_job(session, self._own_job, observations=observations)).result()
        self.log.info(
            "Stopped job %s in Stitch" if stopped else "Job %s has already ended", self._own_job.job_name
        )

    def _is_left_to_next_try(self, job_name: str | None) -> bool:
        """Return False only if it is certain that no later try waits for the job."""
        is_superseded = self._checkpoint.is_superseded()
        if is_superseded:
            self.log.info("Leaving job %s running: a later try of this task waits for it", job_name)
        elif is_superseded is None:
            self.log.warning(
                "Leaving job %s running: Airflow did not respond in time, so it is unknown whether a later "
                "try of this task waits for the job. If there is no later try, stop the job in Stitch.",
                job_name,
            )
        return is_superseded is not False

    def _run(self, context: Context, step: WaitStep | dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """Run the steps of the task until the task has a result."""
        while isinstance(step, WaitStep):
            outcome = self._wait(step, deadline)
            step = self._continue(context, step, outcome, deadline)
        return step

    def _start_or_resume(self, context: Context, deadline: Deadline) -> WaitStep | dict[str, Any]:
        saved = self._checkpoint.load()
        if saved is None or saved.source not in (None, str(self.source)):
            return self._start(context, deadline)
        if saved.job is None:
            self.log.info("An earlier try of this task was killed while starting a job; looking for the job")
            return self._start(context, deadline, same_source_as=saved, first_attempt_at=saved.starting_at)
        return self._resume(context, saved, saved.job, deadline)

    def _resume(
        self, context: Context, saved: SavedJob, job: Goal, deadline: Deadline
    ) -> WaitStep | dict[str, Any]:
        """Resume the job of an earlier try.

        :param job: the value of `saved.job`, which the caller has checked not to be None.
        """
        from airflow_provider_stitch.operators._job_result import start_result
        from airflow_provider_stitch.operators._same_source import find_same_source

        session = self.session(deadline.at, deadline.time_limit)
        source = run(find_same_source(self.hook, session, saved.source_id, saved.client_id))
        goal = self._job_goal(source, job.job_name, job.job_started_at)
        self._save_job(context, goal, is_joined=saved.is_joined)
        self.push_source_link(context, goal.client_id, goal.source_id)
        verb = "joined" if saved.is_joined else "started"
        self.log.info("Resuming job %s, which an earlier try of this task %s", goal.job_name, verb)
        if self.wait_for is None:
            return start_result(goal, goal.started_at)
        return WaitStep(goal, WaitReason.JOINED if saved.is_joined else WaitReason.RESUMED)

    # --- Waiting ----------------------------------------------------------------------------------------

    def _wait(self, step: WaitStep, deadline: Deadline) -> Outcome:
        """Wait in this worker, or defer the task, which later continues in `execute_complete`."""
        until = deadline.at
        if step.reason is WaitReason.QUEUED:
            next_retry_at = time.time() + QUEUE_RETRY_SECONDS
            until = next_retry_at if until is None else min(next_retry_at, until)
        is_own_job = step.reason.is_own_job
        self._own_job = step.goal if is_own_job else None
        if self.deferrable:
            stop_on_kill = self.stop_on_kill and is_own_job
            self.defer_until(
                step.goal,
                until,
                time_limit=deadline.time_limit,
                resume_state=ResumeState(step.reason, deadline, step.first_attempt_at).to_dict(),
                stop_on_kill=stop_on_kill,
                stop_at_deadline=stop_on_kill and deadline.is_execution_timeout,
            )
        return self.wait(step.goal, until, time_limit=deadline.time_limit)

    def _continue(
        self, context: Context, step: WaitStep, outcome: Outcome, deadline: Deadline
    ) -> WaitStep | dict[str, Any]:
        """After a wait, return the next step or the task's result, depending on the reason for the wait."""
        if step.reason is WaitReason.START_UNCONFIRMED:
            return self._continue_unconfirmed(context, outcome, deadline, step.first_attempt_at or "")
        if step.reason is WaitReason.JOINING_UNNAMED:
            return self._continue_joining(context, outcome)
        if step.reason is WaitReason.QUEUED:
            return self._continue_queued(context, step, outcome, deadline)
        return self._finish_or_restart(context, step, outcome, deadline)

    def _continue_queued(
        self, context: Context, step: WaitStep, outcome: Outcome, deadline: Deadline
    ) -> WaitStep | dict[str, Any]:
        # If the wait times out before the task's deadline, only `QUEUE_RETRY_SECONDS` have passed. The list
        # of extractions may be out of date, but the response to the next start request shows whether a job is
        # still running.
        has_time_left = deadline.at is None or time.time() < deadline.at
        if outcome.error is not None and not (outcome.error["kind"] == "PhaseTimedOut" and has_time_left):
            outcome.raise_for_error()
        return self._start(context, deadline, same_source_as=step.goal)

    def _continue_joining(self, context: Context, outcome: Outcome) -> WaitStep:
        """Save the name of the joined job, which Stitch has now listed, and return the next step."""
        from airflow_provider_stitch.replication.rules.goal import Goal

        outcome.raise_for_error()
        return self._phase_step(context, Goal.from_dict(outcome.goal), WaitReason.JOINED)

    def _phase_step(self, context: Context, job: Goal, reason: WaitReason) -> WaitStep:
        """Save the job, and return the step that waits for its phase."""
        goal = replace(job, phase=self.wait_for, streams=self._streams_for(self.wait_for))
        self._save_job(context, goal, is_joined=reason is WaitReason.JOINED)
        return WaitStep(goal, reason)

    def _continue_unconfirmed(
        self, context: Context, outcome: Outcome, deadline: Deadline, first_attempt_at: str
    ) -> WaitStep | dict[str, Any]:
        """Resume the job that was running when the start request's response was lost, or start a new job."""
        from airflow_provider_stitch.connect.errors import JobAlreadyRunning
        from airflow_provider_stitch.connect.objects import parse_time
        from airflow_provider_stitch.operators._job_result import start_result
        from airflow_provider_stitch.replication.rules.goal import Goal

        found = Goal.from_dict(outcome.goal)
        kind = outcome.error["kind"] if outcome.error else None
        if kind == "JobOutcomeUnknown":
            self._checkpoint.clear()  # do not let the next try resume another task's job
        if found.job_name is None or kind not in (None, *NEEDS_NEW_JOB):
            outcome.raise_for_error()
        is_own_job = found.started_at is not None and found.started_at >= parse_time(first_attempt_at)
        if not is_own_job and self.if_running == "fail":
            raise JobAlreadyRunning(
                f"Source {found.source_name} ({found.source_id}) already had job {found.job_name} in "
                "progress, so no job was started.",
                source_id=found.source_id,
                job_name=found.job_name,
            )
        # A job that Stitch has terminated cannot be resumed. The task starts a new job, because the user who
        # stopped the job may not have known about the task.
        if kind == "JobTerminated" or (not is_own_job and self.if_running in ("queue", "restart")):
            return self._start(context, deadline, same_source_as=found)
        self.log.info("Job %s was started by this task" if is_own_job else "Joining job %s", found.job_name)
        if self.wait_for is None:
            self._save_job(context, found, is_joined=not is_own_job)
            return start_result(found, found.started_at)
        return self._phase_step(context, found, WaitReason.RESUMED if is_own_job else WaitReason.JOINED)

    # --- Ending -----------------------------------------------------------------------------------------

    def _finish_or_restart(
        self, context: Context, step: WaitStep, outcome: Outcome, deadline: Deadline
    ) -> WaitStep | dict[str, Any]:
        """Return the task's result, or start a new job if a user stopped the job of an earlier try."""
        from airflow_provider_stitch.operators._job_result import summary
        from airflow_provider_stitch.replication.rules.goal import Goal

        goal = Goal.from_dict(outcome.goal)
        self._own_job = goal if step.reason.is_own_job else None
        kind = outcome.error["kind"] if outcome.error else None
        if kind == "JobTerminated" and step.reason is WaitReason.RESUMED and not self._killed:
            self.log.warning("Job %s of an earlier try was stopped; starting a new job", goal.job_name)
            self._checkpoint.clear()
            return self._start(context, deadline, same_source_as=goal)
        if kind == "PhaseTimedOut" and deadline.is_execution_timeout and self.stop_on_kill:
            self._stop_at_execution_timeout()
        elif kind in NEEDS_NEW_JOB:
            self._checkpoint.clear()
        result = self.finish(context, outcome)
        self.log.info(summary(result, self.wait_for))
        if self.skip_if_no_rows:
            self.skip_without_rows(context, outcome, result)
        return result

    def _stop_at_execution_timeout(self) -> None:
        from airflow_provider_stitch.connect.errors import StitchError

        if self._stop_failed:
            return
        try:
            self.on_kill()
        except StitchError as error:  # the task must fail with the timeout, not with this error
            job_name = None if self._own_job is None else self._own_job.job_name
            self.log.warning("Could not stop job %s: %s", job_name, error)
        else:
            self._checkpoint.clear()

    def _end_try_unless_killed(self) -> None:
        if not self._killed:
            self._checkpoint.end_try()
