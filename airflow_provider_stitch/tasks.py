"""What operators and sensors have in common: the hook, the waiting, the link, and how an error ends a task.

A DAG file that imports an operator pays for this module at every parse, so what talks to Stitch is imported
when a task runs.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperatorLink, conf

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.hooks.stitch import StitchHook
    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.outcome import Outcome
    from airflow_provider_stitch.replication.reader import AccountReader
    from airflow_provider_stitch.replication.watch import Watch

T = TypeVar("T")


class StitchSourceLink(BaseOperatorLink):
    """The button that leads from a task to its source's page in Stitch."""

    name = "Source in Stitch"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address that the task left in its XCom, or nothing if it never got so far."""
        from airflow.providers.common.compat.sdk import XCom

        from airflow_provider_stitch.task_context import LINK_KEY

        return XCom.get_value(key=LINK_KEY, ti_key=ti_key) or ""


class StitchTask:
    """A mixin for tasks that wait: what needs an operator's attributes, and no more."""

    if TYPE_CHECKING:
        stitch_conn_id: str
        poll_interval: float | None
        log: Any
        defer: Any

    current_watch: Watch | None = None  #: what this worker waits with

    @cached_property
    def hook(self) -> StitchHook:
        """The hook of this task's connection."""
        from airflow_provider_stitch.hooks.stitch import StitchHook

        return StitchHook(self.stitch_conn_id)

    def reader(self, deadline: float | None, time_limit: str = "timeout") -> AccountReader:
        """Return a reader of the account that asks an unavailable Stitch again until `deadline`.

        :param time_limit: which of the task's limits sets the deadline, as error messages name it.
        """
        from airflow_provider_stitch.hooks.stitch import airflow_home
        from airflow_provider_stitch.replication.reader import AccountReader

        return AccountReader(
            self.hook.client,
            deadline=deadline,
            budget_folder=airflow_home(),
            time_limit=time_limit,
            warn=self.log.warning,
        )

    def watch(
        self, goal: Goal, deadline: float | None, *, time_limit: str = "timeout", forgetful: bool = False
    ) -> Watch:
        """Return the watch of a goal, which reports into this task's log."""
        from airflow_provider_stitch.replication.watch import Watch

        return Watch(
            self.reader(deadline, time_limit),
            goal,
            poll_interval=self.poll_interval,
            forgetful=forgetful,
            tell=self.log.info,
            warn=self.log.warning,
        )

    def wait(self, goal: Goal, deadline: float | None, *, time_limit: str = "timeout") -> Outcome:
        """Wait in this worker, with the connection's new token once Stitch refuses the one that it had."""
        watch = self.current_watch = self.watch(goal, deadline, time_limit=time_limit)
        outcome = run(watch.wait())
        while outcome.is_refused_token and self.takes_new_token(watch):
            outcome = run(watch.wait())
        return outcome

    def takes_new_token(self, watch: Watch) -> bool:
        """Give a watch whose token is refused the one that the connection has now. False: it is the same."""
        from airflow_provider_stitch.hooks.stitch import token_changed

        if not self.hook.has_changed():
            return False
        del self.hook  # it is made anew
        watch.reader.client = self.hook.client
        self.log.info(token_changed(self.stitch_conn_id))
        return True

    def defer_until(
        self,
        goal: Goal,
        deadline: float | None,
        *,
        time_limit: str = "timeout",
        carried: dict[str, Any] | None = None,
        stop_on_kill: bool = False,
        stop_at_deadline: bool = False,
        ending: dict[str, bool] | None = None,
    ) -> None:
        """Go on in the triggerer; come back to `execute_complete` with its event, unless it ends the task."""
        from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger

        self.defer(
            trigger=StitchPhaseTrigger(
                stitch_conn_id=self.stitch_conn_id,
                goal=goal.to_dict(),
                poll_interval=self.poll_interval,
                deadline=deadline,
                time_limit=time_limit,
                carried=carried,
                stop_on_kill=stop_on_kill,
                stop_at_deadline=stop_at_deadline,
                ending=ending,
            ),
            method_name="execute_complete",
        )

    def leave_link(self, context: Context, goal: Goal) -> str:
        """Leave the address of the source's page in XCom, for the link to find while the task still runs."""
        from airflow_provider_stitch.task_context import LINK_KEY

        url = url_of(goal.client_id, goal.source_id)
        context["ti"].xcom_push(key=LINK_KEY, value=url)
        return url

    def finish(self, outcome: Outcome) -> dict[str, Any]:
        """Return what a finished wait is worth as XCom.

        :raises StitchError: the outcome's own error.
        """
        from airflow_provider_stitch.hooks.stitch import with_url

        outcome.raise_for_error()
        return with_url(outcome.result)


