"""Start a replication job or, if the source already has a running job, decide what to wait for."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_stitch.common.deadline import Deadline, parse_duration
from airflow_provider_stitch.common.operator import LineageTask, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.operators.job_checkpoint import JobCheckpoint, SavedJob
    from airflow_provider_stitch.replication.jobs import SourceBusy, Started
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.session import AccountSession

WaitFor = Literal["structure_sync", "extraction", "preparation", "loading"]
IfRunning = Literal["queue", "join", "restart", "fail"]


class WaitReason(Enum):
    """The reason why a task waits."""

    OWN = "own"  #: The task waits for a job that this try has started.
    RESUMED = "resumed"  #: The task waits for a job that an earlier try has started.
    JOINED = "joined"  #: The task waits for a job that was already running, as for a job of its own.
    #: The task waits for an extraction to end, because Stitch lists the job's name only then.
    JOINING_UNNAMED = "joining"
    QUEUED = "queued"  #: The task waits for the end of a running job before it starts its own job.
    #: The response to the task's start request was lost, so the running job may be the task's own job.
    START_UNCONFIRMED = "start_unconfirmed"

    @property
    def is_own_job(self) -> bool:
        """Whether this try or an earlier try of the task has started the job."""
        return self in (WaitReason.OWN, WaitReason.RESUMED)


@dataclass(frozen=True)
class WaitStep:
    """A goal that a task waits for, and the reason for the wait."""

    goal: Goal
    reason: WaitReason
    first_attempt_at: str | None = None  #: with START_UNCONFIRMED, the time just before the start request


@dataclass(frozen=True)
class ResumeState:
    """The state that a deferred task stores, so that the task can continue after the wait."""

    reason: WaitReason
    deadline: Deadline
    first_attempt_at: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a JSON-serializable dict for the trigger to store."""
        return {
            "reason": self.reason.value,
            "deadline": list(self.deadline),
            "first_attempt_at": self.first_attempt_at,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ResumeState:
        """Return the state that a dict from the trigger contains."""
        return cls(WaitReason(fields["reason"]), Deadline(*fields["deadline"]), fields["first_attempt_at"])


class JobStart(LineageTask):
    """The part of StitchRunReplicationJobOperator that starts a job."""

    if TYPE_CHECKING:
        source: int | str
        wait_for: Any
        streams: Any
        if_running: Any
        load_settle: Any
        quiet_period: Any
        timeout: Any
        skip_if_no_rows: bool
        _checkpoint: JobCheckpoint
        _own_job: Goal | None
        _killed: bool
        _nothing_to_stop: bool

        def on_kill(self) -> None: ...

    def _parse_arguments(self) -> None:
        """Validate the arguments, except for arguments that are still templates.

        :raises ValueError: if an argument is invalid.
        """
        from airflow_provider_stitch.replication.rules.arguments import (
            is_template,
            none_if_blank,
            parse_choice,
            parse_streams,
        )

        parse: dict[str, Callable[[Any], Any]] = {
            "wait_for": lambda value: parse_choice(value, "wait_for", get_args(WaitFor), optional=True),
            "if_running": lambda value: parse_choice(value, "if_running", get_args(IfRunning)),
            "streams": parse_streams,
            "load_settle": lambda value: parse_duration(value, "load_settle", allow_zero=True) or 0.0,
            "quiet_period": lambda value: parse_duration(value, "quiet_period", allow_zero=True) or 0.0,
            "timeout": lambda value: parse_duration(none_if_blank(value), "timeout"),
        }
        for name, parse_argument in parse.items():
            value = getattr(self, name)
            if not is_template(value):
                setattr(self, name, parse_argument(value))
        if self.wait_for == "loading" or is_template(self.wait_for):
            return
        needs_loading = {
            "emit_assets": self.emit_assets is not False,
            "skip_if_no_rows": self.skip_if_no_rows,
        }
        for name, is_set in needs_loading.items():
            if is_set:
                raise ValueError(
                    f'{name} needs wait_for="loading"; wait_for was {self.wait_for!r}. The streams that had '
                    "rows are known only after loading."
                )

    def _parse_rendered_arguments(self) -> None:
        """Validate the arguments after Airflow has rendered their templates.

        :raises InvalidArgument: if an argument is invalid.
        """
        from airflow_provider_stitch.connect.errors import InvalidArgument

        try:
            self._parse_arguments()
        except ValueError as error:
            raise InvalidArgument(f"Task of source {self.source!r}: {error}") from None

    def _open_checkpoint(self, context: Context) -> None:
        from airflow_provider_stitch.operators.job_checkpoint import JobCheckpoint

        self._checkpoint = JobCheckpoint(context)

    def _start(
        self,
        context: Context,
        deadline: Deadline,
        *,
        same_source_as: SavedJob | Goal | None = None,
        first_attempt_at: datetime | None = None,
    ) -> WaitStep | dict[str, Any]:
        """Start a job. Return the next step of the task or, if the task does not wait, the task's result.

        :param same_source_as: an object that contains the ids of the source and its account, which identify
            the source even after a renaming. If None, the task's argument `source` determines the source.
        :param first_attempt_at: the time just before the start request of an earlier try, if any.
        """
        from airflow_provider_stitch.operators._job_result import start_result
        from airflow_provider_stitch.replication.jobs import SourceBusy

        self._own_job, self._nothing_to_stop = None, False
        session = self.session(deadline.at, deadline.time_limit)
        try:
            source, started = run(self._try_to_start(session, same_source_as, first_attempt_at))
        except BaseException:
            # If a task is killed while it waits for the response to its start request, Airflow 2 interrupts
            # the task. The response has arrived by now, because the event loop waits for all threads to end.
            if self._killed:
                self.on_kill()
            raise
        if isinstance(started, SourceBusy):
            return self._handle_running_job(context, source, started, deadline)
        goal = self._job_goal(source, started.job_name, started.started_at)
        self._own_job = goal
        if self._killed:  # the task was killed before Stitch returned the job's name
            self.on_kill()
        self._save_job(context, goal)
        url = self.push_source_link(context, goal.client_id, goal.source_id)
        verb = "Found" if started.is_found else "Started"
        self.log.info("%s job %s of source %s: %s", verb, started.job_name, source.label, url)
        if self.wait_for is None:
            return start_result(goal, started.started_at)
        return WaitStep(goal, WaitReason.RESUMED if started.is_found else WaitReason.OWN)

    async def _try_to_start(
        self,
        session: AccountSession,
        same_source_as: SavedJob | Goal | None,
        first_attempt_at: datetime | None,
    ) -> tuple[Source, Started | SourceBusy]:
        """Check that the source can run a job and has the requested streams, and then start the job."""
        from airflow_provider_stitch.connect.errors import JobNotStarted
        from airflow_provider_stitch.operators._same_source import find_same_source, find_source
        from airflow_provider_stitch.replication.jobs import start_job

        with _with_source_in_message(self.source):
            if same_source_as is None:
                source = await find_source(self.hook, session, self.source)
            else:
                source = await find_same_source(
                    self.hook, session, same_source_as.source_id, same_source_as.client_id
                )
            await self._check_preconditions(source, session)
            if self._killed:  # Airflow ends the process of a killed task after 5 s
                raise JobNotStarted(f"Source {source.label}: this task was killed, so it started no job.")
            starting_at, client_id = first_attempt_at or session.stitch_time(), self.hook.client.client_id
            if not self._checkpoint.save_intent(source, str(self.source), client_id, starting_at):
                raise JobNotStarted(
                    f"Source {source.label}: Airflow ended this try of the task, so it started no job. The "
                    "next try of the task continues."
                )

            def record_job(started: Started) -> None:
                self._own_job = self._job_goal(source, started.job_name, started.started_at)

            return source, await start_job(
                session,
                source,
                first_attempt_at=first_attempt_at,
                on_started=record_job,
                log_warning=self.log.warning,
            )

    async def _check_preconditions(self, source: Source, session: AccountSession) -> None:
        """Check that Stitch can run a job of the source, and that the source has the requested streams.

        :raises StitchError: if the source cannot run a job, or a requested stream does not exist.
        """
        from airflow_provider_stitch.replication.rules.preconditions import start_blocker
        from airflow_provider_stitch.replication.rules.streams import select_streams

        client = session.client
        blocker = start_blocker(source, await session.call(client.list_destinations))
        if blocker is not None:
            raise blocker
        if self.streams is not None:
            select_streams(await session.call(lambda: client.list_streams(source.id)), self.streams)
        if source.paused_at is not None or source.system_paused_at is not None:
            self.log.info(
                "Source %s is paused. The pause affects only Stitch's schedule; starting a job",
                source.label,
            )

    def _save_job(self, context: Context, goal: Goal, *, is_joined: bool = False) -> None:
        """Save the job before the wait, so that a later try resumes it instead of starting another."""
        from airflow_provider_stitch.triggers.task_context import JOB_NAME_KEY

        self._own_job = None if is_joined else goal
        if not self._checkpoint.save(goal, str(self.source), is_joined=is_joined):
            self._end_outdated_try(goal)
        if self._killed:  # during the save, `on_kill` could not check for a later try
            self.on_kill()
        context["ti"].xcom_push(key=JOB_NAME_KEY, value=goal.job_name)

    def _end_outdated_try(self, goal: Goal) -> None:
        """Stop the job and end this try, because a user cleared the task while the task was starting the job.

        :raises StitchError: always. Airflow has already assigned a new id to the next try, and is about to
            kill this try.
        """
        from airflow_provider_stitch.connect.errors import StitchError

        self.on_kill()
        raise StitchError(
            f"Source {goal.source_name} ({goal.source_id}): Airflow ended this try of the task while it "
            f"started job {goal.job_name}. The next try of the task continues.",
            source_id=goal.source_id,
            job_name=goal.job_name,
        )

    # --- If the source is busy --------------------------------------------------------------------------

    def _handle_running_job(
        self, context: Context, source: Source, busy: SourceBusy, deadline: Deadline
    ) -> WaitStep | dict[str, Any]:
        """Return what the task must wait for if the source already has a running job.

        Stitch does not report the name of that job.

        :raises JobAlreadyRunning: if `if_running` is "fail".
        """
        from airflow_provider_stitch.connect.errors import JobAlreadyRunning
        from airflow_provider_stitch.replication.jobs import stop_job

        goal = self._goal("extraction_end", source, running_at=busy.running_at)
        self.push_source_link(context, goal.client_id, goal.source_id)
        if busy.first_attempt_at is not None:
            return self._confirm_start(goal, source, busy.first_attempt_at)
        self._checkpoint.clear()  # this task has not started a job
        if self.if_running == "fail":
            raise JobAlreadyRunning(
                f"Source {source.label} already has a replication job in progress, so no job was started. "
                'Wait until the job has ended, or set if_running to "queue", "join" or "restart".',
                source_id=source.id,
            )
        if self.if_running == "join":
            return self._join(goal)
        if self.if_running == "restart":
            self.log.warning("Stopping the running job of source %s", source.label)
            session = self.session(deadline.at, deadline.time_limit)
            run(stop_job(session, goal, log_warning=self.log.warning))
        else:
            self.log.info(
                "Source %s already has a running job; waiting for it to finish before starting a new job",
                source.label,
            )
        return WaitStep(goal, WaitReason.QUEUED)

    def _confirm_start(self, goal: Goal, source: Source, first_attempt_at: datetime) -> WaitStep:
        self.log.warning(
            "Received no response to the start of a job of source %s, and a job is running now. Waiting "
            "until Stitch lists the job: it belongs to this task if it started after the request.",
            source.label,
        )
        goal = replace(goal, phase="extraction")
        return WaitStep(goal, WaitReason.START_UNCONFIRMED, first_attempt_at.isoformat())

    def _join(self, goal: Goal) -> WaitStep | dict[str, Any]:
        from airflow_provider_stitch.operators._job_result import start_result

        self.log.info(
            "Source %s (%s) already has a running job; joining it", goal.source_name, goal.source_id
        )
        if self.wait_for is None:
            return start_result(goal, None)
        if self.wait_for in ("structure_sync", "extraction"):
            return WaitStep(replace(goal, phase=self.wait_for), WaitReason.JOINED)
        # Stitch does not list a job's name until the extraction has ended. The task waits for the loads in a
        # second step, because a restarted triggerer or a later try of the task needs the job's name.
        return WaitStep(replace(goal, phase="extraction"), WaitReason.JOINING_UNNAMED)

    # --- Goals ------------------------------------------------------------------------------------------

    def _job_goal(self, source: Source, job_name: str | None, started_at: datetime | None) -> Goal:
        """Return the goal for a job. If the task does not wait, the goal only identifies the job."""
        phase = self.wait_for or "extraction_end"
        return self._goal(phase, source, job_name=job_name, job_started_at=started_at)

    def _goal(self, phase: Any, source: Source, **job: Any) -> Goal:
        from airflow_provider_stitch.replication.rules.goal import Goal

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
        if self.streams is None or phase not in ("preparation", "loading"):
            return None
        return tuple(self.streams)


@contextmanager
def _with_source_in_message(source: int | str) -> Iterator[None]:
    """Add the source to an error message if the message does not mention the source."""
    from airflow_provider_stitch.connect.errors import StitchError

    try:
        yield
    except StitchError as error:
        if not any(f"ource {name}" in str(error) for name in (source, repr(source))):
            error.args = (f"{error}\nRaised while starting a job of source {source!r}.",)
        raise
