"""StitchPhaseTrigger: the watch of one goal, in the triggerer."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_stitch.connect.errors import (
    InvalidArgument,
    PhaseTimedOut,
    StitchConfigurationError,
    StitchError,
)
from airflow_provider_stitch.hooks.stitch import (
    StitchHook,
    airflow_home,
    shared_client_from,
    token_changed,
    with_url,
)
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.reader import SYSTEM_CLOCK, AccountReader
from airflow_provider_stitch.replication.shared_call import SharedCall
from airflow_provider_stitch.replication.start import stop_job
from airflow_provider_stitch.replication.watch import Watch
from airflow_provider_stitch.triggers.deferral import AIRFLOW_CALLS_ON_KILL, still_waits, undisturbed
from airflow_provider_stitch.triggers.ending import Ending, end_event, last_words, leave_xcom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.replication.reader import Clock


# Seconds for which an unavailable Stitch is asked again to stop a job.
KILL_PATIENCE = 20.0

# Seconds from the start of a trigger to its first event. If the task is queued again before the scheduler has
# processed the end of the worker that deferred it, the scheduler fails the task: "the task instance's state
# attribute is queued". The measurement is in docs/explanation/never-twice.md.
EVENT_DELAY = 10.0


class StitchPhaseTrigger(BaseTrigger):
    """Waits until a phase of a replication job has ended, and fires one event: an `Outcome` as a dict, with
    what was `carried`.

    Only these arguments are stored in Airflow's database. The access token is not among them: the connection
    is read in the triggerer.

    :param stitch_conn_id: id of the Airflow connection.
    :param goal: what to wait for, as `Goal.to_dict` makes it; None if that is found out before `run`.
    :param poll_interval: seconds between two looks; None is as often as Stitch's limit allows.
    :param deadline: seconds since the epoch at which to give up; None is never.
    :param time_limit: which of the task's limits sets the deadline, as error messages name it.
    :param carried: plain values that come back in the event, under this name, as they are.
    :param stop_on_kill: stop the job in Stitch when a user fails, clears or marks the task.
    :param stop_at_deadline: stop it when the deadline has passed: a worker may come to it too late.
    :param ending: how to end the task from here, an `Ending` in plain values; None leaves that to a worker.
    """

    _stopping: asyncio.Task[None] | None = None  #: what `on_kill` does
    _current_watch: Watch | None = None

    clock: ClassVar[Clock] = SYSTEM_CLOCK
    begins_in_worker: ClassVar[bool] = True  #: a worker has deferred the task, and ends at the same time

    def __init__(
        self,
        *,
        stitch_conn_id: str,
        goal: dict[str, Any] | None,
        poll_interval: float | None = None,
        deadline: float | None = None,
        time_limit: str = "timeout",
        carried: dict[str, Any] | None = None,
        stop_on_kill: bool = False,
        stop_at_deadline: bool = False,
        ending: dict[str, bool] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        # A thousand of these may wait, and each would have its own copies of the same words.
        self.stitch_conn_id = sys.intern(stitch_conn_id)
        if goal is not None:
            self.goal = _goal_of(goal)
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.time_limit = sys.intern(time_limit)
        self._carried = tuple((sys.intern(name), value) for name, value in (carried or {}).items())
        self.stop_on_kill = stop_on_kill
        self.stop_at_deadline = stop_at_deadline
        self.ending = ending

    @property
    def carried(self) -> dict[str, Any]:
        """What comes back in the event, as it is."""
        return dict(self._carried)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger again."""
        return (
            self._path(),
            {
                "stitch_conn_id": self.stitch_conn_id,
                "goal": self.goal.to_dict(),
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "time_limit": self.time_limit,
                "carried": self.carried,
                "stop_on_kill": self.stop_on_kill,
                "stop_at_deadline": self.stop_at_deadline,
                "ending": self.ending,
            },
        )

    def _path(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the outcome."""
        earliest_event = self.clock.time() + EVENT_DELAY
        try:
            # No coroutine in between: each takes a quarter of a kilobyte, and a thousand may wait.
            stopped = None
            try:
                watch = self._current_watch = await self._watch()
            except StitchError as error:
                outcome = Outcome.of_failed_start(self.goal, error)
            else:
                outcome = await watch.wait()
                while outcome.is_refused_token and await self._takes_new_token(watch):
                    outcome = await watch.wait()
            if self.stop_at_deadline and outcome.error and outcome.error["kind"] == PhaseTimedOut.__name__:
                stopped = await self._stop(self.goal)
            await self._hold_event(earliest_event)
        except asyncio.CancelledError:
            if not AIRFLOW_CALLS_ON_KILL:
                await self.on_kill()
            raise
        # The worker sends no second stop: by then it could end the next task's job.
        payload = {**outcome.to_dict(), **({} if stopped is None else {"stop_succeeded": stopped})}
        yield await self._end(outcome) or self._event(payload)

    async def _hold_event(self, until: float) -> None:
        # Without an id it runs in no triggerer but in `dag.test()`, which has no executor.
        if self.begins_in_worker and self.trigger_id is not None:
            await self.clock.sleep(max(0.0, until - self.clock.time()))

    async def _end(self, outcome: Outcome) -> TriggerEvent | None:
        """Return the event that ends the task, once its log and XCom have all that a worker leaves there."""
        # Without an id it runs in no triggerer but in `dag.test()`, which goes on in a worker whatever comes.
        if self.ending is None or self.trigger_id is None:
            return None
        ending = Ending(**self.ending)
        event = end_event(outcome, ending)
        if event is None:
            self.log.info("A worker ends this task: only from there can Airflow be told whether to retry it")
        elif outcome.error is not None:
            self.log.error(last_words(outcome.error, ending))
        elif ending.do_xcom_push:
            await leave_xcom(self.task_instance, "return_value", with_url(outcome.result))
        return event

    def _event(self, payload: dict[str, Any]) -> TriggerEvent:
        event = {**payload, "carried": self.carried}
        return TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped

    async def _watch(self) -> Watch:
        reader = await self._reader(self.deadline)
        return Watch(reader, self.goal, poll_interval=self.poll_interval, tell=_tell, warn=_warn)

    async def _takes_new_token(self, watch: Watch) -> bool:
        """Give a watch whose token is refused the one that the connection has now. False: it is the same."""
        try:
            client = await _shared_client(self.stitch_conn_id)
        except (AirflowNotFoundException, StitchConfigurationError):
            return False
        if client is watch.reader.client:
            return False
        watch.reader.client = client
        _tell(token_changed(self.stitch_conn_id))
        return True

    async def _reader(self, deadline: float | None) -> AccountReader:
        try:
            client = await _shared_client(self.stitch_conn_id)
        except AirflowNotFoundException as error:
            raise StitchConfigurationError(str(error)) from error
        return _reader_of(client, deadline, self.time_limit)

    async def on_kill(self) -> None:
        """Stop the job, if this task started it and a user has failed, cleared or marked the deferred task.

        Airflow 3.3 and later call this then; before, this trigger does when it is cancelled.
        """
        if not self.stop_on_kill:
            return
        if self.goal.job_name is not None:
            self._stopping = asyncio.ensure_future(self._stop_unless_awaited(self.goal, self.goal.job_name))
            await undisturbed(self._stopping)

    async def cleanup(self) -> None:
        """Wait until `on_kill` has done its work, which Airflow then may have left.

        It waits for it by `asyncio.wait_for`. Before Python 3.12 that is over with the second of the
        cancellations, and the task's log is closed when this trigger ends.
        """
        if self._stopping is not None:
            await undisturbed(self._stopping)

    async def _stop_unless_awaited(self, goal: Goal, job_name: str) -> None:
        try:
            if await still_waits(self, job_name):
                self.log.info("Leaving job %s running: no user has ended its task", job_name)
                return
        except Exception as error:  # noqa: BLE001 - of any Airflow's database or supervisor
            self.log.warning(
                "Job %s is left running: whether its task still waits for it could not be told (%r). "
                "If a user ended the task, stop the job in Stitch.",
                job_name,
                error,
            )
            return
        await self._stop(goal)

    async def _stop(self, goal: Goal) -> bool:
        """Stop the job unless it has ended. Return whether nothing of it is left to stop."""
        watch = self._current_watch
        deadline = time.time() + KILL_PATIENCE  # Airflow gives this 30 s
        try:
            if watch is None:
                reader, known = await self._reader(deadline), None
            else:
                # The connection may be gone by now, and the client that the watch has is still good.
                reader, known = _reader_of(watch.reader.client, deadline), watch.known
            stopped = await stop_job(reader, goal, known=known)
        except StitchError as error:
            self.log.warning("Job %s could not be stopped: %s", goal.job_name, error)
            return False
        self.log.info("Stopped job %s in Stitch" if stopped else "Job %s is over already", goal.job_name)
        return True


def _goal_of(plain: dict[str, Any]) -> Goal:
    """Return a goal that was stored, perhaps by another version of this provider.

    :raises TypeError: this one does not understand it. A triggerer fails the task for this, and ends itself
        for any other error.
    """
    try:
        return Goal.from_dict(plain)
    except InvalidArgument as error:
        raise TypeError(str(error)) from error


def _reader_of(client: StitchClient, deadline: float | None, time_limit: str = "timeout") -> AccountReader:
    return AccountReader(
        client, deadline=deadline, budget_folder=airflow_home(), time_limit=time_limit, warn=_warn
    )


def _tell(line: str) -> None:
    # All triggers write by the class's logger: one of its own would cost each that waits a kilobyte.
    StitchPhaseTrigger.logger().info(line)


def _warn(line: str) -> None:
    StitchPhaseTrigger.logger().warning(line)


def _shared_client(stitch_conn_id: str) -> asyncio.Future[StitchClient]:
    """Return what will be the client of a connection as it is now.

    A triggerer that is asked for the connection by each of a thousand triggers at once takes minutes.
    """
    shared = _shared_clients.setdefault(asyncio.get_running_loop(), {})
    if stitch_conn_id not in shared:
        shared[stitch_conn_id] = SharedCall(sync_to_async(partial(_client, stitch_conn_id)))
    return shared[stitch_conn_id].answer()


def _client(stitch_conn_id: str) -> StitchClient:
    return shared_client_from(StitchHook.get_connection(stitch_conn_id))


_shared_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedCall[StitchClient]]]
_shared_clients = WeakKeyDictionary()
