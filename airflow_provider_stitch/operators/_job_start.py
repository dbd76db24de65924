"""Start a replication job, and decide what the task waits for next if its source is busy."""

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
    """Why a task waits."""

    OWN = "own"  #: for the job that this try has started
    RESUMED = "resumed"  #: for the job that an earlier try has started
    JOINED = "joined"  #: for a job that was already running and counts as this task's
    JOINING = "joining"  #: for the extraction of a joined job, because Stitch lists its name only then
    QUEUED = "queued"  #: for the end of a running job, before this task starts its own
    START_UNCONFIRMED = (
        "start_unconfirmed"  #: for a running job that may be this task's: no response confirms
    )

    @property
    def is_own_job(self) -> bool:
        """Whether the task waits for a job that it has started itself."""
        return self in (WaitReason.OWN, WaitReason.RESUMED)


@dataclass(frozen=True)
class WaitStep:
    """One wait of a task."""

    goal: Goal
    reason: WaitReason
    first_attempt_at: str | None = None  #: Stitch's time before the start request that was not confirmed


@dataclass(frozen=True)
class ResumeState:
    """The state that a deferred task needs to continue, apart from the outcome of its wait."""

    reason: WaitReason
    deadline: Deadline
    first_attempt_at: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dict, which a trigger stores."""
        return {
            "reason": self.reason.value,
            "deadline": list(self.deadline),
            "first_attempt_at": self.first_attempt_at,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ResumeState:
        """Return the state that a trigger has stored."""
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
        """Validate the arguments, apart from those that are still templates.

        :raises ValueError: if one is invalid.
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
                    f'{name} needs wait_for="loading"; wait_for was {self.wait_for!r}. It is not known which '
                    "streams had rows until they are loaded."
                )

    def _parse_rendered_arguments(self) -> None:
        """Validate the arguments after Airflow has rendered their templates.

        :raises InvalidArgument: if one is invalid.
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
        found_before: SavedJob | Goal | None = None,
        first_attempt_at: datetime | None = None,
    ) -> WaitStep | dict[str, Any]:
        """Start a job.

        :param found_before: has the ids of the source and the account from an earlier try or wait, because a
            source may be renamed in between. None finds the source by the task's `source`.
        :param first_attempt_at: Stitch's time before the first start request, if an earlier try sent one.
        """
        from airflow_provider_stitch.operators._job_result import start_result
        from airflow_provider_stitch.replication.jobs import SourceBusy

        self._own_job, self._nothing_to_stop = None, False
        session = self.session(deadline.at, deadline.time_limit)
        try:
            source, started = run(self._try_to_start(session, found_before, first_attempt_at))
        except BaseException:
            # Airflow 2 interrupts a killed task that waits for the response to its start request. The
            # response has arrived by now, because the event loop waits for its threads.
            if self._killed:
                self.on_kill()
            raise
        if isinstance(started, SourceBusy):
            return self._handle_running_job(context, source, started, deadline)
        goal = self._job_goal(source, started)
        self._own_job = goal
        if self._killed:  # while the start request was in flight and the job's name was not known yet
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
        found_before: SavedJob | Goal | None,
        first_attempt_at: datetime | None,
    ) -> tuple[Source, Started | SourceBusy]:
        """Validate everything that can be checked before starting a job, then start it."""
        from airflow_provider_stitch.connect.errors import JobNotStarted
        from airflow_provider_stitch.operators._same_source import find_again, find_source
        from airflow_provider_stitch.replication.jobs import start_job

        with _with_source_in_message(self.source):
            if found_before is None:
                source = await find_source(self.hook, session, self.source)
            else:
                source = await find_again(self.hook, session, found_before.source_id, found_before.client_id)
            await self._check_preconditions(source, session)
            if self._killed:  # Airflow gives a killed task 5 s before it ends the process
                raise JobNotStarted(f"Source {source.label}: this task was killed, so it started no job.")
            starting_at, client_id = first_attempt_at or session.stitch_time(), self.hook.client.client_id
            if not self._checkpoint.save_intent(source, str(self.source), client_id, starting_at):
                raise JobNotStarted(
                    f"Source {source.label}: Airflow ended this try of the task, so it started no job. The "
                    "next try of the task continues."
                )

            def record_job(started: Started) -> None:
                self._own_job = self._job_goal(source, started)

            return source, await start_job(
                session,
                source,
                first_attempt_at=first_attempt_at,
                on_started=record_job,
                log_warning=self.log.warning,
            )

    async def _check_preconditions(self, source: Source, session: AccountSession) -> None:
        """Check that Stitch can run a job of the source, and that the source has the requested streams.

        :raises StitchError: if not.
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
                "Source %s is paused. That affects Stitch's schedule only; starting a job anyway",
                source.label,
            )

    def _save_job(self, context: Context, goal: Goal, *, is_joined: bool = False) -> None:
        """Save the job before the wait, so that a later try resumes it instead of starting another one."""
        from airflow_provider_stitch.triggers.task_context import JOB_NAME_KEY

        self._own_job = None if is_joined else goal
        if not self._checkpoint.save(goal, str(self.source), is_joined=is_joined):
            self._end_outdated_try(goal)
        if self._killed:  # during the save, `on_kill` could not check whether a later try exists
            self.on_kill()
        context["ti"].xcom_push(key=JOB_NAME_KEY, value=goal.job_name)

    def _end_outdated_try(self, goal: Goal) -> None:
        """Stop the job and end this try, because a user cleared the task while it started the job.

        :raises StitchError: always. Airflow has given the next try a new id, and is about to kill this one.
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
        """Return what to wait for while the source has a running job. Stitch does not report its name.

        :raises JobAlreadyRunning: if `if_running` is "fail".
        """
        from airflow_provider_stitch.connect.errors import JobAlreadyRunning
        from airflow_provider_stitch.replication.jobs import stop_job

        goal = self._goal("extraction_end", source, running_at=busy.running_at)
        self.push_source_link(context, goal.client_id, goal.source_id)
        if busy.first_attempt_at is not None:
            return self._confirm_start(goal, source, busy.first_attempt_at)
        self._checkpoint.clear()  # nothing was started
        if self.if_running == "fail":
            raise JobAlreadyRunning(
                f"Source {source.label} already has a replication job in progress, so none was started. "
                'Wait until it has ended, or set if_running to "queue", "join" or "restart".',
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
                "Source %s already has a running job; waiting for it to finish before starting ours",
                source.label,
            )
        return WaitStep(goal, WaitReason.QUEUED)

    def _confirm_start(self, goal: Goal, source: Source, first_attempt_at: datetime) -> WaitStep:
        self.log.warning(
            "Received no response to the start of a job of source %s, and a job is running now. Waiting "
            "until Stitch lists that job: it is this task's if it started after the request.",
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
        # Stitch lists the job's name only after its extraction. A second wait is for the loads, because a
        # restarted triggerer and a later try of the task must know the name.
        return WaitStep(replace(goal, phase="extraction"), WaitReason.JOINING)

    # --- Goals ------------------------------------------------------------------------------------------

    def _job_goal(self, source: Source, started: Started) -> Goal:
        return self._goal(
            self.wait_for or "extraction_end",
            source,
            job_name=started.job_name,
            job_started_at=started.started_at,
        )

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
    """Add the source to the message of an error, unless the message contains it already."""
    from airflow_provider_stitch.connect.errors import StitchError

    try:
        yield
    except StitchError as error:
        if not any(f"ource {name}" in str(error) for name in (source, repr(source))):
            error.args = (f"{error}\nRaised while starting a job of source {source!r}.",)
        raise
