"""Sensors that wait for a phase of a replication job. There is one sensor for each phase."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_stitch.common.deadline import (
    Deadline,
    parse_duration,
    parse_templated_duration,
    rendered_duration,
)
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
    from airflow_provider_stitch.replication.rules.goal import Phase
    from airflow_provider_stitch.replication.waiter import Waiter


class _StitchPhaseSensor(StitchTask, BaseSensorOperator):
    """Base class of the sensors, which wait for one phase of a job."""

    phase: ClassVar[Phase]
    _is_poking: bool = False
    _worker_end_reason: str | None = None  #: why only a worker can end the task
    streams: Sequence[str] | str | None = None
    load_settle: float | str = 120.0
    quiet_period: float | str = 900.0
    skip_if_no_rows: bool = False

    template_fields: Sequence[str] = ("source", "job_name", "started_after", "stitch_conn_id", "timeout")
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
        # Airflow's constructor accepts only a number as `timeout`, so a template is assigned after this call.
        timeout = parse_templated_duration(kwargs.pop("timeout", None), "timeout")
        super().__init__(**kwargs)
        self.timeout = self.timeout if timeout is None else timeout
        if job_name is not None and started_after is not None:
            raise ValueError("Set job_name or started_after, not both: each of them determines the job.")
        self.source = source
        self.job_name = job_name
        self.is_for_job = job_name is not None  # a template may render to an empty string later
        self.started_after = started_after
        self.poll_interval = parse_duration(poll_interval, "poll_interval")
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.stitch_conn_id = stitch_conn_id
        self.declare_assets()
        self.end_from_trigger = self._can_end_from_trigger() if end_from_trigger else False
        self._worker_reason: str | None = None  #: the reason why only a worker can start the task
        self._waiter: Waiter | None = None
        self._evaluation: Evaluation | None = None  #: the evaluation of the last poke
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
        """Wait in the triggerer if the sensor is deferrable, otherwise poke in this worker."""
        with self._handle_failures():
            self.timeout: Any = rendered_duration(self.timeout, "timeout")
        if not self.deferrable:
            return self._execute_by_pokes(context)
        if self.start_from_trigger or self._worker_reason is not None:
            reason = self._worker_reason or "mapped tasks and `dag.test()` always start in a worker"
            self.log.info("Starting in a worker despite start_from_trigger: %s", reason)
        self._defer(context, Deadline.of(context, self.timeout, self.execution_timeout))
        return None

    def _defer(self, context: Context, deadline: Deadline) -> None:
        from airflow_provider_stitch.sensors._trigger_end import end_options
        from airflow_provider_stitch.sensors._trigger_start import find_goal

        with self._handle_failures():
            goal = run(find_goal(self, context, self.session(deadline.at, deadline.time_limit)))
            self.push_source_link(context, goal.client_id, goal.source_id)
            self.defer_until(
                goal,
                deadline.at,
                time_limit=deadline.time_limit,
                resume_state={"is_execution_timeout": deadline.is_execution_timeout},
                end_options=end_options(self),
            )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return the result of the wait. If the triggerer could not start the wait, defer the task again."""
        if "start_by" in event:
            self._defer(context, Deadline(event["start_by"], **event["resume_state"]))
            return None
        if self._worker_end_reason is not None:
            self.log.info("Ending in a worker despite end_from_trigger: %s", self._worker_end_reason)
        with self._handle_failures():
            outcome = outcome_of(event)
            if event["resume_state"]["is_execution_timeout"]:
                outcome.raise_for_error()  # Airflow also retries after an execution_timeout
            return self._result(context, outcome)

    # --- Poking in a worker -----------------------------------------------------------------------------

    def _execute_by_pokes(self, context: Context) -> Any:
        """Poke until the wait ends. If the sensor times out, log the progress of the job."""
        self._started_at = time.time()
        try:
            return super().execute(context)
        except AirflowTaskTimeout:
            self._log_timeout("execution_timeout")
            raise
        except (AirflowSensorTimeout, AirflowSkipException):
            if not self._is_poking:  # errors from pokes already contain the progress of the job
                self._log_timeout("timeout")
            raise

    def _log_timeout(self, time_limit: str) -> None:
        if self._waiter is not None and self._evaluation is not None:
            self.log.warning(str(self._waiter.timeout_error(self._evaluation, time_limit)))

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Return Airflow's poke interval, or a longer interval if the account's rate limit requires it."""
        interval: float = super()._get_next_poke_interval(*args, **kwargs)
        if self._waiter is None:
            return interval
        return max(interval, self._waiter.session.pause_after(self._requests_of_last_poke))

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Poll Stitch once, and return whether the wait has ended."""
        self._is_poking = True
        with self._handle_failures():
            result = self._poke(context)
        self._is_poking = False
        return result

    def _poke(self, context: Context) -> PokeReturnValue | bool:
        from airflow_provider_stitch.connect.errors import PhaseTimedOut, StitchUnauthorized
        from airflow_provider_stitch.sensors._trigger_start import find_goal

        if self._waiter is None:
            # Airflow measures its timeout from a slightly later time, so this deadline passes first.
            deadline = (self._started_at or time.time()) + self.timeout
            goal = run(find_goal(self, context, self.session(deadline)))
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
        result = self._result(context, self._waiter.outcome(evaluation))
        return PokeReturnValue(is_done=True, xcom_value=result)

    def _result(self, context: Context, outcome: Outcome) -> dict[str, Any]:
        if outcome.error is not None and outcome.error["kind"] == "PhaseTimedOut":
            raise AirflowSensorTimeout(outcome.error["message"])
        result = self.finish(context, outcome)
        if self.skip_if_no_rows:
            self.skip_without_rows(context, outcome, result)
        return result

    # --- In the triggerer -------------------------------------------------------------------------------

    def _set_up_start_from_trigger(self) -> None:
        from airflow_provider_stitch.sensors._trigger_start import (
            start_args,
            templated_arguments,
            worker_reason,
        )

        self._worker_reason = worker_reason(templated_arguments(self))
        if self._worker_reason is None:
            # Airflow's scheduler reads `start_trigger_args` and `start_from_trigger`.
            self.start_from_trigger = True
            self.start_trigger_args = start_args(self)

    def _can_end_from_trigger(self) -> bool:
        from airflow_provider_stitch.sensors._trigger_end import worker_end_reason

        self._worker_end_reason = worker_end_reason(self)
        return self._worker_end_reason is None

    # --- Failures ---------------------------------------------------------------------------------------

    @contextmanager
    def _handle_failures(self) -> Iterator[None]:
        """Skip the task after a failure if `soft_fail` is set. Otherwise, do not retry a permanent error."""
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

    The sensor returns the same dict as StitchRunReplicationJobOperator. Unknown values are None or empty.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a check that started at or after this time (ISO 8601 string or datetime).
        The default is the end of the run's data interval, or else the time when the run was queued.
        (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor. If None, the
        sensor polls as often as the account's rate limit permits. Workers use `poke_interval` instead.
    :param deferrable: wait in the triggerer. The default is Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer instead of a worker. Requires `deferrable`. If Airflow
        cannot start the task in the triggerer, the task starts in a worker and logs the reason.
    :param end_from_trigger: end in the triggerer instead of a worker. Requires `deferrable`. A worker still
        ends the task after some failures, and whenever `outlets`, `multiple_outputs` or listeners are in use.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "connection_check"


class StitchStructureSyncSensor(_StitchPhaseSensor):
    """Waits until the structure sync of a job, which is the first part of its extraction, has succeeded.

    The sensor returns the same dict as StitchRunReplicationJobOperator. Unknown values are None or empty.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime). The
        default is the end of the run's data interval, or else the time when the run was queued. (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor. If None, the
        sensor polls as often as the account's rate limit permits. Workers use `poke_interval` instead.
    :param deferrable: wait in the triggerer. The default is Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer instead of a worker. Requires `deferrable`. If Airflow
        cannot start the task in the triggerer, the task starts in a worker and logs the reason.
    :param end_from_trigger: end in the triggerer instead of a worker. Requires `deferrable`. A worker still
        ends the task after some failures, and whenever `outlets`, `multiple_outputs` or listeners are in use.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "structure_sync"


class StitchExtractionSensor(_StitchPhaseSensor):
    """Waits until the extraction of a job (discovery, tap and target) has succeeded.

    The sensor returns the same dict as StitchRunReplicationJobOperator. Unknown values are None or empty.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime). The
        default is the end of the run's data interval, or else the time when the run was queued. (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor. If None, the
        sensor polls as often as the account's rate limit permits. Workers use `poke_interval` instead.
    :param deferrable: wait in the triggerer. The default is Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer instead of a worker. Requires `deferrable`. If Airflow
        cannot start the task in the triggerer, the task starts in a worker and logs the reason.
    :param end_from_trigger: end in the triggerer instead of a worker. Requires `deferrable`. A worker still
        ends the task after some failures, and whenever `outlets`, `multiple_outputs` or listeners are in use.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "extraction"


