"""Operators that hold back Stitch's own schedule of a source, and let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.setup import StitchSetupOperator
from airflow_provider_stitch.tasks import StitchSourceLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source


class StitchPauseSourceOperator(StitchSetupOperator):
    """Pause a source: Stitch starts no job of it by itself. A running job goes on, and others can be started.

    A source that is paused already stays as it is. The XCom is a dict: `source_id`, `source_name`,
    `client_id`, `url`, `paused_at` (ISO 8601 in UTC) and `changed`: whether this task has paused it.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param timeout: seconds (or a timedelta) for which an unavailable Stitch is asked again.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)

    def __init__(self, *, source: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def set_up(self, context: Context) -> dict[str, Any]:
        """Pause the source, unless it is."""
        source = self.find_source(context, self.source)
        changed = source.paused_at is None
        if changed:
            source = self.insist(lambda: self.hook.client.pause_source(source.id))
        self.log.info("Source %s is paused%s", source.label, "" if changed else " already")
        return {**self.about(source), "paused_at": _iso(source), "changed": changed}


class StitchUnpauseSourceOperator(StitchSetupOperator):
    """Let Stitch's schedule start jobs of a source again that a user paused.

    A source that is not paused stays as it is. One that Stitch itself has paused can't be unpaused so: the
    task fails, without a retry, and says why. The XCom is a dict: `source_id`, `source_name`, `client_id`,
    `url`, `paused_at` (None) and `changed`: whether this task has unpaused it.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param timeout: seconds (or a timedelta) for which an unavailable Stitch is asked again.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)

    def __init__(self, *, source: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def set_up(self, context: Context) -> dict[str, Any]:
        """Unpause the source, unless it is not paused."""
        source = self.find_source(context, self.source)
        _refuse_if_paused_by_stitch(source)
        changed = source.paused_at is not None
        if changed:
            source = self.insist(lambda: self.hook.client.unpause_source(source.id))
            _refuse_if_paused_by_stitch(source)
        self.log.info("Source %s is %s", source.label, "unpaused" if changed else "not paused anyway")
        return {**self.about(source), "paused_at": _iso(source), "changed": changed}


def _iso(source: Source) -> str | None:
    from airflow_provider_stitch.connect.objects import format_time

    return None if source.paused_at is None else format_time(source.paused_at)


def _refuse_if_paused_by_stitch(source: Source) -> None:
    from airflow_provider_stitch.connect.errors import PausedByStitch

    if source.system_paused_at is not None:
        raise PausedByStitch(
            f"Source {source.label} was paused by Stitch itself at {source.system_paused_at:%Y-%m-%d %H:%M} "
            "UTC, which no request can undo. Stitch does that when the trial is over, when no rows were "
            "loaded for more than 40 days, when the destination is gone or another, or when the plan no "
            "longer includes a cron schedule. Mend the cause, then unpause it in the Stitch app.",
            source_id=source.id,
        )
