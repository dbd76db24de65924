"""The operator that stops a replication job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_stitch.tasks import (
    Deadline,
    StitchSourceLink,
    StitchTask,
    failing_for_good,
    run,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.reader import AccountReader


class StitchStopReplicationJobOperator(StitchTask, BaseOperator):
    """Stop a source's replication job, if one is running. Rows that it has extracted are still loaded.

    The XCom is a dict: `source_id`, `source_name`, `job_name` (as given) and `stopped`: whether a stop was
    sent. Stitch confirms a stop without saying whether a job was running.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: stop only this job, and nothing if it is over; None stops whatever runs. (templated)
    :param timeout: seconds (or a timedelta) for which the task retries if Stitch is unavailable, and with
        `job_name` waits for a free request. Without a fresh list of extractions it stops nothing and fails.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "job_name", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)
    ui_color = "#f9e3b4"

    def __init__(
        self,
        *,
        source: int | str,
        job_name: str | None = None,
        timeout: float | timedelta | None = 600,
        stitch_conn_id: str = "stitch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.job_name = job_name
        self.stops_whatever_runs = job_name is None
        self.timeout = seconds(timeout, "timeout")
        self.stitch_conn_id = stitch_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Stop the job."""
        with failing_for_good():
            deadline = Deadline.of(context, self.timeout, self.execution_timeout)
            reader = self.reader(deadline.at, deadline.time_limit)
            source, stopped = run(self._stop(context, reader))
            self._report(source, stopped)
            return {
                "source_id": source.id,
                "source_name": source.name,
                "job_name": self.job_name,
                "stopped": stopped,
            }

    def _report(self, source: Source, stopped: bool) -> None:  # noqa: FBT001 - whether a stop was sent
        if self.stops_whatever_runs:
            self.log.info(
                "Sent a stop to source %s. Stitch does not report whether a job was running.", source.label
            )
        elif stopped:
            self.log.info("Stopped job %s of source %s", self.job_name, source.label)
        else:
            self.log.info("Job %s of source %s has ended already; sent no stop", self.job_name, source.label)

    async def _stop(self, context: Context, reader: AccountReader) -> tuple[Source, bool]:
        from airflow_provider_stitch.replication.goals import Goal, check_job_name
        from airflow_provider_stitch.replication.start import stop_job

        source = await reader.ask(lambda: self.hook.resolve_source(self.source))
        client_id = await reader.ask(lambda: reader.client.client_id)
        if not self.stops_whatever_runs:
            # A template that came to nothing must not stop somebody else's job.
            name = check_job_name(self.job_name, source)
            goal = Goal("end", source.id, source.name, client_id, job_name=name)
            self.leave_link(context, goal)
            return source, await stop_job(reader, goal, needs_poll=True)
        await reader.ask(lambda: reader.client.stop_replication_job(source.id))
        return source, True
