"""StitchSensorTrigger, which runs a sensor that starts in the triggerer.

The trigger performs the same steps as the sensor in a worker. If an error occurs before the wait starts, the
trigger hands the task over to a worker. For example, the triggerer may be unable to render a template, or the
source may be unknown. The worker starts the sensor again and reports the error as usual.
"""

from __future__ import annotations

import asyncio
from datetime import timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.hooks.stitch import StitchHook, source_url
from airflow_provider_stitch.replication.rules.user_input import sensor_goal
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger
from airflow_provider_stitch.triggers.task_context import LINK_KEY, run_started_at
from airflow_provider_stitch.triggers.task_end import push_xcom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from airflow.triggers.base import TriggerEvent

    from airflow_provider_stitch.replication.rules.goal import Phase

# The context variables that templates may use. Some other variables require a request to which the triggerer
# of Airflow 3.3 never responds, so a template with such a variable would wait forever.
TEMPLATE_VARIABLES = frozenset(
    {"dag", "dag_run", "run_id", "task", "params", "macros", "conn", "var", "task_instance_key_str"}
    | {"logical_date", "data_interval_start", "data_interval_end"}
    | {"ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"}
)


class StitchSensorTrigger(StitchPhaseTrigger):
    """Determines the goal of a sensor and waits for it.

    The arguments have the same names as the sensor's arguments, because Airflow 3.3 and later render the
    templates in these arguments before `run`. StitchPhaseTrigger documents the arguments `time_limit`,
    `resume_state` and `end_options`.

    :param grace_seconds: number of seconds from the sensor's own timeout to Airflow's later timeout.
    """

    is_deferred_by_worker = False

    def __init__(
        self,
        *,
        stitch_conn_id: str,
        phase: Phase,
        source: int | str,
        job_name: str | None = None,
        started_after: str | None = None,
        streams: Sequence[str] | str | None = None,
        load_settle: float | str,
        quiet_period: float | str,
        poll_interval: float | None = None,
        grace_seconds: float = 0.0,
        time_limit: str = "timeout",
        resume_state: dict[str, Any] | None = None,
        end_options: dict[str, bool] | None = None,
    ) -> None:
        super().__init__(
            stitch_conn_id=stitch_conn_id,
            goal=None,
            poll_interval=poll_interval,
            time_limit=time_limit,
            resume_state=resume_state,
            end_options=end_options,
        )
        self.phase = phase
        self.source = source
        self.job_name = job_name
        # Set `is_for_job` before rendering, because a template may render to an empty string.
        self.is_for_job = job_name is not None
        self.started_after = started_after
        self.streams = streams
        self.load_settle = load_settle
        self.quiet_period = quiet_period
        self.grace_seconds = grace_seconds
        self._context: Mapping[str, Any] | None = None
        self._render_error: Exception | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that Airflow needs to recreate this trigger."""
        return (
            self._class_path(),
            {
                "stitch_conn_id": self.stitch_conn_id,
                "phase": self.phase,
                "source": self.source,
                "job_name": self.job_name,
                "started_after": self.started_after,
                "streams": self.streams,
                "load_settle": self.load_settle,
                "quiet_period": self.quiet_period,
                "poll_interval": self.poll_interval,
                "grace_seconds": self.grace_seconds,
                "time_limit": self.time_limit,
                "resume_state": self.resume_state,
                "end_options": self.end_options,
            },
        )

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the templates in the arguments. Airflow 3.3 and later call this method before `run`."""
        from jinja2 import StrictUndefined  # noqa: PLC0415 - only this method needs Jinja

        self._context = context
        variables = {name: context[name] for name in TEMPLATE_VARIABLES if name in context}
        variables["ti"] = variables["task_instance"] = _TemplateTaskInstance(context["ti"])
        if jinja_env is None:
            jinja_env = self.get_template_env()
            jinja_env.undefined = StrictUndefined
        try:
            super().render_template_fields(variables, jinja_env)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - a template may raise any exception
            self._render_error = error

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait and yield the outcome.

        If the wait cannot start, yield an event after which a worker starts the sensor with the same
        deadline.
        """
        self.deadline = self._deadline()
        try:
            await self._prepare()
        except Exception as error:  # noqa: BLE001 - a worker raises the same error and reports it as usual
            self.log.warning(
                "Starting the task in a worker, because the triggerer cannot: %s: %s",
                type(error).__name__,
                error,
            )
            yield self._event({"start_by": self.deadline})
            return
        async for event in super().run():
            yield event

    async def _prepare(self) -> None:
        """Determine the goal, and write the link to the source's page to XCom.

        :raises Exception: if the goal cannot be determined in the triggerer.
        """
        if self._render_error is not None:
            raise self._render_error
        task_instance: Any = self.task_instance
        if task_instance.map_index >= 0:
            raise InvalidArgument("Only a worker can resolve the arguments of a mapped task.")
        session = await self._session(self.deadline, self.time_limit)
        client = session.client
        sources = await session.list_sources()
        client_id = await session.call(lambda: client.client_id)
        hook = StitchHook(self.stitch_conn_id)
        source = await asyncio.to_thread(hook.resolve_source, self.source, client=client, sources=sources)
        goal = sensor_goal(
            self.phase,
            source,
            client_id,
            by_job_name=self.is_for_job,
            job_name=self.job_name,
            started_after=self.started_after,
            run_started_at=run_started_at(self._context or _airflow2_context(task_instance)),
            streams=self.streams,
            load_settle=self.load_settle,
            quiet_period=self.quiet_period,
        )
        await push_xcom(task_instance, LINK_KEY, source_url(client_id, source.id))
        self.goal = goal

    def _deadline(self) -> float | None:
        """Return the time that is `grace_seconds` before Airflow's timeout.

        Airflow's timeout stays the same when the trigger is restarted.
        """
        timeout_at: datetime | None = getattr(self, "timeout_after", None)  # Airflow 3
        timeout_at = timeout_at or getattr(self.task_instance, "trigger_timeout", None)
        if timeout_at is None:
            return None
        return timeout_at.replace(tzinfo=timeout_at.tzinfo or timezone.utc).timestamp() - self.grace_seconds


def _airflow2_context(task_instance: Any) -> Mapping[str, Any]:
    """Return the context variables that describe a task's run, based on a task instance of Airflow 2."""
    dag_run = task_instance.dag_run
    return {"dag_run": dag_run, "data_interval_end": dag_run.data_interval_end}


class _TemplateTaskInstance:
    """The attributes of a task instance that templates may use.

    By default, Airflow's `xcom_pull` requests the XComs of all instances of a mapped task, and the triggerer
    never responds to such a request. By default, the `xcom_pull` of this class assumes that the task is not
    mapped.
    """

    def __init__(self, task_instance: Any) -> None:
        for name in ("dag_id", "map_index", "run_id", "task_id", "try_number"):
            setattr(self, name, getattr(task_instance, name))
        self._xcom_pull = task_instance.xcom_pull

    def xcom_pull(self, *arguments: Any, **options: Any) -> Any:
        return self._xcom_pull(*arguments, **{"map_indexes": -1, **options})
