"""XCom keys, times and options that workers and the triggerer share.

Operators, sensors and triggers import this module. This module is part of the `triggers` package, because
triggers must not import operators or sensors. `task_context` imports nothing from this project.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LINK_KEY = "_link_StitchSourceLink"
"""Key of the XCom with the URL of the source's page. Airflow 3 reads the task's link from this XCom."""

JOB_NAME_KEY = "job_name"
"""Key of the XCom with the job name. A task writes this XCom as soon as it knows the name of its job."""

# Seconds during which a request to stop the job of a killed task is retried. Airflow cancels a trigger's
# `on_kill` after 30 s.
KILL_TIMEOUT = 20.0

KILL_TIMEOUT_NAME = "time to stop its job"
"""Name of the time limit `KILL_TIMEOUT` in error messages."""


@dataclass(frozen=True)
class TaskEndOptions:
    """Options for ending a task in the triggerer. A trigger stores the options as a dict."""

    soft_fail: bool  #: skip the task instead of failing it
    has_retries: bool
    do_xcom_push: bool  #: write the result to XCom
    skip_if_no_rows: bool = False  #: skip the task if its job had no new rows

    def to_dict(self) -> dict[str, bool]:
        return asdict(self)


def no_rows_message(result: Mapping[str, Any]) -> str:
    """Return the reason for skipping a task with `skip_if_no_rows`."""
    return (
        f"Skipped because skip_if_no_rows is set: source {result['source_name']} ({result['source_id']}) had "
        f"no new rows to load (job {result['job_name']})"
    )


def run_started_at(context: Mapping[str, Any]) -> datetime | None:
    """Return the end of a run's data interval, or the time when a run without an interval was queued."""
    dag_run: Any = context["dag_run"]
    started_at: datetime | None = (
        context.get("data_interval_end") or getattr(dag_run, "queued_at", None) or dag_run.start_date
    )
    return started_at
