"""Operators that pause and unpause a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.operators._setup import StitchSetupOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source


class StitchPauseSourceOperator(StitchSetupOperator):
    """Pause a source, so that Stitch's schedule does not start jobs for the source.

    A running job continues, and tasks can still start jobs for the source.

    If the source is already paused, the task changes nothing. The XCom is a dict: `source_id`, `source_name`,
    `client_id`, `url`, `paused_at` (ISO 8601 in UTC) and `changed` (whether this task has paused the source).

    :param source: the source's id, its `name`, or its display name. (templated)
    :param timeout: how long to keep retrying while Stitch is unavailable, in seconds or as a timedelta.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)

    def __init__(self, *, source: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def set_up(self, context: Context) -> dict[str, Any]:
        """Pause the source unless it is already paused."""
        source = self.find_source(context, self.source)
        changed = source.paused_at is None
        if changed:
            source = self.call_with_retries(lambda: self.hook.client.pause_source(source.id))
        self.log.info("Paused source %s" if changed else "Source %s is already paused", source.label)
        return {**self.source_xcom(source), "paused_at": _iso(source), "changed": changed}


class StitchUnpauseSourceOperator(StitchSetupOperator):
    """Unpause a source that a user has paused, so that Stitch's schedule starts jobs for the source again.

    If the source is not paused, the task changes nothing. If Stitch itself has paused the source, the API
    cannot unpause the source, and the task fails without a retry. The XCom is a dict: `source_id`,
    `source_name`, `client_id`, `url`, `paused_at` (None) and `changed` (whether this task has unpaused the
    source).

    :param source: the source's id, its `name`, or its display name. (templated)
    :param timeout: how long to keep retrying while Stitch is unavailable, in seconds or as a timedelta.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)

    def __init__(self, *, source: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def set_up(self, context: Context) -> dict[str, Any]:
        """Unpause the source unless it is already unpaused."""
        source = self.find_source(context, self.source)
        _reject_if_paused_by_stitch(source)
        changed = source.paused_at is not None
        if changed:
            source = self.call_with_retries(lambda: self.hook.client.unpause_source(source.id))
            _reject_if_paused_by_stitch(source)
        self.log.info("Unpaused source %s" if changed else "Source %s is not paused", source.label)
        return {**self.source_xcom(source), "paused_at": _iso(source), "changed": changed}


def _iso(source: Source) -> str | None:
    from airflow_provider_stitch.connect.objects import format_time

    return None if source.paused_at is None else format_time(source.paused_at)


def _reject_if_paused_by_stitch(source: Source) -> None:
    from airflow_provider_stitch.connect.errors import PausedByStitch

    if source.system_paused_at is not None:
        raise PausedByStitch(
            f"Stitch paused source {source.label} at {source.system_paused_at:%Y-%m-%d %H:%M} UTC; the API "
            "cannot undo that. Stitch pauses a source when the trial has ended, when no rows were loaded for "
            "more than 40 days, when the destination was deleted or replaced, or when the plan no longer "
            "includes a cron schedule. Fix the cause, then unpause the source in the Stitch app.",
            source_id=source.id,
        )
