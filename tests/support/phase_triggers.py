"""Create triggers that wait for replication jobs."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger


def loading_trigger(stitch: Any, job: Any, **options: Any) -> StitchPhaseTrigger:
    """Return a trigger that waits until a job's rows are loaded.

    The job belongs to the source `github`.
    """
    goal = Goal("loading", job.source_id, "github", stitch.client_id, job_name=job.job_name)
    arguments = {"stitch_conn_id": "stitch_default", "goal": goal.to_dict(), "stop_on_kill": True}
    return StitchPhaseTrigger(**{**arguments, **options})
