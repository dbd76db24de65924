"""The job that a task has started, kept for the task's next try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.replication.goals import Goal

JOB_KEY = "stitch_job"


class KeptJob:
    """What Airflow's `task_state_store` (3.3 and later) keeps of this task's job; without it nothing is kept.

    The store outlives a killed worker, and XCom does not: Airflow empties it before each try.
    """

    def __init__(self, context: Context) -> None:
        self._store = context.get("task_state_store")
        # Clearing a task grants it more tries. Who clears it wants the rows that are new now.
        self._max_tries = getattr(context["ti"], "max_tries", None)

    def keep(self, goal: Goal) -> None:
        if self._store is not None:
            self._store.set(JOB_KEY, {**goal.to_dict(), "max_tries": self._max_tries})

    def forget(self) -> None:
        if self._store is not None:
            self._store.delete(JOB_KEY)

    def recall(self) -> Goal | None:
        """Return the goal of an earlier try, unless the task was cleared since."""
        from airflow_provider_stitch.replication.goals import Goal

        kept = cast("dict[str, Any] | None", self._store.get(JOB_KEY)) if self._store is not None else None
        if kept is None or kept.pop("max_tries") != self._max_tries:
            return None
        return Goal.from_dict(kept)
