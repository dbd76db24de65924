"""What a task takes from its context and leaves there, alike in a worker and in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LINK_KEY = "_link_StitchSourceLink"
"""The XCom key under which Airflow 3 looks for the link, and this package does on Airflow 2."""


def run_started_at(context: Mapping[str, Any]) -> datetime | None:
    """Return the end of the run's data interval, else the time at which the run was queued."""
    dag_run: Any = context["dag_run"]
    began: datetime | None = (
        context.get("data_interval_end") or getattr(dag_run, "queued_at", None) or dag_run.start_date
    )
    return began
