"""The operator that starts a replication job and waits for a phase of it."""

from __future__ import annotations

import concurrent.futures
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_stitch.operators.kept_job import KeptJob
from airflow_provider_stitch.operators.run_result import Awaited, brief, closing_line
from airflow_provider_stitch.operators.run_start import JobStart
from airflow_provider_stitch.tasks import (
    Deadline,
    StitchSourceLink,
    default_deferrable,
    failing_for_good,
    outcome_of,
    run,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.outcome import Outcome

WaitFor = Literal["structure_sync", "extraction", "preparation", "loading"]
IfRunning = Literal["queue", "join", "restart", "fail"]

# Stitch ends an extraction after 24 hours; the rest is for its loads.
DEFAULT_TIMEOUT = timedelta(hours=26)

# Seconds after which a queued start is tried again even if the list shows no end of the job in its way.
LONGEST_QUEUEING = 900.0

# Seconds that Airflow leaves a killed task for its `on_kill`.
KILL_PATIENCE = 20.0


class StitchRunReplicationJobOperator(JobStart, BaseOperator):
    """Start a replication job of a source and wait until it has reached a phase: loaded, unless told
    otherwise.

    When the task succeeds with `wait_for="loading"`, the rows that were new in the source when it began are
    in the destination. When it fails, the exception says which phase failed, why, and what to do.

    The XCom is a dict: `job_name`, `source_id`, `source_name`, `client_id`, `started_at`,
    `extraction_completed_at`, `loaded_at`, `streams` (`{stream_name: {"rows": int or None, "loaded_at":
    iso}}`, only those that had new rows; None where the tap does not log a count) and `url`. With
    `wait_for=None` the first five and `url`. Instants are ISO 8601 in UTC, by Stitch's clock.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param wait_for: the phase to wait for: `"structure_sync"`, `"extraction"`, `"preparation"`, `"loading"`,
        or None to start the job and return.
    :param streams: wait for the loading of these streams only, by `stream_name`; None waits for all that had
        rows. (templated)
    :param if_running: what to do if a job of this source is running already, for Stitch runs one at a time:
        `"queue"` waits for it to end and starts our own, `"join"` counts it as ours, `"restart"` stops it
        first, `"fail"` raises.
    :param load_settle: seconds for which a stream's last load must not change if it may carry only an earlier
        batch, plus the gap between the stream's batches if that is long; 0 trusts the first load.
    :param quiet_period: seconds after the source's last load. A stream that the extraction's log does not
        show to have had rows, and that has no load by then, is assumed to have had none.
    :param timeout: seconds (or a timedelta) to wait at most. The job is left running then.
    :param poll_interval: seconds between two polls at least. They are more if other tasks need the account's
        30 status requests in 10 minutes as well. None polls as often as those allow.
    :param deferrable: wait in the triggerer instead of a worker. Default: Airflow's `[operators]
        default_deferrable`.
    :param stop_on_kill: stop the job in Stitch when the task is killed, cleared, or over its
        `execution_timeout`.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "stitch_conn_id", "streams")
    operator_extra_links = (StitchSourceLink(),)
    ui_color = "#f9e3b4"

    def __init__(
        self,
        *,
        source: int | str,
        wait_for: WaitFor | None = "loading",
        streams: Sequence[str] | None = None,
        if_running: IfRunning = "queue",
        load_settle: float = 120,
        quiet_period: float = 900,
        timeout: float | timedelta | None = DEFAULT_TIMEOUT,
        poll_interval: float | None = None,
        deferrable: bool | None = None,
        stop_on_kill: bool = True,
        stitch_conn_id: str = "stitch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if wait_for is not None and wait_for not in get_args(WaitFor):
            raise ValueError(
                f"wait_for is one of {', '.join(get_args(WaitFor))} or None; it was {wait_for!r}."
            )
        if if_running not in get_args(IfRunning):
            raise ValueError(f"if_running is one of {', '.join(get_args(IfRunning))}; it was {if_running!r}.")
        if isinstance(streams, str):
            raise ValueError(f"streams is a list of stream names; it was the text {streams!r}.")
        self.source = source
        self.wait_for = wait_for
        self.streams = streams
        self.if_running = if_running
        self.load_settle = seconds(load_settle, "load_settle", zero=True) or 0.0
        self.quiet_period = seconds(quiet_period, "quiet_period", zero=True) or 0.0
        self.timeout = seconds(timeout, "timeout")
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.stop_on_kill = stop_on_kill
        self.stitch_conn_id = stitch_conn_id
        self._own: Goal | None = None  #: the job that this task started, as far as this process knows
        self._kept: KeptJob | None = None
        self._killed = False
        self._timed_out = False
        self._stop_failed = False
        self._nothing_to_stop = False  #: the job was seen to end, or the one stop of this try was sent

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the job, unless an earlier try of this task did, and wait."""
        with failing_for_good():
            self._kept = KeptJob(context)
            deadline = Deadline.of(context, self.timeout, self.execution_timeout)
            try:
                return self._run(context, self._begin(context, deadline), deadline)
            except AirflowTaskTimeout:
                self._timed_out = True
                if self.stop_on_kill:  # by `on_kill`, which Airflow calls next
                    self._kept.forget()
                raise
            except Exception:
                self._leave_for_next_try()
                raise

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after the wait in the triggerer."""
        with failing_for_good():
            self._kept = KeptJob(context)
            carried, outcome = event["carried"], outcome_of(event)
            deadline = Deadline(*carried["deadline"])
            awaited = Awaited.of(outcome, carried["awaited"], carried["first_try_at"])
            # The trigger has sent the one stop of this try, if one was due.
            self._nothing_to_stop = awaited.what in OWN and (
                outcome.extraction_over or "stop_succeeded" in event
            )
            self._stop_failed = not event.get("stop_succeeded", True)
            try:
                return self._run(context, self._after(context, awaited, outcome, deadline), deadline)
            except Exception:
                self._leave_for_next_try()
                raise

    def on_kill(self) -> None:
        """Stop the job in Stitch, if it is this task's own and still runs, and no later try waits for it."""
        self._killed = True
        if not self.stop_on_kill or self._own is None or self._nothing_to_stop:
            return
        if self._kept is not None and not self._timed_out and self._is_left_to_next_try(self._own.job_name):
            return
        from airflow_provider_stitch.replication.start import stop_job

        self._nothing_to_stop = True
        known = self.current_watch.known if self.current_watch is not None else None
        # Airflow may call this inside a signal handler, above an event loop that is at work in this thread.
        reader = self.reader(time.time() + KILL_PATIENCE)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(run, stop_job(reader, self._own, known=known)).result()
        self.log.info("Stopped job %s in Stitch" if stopped else "Job %s is over already", self._own.job_name)

    def _is_left_to_next_try(self, job_name: str | None) -> bool:
        taken_over = self._kept.is_taken_over() if self._kept is not None else False
        if taken_over:
            self.log.info("Job %s goes on: a later try of this task waits for it", job_name)
        elif taken_over is None:
            self.log.warning(
                "Leaving job %s running: Airflow did not respond in time, so whether a later try of this "
                "task waits for the job is not known. If none does, stop the job in Stitch.",
                job_name,
            )
        return taken_over is not False

    def _run(self, context: Context, step: Awaited | dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """Wait for one thing after the other, until there is a result."""
        while isinstance(step, Awaited):
            outcome = self._wait(step, deadline)
            step = self._after(context, step, outcome, deadline)
        return step

    def _begin(self, context: Context, deadline: Deadline) -> Awaited | dict[str, Any]:
        """Start a job, or continue with the one that an earlier try started."""
        from airflow_provider_stitch.operators.same_source import find_again

        kept = KeptJob(context).recall()
        if kept is None or kept.source not in (None, str(self.source)):
            return self._start(context, deadline)
        reader = self.reader(deadline.at, deadline.time_limit)
        if kept.job is None:
            self.log.info("An earlier try of this task was killed while it started a job: looking for it")
            return self._start(context, deadline, kept, kept.starting_at)
        source = run(find_again(self.hook, reader, kept.source_id, kept.client_id))
        job = {"job_name": kept.job.job_name, "job_began_at": kept.job.job_began_at}
        goal = self._goal(self.wait_for or "end", source, **job)
        self._remember(context, goal, is_joined=kept.is_joined)
        self.leave_link(context, goal)
        verb = "joined" if kept.is_joined else "started"
        self.log.info("An earlier try of this task %s job %s: going on with it", verb, goal.job_name)
        if self.wait_for is None:
            return brief(goal, goal.began_at)
        return Awaited(goal, "joined" if kept.is_joined else "picked up")

    # --- Waiting ----------------------------------------------------------------------------------------

    def _wait(self, step: Awaited, deadline: Deadline) -> Outcome:
        """Wait, here or in the triggerer: then `execute_complete` continues."""
        until = deadline.at
        if step.what == "turn":
            soon = time.time() + LONGEST_QUEUEING
            until = soon if until is None else min(soon, until)
        is_own = step.what in OWN
        self._own = step.goal if is_own else None
        if self.deferrable:
            stop_on_kill = self.stop_on_kill and is_own
            self.defer_until(
                step.goal,
                until,
                time_limit=deadline.time_limit,
                carried={
                    "awaited": step.what,
                    "deadline": list(deadline),
                    "first_try_at": step.first_try_at,
                },
                stop_on_kill=stop_on_kill,
                stop_at_deadline=stop_on_kill and deadline.is_execution_timeout,
            )
        return self.wait(step.goal, until, time_limit=deadline.time_limit)

    def _after(
        self, context: Context, step: Awaited, outcome: Outcome, deadline: Deadline
    ) -> Awaited | dict[str, Any]:
        """Continue after a wait: for the end of a job in our way, or for the phase itself."""
        if step.what == "lost":
            return self._after_lost_start(context, outcome, deadline, step.first_try_at or "")
        if step.what == "joining":
            return self._after_joining(context, outcome)
        if step.what == "turn":
            return self._after_queueing(context, step, outcome, deadline)
        return self._close(context, step, outcome, deadline)

    def _after_queueing(
        self, context: Context, step: Awaited, outcome: Outcome, deadline: Deadline
    ) -> Awaited | dict[str, Any]:
        # What the list does not show, a second try does: Stitch refuses it as long as a job runs.
        in_time = deadline.at is None or time.time() < deadline.at
        if outcome.error is not None and not (outcome.error["kind"] == "PhaseTimedOut" and in_time):
            outcome.raise_for_error()
        return self._start(context, deadline, step.goal)

    def _after_joining(self, context: Context, outcome: Outcome) -> Awaited:
        """Store the job that turned out to be the joined one, and wait for its phase."""
        from airflow_provider_stitch.replication.goals import Goal

        outcome.raise_for_error()
        return self._go_on_with(context, Goal.from_dict(outcome.goal), "joined")

    def _go_on_with(self, context: Context, job: Goal, what: str) -> Awaited:
        goal = replace(job, phase=self.wait_for, streams=self._streams_for(self.wait_for))
        self._remember(context, goal, is_joined=what == "joined")
        return Awaited(goal, what)

    def _after_lost_start(
        self, context: Context, outcome: Outcome, deadline: Deadline, first_try_at: str
    ) -> Awaited | dict[str, Any]:
        from airflow_provider_stitch.connect.errors import JobAlreadyRunning
        from airflow_provider_stitch.connect.objects import parse_time
        from airflow_provider_stitch.replication.goals import Goal

        found = Goal.from_dict(outcome.goal)
        kind = outcome.error["kind"] if outcome.error else None
        if kind == "JobLost":
            KeptJob(context).forget()  # else the next try would take the later job for this one
        if found.job_name is None or kind not in (None, *JOB_IS_OF_NO_USE):
            outcome.raise_for_error()
        is_ours = found.began_at is not None and found.began_at >= parse_time(first_try_at)
        if not is_ours and self.if_running == "fail":
            raise JobAlreadyRunning(
                f"Source {found.source_name} ({found.source_id}) had job {found.job_name} in progress, "
                "so none was started.",
                source_id=found.source_id,
                job_name=found.job_name,
            )
        # Nothing resumes a terminated job, and whoever stopped it did not know that it is this task's.
        if kind == "JobTerminated" or (not is_ours and self.if_running in ("queue", "restart")):
            return self._start(context, deadline, found)
        self.log.info("Job %s %s", found.job_name, "is ours" if is_ours else "counts as ours")
        if self.wait_for is None:
            self._remember(context, found, is_joined=not is_ours)
            return brief(found, found.began_at)
        return self._go_on_with(context, found, "picked up" if is_ours else "joined")

    # --- Ending -----------------------------------------------------------------------------------------

    def _close(
        self, context: Context, step: Awaited, outcome: Outcome, deadline: Deadline
    ) -> Awaited | dict[str, Any]:
        from airflow_provider_stitch.replication.goals import Goal

        goal = Goal.from_dict(outcome.goal)
        self._own = goal if step.what in OWN else None
        kind = outcome.error["kind"] if outcome.error else None
        if kind == "JobTerminated" and step.what == "picked up" and not self._killed:
            self.log.warning("That job was stopped, so this try starts one of its own")
            KeptJob(context).forget()
            return self._start(context, deadline, goal)
        if kind == "PhaseTimedOut" and deadline.is_execution_timeout and self.stop_on_kill:
            self._stop_for_timeout(context)
        elif kind in JOB_IS_OF_NO_USE:
            KeptJob(context).forget()
        result = self.finish(outcome)
        self.log.info(closing_line(result, self.wait_for))
        return result

    def _stop_for_timeout(self, context: Context) -> None:
        from airflow_provider_stitch.connect.errors import StitchError

        if self._stop_failed:
            return
        try:
            self.on_kill()
        except StitchError as error:  # the timeout is what the task should fail with
            self.log.warning("The job could not be stopped: %s", error)
        else:
            KeptJob(context).forget()

    # --- The job of an earlier try ----------------------------------------------------------------------

    def _remember(self, context: Context, goal: Goal, *, is_joined: bool = False) -> None:
        """Keep the job before the wait begins, so that a later try picks it up and starts no other."""
        self._own = None if is_joined else goal
        if not KeptJob(context).keep(goal, str(self.source), is_joined=is_joined):
            self._end_outdated_try(goal)
        if self._killed:  # meanwhile, when this process could not ask Airflow for a later try
            self.on_kill()
        context["ti"].xcom_push(key="job_name", value=goal.job_name)

    def _end_outdated_try(self, goal: Goal) -> None:
        """Stop the job if a user cleared this task while it started the job, and end this try.

        :raises StitchError: always. Airflow has another id for the next try, and kills this one soon.
        """
        from airflow_provider_stitch.connect.errors import StitchError

        self.on_kill()
        raise StitchError(
            f"Source {goal.source_name} ({goal.source_id}): Airflow ended this try of the task while it "
            f"started job {goal.job_name}. The next try of the task continues.",
            source_id=goal.source_id,
            job_name=goal.job_name,
        )

    def _leave_for_next_try(self) -> None:
        if self._kept is not None and not self._killed:
            self._kept.end_try()


# What is awaited when the job is this task's own.
OWN = ("ours", "picked up")

# Errors after which the next try needs a job of its own.
JOB_IS_OF_NO_USE = ("ExtractionFailed", "JobTerminated", "StructureSyncFailed", "JobLost", "DeletedSource")
