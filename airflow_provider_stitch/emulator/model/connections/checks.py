"""Connection checks of sources and destinations."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_stitch.emulator.model.job_names import make_job_name
from airflow_provider_stitch.emulator.model.plans import CheckPlan
from airflow_provider_stitch.emulator.model.times import format_optional_time, format_time


@dataclass(frozen=True)
class ConnectionCheck:
    """A running or finished connection check."""

    name: str
    starts_at: datetime
    plan: CheckPlan

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(seconds=self.plan.seconds)

    def finished(self, now: datetime) -> bool:
        return now >= self.ends_at

    def succeeded(self, now: datetime) -> bool:
        return self.finished(now) and self.plan.discovery_exit_status == 0

    def failed(self, now: datetime) -> bool:
        return self.finished(now) and self.plan.discovery_exit_status != 0

    def body(self, now: datetime, failed_exit_status: int | None = None) -> dict[str, Any]:
        """Return the JSON representation of the check.

        See "Connection check object" in the Stitch Connect API.

        :param failed_exit_status: the ``check_exit_status`` of a failed check. Stitch's sample contains null,
            but its table of fields contains 1.
        """
        finished, failed = self.finished(now), self.failed(now)
        return {
            "name": self.name,
            "mode": "check",
            "status": "failed" if failed else "succeeded" if finished else "running",
            "start_time": format_time(self.starts_at),
            "completion_time": format_optional_time(self.ends_at if finished else None),
            "error": failed,
            "check_exit_status": failed_exit_status if failed else 0 if finished else None,
            "discovery_exit_status": self.plan.discovery_exit_status if finished else None,
            "discovery_error_message": self.plan.discovery_error_message if failed else None,
            "tap_exit_status": None,
            "tap_error_message": None,
            "target_exit_status": None,
            "target_error_message": None,
        }


class ConnectionChecks:
    """The last connection check of a source or destination, and the plans for its next checks."""

    def __init__(self, client_id: int, connection_id: int) -> None:
        self._client_id = client_id
        self._connection_id = connection_id
        self.last: ConnectionCheck | None = None
        self.planned: deque[CheckPlan] = deque()

    def start(self, now: datetime) -> ConnectionCheck:
        """Start the next planned check, or a successful check if no check is planned."""
        plan = self.planned.popleft() if self.planned else CheckPlan()
        name = make_job_name(self._client_id, self._connection_id, "check", now)
        self.last = ConnectionCheck(name, now, plan)
        return self.last
