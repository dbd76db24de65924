"""StitchPhaseTrigger, which waits for one phase of a replication job in the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TaskSkippedEvent, TriggerEvent

from airflow_provider_stitch.connect.errors import (
    InvalidArgument,
    PhaseTimedOut,
    StitchConfigurationError,
    StitchError,
)
from airflow_provider_stitch.hooks.stitch import (
    airflow_home,
    token_changed,
    with_url,
)
from airflow_provider_stitch.replication.jobs import stop_job
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.polling.caller import SYSTEM_CLOCK, StitchCaller
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from airflow_provider_stitch.triggers.cancellation import (
    AIRFLOW_CALLS_ON_KILL,
    is_still_deferred,
    wait_ignoring_cancellation,
)
from airflow_provider_stitch.triggers.clients import shared_client
from airflow_provider_stitch.triggers.task_context import (
    KILL_TIMEOUT,
    KILL_TIMEOUT_NAME,
    TaskEndOptions,
    no_rows_message,
)
from airflow_provider_stitch.triggers.task_end import end_event, failure_message, push_xcom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.replication.polling.caller import Clock

# Minimum seconds from the start of a trigger to its event. After an earlier event, Airflow could queue the
# task again before the scheduler has processed the exit of the worker that deferred the task. The scheduler
# would then fail the task: "the task instance's state attribute is queued". docs/explanation/idempotency.md
# shows the measurement.
EVENT_DELAY = 20.0


class StitchPhaseTrigger(BaseTrigger):
    """Waits until a phase of a replication job has ended, and yields one event.

    The event is a dict that contains the outcome and `resume_state`. Airflow stores the arguments of the
    trigger in its database. The access token is not an argument, because the trigger reads the token from the
    connection.

    :param stitch_conn_id: id of the Airflow connection.
    :param goal: the goal to wait for, as a dict from `Goal.to_dict`. Pass None if a subclass sets the goal
        in `run`.
    :param poll_interval: minimum number of seconds between two polls. If None, the trigger polls as often as
        Stitch's rate limit permits.
    :param deadline: time at which the trigger gives up, in seconds since the epoch. If None, the trigger
        waits without limit.
    :param time_limit: name of the task's argument that sets the deadline, for error messages.
    :param resume_state: JSON-serializable state that the event returns unchanged.
    :param stop_on_kill: stop the job in Stitch if a user clears the task or sets its state.
    :param stop_at_deadline: stop the job in Stitch at the deadline, before a worker continues the task.
    :param end_options: `TaskEndOptions` as a dict, to end the task in the triggerer. If None, a worker
        continues the task after the event.
    """

    clock: ClassVar[Clock] = SYSTEM_CLOCK
    #: Whether a worker deferred the task. That worker may still be running when the trigger starts.
    is_deferred_by_worker: ClassVar[bool] = True

    _waiter: Waiter | None = None
    _stop_task: asyncio.Task[Any] | None = None  #: the asyncio task that stops the job

    def __init__(
        self,
        *,
        stitch_conn_id: str,
        goal: dict[str, Any] | None,
        poll_interval: float | None = None,
        deadline: float | None = None,
        time_limit: str = "timeout",
        resume_state: dict[str, Any] | None = None,
        stop_on_kill: bool = False,
        stop_at_deadline: bool = False,
        end_options: dict[str, bool] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.stitch_conn_id = stitch_conn_id
        if goal is not None:
            self.goal = _parse_goal(goal)
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.time_limit = time_limit
        self.resume_state = resume_state or {}
        self.stop_on_kill = stop_on_kill
        self.stop_at_deadline = stop_at_deadline
        self.end_options = end_options

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that Airflow needs to recreate this trigger."""
        return (
            self._class_path(),
            {
                "stitch_conn_id": self.stitch_conn_id,
                "goal": self.goal.to_dict(),
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "time_limit": self.time_limit,
                "resume_state": self.resume_state,
                "stop_on_kill": self.stop_on_kill,
                "stop_at_deadline": self.stop_at_deadline,
                "end_options": self.end_options,
            },
        )

    def _class_path(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the phase, and yield the event with the outcome."""
        earliest_event_at = self.clock.time() + EVENT_DELAY
        stop_succeeded = None
        try:
            outcome = await self._wait()
            if self.stop_at_deadline and outcome.error and outcome.error["kind"] == PhaseTimedOut.__name__:
                # If the trigger is cancelled, `on_kill` waits for this asyncio task and sends no second stop
                # request, because the request could stop the job of the task's next try.
                self._stop_task = asyncio.ensure_future(self._stop(self.goal))
                stop_succeeded = await asyncio.shield(self._stop_task)
            await self._delay_event(earliest_event_at)
        except asyncio.CancelledError:
            # Before Airflow 3.3, this trigger may also be cancelled because a user has ended its task.
            if not AIRFLOW_CALLS_ON_KILL:
                await self.on_kill()
            raise
        payload = outcome.to_dict()
        if stop_succeeded is not None:
            # The worker must not send another stop request, because the request could stop a later job for
            # this source that another task has started.
            payload["stop_succeeded"] = stop_succeeded
        task_end = await self._end_task(outcome)
        yield self._event(payload) if task_end is None else task_end

    async def _wait(self) -> Outcome:
        """Wait for the phase, and return the outcome.

        If Stitch rejects the access token, the wait continues with the connection's current token.
        """
        try:
            session = await self._session(self.deadline, self.time_limit)
        except StitchError as error:
            return Outcome.from_failed_start(self.goal, error)
        waiter = self._waiter = Waiter(
            session, self.goal, poll_interval=self.poll_interval, log_info=_log_info, log_warning=_log_warning
        )
        outcome = await waiter.wait()
        while outcome.is_token_rejected and await self._refresh_token(waiter):
            outcome = await waiter.wait()
        return outcome

    async def _delay_event(self, earliest_event_at: float) -> None:
        """Sleep until the scheduler can process an event; see `EVENT_DELAY`."""
        # A trigger without an id runs in `dag.test()`, which has no executor.
        if self.is_deferred_by_worker and self.trigger_id is not None:
            await self.clock.sleep(max(0.0, earliest_event_at - self.clock.time()))

    async def _end_task(self, outcome: Outcome) -> TriggerEvent | None:
        """Write the log and XCom in the same way as a worker, and return the event that ends the task.

        Return None if only a worker can end the task.
        """
        # A trigger without an id runs in `dag.test()`, which continues the task after any event.
        if self.end_options is None or self.trigger_id is None:
            return None
        options = TaskEndOptions(**self.end_options)
        event = end_event(outcome, options)
        if event is None:
            self.log.info("Handing the task back to a worker, because only a worker can prevent a retry")
        elif outcome.error is not None:
            self.log.error(failure_message(outcome.error, options))
        else:
            if isinstance(event, TaskSkippedEvent):
                self.log.info(no_rows_message(outcome.result))
            if options.do_xcom_push:
                await push_xcom(self.task_instance, "return_value", with_url(outcome.result))
        return event

    def _event(self, payload: dict[str, Any]) -> TriggerEvent:
        event = {**payload, "resume_state": self.resume_state}
        return TriggerEvent(event)  # type: ignore[no-untyped-call]  # untyped in Airflow

    async def _refresh_token(self, waiter: Waiter) -> bool:
        """If the connection has changed, replace the waiter's client and return True."""
        try:
            client = await shared_client(self.stitch_conn_id)
        except (AirflowNotFoundException, StitchConfigurationError):
            return False
        if client is waiter.session.client:
            return False
        waiter.session.client = client
        _log_info(token_changed(self.stitch_conn_id))
        return True

    async def _session(self, deadline: float | None, time_limit: str) -> AccountSession:
        try:
            client = await shared_client(self.stitch_conn_id)
        except AirflowNotFoundException as error:
            raise StitchConfigurationError(str(error)) from error
        return _session_for(client, deadline, time_limit)

    # --- Stopping the job -------------------------------------------------------------------------------

    async def on_kill(self) -> None:
        """Stop the job if the task started the job and a user has ended the deferred task.

        A user can end the task by clearing it, or by marking it as failed or successful. The job is also
        stopped if the trigger is cancelled after the deadline of `stop_at_deadline`. Airflow 3.3 and later
        call this method. On earlier versions of Airflow, `run` calls this method if the trigger is
        cancelled.
        """
        if self.stop_on_kill and self.goal.job_name is not None:
            if self._stop_task is None:
                stop = self._stop_if_abandoned(self.goal, self.goal.job_name)
                self._stop_task = asyncio.ensure_future(stop)
            await wait_ignoring_cancellation(self._stop_task)

    async def cleanup(self) -> None:
        """Wait until the job is stopped, because Airflow may not wait for `on_kill` any more.

        Airflow calls `on_kill` in `asyncio.wait_for`. Before Python 3.12, `wait_for` returns if the trigger
        is cancelled again while `on_kill` runs. Airflow closes the task's log when this trigger ends, so the
        trigger must not end before the job is stopped.
        """
        if self._stop_task is not None:
            await wait_ignoring_cancellation(self._stop_task)

    async def _stop_if_abandoned(self, goal: Goal, job_name: str) -> None:
        if self._must_stop_at_deadline():
            await self._stop(goal)
            return
        try:
            if await is_still_deferred(self, job_name):
                self.log.info(
                    "Leaving job %s running: its task is still deferred, and only this triggerer is stopping",
                    job_name,
                )
                return
        except Exception as error:  # noqa: BLE001 - Airflow's database or supervisor may raise any exception
            self.log.warning(
                "Leaving job %s running: Airflow did not report whether its task is still deferred (%r). If "
                "a user ended the task, stop the job in Stitch.",
                job_name,
                error,
            )
            return
        await self._stop(goal)

    def _must_stop_at_deadline(self) -> bool:
        """Return whether the deadline has passed at which this trigger stops the job.

        On Airflow 2, the scheduler ends a deferred task at its `execution_timeout`, and may do so before a
        slow triggerer has stopped the job.
        """
        return self.stop_at_deadline and self.deadline is not None and self.clock.time() >= self.deadline

    async def _stop(self, goal: Goal) -> bool:
        """Stop the job if the job has not ended yet. Return whether the job is no longer running."""
        waiter = self._waiter
        deadline = time.time() + KILL_TIMEOUT
        try:
            if waiter is None:
                session = await self._session(deadline, KILL_TIMEOUT_NAME)
                observations = None
            else:
                # Use the waiter's client, which still works if the connection has been deleted.
                session = _session_for(waiter.session.client, deadline, KILL_TIMEOUT_NAME)
                observations = waiter.observations
            stopped = await stop_job(session, goal, observations=observations)
        except StitchError as error:
            self.log.warning("Could not stop job %s: %s", goal.job_name, error)
            return False
        self.log.info("Stopped job %s in Stitch" if stopped else "Job %s has already ended", goal.job_name)
        return True


def _parse_goal(fields: dict[str, Any]) -> Goal:
    """Return a goal that this or another version of the provider has stored.

    :raises TypeError: if this version cannot read the goal. If a trigger raises a TypeError here, Airflow
        fails only its task. Any other exception would stop the triggerer.
    """
    try:
        return Goal.from_dict(fields)
    except InvalidArgument as error:
        raise TypeError(str(error)) from error


def _session_for(client: StitchClient, deadline: float | None, time_limit: str) -> AccountSession:
    return AccountSession(
        StitchCaller(client, budget_folder=airflow_home()),
        deadline=deadline,
        time_limit=time_limit,
        on_warning=_log_warning,
    )


def _log_info(line: str) -> None:
    # `self.log` would create a logger for each trigger, which takes a kilobyte per waiting task.
    StitchPhaseTrigger.logger().info(line)


def _log_warning(line: str) -> None:
    StitchPhaseTrigger.logger().warning(line)
