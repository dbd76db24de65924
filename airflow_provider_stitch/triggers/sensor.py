"""StitchSensorTrigger: a sensor that begins in the triggerer.

It does what the sensor would do in a worker, and no more than is certain there. If anything stands against it
before the wait has begun (a template that the triggerer can't render, a source that is unknown), it hands the
task over to a worker, which begins anew and fails, or not, as it always does.
"""

from __future__ import annotations

import asyncio
from datetime import timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.hooks.stitch import StitchHook, source_url
from airflow_provider_stitch.replication.goals import goal_of_sensor
from airflow_provider_stitch.task_context import LINK_KEY, run_began
from airflow_provider_stitch.triggers.ending import leave_xcom
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from airflow.triggers.base import TriggerEvent

    from airflow_provider_stitch.replication.goals import Phase

# What templates may ask for. To some of the rest Airflow's triggerer (3.3) has no answer, and who asks for it
# waits for ever.
KNOWN_TO_TEMPLATES = frozenset(
    {"dag", "dag_run", "run_id", "task", "params", "macros", "conn", "var", "task_instance_key_str"}
    | {"logical_date", "data_interval_start", "data_interval_end"}
    | {"ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"}
)


class StitchSensorTrigger(StitchPhaseTrigger):
    """Finds out what a sensor is to wait for, and waits for it.

    Its arguments are the sensor's own, by the same names, for Airflow (3.3 and later) renders those that are
    templates before `run`.

    :param spare: seconds from the end of the sensor's own time to the instant at which Airflow gives it up.
    :param time_limit: as of StitchPhaseTrigger, like `carried` and `ending`.
    """

    begins_in_worker = False

    def __init__(
        self,
        *,
        stitch_conn_id: str,
        phase: Phase,
        source: int | str,
        job_name: str | None = None,
        started_after: str | None = None,
        streams: Sequence[str] | None = None,
        load_settle: float,
        quiet_period: float,
        poll_interval: float | None = None,
        spare: float = 0.0,
        time_limit: str = "timeout",
        carried: dict[str, Any] | None = None,
        ending: dict[str, bool] | None = None,
    ) -> None:
        super().__init__(
            stitch_conn_id=stitch_conn_id,
            goal=None,
            poll_interval=poll_interval,
            time_limit=time_limit,
            carried=carried,
            ending=ending,
        )
        self.phase = phase
        self.source = source
        self.job_name = job_name
        self.by_job_name = job_name is not None
        self.started_after = started_after
        self.streams = streams
        self.load_settle = load_settle
        self.quiet_period = quiet_period
        self.spare = spare
        self._context: Mapping[str, Any] | None = None
        self._not_rendered: Exception | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger again."""
        names = (
            *("stitch_conn_id", "phase", "source", "job_name", "started_after", "streams", "load_settle"),
            *("quiet_period", "poll_interval", "spare", "time_limit", "carried", "ending"),
        )
        return self._path(), {name: getattr(self, name) for name in names}

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the arguments. Airflow 3.3 and later call this before `run`."""
        from jinja2 import StrictUndefined  # noqa: PLC0415 - nobody else here renders

        self._context = context
        known = {name: context[name] for name in KNOWN_TO_TEMPLATES if name in context}
        known["ti"] = known["task_instance"] = _TemplatesTaskInstance(context["ti"])
        if jinja_env is None:
            jinja_env = self.get_template_env()
            jinja_env.undefined = StrictUndefined
        try:
            super().render_template_fields(known, jinja_env)  # type: ignore[arg-type]  # a part of the context
        except Exception as error:  # noqa: BLE001 - whatever a template may raise
            self._not_rendered = error

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the outcome; or an event that lets a worker begin, by the same deadline."""
        self.deadline = self._gives_up_at()
        try:
            await self._begin()
        except Exception as error:  # noqa: BLE001 - a worker meets it again, and fails as it does
            self.log.warning("A worker begins this task, for here it fails: %s: %s", _name(error), error)
            yield self._event({"begin_by": self.deadline})
            return
        async for event in super().run():
            yield event

    async def _begin(self) -> None:
        """Find out what to wait for, and leave the link to its source.

        :raises Exception: it can't be told here.
        """
        if self._not_rendered is not None:
            raise self._not_rendered
        task_instance: Any = self.task_instance
        if task_instance.map_index >= 0:
            raise InvalidArgument("What a mapped task is to take from others is told only there.")
        reader = await self._reader(self.deadline)
        client = reader.client
        sources = await reader.sources()
        client_id = await reader.ask(lambda: client.client_id)
        hook = StitchHook(self.stitch_conn_id)
        source = await asyncio.to_thread(hook.resolve_source, self.source, client=client, sources=sources)
        goal = goal_of_sensor(
            *(self.phase, source, client_id),
            by_job_name=self.by_job_name,
            job_name=self.job_name,
            started_after=self.started_after,
            run_began=run_began(self._context or _context_in_airflow_2(task_instance)),
            streams=self.streams,
            load_settle=self.load_settle,
            quiet_period=self.quiet_period,
        )
        await leave_xcom(task_instance, LINK_KEY, source_url(client_id, source.id))
        self.goal = goal

    def _gives_up_at(self) -> float | None:
        """Return when to give up: `spare` seconds before Airflow does, and the same after a restart."""
        at: datetime | None = getattr(self, "timeout_after", None)  # Airflow 3
        at = at or getattr(self.task_instance, "trigger_timeout", None)
        if at is None:
            return None
        return at.replace(tzinfo=at.tzinfo or timezone.utc).timestamp() - self.spare


def _name(error: Exception) -> str:
    return type(error).__name__


def _context_in_airflow_2(task_instance: Any) -> Mapping[str, Any]:
    """Return what a worker's context says of the run, from the row that Airflow 2 gives the trigger."""
    dag_run = task_instance.dag_run
    return {"dag_run": dag_run, "data_interval_end": dag_run.data_interval_end}


class _TemplatesTaskInstance:
    """What templates may ask of their task instance.

    `xcom_pull` takes other tasks for not mapped, unless told otherwise. By itself it asks for all that the
    instances of a mapped task may have left, and that is one of the questions without an answer.
    """

    def __init__(self, task_instance: Any) -> None:
        for name in ("dag_id", "map_index", "run_id", "task_id", "try_number"):
            setattr(self, name, getattr(task_instance, name))
        self._xcom_pull = task_instance.xcom_pull

    def xcom_pull(self, *arguments: Any, **options: Any) -> Any:
        return self._xcom_pull(*arguments, **{"map_indexes": -1, **options})
