"""The operator that changes Stitch's schedule of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.operators._setup import StitchSetupOperator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

SCHEDULE_PROPERTIES = ("frequency_in_minutes", "anchor_time", "cron_expression")


class StitchUpdateScheduleOperator(StitchSetupOperator):
    """Change the schedule of a source to an interval or a cron expression.

    The task reads the source's schedule and sends only the properties that differ. If the source already has
    the requested schedule, the task sends no change, because Stitch starts a connection check after each
    change. With `frequency_in_minutes`, the task removes the source's cron expression, because Stitch would
    otherwise ignore the interval. A paused source remains paused. Use `StitchUnpauseSourceOperator` to let
    Stitch start jobs for the source again.

    The XCom is a dict: `source_id`, `source_name`, `client_id`, `url`, `changed` (bool), `changes`
    (`{property: {"before": ..., "after": ...}}`), `schedule` (as Stitch returns it; None for a paused source
    and for some other sources) and `paused` (bool).

    :param source: the source's id, its `name`, or its display name. (templated)
    :param frequency_in_minutes: number of minutes between the starts of consecutive jobs. Stitch accepts 30,
        60, 360, 720 and 1440. For databases, Stitch also accepts an interval of 1 minute. Set either
        `frequency_in_minutes` or `cron_expression`. (templated)
    :param anchor_time: start time of one job (ISO 8601 string with a time zone, or datetime). If the interval
        is at least an hour, Stitch calculates the start times of all other jobs from this time. If None, the
        task does not change the anchor time. (templated)
    :param cron_expression: a Quartz cron expression in UTC, such as `0 0 12 ? * MON-FRI *`. Unlike Airflow's
        cron expressions, a Quartz expression has six or seven fields and starts with the seconds. Some of
        Stitch's pricing plans do not include cron expressions. (templated)
    :param timeout: how long to keep retrying while Stitch is unavailable, in seconds or as a timedelta.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", *SCHEDULE_PROPERTIES, "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)
    string_arguments: Sequence[str] = ("cron_expression",)

    def __init__(
        self,
        *,
        source: int | str,
        frequency_in_minutes: int | str | None = None,
        anchor_time: datetime | str | None = None,
        cron_expression: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.frequency_in_minutes = frequency_in_minutes
        self.anchor_time = anchor_time
        self.cron_expression = cron_expression
        if (frequency_in_minutes is None) == (cron_expression is None):
            raise ValueError("Set either frequency_in_minutes or cron_expression.")
        if anchor_time is not None and frequency_in_minutes is None:
            raise ValueError("anchor_time needs frequency_in_minutes; it has no effect on a cron_expression.")

    def set_up(self, context: Context) -> dict[str, Any]:
        """Read the source's schedule, and send the properties that differ."""
        wanted = self._wanted()
        source = self.find_source(context, self.source)
        before = source.properties
        changes = {
            name: {"before": before.get(name), "after": value}
            for name, value in wanted.items()
            if not _is_same(name, value, before.get(name))
        }
        if changes:
            values = {name: wanted[name] for name in changes}
            source = self.client.update_source(source.id, properties=values)
            self.log.info("Changed the schedule of source %s: %s", source.label, changes)
        else:
            self.log.info("Source %s already has this schedule; changed nothing", source.label)
        if source.is_paused:
            self.log.warning(
                "Source %s is paused, so Stitch's schedule does not start its jobs", source.label
            )
        return {
            **self.source_xcom(source),
            "changed": bool(changes),
            "changes": changes,
            "schedule": None if source.schedule is None else dict(source.schedule),
            "paused": source.is_paused,
        }

    def _wanted(self) -> dict[str, str | None]:
        """Return the properties of the requested schedule, as Stitch stores them.

        :raises InvalidArgument: if a rendered argument is invalid.
        """
        from airflow_provider_stitch.connect.errors import InvalidArgument
        from airflow_provider_stitch.connect.objects import format_time
        from airflow_provider_stitch.replication.rules.arguments import none_if_blank
        from airflow_provider_stitch.replication.rules.user_input import parse_instant

        cron = none_if_blank(self.cron_expression)
        minutes = none_if_blank(self.frequency_in_minutes)
        if (cron is None) == (minutes is None):
            raise InvalidArgument(
                f"Schedule of source {self.source!r}: exactly one of frequency_in_minutes and "
                f"cron_expression must have a value; they are {self.frequency_in_minutes!r} and "
                f"{self.cron_expression!r}."
            )
        if cron is not None:
            if len(cron.split()) not in (6, 7):
                raise InvalidArgument(
                    f"Schedule of source {self.source!r}: cron_expression must have six or seven fields, "
                    f"with seconds first, such as '0 0 5 ? * MON-FRI *'; it is {cron!r}. Stitch does "
                    "not accept Airflow's expressions, which have five fields."
                )
            return {"cron_expression": " ".join(cron.split())}
        is_whole = isinstance(minutes, float) and minutes.is_integer()
        text = str(int(minutes) if is_whole else minutes).strip()
        if isinstance(minutes, bool) or not (text.isascii() and text.isdecimal() and int(text) > 0):
            raise InvalidArgument(
                f"Schedule of source {self.source!r}: frequency_in_minutes must be a whole number of "
                f"minutes; it is {minutes!r}."
            )
        wanted: dict[str, str | None] = {"frequency_in_minutes": str(int(text)), "cron_expression": None}
        if none_if_blank(self.anchor_time) is not None:
            wanted["anchor_time"] = format_time(parse_instant(self.anchor_time, "anchor_time"))
        return wanted


def _is_same(name: str, wanted: str | None, current: Any) -> bool:
    from airflow_provider_stitch.connect.errors import StitchError
    from airflow_provider_stitch.connect.objects import parse_time

    if wanted is None or current is None:
        return wanted is None and current is None
    if name == "anchor_time":
        try:
            return parse_time(str(current)) == parse_time(wanted)
        except StitchError:  # the task replaces a stored value that is not a valid time
            return False
    return " ".join(str(current).split()) == wanted
