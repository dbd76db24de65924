"""Sensors: one for each phase of a replication job."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_stitch.common.deadline import Deadline, parse_duration
from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.common.operator import (
    LineageTask,
    StitchTask,
    default_deferrable,
    outcome_of,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.replication.outcome import Outcome
    from airflow_provider_stitch.replication.rules.evaluate import Evaluation
    from airflow_provider_stitch.replication.rules.goal import Goal, Phase
    from airflow_provider_stitch.replication.session import AccountSession
    from airflow_provider_stitch.replication.waiter import Waiter
    from airflow_provider_stitch.triggers.task_context import TaskEndOptions


class _StitchPhaseSensor(StitchTask, BaseSensorOperator):
    """Base class of the sensors. Each of them waits for one phase of a job."""

    phase: ClassVar[Phase]
    _is_poking: bool = False
    _worker_end_reason: str | None = None  #: why the sensor cannot end in the triggerer
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
            parse_duration(timeout, "timeout")
        super().__init__(**kwargs)
        if job_name is not None and started_after is not None:
            raise ValueError("Set job_name or started_after, not both: each of them determines the job.")
        self.source = source
        self.job_name = job_name
        self.is_for_job = job_name is not None  # a template may be rendered to an empty string
        self.started_after = started_after
        self.poll_interval = parse_duration(poll_interval, "poll_interval")
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.stitch_conn_id = stitch_conn_id
        self.declare_assets()
        self.end_from_trigger = self._can_end_from_trigger() if end_from_trigger else False
        self._worker_reason: str | None = None  #: why the sensor cannot start in the triggerer
        self._waiter: Waiter | None = None
        self._evaluation: Evaluation | None = None  #: result of the last poke
        self._requests_of_last_poke = 0
        self._started_at: float | None = None
        if (start_from_trigger or end_from_trigger) and not self.deferrable:
            raise ValueError(
                "start_from_trigger and end_from_trigger need a task that waits in the triggerer: set "
                "deferrable=True as well, or remove them."
            )
        if start_from_trigger:
            self._set_up_start_from_trigger()

    def execute(self, context: Context) -> Any:
        """Wait in the triggerer if the sensor is deferrable, otherwise by pokes."""
        if not self.deferrable:
            return self._execute_by_pokes(context)
        if self.start_from_trigger or self._worker_reason is not None:
            reason = self._worker_reason or "mapped tasks and `dag.test()` always start in a worker"
            self.log.info("Starting in a worker despite start_from_trigger: %s", reason)
        self._defer(context, Deadline.of(context, self.timeout, self.execution_timeout))
        return None

    def _defer(self, context: Context, deadline: Deadline) -> None:
        with self._handle_failures():
            goal = run(self._goal(context, self.session(deadline.at, deadline.time_limit)))
            self.push_source_link(context, goal.client_id, goal.source_id)
            self.defer_until(
                goal,
                deadline.at,
                time_limit=deadline.time_limit,
                resume_state={"is_execution_timeout": deadline.is_execution_timeout},
                end_options=self._end_options(),
            )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return the result of the wait, or start the wait that the triggerer could not start."""
        if "start_by" in event:
            self._defer(context, Deadline(event["start_by"], **event["resume_state"]))
            return None
        if self._worker_end_reason is not None:
            self.log.info("Ending in a worker despite end_from_trigger: %s", self._worker_end_reason)
        with self._handle_failures():
            outcome = outcome_of(event)
            if event["resume_state"]["is_execution_timeout"]:
                outcome.raise_for_error()  # Airflow retries it, as it retries its own execution_timeout
            return self._result(context, outcome)

    # --- Poking in a worker -----------------------------------------------------------------------------

    def _execute_by_pokes(self, context: Context) -> Any:
        """Poke until Airflow ends the wait, and then log the progress of the job."""
        self._started_at = time.time()
        try:
            return super().execute(context)
        except AirflowTaskTimeout:
            self._log_timeout("execution_timeout")
            raise
        except (AirflowSensorTimeout, AirflowSkipException):
            if not self._is_poking:  # an error from a poke already contains the progress
                self._log_timeout("timeout")
            raise

    def _log_timeout(self, time_limit: str) -> None:
        if self._waiter is not None and self._evaluation is not None:
            self.log.warning(str(self._waiter.timeout_error(self._evaluation, time_limit)))

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Return Airflow's interval, or a longer one if this task's share of the rate limit requires it."""
        interval: float = super()._get_next_poke_interval(*args, **kwargs)
        if self._waiter is None:
            return interval
        return max(interval, self._waiter.fair_pause(self._requests_of_last_poke))

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Poll Stitch once."""
        self._is_poking = True
        with self._handle_failures():
            result = self._poke(context)
        self._is_poking = False
        return result

    def _poke(self, context: Context) -> PokeReturnValue | bool:
        from airflow_provider_stitch.connect.errors import PhaseTimedOut, StitchUnauthorized

        if self._waiter is None:
            # Airflow starts to count slightly later, so this deadline passes before its own.
            deadline = (self._started_at or time.time()) + self.timeout
            goal = run(self._goal(context, self.session(deadline)))
            self.push_source_link(context, goal.client_id, goal.source_id)
            self._waiter = self.waiter(goal, deadline, stateless=self.reschedule)
        sent_before = self._waiter.session.requests_sent
        try:
            evaluation = run(self._waiter.poke() if self.reschedule else self._waiter.poll_once())
        except PhaseTimedOut as error:  # the rate limit permits no request before the timeout
            raise AirflowSensorTimeout(str(error)) from None
        except StitchUnauthorized:
            if not self.refresh_token(self._waiter):
                raise
            return False
        self._requests_of_last_poke = self._waiter.session.requests_sent - sent_before
        self._evaluation = evaluation
        if evaluation.state == "running":
            return False
        return PokeReturnValue(
            is_done=True, xcom_value=self._result(context, self._waiter.outcome(evaluation))
        )

    def _result(self, context: Context, outcome: Outcome) -> dict[str, Any]:
        if outcome.error is not None and outcome.error["kind"] == "PhaseTimedOut":
            raise AirflowSensorTimeout(outcome.error["message"])
        return self.finish(context, outcome)

    # --- The goal ---------------------------------------------------------------------------------------

    async def _goal(self, context: Context, session: AccountSession) -> Goal:
        from airflow_provider_stitch.replication.rules.user_input import sensor_goal
        from airflow_provider_stitch.triggers.task_context import run_started_at

        source = await session.call(lambda: self.hook.resolve_source(self.source))
        client_id = await session.call(lambda: session.client.client_id)
        return sensor_goal(
            self.phase,
            source,
            client_id,
            by_job_name=self.is_for_job,
            job_name=self.job_name,
            started_after=self.started_after,
            run_started_at=run_started_at(context),
            streams=self.streams,
            load_settle=self.load_settle,
            quiet_period=self.quiet_period,
        )

    # --- In the triggerer -------------------------------------------------------------------------------

    def _set_up_start_from_trigger(self) -> None:
        from airflow_provider_stitch.sensors._trigger_start import start_args, worker_reason

        templated = {name: getattr(self, name) for name in self.template_fields}
        self._worker_reason = worker_reason(templated)
        if self._worker_reason is not None:
            return
        # Airflow's scheduler reads these two attributes.
        self.start_from_trigger = True
        self.start_trigger_args = start_args(self, templated)

    def _can_end_from_trigger(self) -> bool:
        from airflow_provider_stitch.sensors._trigger_end import worker_end_reason

        self._worker_end_reason = worker_end_reason(self)
        return self._worker_end_reason is None

    def _end_options(self) -> TaskEndOptions | None:
        from airflow_provider_stitch.sensors._trigger_end import end_options

        return end_options(self) if self.end_from_trigger else None

    # --- Failures ---------------------------------------------------------------------------------------

    @contextmanager
    def _handle_failures(self) -> Iterator[None]:
        """Skip the task on any failure if `soft_fail` is set; else do not retry what a retry cannot fix."""
        from airflow_provider_stitch.common.failures import fail_without_retry

        try:
            with fail_without_retry():
                yield
        except AirflowSkipException:
            raise
        except Exception as error:
            if not self.soft_fail:
                raise
            raise AirflowSkipException(f"Skipped because soft_fail is set: {error}") from error


