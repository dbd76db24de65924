"""Connection checks of sources and destinations."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_stitch.emulator.clock import stamp, stamp_or_none
from airflow_provider_stitch.emulator.jobs import name_of_job
from airflow_provider_stitch.emulator.plans import CheckPlan


@dataclass(frozen=True)
class Check:
    """A connection check under way or over."""

    name: str
    begins_at: datetime
    plan: CheckPlan

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + timedelta(seconds=self.plan.seconds)

    def over(self, now: datetime) -> bool:
        return now >= self.ends_at

    def succeeded(self, now: datetime) -> bool:
        return self.over(now) and self.plan.discovery_exit_status == 0

    def failed(self, now: datetime) -> bool:
        return self.over(now) and self.plan.discovery_exit_status != 0

    def body(self, now: datetime, failed_exit_status: int | None = None) -> dict[str, Any]:
        """The Connection check object. Source: Stitch Connect API, "Connection check object".

        :param failed_exit_status: the ``check_exit_status`` of a failed check. Null in the documented sample,
            although its field table says 1.
        """
        over, failed = self.over(now), self.failed(now)
        return {
            "name": self.name,
            "mode": "check",
            "status": "failed" if failed else "succeeded" if over else "running",
            "start_time": stamp(self.begins_at),
            "completion_time": stamp_or_none(self.ends_at if over else None),
            "error": failed,
            "check_exit_status": failed_exit_status if failed else 0 if over else None,
            "discovery_exit_status": self.plan.discovery_exit_status if over else None,
            "discovery_error_message": self.plan.discovery_error_message if failed else None,
            "tap_exit_status": None,
            "tap_error_message": None,
            "target_exit_status": None,
            "target_error_message": None,
        }


class Checks:
    """The checks of one source or destination: the last one, and how the next ones go."""

    def __init__(self, client_id: int, connection_id: int) -> None:
        self._client_id = client_id
        self._connection_id = connection_id
        self.last: Check | None = None
        self.planned: deque[CheckPlan] = deque()

    def begin(self, now: datetime) -> Check:
        """A check begins: as planned, or a good one."""
        plan = self.planned.popleft() if self.planned else CheckPlan()
        name = name_of_job(self._client_id, self._connection_id, "check", now)
        self.last = Check(name, now, plan)
        return self.last
