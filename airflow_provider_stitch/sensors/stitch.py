"""Sensors: one per phase of a replication job."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_stitch.tasks import (
    Deadline,
    StitchSourceLink,
    StitchTask,
    before_end_of,
    default_deferrable,
    failing_for_good,
    outcome_of,
    run,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.replication.goals import Goal, Phase
    from airflow_provider_stitch.replication.outcome import Outcome
    from airflow_provider_stitch.replication.phases import Assessment
    from airflow_provider_stitch.replication.reader import AccountReader
    from airflow_provider_stitch.replication.watch import Watch


class _StitchPhaseSensor(StitchTask, BaseSensorOperator):
    """Waits until a job of a source has reached this sensor's phase.

    Which job: the one that `job_name` names; or else one that began at or after `started_after`. The XCom is
    the dict of StitchRunReplicationJobOperator, as far as it is known.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of a job that was started. (templated)
    :param started_after: an instant (ISO 8601, or a datetime); default: the end of the run's data interval,
        else the time at which the run was queued. (templated)
    :param poll_interval: seconds between two polls at least while deferred. They are more if other tasks need
        the account's 30 status requests in 10 minutes as well. None polls as often as those allow. If the
        sensor is not deferred, Airflow's `poke_interval` is the pause, or a longer one for the same reason.
    :param deferrable: wait in the triggerer instead of a worker. Default: Airflow's `[operators]
        default_deferrable`.
    :param start_from_trigger: begin in the triggerer, without a worker before the wait. Needs `deferrable`.
        Where Airflow can't do that, the task begins in a worker as usual, and its log says why.
    :param end_from_trigger: end in the triggerer, without a worker after the wait. Needs `deferrable`. Where
        only a worker can do what is due (some failures, `outlets`, `multiple_outputs`), the task ends there.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase]
    streams: Sequence[str] | None = None
    load_settle: float = 120.0
    quiet_period: float = 900.0

    template_fields: Sequence[str] = ("source", "job_name", "started_after", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)
    ui_color = "#e5eef7"

    def __init__(
        self,
        *,
        source: int | str,
        job_name: str | None = None,
        started_after: datetime | str | None = None,
        poll_interval: float | None = None,
        deferrable: bool | None = None,
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        stitch_conn_id: str = "stitch_default",
        **kwargs: Any,
    ) -> None:
        timeout = kwargs.get("timeout")
        if isinstance(timeout, (int, float, timedelta)):
            seconds(timeout, "timeout")
        super().__init__(**kwargs)
        if job_name is not None and started_after is not None:
            raise ValueError("Give job_name or started_after, not both: each says which job is meant.")
        self.source = source
        self.job_name = job_name
        self.waits_for_job = job_name is not None
        self.started_after = started_after
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.stitch_conn_id = stitch_conn_id
        self.end_from_trigger = end_from_trigger
        self._why_in_worker: str | None = None  #: though it was to begin in the triggerer
        self._watch: Watch | None = None
        self._assessment: Assessment | None = None  #: that of the last poke
        self._polls = 0  #: of the last poke
        self._started_at: float | None = None
        self._is_poking = False
        if (start_from_trigger or end_from_trigger) and not self.deferrable:
            raise ValueError(
                "start_from_trigger and end_from_trigger are for a task that waits in the triggerer: "
                "set deferrable=True as well, or leave them out."
            )
        if start_from_trigger:
            self._begin_in_triggerer()

    def execute(self, context: Context) -> Any:
        """Wait in the triggerer if this sensor is deferrable, else by pokes."""
        if not self.deferrable:
            return self._execute_by_pokes(context)
        if self.start_from_trigger or self._why_in_worker is not None:
            reason = self._why_in_worker or "Airflow starts no mapped task there, nor any in `dag.test()`"
            self.log.info("start_from_trigger: not in the triggerer, for %s", reason)
        self._defer(context, Deadline.of(context, self.timeout, self.execution_timeout))
        return None

    def _defer(self, context: Context, deadline: Deadline) -> None:
        with self._failing(), failing_for_good():
            goal = run(self._goal(context, self.reader(deadline.at, deadline.time_limit)))
            self.leave_link(context, goal)
            self.defer_until(
                goal,
                deadline.at,
                time_limit=deadline.time_limit,
                carried={"is_execution_timeout": deadline.is_execution_timeout},
                ending=self._ending(),
            )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return what the triggerer found out, or begin what it could not."""
        if "begin_by" in event:
            self._defer(context, Deadline(event["begin_by"], **event["carried"]))
            return None
        with self._failing(), failing_for_good():
            outcome = outcome_of(event)
            if event["carried"]["is_execution_timeout"]:
                outcome.raise_for_error()  # which Airflow retries, as it does its own
            return self._end(outcome)

    def _execute_by_pokes(self, context: Context) -> Any:
        """Wait as Airflow's sensors do, and log how far the job has come before Airflow ends the wait."""
        self._started_at = time.time()
        try:
            return super().execute(context)
        except AirflowTaskTimeout:
            self._log_timeout("execution_timeout")
            raise
        except (AirflowSensorTimeout, AirflowSkipException):
            if not self._is_poking:  # a poke has its own words
                self._log_timeout("timeout")
            raise

    def _log_timeout(self, time_limit: str) -> None:
        if self._watch is not None and self._assessment is not None:
            self.log.warning(str(self._watch.timeout_error(self._assessment, time_limit)))

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Return Airflow's pause, or a longer one if the fair share of the budget requires it."""
        pause: float = super()._get_next_poke_interval(*args, **kwargs)
        return pause if self._watch is None else max(pause, self._watch.fair_pause(self._polls))

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Take one look at Stitch."""
        self._is_poking = True
        with self._failing(), failing_for_good():
            done = self._poke(context)
        self._is_poking = False
        return done

    def _poke(self, context: Context) -> PokeReturnValue | bool:
        from airflow_provider_stitch.connect.errors import PhaseTimedOut, StitchUnauthorized

        if self._watch is None:
            # Airflow counts from a little later, so that this limit passes first.
            deadline = (self._started_at or time.time()) + self.timeout
            goal = run(self._goal(context, self.reader(deadline)))
            self.leave_link(context, goal)
            self._watch = self.watch(goal, deadline, forgetful=self.reschedule)
        polls = self._watch.polls
        try:
            assessment = run(self._watch.poke() if self.reschedule else self._watch.look())
        except PhaseTimedOut as error:  # no request was left in this sensor's time
            raise AirflowSensorTimeout(str(error)) from None
        except StitchUnauthorized:
            if not self.takes_new_token(self._watch):
                raise
            return False
        self._polls, self._assessment = self._watch.polls - polls, assessment
        if assessment.state == "running":
            return False
        return PokeReturnValue(is_done=True, xcom_value=self._end(self._watch.outcome(assessment)))

    def _end(self, outcome: Outcome) -> dict[str, Any]:
        if outcome.error is not None and outcome.error["kind"] == "PhaseTimedOut":
            raise AirflowSensorTimeout(outcome.error["message"])
        return self.finish(outcome)

    # --- Which job --------------------------------------------------------------------------------------

    async def _goal(self, context: Context, reader: AccountReader) -> Goal:
        from airflow_provider_stitch.replication.goals import goal_of_sensor
        from airflow_provider_stitch.task_context import run_began

        source = await reader.ask(lambda: self.hook.resolve_source(self.source))
        client_id = await reader.ask(lambda: reader.client.client_id)
        return goal_of_sensor(
            *(self.phase, source, client_id),
            by_job_name=self.waits_for_job,
            job_name=self.job_name,
            started_after=self.started_after,
            run_began=run_began(context),
            streams=self.streams,
            load_settle=self.load_settle,
            quiet_period=self.quiet_period,
        )

    # --- In the triggerer -------------------------------------------------------------------------------

    def _begin_in_triggerer(self) -> None:
        from airflow_provider_stitch.sensors.start import start_args, why_in_worker

        templated = {name: getattr(self, name) for name in self.template_fields}
        self._why_in_worker = why_in_worker(templated)
        if self._why_in_worker is not None:
            return
        # Airflow's own names: its scheduler looks at them.
        self.start_from_trigger = True
        self.start_trigger_args = start_args(
            templated,
            timeout=self.timeout,
            execution_timeout=self.execution_timeout,
            phase=self.phase,
            load_settle=self.load_settle,
            quiet_period=self.quiet_period,
            poll_interval=self.poll_interval,
            time_limit="execution_timeout" if self._ends_by_execution_timeout() else "timeout",
            carried={"is_execution_timeout": self._ends_by_execution_timeout()},
            ending=self._ending(),
        )

    def _ends_by_execution_timeout(self) -> bool:
        return self.execution_timeout is not None and before_end_of(self.execution_timeout) <= self.timeout

    def _ending(self) -> dict[str, bool] | None:
        """Return the trigger's `Ending` in plain values, without importing triggers at each parse."""
        if not self.end_from_trigger or self.outlets or self.multiple_outputs:
            return None
        return {
            "soft_fail": self.soft_fail,
            "has_retries": bool(self.retries),
            "do_xcom_push": self.do_xcom_push,
        }

    # --- Failing ----------------------------------------------------------------------------------------

    def _failing(self) -> _SoftFailing:
        return _SoftFailing(self.soft_fail)


class _SoftFailing:
    """With `soft_fail`, whatever would fail the sensor skips it, in every mode."""

    def __init__(self, soft_fail: bool) -> None:  # noqa: FBT001
        self.soft_fail = soft_fail

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self.soft_fail and isinstance(error, Exception) and not isinstance(error, AirflowSkipException):
            raise AirflowSkipException(f"Skipped, for soft_fail is set: {error}") from error


def _waits_until(what: str) -> str:
    """Return a sensor's docstring: what it waits for, and then what all of them have in common."""
    return f"Waits until {what}\n" + (_StitchPhaseSensor.__doc__ or "").partition("\n")[2]


class StitchConnectionCheckSensor(_StitchPhaseSensor):
    __doc__ = _waits_until("the connection check of a source has succeeded.")
    phase: ClassVar[Phase] = "connection_check"


class StitchStructureSyncSensor(_StitchPhaseSensor):
    __doc__ = _waits_until("the structure sync of a job has succeeded: the discovery part of its extraction.")
    phase: ClassVar[Phase] = "structure_sync"


class StitchExtractionSensor(_StitchPhaseSensor):
    __doc__ = _waits_until("the extraction of a job has succeeded: its discovery, its tap and its target.")
    phase: ClassVar[Phase] = "extraction"


class StitchPreparationSensor(_StitchPhaseSensor):
    """Waits until the streams of a job are prepared: their load has been attempted.

    No endpoint of Stitch reports the preparation, so a stream counts as prepared once it is loaded, or in a
    load error. All else is as with the other sensors, and:

    :param streams: wait for these streams only, by `stream_name`; None is all that had rows. (templated)
    """

    phase: ClassVar[Phase] = "preparation"
    template_fields: Sequence[str] = (*_StitchPhaseSensor.template_fields, "streams")

    def __init__(self, *, streams: Sequence[str] | None = None, **kwargs: Any) -> None:
        if isinstance(streams, str):
            raise ValueError(f"streams is a list of stream names; it was the text {streams!r}.")
        self.streams = streams  # before the rest, which puts down the arguments of a start in the triggerer
        super().__init__(**kwargs)


class StitchLoadingSensor(StitchPreparationSensor):
    """Waits until the rows of a job are loaded into the destination.

    It takes `streams` as StitchPreparationSensor does, all that the other sensors take, and:

    :param load_settle: seconds for which a stream's last load must not change if it may carry only an earlier
        batch, plus the gap between the stream's batches if that is long; 0 trusts the first load.
    :param quiet_period: seconds after the source's last load. A stream that the extraction's log does not
        show to have had rows, and that has no load by then, is assumed to have had none.
    """

    phase: ClassVar[Phase] = "loading"

    def __init__(self, *, load_settle: float = 120, quiet_period: float = 900, **kwargs: Any) -> None:
        self.load_settle = seconds(load_settle, "load_settle", zero=True) or 0.0
        self.quiet_period = seconds(quiet_period, "quiet_period", zero=True) or 0.0
        super().__init__(**kwargs)