class StitchConnectionCheckSensor(_StitchPhaseSensor):
    """Waits until the connection check of a source has succeeded.

    The XCom is the dict of StitchRunReplicationJobOperator, with the values that are known by then.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a check that started at or after this time (ISO 8601 string or datetime).
        Default: the end of the run's data interval, otherwise the time when the run was queued. (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor; None polls as
        often as the account's rate limit permits. In a worker, `poke_interval` is the minimum.
    :param deferrable: wait in the triggerer. Default: Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer, without a worker. Needs `deferrable`. If Airflow cannot
        do that, the task starts in a worker and its log contains the reason.
    :param end_from_trigger: end in the triggerer, without a worker. Needs `deferrable`. Some failures,
        `outlets`, `multiple_outputs` and listeners still need a worker.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "connection_check"


class StitchStructureSyncSensor(_StitchPhaseSensor):
    """Waits until the structure sync of a job has succeeded, which is the discovery part of its extraction.

    The XCom is the dict of StitchRunReplicationJobOperator, with the values that are known by then.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime).
        Default: the end of the run's data interval, otherwise the time when the run was queued. (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor; None polls as
        often as the account's rate limit permits. In a worker, `poke_interval` is the minimum.
    :param deferrable: wait in the triggerer. Default: Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer, without a worker. Needs `deferrable`. If Airflow cannot
        do that, the task starts in a worker and its log contains the reason.
    :param end_from_trigger: end in the triggerer, without a worker. Needs `deferrable`. Some failures,
        `outlets`, `multiple_outputs` and listeners still need a worker.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "structure_sync"


