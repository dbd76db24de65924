"""The operator that stops a replication job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_stitch.common.deadline import Deadline, parse_duration
from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.common.operator import StitchTask, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.session import AccountSession


class StitchStopReplicationJobOperator(StitchTask, BaseOperator):
    """Stop the running replication job of a source, if there is one.

    Stitch still loads the rows that the job has extracted.

    The XCom is a dict: `source_id`, `source_name`, `job_name` (the argument) and `stopped` (whether the task
    sent a stop request). Stitch confirms a stop request without reporting whether a job was running.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: stop only the job with this name. If None, the task stops any running job. (templated)
    :param timeout: maximum time to retry while Stitch is unavailable, and to wait until the rate limit
        permits a request, in seconds or as a timedelta. With `job_name`, the task needs the current list of
        extractions. If the task cannot read the list in time, the task fails without stopping the job.
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
        self.stops_any_job = job_name is None
        self.timeout = parse_duration(timeout, "timeout")
        self.stitch_conn_id = stitch_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Stop the source's job."""
        from airflow_provider_stitch.common.failures import fail_without_retry

        with fail_without_retry():
            deadline = Deadline.of(context, self.timeout, self.execution_timeout)
            session = self.session(deadline.at, deadline.time_limit)
            source, stopped = run(self._stop(context, session))
            self._report(source, stopped)
            return {
                "source_id": source.id,
                "source_name": source.name,
                "job_name": self.job_name,
                "stopped": stopped,
            }

    def _report(self, source: Source, stopped: bool) -> None:  # noqa: FBT001 - private
        if self.stops_any_job:
            self.log.info(
                "Sent a stop request for source %s. Stitch does not report whether a job was running.",
                source.label,
            )
        elif stopped:
            self.log.info("Stopped job %s of source %s", self.job_name, source.label)
        else:
            self.log.info(
                "Job %s of source %s has already ended; sent no stop request", self.job_name, source.label
            )

    async def _stop(self, context: Context, session: AccountSession) -> tuple[Source, bool]:
        from airflow_provider_stitch.replication.jobs import stop_job
        from airflow_provider_stitch.replication.rules.goal import Goal
        from airflow_provider_stitch.replication.rules.user_input import validate_job_name

        source = await session.call(lambda: self.hook.resolve_source(self.source))
        client_id = await session.call(lambda: session.client.client_id)
        if not self.stops_any_job:
            # Reject an empty name, because a template that renders to an empty string must not stop another
            # job.
            name = validate_job_name(self.job_name, source)
            goal = Goal("extraction_end", source.id, source.name, client_id, job_name=name)
            self.push_source_link(context, goal.client_id, goal.source_id)
            return source, await stop_job(session, goal, needs_poll=True, log_warning=self.log.warning)
        running_at = session.stitch_time()
        goal = Goal("extraction_end", source.id, source.name, client_id, running_at=running_at)
        return source, await stop_job(session, goal, log_warning=self.log.warning)
