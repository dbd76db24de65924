"""The mixin for all operators and sensors.

The mixin contains the hook, the waits, and the link to the source.

This module is imported at every parse of a DAG file that uses an operator of this package. To keep parsing
fast, modules that call Stitch are imported only when a task runs.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import conf

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.hooks.stitch import StitchHook
    from airflow_provider_stitch.lineage import Lineage
    from airflow_provider_stitch.replication.outcome import Outcome
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.session import AccountSession
    from airflow_provider_stitch.replication.waiter import Waiter
    from airflow_provider_stitch.triggers.task_context import TaskEndOptions

T = TypeVar("T")


class StitchTask:
    """A mixin that adds a Stitch hook and methods for waiting to an Airflow operator."""

    if TYPE_CHECKING:
        stitch_conn_id: str
        poll_interval: float | None
        log: Any
        defer: Any
        do_xcom_push: bool
        multiple_outputs: bool
        outlets: list[Any]

    emit_assets: bool | Sequence[str] = False
    lineage: Lineage | None = None  #: the tables that the job has loaded; set after the wait
    current_waiter: Waiter | None = None  #: the waiter that this worker has created most recently

    @cached_property
    def hook(self) -> StitchHook:
        """The hook of this task's connection."""
        from airflow_provider_stitch.hooks.stitch import StitchHook

        return StitchHook(self.stitch_conn_id)

    def session(self, deadline: float | None, time_limit: str = "timeout") -> AccountSession:
        """Return a session of the account. The session retries requests until `deadline`.

        :param time_limit: name of the task's argument that sets the deadline, for error messages.
        """
        from airflow_provider_stitch.hooks.stitch import airflow_home
        from airflow_provider_stitch.replication.polling.caller import StitchCaller
        from airflow_provider_stitch.replication.session import AccountSession

        return AccountSession(
            StitchCaller(self.hook.client, budget_folder=airflow_home()),
            deadline=deadline,
            time_limit=time_limit,
            on_warning=self.log.warning,
        )

    def waiter(
        self, goal: Goal, deadline: float | None, *, time_limit: str = "timeout", stateless: bool = False
    ) -> Waiter:
        """Return a waiter for a goal. The waiter writes to the log of this task."""
        from airflow_provider_stitch.replication.waiter import Waiter

        return Waiter(
            self.session(deadline, time_limit),
            goal,
            poll_interval=self.poll_interval,
            stateless=stateless,
            log_info=self.log.info,
            log_warning=self.log.warning,
        )

    def wait(self, goal: Goal, deadline: float | None, *, time_limit: str = "timeout") -> Outcome:
        """Wait in this worker, and return the outcome.

        If Stitch rejects the access token, the wait continues with the connection's current token.
        """
        waiter = self.current_waiter = self.waiter(goal, deadline, time_limit=time_limit)
        outcome = run(waiter.wait())
        while outcome.is_token_rejected and self.refresh_token(waiter):
            outcome = run(waiter.wait())
        return outcome

    def refresh_token(self, waiter: Waiter) -> bool:
        """If the connection has changed, replace the waiter's client and return True."""
        from airflow_provider_stitch.hooks.stitch import token_changed

        if not self.hook.has_changed():
            return False
        del self.hook  # the next use of `hook` creates a hook from the changed connection
        waiter.session.client = self.hook.client
        self.log.info(token_changed(self.stitch_conn_id))
        return True

    def defer_until(
        self,
        goal: Goal,
        deadline: float | None,
        *,
        time_limit: str = "timeout",
        resume_state: dict[str, Any] | None = None,
        stop_on_kill: bool = False,
        stop_at_deadline: bool = False,
        end_options: TaskEndOptions | None = None,
    ) -> None:
        """Defer the task. Unless the trigger ends the task, Airflow then calls `execute_complete`."""
        from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger

        self.defer(
            trigger=StitchPhaseTrigger(
                stitch_conn_id=self.stitch_conn_id,
                goal=goal.to_dict(),
                poll_interval=self.poll_interval,
                deadline=deadline,
                time_limit=time_limit,
                resume_state=resume_state,
                stop_on_kill=stop_on_kill,
                stop_at_deadline=stop_at_deadline,
                end_options=None if end_options is None else end_options.to_dict(),
            ),
            method_name="execute_complete",
        )

    def push_source_link(self, context: Context, client_id: int, source_id: int) -> str:
        """Write the URL of the source's page to XCom, so that the link works while the task runs."""
        from airflow_provider_stitch.hooks.stitch import source_url
        from airflow_provider_stitch.triggers.task_context import LINK_KEY

        url = source_url(client_id, source_id)
        context["ti"].xcom_push(key=LINK_KEY, value=url)
        return url

    def declare_assets(self) -> None:
        """Add the alias of the updated assets to the task's outlets, if `emit_assets` is set.

        :raises ValueError: if `emit_assets` is neither a boolean nor a list of names.
        """
        if self.emit_assets is not False:
            from airflow_provider_stitch.common.asset_events import alias, validate_emit_assets

            validate_emit_assets(self.emit_assets)
            self.outlets = [*self.outlets, alias(self.stitch_conn_id)]

    def finish(self, context: Context, outcome: Outcome) -> dict[str, Any]:
        """Return the XCom of a task after a successful wait, and update its assets.

        :raises StitchError: if the wait has failed.
        """
        from airflow_provider_stitch.hooks.stitch import with_url

        outcome.raise_for_error()
        result = with_url(outcome.result)
        if outcome.goal["phase"] == "loading":
            from airflow_provider_stitch.common.load_report import report_load

            report_load(self, context, result)
        return result

    def push_result(self, context: Context, result: dict[str, Any]) -> None:
        """Write the XCom of a task that is about to raise an exception.

        Airflow writes the return value to XCom only if the task succeeds.
        """
        if not self.do_xcom_push:
            return
        outputs = result if self.multiple_outputs else {}
        for key, value in {**outputs, "return_value": result}.items():
            context["ti"].xcom_push(key=key, value=value)

    def skip_without_rows(self, context: Context, outcome: Outcome, result: dict[str, Any]) -> None:
        """Skip the task if its job had no new rows.

        This method writes the XCom before it raises the exception, because a skipped task returns no value.

        :raises AirflowSkipException: if the job's log proves that the job had no new rows.
        """
        from airflow.providers.common.compat.sdk import AirflowSkipException

        from airflow_provider_stitch.triggers.task_context import no_rows_message

        if not outcome.had_no_rows:
            return
        self.push_result(context, result)
        raise AirflowSkipException(no_rows_message(result))


class LineageTask(StitchTask):
    """Reports the lineage of loaded jobs to OpenLineage."""

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Return the lineage of the tables that the task has loaded.

        OpenLineage's listener calls this method only after the task has ended. The method sends no requests,
        because the task has already read the lineage.
        """
        from airflow_provider_stitch.lineage import facets

        return facets(self.lineage)


def outcome_of(event: dict[str, Any]) -> Outcome:
    """Return the outcome that a trigger's event contains.

    :raises ValueError: if the event is not from `StitchPhaseTrigger`.
    """
    from airflow_provider_stitch.replication.outcome import Outcome

    try:
        return Outcome(
            goal=event["goal"],
            result=event["result"],
            error=event["error"],
            extraction_ended=event.get("extraction_ended", False),  # missing in earlier versions
            assumes_no_rows=event.get("assumes_no_rows", False),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"This event is not from StitchPhaseTrigger: {event!r}") from error


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to completion in this worker."""
    return asyncio.run(coroutine)


def default_deferrable() -> bool:
    """Return Airflow's default for `deferrable`."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