class StitchExtractionSensor(_StitchPhaseSensor):
    """Waits until the extraction of a job has succeeded: its discovery, tap and target.

    The XCom is the dict of StitchRunReplicationJobOperator, with the values that are known by then.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime).
        Default: the end of the run's data interval, otherwise the time when the run was queued. (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor; None polls as
        often as the account's rate limit permits. In a worker, `poke_interval` is the minimum.
    :param deferrable: wait in the triggerer. Default: Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer, without a worker. Needs `deferrable`. If Airflow cannot
        do that, the task starts in a worker and its log contains the reason.
    :param end_from_trigger: end in the triggerer, without a worker. Needs `deferrable`. Some failures,
        `outlets`, `multiple_outputs` and listeners still need a worker.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "extraction"


class StitchPreparationSensor(_StitchPhaseSensor):
    """Waits until the streams of a job are prepared, which means that their load has been attempted.

    Stitch does not report the preparation. So a stream counts as prepared once it is loaded or has a load
    error. The XCom is the dict of StitchRunReplicationJobOperator, with the values that are known by then.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime).
        Default: the end of the run's data interval, otherwise the time when the run was queued. (templated)
    :param streams: wait only for these streams, by `stream_name`; None waits for all streams that had rows.
        (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor; None polls as
        often as the account's rate limit permits. In a worker, `poke_interval` is the minimum.
    :param deferrable: wait in the triggerer. Default: Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer, without a worker. Needs `deferrable`. If Airflow cannot
        do that, the task starts in a worker and its log contains the reason.
    :param end_from_trigger: end in the triggerer, without a worker. Needs `deferrable`. Some failures,
        `outlets`, `multiple_outputs` and listeners still need a worker.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "preparation"
    template_fields: Sequence[str] = (*_StitchPhaseSensor.template_fields, "streams")

    def __init__(self, *, streams: Sequence[str] | None = None, **kwargs: Any) -> None:
        if isinstance(streams, str):
            raise ValueError(f"streams must be a list of stream names; it was the string {streams!r}.")
        self.streams = streams  # first, because the base class may store it for a start in the triggerer
        super().__init__(**kwargs)


class StitchLoadingSensor(LineageTask, StitchPreparationSensor):
    """Waits until the rows of a job are loaded into the destination.

    The XCom is the dict of StitchRunReplicationJobOperator, with the values that are known by then.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime).
        Default: the end of the run's data interval, otherwise the time when the run was queued. (templated)
    :param streams: wait only for these streams, by `stream_name`; None waits for all streams that had rows.
        (templated)
    :param load_settle: seconds during which a stream's last load must not change if it may contain only an
        earlier batch, plus the gap between the stream's batches if that is long; 0 accepts the first load.
    :param quiet_period: seconds after the source's last load. A stream without evidence of rows in the
        extraction log, and without a load by then, is assumed to have had no rows.
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor; None polls as
        often as the account's rate limit permits. In a worker, `poke_interval` is the minimum.
    :param deferrable: wait in the triggerer. Default: Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer, without a worker. Needs `deferrable`. If Airflow cannot
        do that, the task starts in a worker and its log contains the reason.
    :param end_from_trigger: end in the triggerer, without a worker. Needs `deferrable`. Some failures,
        `outlets`, `multiple_outputs` and listeners still need a worker.
    :param emit_assets: after loading, update the assets `stitch_source` of the source and `stitch_stream` of
        each stream that had new rows (at most 50); a list updates the assets of these streams only. A worker
        then ends the task.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "loading"

    def __init__(
        self,
        *,
        load_settle: float = 120,
        quiet_period: float = 900,
        emit_assets: bool | Sequence[str] = False,
        **kwargs: Any,
    ) -> None:
        self.load_settle = parse_duration(load_settle, "load_settle", allow_zero=True) or 0.0
        self.quiet_period = parse_duration(quiet_period, "quiet_period", allow_zero=True) or 0.0
        self.emit_assets = emit_assets
        super().__init__(**kwargs)