def url_of(client_id: int, source_id: int) -> str:
    """Return the address of a source's page in Stitch."""
    from airflow_provider_stitch.hooks.stitch import source_url

    return source_url(client_id, source_id)


def outcome_of(event: dict[str, Any]) -> Outcome:
    """Return the outcome that a trigger's event carries.

    :raises ValueError: the event is none of `StitchPhaseTrigger`'s.
    """
    from airflow_provider_stitch.replication.outcome import Outcome

    try:
        return Outcome(
            goal=event["goal"],
            result=event["result"],
            error=event["error"],
            extraction_over=event.get("extraction_over", False),  # absent in events of earlier versions
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"This event is none of StitchPhaseTrigger's: {event!r}") from error


@contextmanager
def failing_for_good() -> Iterator[None]:
    """Turn an error that no retry can mend into one that Airflow does not retry."""
    from airflow_provider_stitch.connect.errors import StitchError

    try:
        yield
    except StitchError as error:
        if error.retryable:
            raise
        # The message contains all that a person needs; the traceback would only hide it.
        raise permanent(error) from None


def permanent(error: StitchError) -> AirflowFailException:
    """Return an error that Airflow does not retry, and that is of the same kind with the same attributes.

    So a callback can use its kind, `source_id` and `job_name`.
    """
    return cast("AirflowFailException", _made_permanent(type(error), str(error), error.__dict__))


_permanent_kinds: dict[type[StitchError], Any] = {}


def _permanent_kind(kind: type[StitchError]) -> Any:
    if kind not in _permanent_kinds:
        members = {"__reduce__": _reduce_permanent, "__doc__": kind.__doc__, "__module__": kind.__module__}
        _permanent_kinds[kind] = type(kind.__name__, (kind, AirflowFailException), members)
    return _permanent_kinds[kind]


def _reduce_permanent(error: StitchError) -> tuple[Any, ...]:
    kind = type(error).__bases__[0]
    return _made_permanent, (kind, str(error), error.__dict__)


def _made_permanent(kind: type[StitchError], message: str, attributes: dict[str, Any]) -> StitchError:
    """Return what `_reduce_permanent` has described: a class that is made here has no name to import."""
    error: StitchError = _permanent_kind(kind)(message)
    error.__dict__.update(attributes)
    return error


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this worker."""
    return asyncio.run(coroutine)


def seconds(duration: float | timedelta | None, name: str, *, zero: bool = False) -> float | None:
    """Return a duration that a DAG author gave in seconds.

    :raises ValueError: it is no number, negative, or zero where that makes no sense.
    """
    if duration is None:
        return None
    try:
        value = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "positive"
        raise ValueError(f"{name} is a number of seconds and must be {least}; it was {duration!r}.")
    return value


class Deadline(NamedTuple):
    """When to give up, in seconds since the epoch (None: never), and whether Airflow would then, too."""

    at: float | None
    is_execution_timeout: bool = False

    @property
    def time_limit(self) -> str:
        """The name of the limit, for error messages."""
        return "execution_timeout" if self.is_execution_timeout else "timeout"

    @classmethod
    def of(cls, context: Context, timeout: float | None, execution_timeout: timedelta | None) -> Deadline:
        """Return the end of `timeout`, or a little before that of `execution_timeout` if it is earlier.

        Airflow 3 does not end a deferred task for its `execution_timeout`, and Airflow 2 ends it without a
        word to the operator: being earlier leaves time to stop the job.
        """
        now = time.time()
        ours = None if timeout is None else now + timeout
        if execution_timeout is None:
            return cls(ours)
        began = getattr(context["ti"], "start_date", None)
        theirs = (began.timestamp() if began else now) + before_end_of(execution_timeout)
        return cls(ours) if ours is not None and ours < theirs else cls(theirs, is_execution_timeout=True)


# Seconds before the end of an `execution_timeout` that are left for stopping the job.
STOPPING_TIME = 10.0


def before_end_of(execution_timeout: timedelta) -> float:
    """Return the seconds of an `execution_timeout` after which there is just time left to stop the job."""
    allowed = execution_timeout.total_seconds()
    return allowed - min(STOPPING_TIME, allowed / 10)


def default_deferrable() -> bool:
    """Return Airflow's own default of `deferrable`."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
