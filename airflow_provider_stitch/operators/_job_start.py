"""How a task starts a replication job, and what it does if one of its source is running already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.common.operator import StitchTask, run
from airflow_provider_stitch.operators._job_result import WaitReason, brief, naming
from airflow_provider_stitch.operators.job_checkpoint import JobCheckpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.common.operator import Deadline
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.operators.job_checkpoint import SavedJob
    from airflow_provider_stitch.replication.jobs import SourceBusy, Started
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.session import AccountSession


class JobStart(StitchTask):
    """The part of StitchRunReplicationJobOperator that starts a job."""

    if TYPE_CHECKING:
        source: int | str
        wait_for: Any
        streams: Sequence[str] | None
        if_running: Any
        load_settle: float
        quiet_period: float
        _own_job: Goal | None
        _killed: bool
        _nothing_to_stop: bool

        def on_kill(self) -> None: ...
        def _remember(self, context: Context, goal: Goal) -> None: ...

    def _start(
        self,
        context: Context,
        deadline: Deadline,
        known: SavedJob | Goal | None = None,
        first_attempt_at: datetime | None = None,
    ) -> WaitReason | dict[str, Any]:
        """Start a job.

        :param known: names the source and the account by their ids, which a renamed source keeps. None: the
            source is still to be found by what the user gave.
        """
        from airflow_provider_stitch.replication.jobs import SourceBusy

        self._own_job, self._nothing_to_stop = None, False
        session = self.session(deadline.at, deadline.time_limit)
        try:
            source, answer = run(self._try_to_start(context, session, known, first_attempt_at))
        except BaseException:
            # Airflow 2 interrupts a killed task that waits for the response to its start. The response has
            # arrived by now, since the event loop waits for its threads.
            if self._killed:
                self.on_kill()
            raise
        if isinstance(answer, SourceBusy):
            return self._handle_running_job(context, source, answer, deadline)
        goal = self._goal(
            self.wait_for or "extraction_end",
            source,
            job_name=answer.job_name,
            job_started_at=answer.started_at,
        )
        self._own_job = goal
        if self._killed:  # while the start was on its way, and it had no name yet
            self.on_kill()
        self._remember(context, goal)
        url = self.push_source_link(context, goal)
        verb = "Found" if answer.is_found else "Started"
        self.log.info("%s job %s of source %s: %s", verb, answer.job_name, source.label, url)
        if self.wait_for is None:
            return brief(goal, answer.started_at)
        return WaitReason(goal, "picked up" if answer.is_found else "ours")

    async def _try_to_start(
        self,
        context: Context,
        session: AccountSession,
        known: SavedJob | Goal | None,
        first_attempt_at: datetime | None,
    ) -> tuple[Source, Started | SourceBusy]:
        """Check all that can be checked, so that nothing is started in vain; then start."""
        from airflow_provider_stitch.connect.errors import JobNotStarted
        from airflow_provider_stitch.operators._same_source import find, find_again
        from airflow_provider_stitch.replication.jobs import start_job, stitch_time

        with naming(self.source):
            if known is None:
                source = await find(self.hook, session, self.source)
            else:
                source = await find_again(self.hook, session, known.source_id, known.client_id)
            await self._check_that_it_can_start(source, session)
            if self._killed:  # Airflow lets a task that it has told to end go on for 5 s
                raise JobNotStarted(f"Source {source.label}: this task was killed, so it started no job.")
            started_at, account = first_attempt_at or stitch_time(session), self.hook.client.client_id
            if not JobCheckpoint(context).save_intent(source, str(self.source), account, started_at):
                raise JobNotStarted(
                    f"Source {source.label}: Airflow ended this try of the task, so it started no job. The "
                    "next try of the task continues."
                )

            def take(started: Started) -> None:
                job = {"job_name": started.job_name, "job_started_at": started.started_at}
                self._own_job = self._goal(self.wait_for or "extraction_end", source, **job)

            return source, await start_job(
                session,
                source,
                first_attempt_at=first_attempt_at,
                on_started=take,
                log_warning=self.log.warning,
            )

    async def _check_that_it_can_start(self, source: Source, session: AccountSession) -> None:
        from airflow_provider_stitch.replication.rules.preconditions import start_blocker
        from airflow_provider_stitch.replication.rules.streams import select_streams

        client = session.client
        why_not = start_blocker(source, await session.call(client.list_destinations))
        if why_not is not None:
            raise why_not
        if self.streams is not None:
            select_streams(await session.call(lambda: client.list_streams(source.id)), self.streams)
        if source.paused_at is not None or source.system_paused_at is not None:
            self.log.info(
                "Source %s is paused: that holds back Stitch's schedule, not this task", source.label
            )

    def _handle_running_job(
        self, context: Context, source: Source, occupied: SourceBusy, deadline: Deadline
    ) -> WaitReason | dict[str, Any]:
        """Stitch runs another job of this source, and does not say which."""
        from airflow_provider_stitch.connect.errors import JobAlreadyRunning

        end = self._goal("extraction_end", source, running_at=occupied.running_at)
        self.push_source_link(context, end)
        if occupied.first_attempt_at is not None:
            self.log.warning(
                "The answer to the start was lost, and now a job of source %s is running. "
                "Waiting until Stitch lists it: if it began after that start, it counts as ours.",
                source.label,
            )
            return WaitReason(replace(end, phase="extraction"), "lost", occupied.first_attempt_at.isoformat())
        JobCheckpoint(context).forget()  # nothing was started
        if self.if_running == "fail":
            raise JobAlreadyRunning(
                f"Source {source.label} has a replication job in progress already, so none was started. "
                'Wait for it to end, or set if_running to "queue", "join" or "restart".',
                source_id=source.id,
            )
        if self.if_running == "join":
            return self._join(end)
        if self.if_running == "restart":
            self.log.warning("Stopping the job of source %s that is running", source.label)
            session = self.session(deadline.at, deadline.time_limit)
            run(session.call(lambda: session.client.stop_replication_job(source.id)))
        else:
            self.log.info(
                "A job of source %s is running already; ours starts when it has ended", source.label
            )
        return WaitReason(end, "turn")

    def _join(self, end: Goal) -> WaitReason | dict[str, Any]:
        self.log.info("A job of source %s is running already; it counts as ours", end.source_name)
        if self.wait_for is None:
            return brief(end, None)
        if self.wait_for in ("structure_sync", "extraction"):
            return WaitReason(replace(end, phase=self.wait_for), "joined")
        # Stitch names the job only after its extraction. The name is stored then, and a second wait is for
        # the loads, because a restarted triggerer or a next try knows only what is stored.
        return WaitReason(replace(end, phase="extraction"), "joining")

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
        return (
            tuple(self.streams) if self.streams is not None and phase in ("preparation", "loading") else None
        )