class StitchPreparationSensor(_StitchPhaseSensor):
    """Waits until the streams of a job are prepared for loading.

    Stitch does not report the preparation. A stream counts as prepared when it is loaded or has a load error.
    The sensor returns the same dict as StitchRunReplicationJobOperator. Unknown values are None or empty.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime). The
        default is the end of the run's data interval, or else the time when the run was queued. (templated)
    :param streams: the streams to wait for, by `stream_name`. Pass a list, or a string that contains a JSON
        list or comma-separated names. If None, the task waits for all streams that had rows. (templated)
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor. If None, the
        sensor polls as often as the account's rate limit permits. Workers use `poke_interval` instead.
    :param deferrable: wait in the triggerer. The default is Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer instead of a worker. Requires `deferrable`. If Airflow
        cannot start the task in the triggerer, the task starts in a worker and logs the reason.
    :param end_from_trigger: end in the triggerer instead of a worker. Requires `deferrable`. A worker still
        ends the task after some failures, and whenever `outlets`, `multiple_outputs` or listeners are in use.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "preparation"
    template_fields: Sequence[str] = (*_StitchPhaseSensor.template_fields, "streams")

    def __init__(self, *, streams: Sequence[str] | str | None = None, **kwargs: Any) -> None:
        from airflow_provider_stitch.replication.rules.arguments import is_template, parse_streams

        # Set `streams` first, because the base class may store `streams` for a start in the triggerer.
        self.streams = streams if is_template(streams) else parse_streams(streams)
        super().__init__(**kwargs)


class StitchLoadingSensor(LineageTask, StitchPreparationSensor):
    """Waits until all rows of a job are loaded into the destination.

    The sensor returns the same dict as StitchRunReplicationJobOperator. Unknown values are None or empty.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param job_name: name of the job to wait for. (templated)
    :param started_after: wait for a job that started at or after this time (ISO 8601 string or datetime). The
        default is the end of the run's data interval, or else the time when the run was queued. (templated)
    :param streams: the streams to wait for, by `stream_name`. Pass a list, or a string that contains a JSON
        list or comma-separated names. If None, the task waits for all streams that had rows. (templated)
    :param load_settle: number of seconds to wait after a stream's last load, if this load might not contain
        the job's last batch. Each later load of the stream restarts the wait. The wait is longer if the gaps
        between the stream's batches are long. If 0, the first load after these batches counts. (templated)
    :param quiet_period: number of seconds to wait after the source's last load. If a stream has not been
        loaded by then, and the extraction log contains no evidence that the stream had rows, the stream is
        assumed to have had no rows. (templated)
    :param skip_if_no_rows: skip the task, and therefore its downstream tasks, if the extraction log proves
        that the job had no new rows. If `streams` is set, only the rows of those streams are considered.
        Before the skip, the task writes its XCom.
    :param poll_interval: minimum number of seconds between two polls of a deferred sensor. If None, the
        sensor polls as often as the account's rate limit permits. Workers use `poke_interval` instead.
    :param deferrable: wait in the triggerer. The default is Airflow's `[operators] default_deferrable`.
    :param start_from_trigger: start in the triggerer instead of a worker. Requires `deferrable`. If Airflow
        cannot start the task in the triggerer, the task starts in a worker and logs the reason.
    :param end_from_trigger: end in the triggerer instead of a worker. Requires `deferrable`. A worker still
        ends the task after some failures, and whenever `outlets`, `multiple_outputs` or listeners are in use.
    :param emit_assets: after loading, update the assets of the source (`stitch_source`) and of streams with
        new rows (`stitch_stream`; none if more than 50). Pass a list of streams to update only their assets
        and the source's asset. If `emit_assets` is set, a worker ends the task despite `end_from_trigger`.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    phase: ClassVar[Phase] = "loading"

    template_fields: Sequence[str] = (
        *StitchPreparationSensor.template_fields,
        *("load_settle", "quiet_period"),
    )

    def __init__(
        self,
        *,
        load_settle: float | str = 120,
        quiet_period: float | str = 900,
        skip_if_no_rows: bool = False,
        emit_assets: bool | Sequence[str] = False,
        **kwargs: Any,
    ) -> None:
        self.load_settle = parse_templated_duration(load_settle, "load_settle", allow_zero=True)
        self.quiet_period = parse_templated_duration(quiet_period, "quiet_period", allow_zero=True)
        self.skip_if_no_rows = skip_if_no_rows
        self.emit_assets = emit_assets
        super().__init__(**kwargs)
