"""How a task starts a replication job, and what it does if one of its source is running already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.kept_job import KeptJob
from airflow_provider_stitch.operators.run_result import Awaited, brief, naming
from airflow_provider_stitch.tasks import StitchTask, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.operators.kept_job import Kept
    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.reader import AccountReader
    from airflow_provider_stitch.replication.start import Occupied, Started
    from airflow_provider_stitch.tasks import Deadline


class JobStart(StitchTask):
    """The part of StitchRunReplicationJobOperator that starts a job."""

    if TYPE_CHECKING:
        source: int | str
        wait_for: Any
        streams: Sequence[str] | None
        if_running: Any
        load_settle: float
        quiet_period: float
        _own: Goal | None
        _killed: bool
        _nothing_to_stop: bool

        def on_kill(self) -> None: ...
        def _remember(self, context: Context, goal: Goal) -> None: ...

    def _start(
        self,
        context: Context,
        deadline: Deadline,
        known: Kept | Goal | None = None,
        first_try_at: datetime | None = None,
    ) -> Awaited | dict[str, Any]:
        """Start a job.

        :param known: names the source and the account by their ids, which a renamed source keeps. None: the
            source is still to be found by what the user gave.
        """
        from airflow_provider_stitch.replication.start import Occupied

        self._own, self._nothing_to_stop = None, False
        reader = self.reader(deadline.at, deadline.time_limit)
        try:
            source, answer = run(self._try_to_start(context, reader, known, first_try_at))
        except BaseException:
            # Airflow 2 interrupts a killed task that waits for the response to its start. The response has
            # arrived by now, since the event loop waits for its threads.
            if self._killed:
                self.on_kill()
            raise
        if isinstance(answer, Occupied):
            return self._when_occupied(context, source, answer, deadline)
        goal = self._goal(
            self.wait_for or "end", source, job_name=answer.job_name, job_began_at=answer.began_at
        )
        self._own = goal
        if self._killed:  # while the start was on its way, and it had no name yet
            self.on_kill()
        self._remember(context, goal)
        url = self.leave_link(context, goal)
        verb = "Found" if answer.is_found else "Started"
        self.log.info("%s job %s of source %s: %s", verb, answer.job_name, source.label, url)
        if self.wait_for is None:
            return brief(goal, answer.began_at)
        return Awaited(goal, "picked up" if answer.is_found else "ours")

    async def _try_to_start(
        self,
        context: Context,
        reader: AccountReader,
        known: Kept | Goal | None,
        first_try_at: datetime | None,
    ) -> tuple[Source, Started | Occupied]:
        """Check all that can be checked, so that nothing is started in vain; then start."""
        from airflow_provider_stitch.connect.errors import JobNotStarted
        from airflow_provider_stitch.operators.same_source import find, find_again
        from airflow_provider_stitch.replication.start import start_job, stitch_time

        with naming(self.source):
            if known is None:
                source = await find(self.hook, reader, self.source)
            else:
                source = await find_again(self.hook, reader, known.source_id, known.client_id)
            await self._check_that_it_can_start(source, reader)
            if self._killed:  # Airflow lets a task that it has told to end go on for 5 s
                raise JobNotStarted(f"Source {source.label}: this task was killed, so it started no job.")
            began_at, account = first_try_at or stitch_time(reader), self.hook.client.client_id
            if not KeptJob(context).about_to_start(source, str(self.source), account, began_at):
                raise JobNotStarted(
                    f"Source {source.label}: Airflow ended this try of the task, so it started no job. The "
                    "next try of the task continues."
                )

            def take(started: Started) -> None:
                job = {"job_name": started.job_name, "job_began_at": started.began_at}
                self._own = self._goal(self.wait_for or "end", source, **job)

            return source, await start_job(
                reader, source, first_try_at=first_try_at, on_started=take, warn=self.log.warning
            )

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

    def _when_occupied(
        self, context: Context, source: Source, occupied: Occupied, deadline: Deadline
    ) -> Awaited | dict[str, Any]:
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
            return Awaited(replace(end, phase="extraction"), "lost", occupied.first_try_at.isoformat())
        KeptJob(context).forget()  # nothing was started
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
            reader = self.reader(deadline.at, deadline.time_limit)
            run(reader.ask(lambda: reader.client.stop_replication_job(source.id)))
        else:
            self.log.info(
                "A job of source %s is running already; ours starts when it has ended", source.label
            )
        return Awaited(end, "turn")

    def _join(self, end: Goal) -> Awaited | dict[str, Any]:
        self.log.info("A job of source %s is running already; it counts as ours", end.source_name)
        if self.wait_for is None:
            return brief(end, None)
        if self.wait_for in ("structure_sync", "extraction"):
            return Awaited(replace(end, phase=self.wait_for), "joined")
        # Stitch names the job only after its extraction. The name is stored then, and a second wait is for
        # the loads, because a restarted triggerer or a next try knows only what is stored.
        return Awaited(replace(end, phase="extraction"), "joining")

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
