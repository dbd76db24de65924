"""The operator that starts a replication job and waits for a phase of it."""

from __future__ import annotations

import concurrent.futures
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_stitch.operators.kept_job import KeptJob
from airflow_provider_stitch.tasks import (
    Deadline,
    StitchSourceLink,
    StitchTask,
    default_deferrable,
    failing_for_good,
    outcome_of,
    run,
    seconds,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.operators.kept_job import Kept
    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.outcome import Outcome
    from airflow_provider_stitch.replication.reader import AccountReader
    from airflow_provider_stitch.replication.start import Occupied, Started

WaitFor = Literal["structure_sync", "extraction", "preparation", "loading"]
IfRunning = Literal["queue", "join", "restart", "fail"]

# Stitch ends an extraction after 24 hours; the rest is for its loads.
DEFAULT_TIMEOUT = timedelta(hours=26)

# Seconds after which a queued start is tried again even if the list shows no end of the job in its way.
LONGEST_QUEUEING = 900.0

# Seconds that Airflow leaves a killed task for its `on_kill`.
KILL_PATIENCE = 20.0


class StitchRunReplicationJobOperator(StitchTask, BaseOperator):
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
    :param poll_interval: seconds between two looks at Stitch; None is as often as its limit of 30 requests in
        10 minutes allows.
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

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the job, unless an earlier try of this task did, and wait."""
        with failing_for_good():
            deadline = Deadline.of(context, self.timeout, self.execution_timeout)
            try:
                kept = KeptJob(context).recall()
                if kept is None:
                    return self._start(context, deadline)
                return self._go_on(context, kept, deadline)
            except AirflowTaskTimeout:
                self._timed_out = True
                if self.stop_on_kill:  # by `on_kill`, which Airflow calls next
                    KeptJob(context).forget()
                raise

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on where the triggerer has left off."""
        with failing_for_good():
            carried = event["carried"]
            deadline = Deadline(*carried["deadline"])
            return self._after(
                context, outcome_of(event), carried["awaited"], deadline, carried["first_try_at"]
            )

    def on_kill(self) -> None:
        """Stop the job in Stitch, if it is this task's own and still runs, and no later try waits for it."""
        self._killed = True
        if not self.stop_on_kill or self._own is None:
            return
        if self._kept is not None and not self._timed_out and self._kept.is_taken_over():
            self.log.info("Job %s goes on: a later try of this task waits for it", self._own.job_name)
            return
        from airflow_provider_stitch.replication.start import stop_job

        # Airflow may call this inside a signal handler, above an event loop that is at work in this thread.
        reader = self.reader(time.time() + KILL_PATIENCE)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(run, stop_job(reader, self._own)).result()
        self.log.info("Stopped job %s in Stitch" if stopped else "Job %s is over already", self._own.job_name)

    # --- Starting ---------------------------------------------------------------------------------------

    def _start(
        self, context: Context, deadline: Deadline, first_try_at: datetime | None = None
    ) -> dict[str, Any]:
        from airflow_provider_stitch.replication.start import Occupied

        source, answer = run(self._try_to_start(context, self.reader(deadline.at), first_try_at))
        if isinstance(answer, Occupied):
            return self._when_occupied(context, source, answer, deadline)
        phase = self.wait_for or "end"
        goal = self._goal(phase, source, job_name=answer.job_name, job_began_at=answer.began_at)
        self._remember(context, goal)
        url = self.leave_link(context, goal)
        self.log.info("Started job %s of source %s: %s", answer.job_name, source.label, url)
        if self._killed:  # while the start was on its way, and it had no name yet
            self.on_kill()
        if self.wait_for is None:
            return _brief(goal, answer.began_at)
        return self._wait(context, goal, "ours", deadline)

    async def _try_to_start(
        self, context: Context, reader: AccountReader, first_try_at: datetime | None
    ) -> tuple[Source, Started | Occupied]:
        """Check all that can be checked, so that nothing is started in vain; then start."""
        from airflow_provider_stitch.connect.errors import JobNotStarted
        from airflow_provider_stitch.replication.start import start_job, stitch_time

        with _naming(self.source):
            source = await self._find_source(reader)
            await self._check_that_it_can_start(source, reader)
            if self._killed:  # Airflow lets a task that it has told to end go on for 5 s
                raise JobNotStarted(f"Source {source.label}: this task was killed, so it started no job.")
            KeptJob(context).about_to_start(source, first_try_at or stitch_time(reader))
            return source, await start_job(reader, source, first_try_at=first_try_at, warn=self.log.warning)

    async def _check_that_it_can_start(self, source: Source, reader: AccountReader) -> None:
        from airflow_provider_stitch.replication.loading import select_streams
        from airflow_provider_stitch.replication.never import why_no_start

        client = reader.client
        why_not = why_no_start(source, await reader.ask(client.list_destinations))
        if why_not is not None:
            raise why_not
        if self.streams is not None:
            select_streams(await reader.ask(lambda: client.list_streams(source.id)), self.streams)
        if source.paused_at is not None or source.system_paused_at is not None:
            self.log.info(
                "Source %s is paused: that holds back Stitch's schedule, not this task", source.label
            )

    async def _find_source(self, reader: AccountReader) -> Source:
        source = await reader.ask(lambda: self.hook.resolve_source(self.source))
        # The account's number is asked for here if the source does not tell, and known from then on.
        await reader.ask(lambda: reader.client.client_id)
        return source

    def _when_occupied(
        self, context: Context, source: Source, occupied: Occupied, deadline: Deadline
    ) -> dict[str, Any]:
        """Stitch runs another job of this source, and does not say which."""
        from airflow_provider_stitch.connect.errors import JobAlreadyRunning

        end = self._goal("end", source, running_at=occupied.running_at)
        self.leave_link(context, end)
        if occupied.first_try_at is not None:
            self.log.warning(
                "The answer to the start was lost, and now a job of source %s is running. "
                "Waiting until Stitch lists it: if it began after that start, it counts as ours.",
                source.label,
            )
            return self._wait(context, end, "lost", deadline, occupied.first_try_at.isoformat())
        KeptJob(context).forget()  # nothing was started
        if self.if_running == "fail":
            raise JobAlreadyRunning(
                f"Source {source.label} has a replication job in progress already, so none was started. "
                'Wait for it to end, or set if_running to "queue", "join" or "restart".',
                source_id=source.id,
            )
        if self.if_running == "join":
            return self._join(context, end, deadline)
        if self.if_running == "restart":
            self.log.warning("Stopping the job of source %s that is running", source.label)
            reader = self.reader(deadline.at)
            run(reader.ask(lambda: reader.client.stop_replication_job(source.id)))
        else:
            self.log.info(
                "A job of source %s is running already; ours starts when it has ended", source.label
            )
        return self._wait(context, end, "turn", deadline)

    def _join(self, context: Context, end: Goal, deadline: Deadline) -> dict[str, Any]:
        self.log.info("A job of source %s is running already; it counts as ours", end.source_name)
        if self.wait_for is None:
            return _brief(end, None)
        goal = replace(end, phase=self.wait_for, streams=self._streams_for(self.wait_for))
        return self._wait(context, goal, "joined", deadline)

    # --- Waiting ----------------------------------------------------------------------------------------

    def _goal(self, phase: Any, source: Source, **job: Any) -> Goal:
        from airflow_provider_stitch.replication.goals import Goal

        return Goal(
            phase,
            source.id,
            source.name,
            self.hook.client.client_id,
            streams=self._streams_for(phase),
            load_settle=self.load_settle,
            quiet_period=self.quiet_period,
            **job,
        )

    def _streams_for(self, phase: str) -> tuple[str, ...] | None:
        return (
            tuple(self.streams) if self.streams is not None and phase in ("preparation", "loading") else None
        )

    def _wait(
        self,
        context: Context,
        goal: Goal,
        awaited: str,
        deadline: Deadline,
        first_try_at: str | None = None,
    ) -> dict[str, Any]:
        """Wait for a goal, here or in the triggerer, and go on with `_after`."""
        until = deadline.at
        if awaited == "turn":
            soon = time.time() + LONGEST_QUEUEING
            until = soon if until is None else min(soon, until)
        if self.deferrable:
            stop_on_kill = self.stop_on_kill and awaited in OWN
            self.defer_until(
                goal,
                until,
                carried={"awaited": awaited, "deadline": list(deadline), "first_try_at": first_try_at},
                stop_on_kill=stop_on_kill,
                stop_at_deadline=stop_on_kill and deadline.is_execution_timeout,
            )
        outcome = self.wait(goal, until)
        return self._after(context, outcome, awaited, deadline, first_try_at)

    def _after(
        self,
        context: Context,
        outcome: Outcome,
        awaited: str,
        deadline: Deadline,
        first_try_at: str | None,
    ) -> dict[str, Any]:
        """Go on after a wait: for the end of a job in our way, or for the phase itself."""
        if awaited == "lost":
            return self._after_lost_start(context, outcome, deadline, first_try_at or "")
        if awaited == "turn":
            return self._after_queueing(context, outcome, deadline)
        return self._close(context, outcome, awaited, deadline)

    def _after_queueing(self, context: Context, outcome: Outcome, deadline: Deadline) -> dict[str, Any]:
        # What the list does not show, a second try does: Stitch refuses it as long as a job runs.
        in_time = deadline.at is None or time.time() < deadline.at
        if outcome.error is not None and not (outcome.error["kind"] == "PhaseTimedOut" and in_time):
            outcome.raise_for_error()
        return self._start(context, deadline)

    def _after_lost_start(
        self, context: Context, outcome: Outcome, deadline: Deadline, first_try_at: str
    ) -> dict[str, Any]:
        from airflow_provider_stitch.connect.errors import JobAlreadyRunning
        from airflow_provider_stitch.connect.objects import parse_time
        from airflow_provider_stitch.replication.goals import Goal

        outcome.raise_for_error()
        found = Goal.from_dict(outcome.goal)
        is_ours = found.began_at is not None and found.began_at >= parse_time(first_try_at)
        if not is_ours and self.if_running == "fail":
            raise JobAlreadyRunning(
                f"Source {found.source_name} ({found.source_id}) had job {found.job_name} in progress, "
                "so none was started.",
                source_id=found.source_id,
                job_name=found.job_name,
            )
        if not is_ours and self.if_running in ("queue", "restart"):
            return self._start(context, deadline)
        self.log.info("Job %s %s", found.job_name, "is ours" if is_ours else "counts as ours")
        if is_ours:
            self._remember(context, found)
        if self.wait_for is None:
            return _brief(found, found.began_at)
        goal = replace(found, phase=self.wait_for, streams=self._streams_for(self.wait_for))
        return self._wait(context, goal, "ours" if is_ours else "joined", deadline)

    # --- Ending -----------------------------------------------------------------------------------------

    def _close(self, context: Context, outcome: Outcome, awaited: str, deadline: Deadline) -> dict[str, Any]:
        from airflow_provider_stitch.replication.goals import Goal

        self._own = Goal.from_dict(outcome.goal) if awaited in OWN else None
        kind = outcome.error["kind"] if outcome.error else None
        if kind == "JobTerminated" and awaited == "picked up" and not self._killed:
            self.log.warning("That job was stopped, so this try starts one of its own")
            KeptJob(context).forget()
            return self._start(context, deadline)
        if kind == "PhaseTimedOut" and deadline.is_execution_timeout and self.stop_on_kill:
            self._stop_for_timeout(context)
        elif kind in JOB_IS_OF_NO_USE:
            KeptJob(context).forget()
        result = self.finish(outcome)
        self.log.info(_closing_line(result, self.wait_for))
        return result

    def _stop_for_timeout(self, context: Context) -> None:
        from airflow_provider_stitch.connect.errors import StitchError

        try:
            self.on_kill()
        except StitchError as error:  # the timeout is what the task should fail with
            self.log.warning("The job could not be stopped: %s", error)
        else:
            KeptJob(context).forget()

    # --- The job of an earlier try ----------------------------------------------------------------------

    def _remember(self, context: Context, goal: Goal) -> None:
        """Keep the job before the wait begins, so that a later try picks it up and starts no other."""
        self._own = goal
        self._kept = KeptJob(context)
        self._kept.keep(goal)
        context["ti"].xcom_push(key="job_name", value=goal.job_name)

    def _go_on(self, context: Context, kept: Kept, deadline: Deadline) -> dict[str, Any]:
        """Go on with the job of an earlier try, if it has started one of this source."""
        source = run(self._find_source(self.reader(deadline.at)))
        if kept.source_id != source.id:
            return self._start(context, deadline)
        if kept.job is None:
            self.log.info("An earlier try of this task was killed while it started a job: looking for it")
            return self._start(context, deadline, kept.starting_at)
        job = {"job_name": kept.job.job_name, "job_began_at": kept.job.job_began_at}
        goal = self._goal(self.wait_for or "end", source, **job)
        self._remember(context, goal)
        self.leave_link(context, goal)
        self.log.info("An earlier try of this task started job %s: going on with it", goal.job_name)
        if self.wait_for is None:
            return _brief(goal, goal.began_at)
        return self._wait(context, goal, "picked up", deadline)


# What is awaited when the job is this task's own.
OWN = ("ours", "picked up")

# Errors after which the next try needs a job of its own.
JOB_IS_OF_NO_USE = ("ExtractionFailed", "JobTerminated", "StructureSyncFailed", "JobLost", "DeletedSource")


@contextmanager
def _naming(source: int | str) -> Iterator[None]:
    """Let an error at the start of a job name the source, as far as it does not by itself."""
    from airflow_provider_stitch.connect.errors import StitchError

    try:
        yield
    except StitchError as error:
        if not any(f"ource {name}" in str(error) for name in (source, repr(source))):
            error.args = (f"{error}\nThis was while starting a job of source {source!r}.",)
        raise


def _brief(goal: Goal, began_at: datetime | None) -> dict[str, Any]:
    """Return the XCom of a task that does not wait."""
    from airflow_provider_stitch.connect.objects import format_time

    return {
        "job_name": goal.job_name,
        "source_id": goal.source_id,
        "source_name": goal.source_name,
        "client_id": goal.client_id,
        "started_at": format_time(began_at) if began_at else None,
        "url": url_of(goal.client_id, goal.source_id),
    }


def _closing_line(result: dict[str, Any], wait_for: str | None) -> str:
    source = f"source {result['source_name']} ({result['source_id']})"
    if wait_for != "loading":
        return f"Done: {wait_for} of {source}, job {result['job_name']}"
    streams = result["streams"]
    if not streams:
        return f"Done: {source} had no new rows to wait for, job {result['job_name']}"
    rows = sum(stream["rows"] or 0 for stream in streams.values())
    counted = "" if all(stream["rows"] is not None for stream in streams.values()) else "at least "
    number = "1 stream" if len(streams) == 1 else f"{len(streams)} streams"
    return f"Done: {counted}{rows} rows in {number} of {source} are loaded, job {result['job_name']}"
