"""Functions that save the job of a task, so that the next try of the task can resume the job."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.rules.goal import Goal

JOB_KEY = "stitch_job"

# States of a task that has or will have a later try. If the scheduler has died, the state of a task is None.
LATER_TRY_STATES = (None, "up_for_retry", "scheduled", "queued", "running", "deferred")

# Seconds to wait for a response from Airflow while the task is being killed. Airflow terminates the task
# after 5 s.
RESPONSE_TIMEOUT = 1.5

NOT_FOUND = 404

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavedJob:
    """The job that an earlier try has saved, or the fact that the earlier try was about to start a job."""

    source: str | None  #: the task's argument `source`; None if unknown
    source_id: int
    client_id: int | None  #: the Stitch account; None if unknown
    job: Goal | None  #: None if the try was killed before Stitch responded to its start request
    starting_at: datetime | None  #: Stitch's time just before the start request
    is_joined: bool = False  #: whether the task joined a running job, which the task must not stop


class JobCheckpoint:
    """A task's entry in the `task_state_store` of Airflow 3.3 and later.

    In earlier versions of Airflow, nothing is saved. XCom cannot replace the store, because Airflow deletes
    the XComs of a task before each try. The entry remains after the task has succeeded, because Airflow may
    fail to record the success.
    """

    def __init__(self, context: Context) -> None:
        self._store: Any = context.get("task_state_store")
        self._ti: Any = context["ti"]
        # A user who clears a task wants a new job. Clearing a task increases its `max_tries`. If the task is
        # running, Airflow increases `max_tries` only when the worker reports the end of the try. If the
        # worker is lost, Airflow increases only the `clear_number` of the DAG run.
        self._max_tries = getattr(context["ti"], "max_tries", None)
        self._clear_number = getattr(context.get("dag_run"), "clear_number", None)

    def save_intent(
        self, source: Source, source_argument: str, client_id: int, starting_at: datetime
    ) -> bool:
        """Save that this try is about to start a job.

        The worker may be killed before Stitch's response arrives. Return False if Airflow has replaced this
        try with a later try.

        :param source_argument: the task's argument `source`.
        :param starting_at: the time just before the start request, according to Stitch's clock.
        """
        return self._save(source.id, source_argument, client_id, starting_at=starting_at.isoformat())

    def save(self, goal: Goal, source_argument: str, *, is_joined: bool = False) -> bool:
        """Save a job with its name. Return False if Airflow has replaced this try with a later try.

        :param source_argument: the task's argument `source`.
        :param is_joined: whether the task joined the job instead of starting it.
        """
        job = goal.to_dict()
        return self._save(goal.source_id, source_argument, goal.client_id, job=job, is_joined=is_joined)

    def end_try(self) -> None:
        """Record that this try has ended without being killed.

        If the task is cleared after the end of a try, Airflow always increases `max_tries`, so `load` does
        not need to check the clear number.
        """
        try:
            entry = self._store.get(JOB_KEY) if self._store is not None else None
            if entry is not None:
                self._write({**entry, "clear_number": None})
        except Exception:  # Airflow must receive the original error, which ended the try
            logger.exception(
                "Could not save that this try has ended. If the task is cleared, it may resume this job "
                "instead of starting a new job."
            )

    def clear(self) -> None:
        """Delete the entry, so that the next try starts a new job."""
        if self._store is not None:
            self._store.delete(JOB_KEY)

    def load(self) -> SavedJob | None:
        """Return the saved job of an earlier try.

        Return None if no job was saved or the task was cleared afterwards.
        """
        from airflow_provider_stitch.connect.objects import parse_time
        from airflow_provider_stitch.replication.rules.goal import Goal

        entry = cast("dict[str, Any] | None", self._store.get(JOB_KEY)) if self._store is not None else None
        if entry is None or entry["max_tries"] != self._max_tries:
            return None
        if entry.get("clear_number") not in (None, self._clear_number):
            return None
        job, starting_at = entry["job"], entry["starting_at"]
        return SavedJob(
            source=entry.get("source"),
            source_id=entry["source_id"],
            client_id=entry.get("client_id"),
            job=Goal.from_dict(job) if job is not None else None,
            starting_at=parse_time(starting_at) if starting_at is not None else None,
            is_joined=entry.get("is_joined", False),
        )

    def is_superseded(self) -> bool | None:
        """Return whether Airflow has replaced this try with a later try that continues with the job.

        Return None if Airflow does not respond in time. A task that is being killed then does not stop its
        job, because the next try may need the job.
        """
        results: list[bool] = []

        def check() -> None:
            try:
                results.append(self._store is not None and self._has_later_try())
            except Exception:  # the connection to Airflow's database may fail in many ways
                logger.exception("Could not determine whether a later try of this task continues.")

        # Abandon the thread if the check takes too long. The thread may be waiting for a lock that is held by
        # the code that a signal has interrupted.
        thread = threading.Thread(target=check, daemon=True)
        thread.start()
        thread.join(RESPONSE_TIMEOUT)
        return results[0] if results else None

    def _has_later_try(self) -> bool:
        # If Airflow has replaced this try or a user has cleared the task, Airflow does not return the entry.
        # The state of the task then shows whether there is a later try.
        if self._store.get(JOB_KEY) is not None:
            return False
        ti = self._ti
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        return any(state in LATER_TRY_STATES for state in states.get(ti.run_id, {}).values())

    def _save(
        self,
        source_id: int,
        source_argument: str,
        client_id: int,
        *,
        job: dict[str, Any] | None = None,
        starting_at: str | None = None,
        is_joined: bool = False,
    ) -> bool:
        return self._write(
            {
                "source": source_argument,
                "source_id": source_id,
                "client_id": client_id,
                "is_joined": is_joined,
                "job": job,
                "starting_at": starting_at,
                "max_tries": self._max_tries,
                "clear_number": self._clear_number,
            }
        )

    def _write(self, entry: dict[str, Any]) -> bool:
        """Write the entry. Return False if Airflow has replaced this try with a later try."""
        if self._store is None:
            return True
        try:
            self._store.set(JOB_KEY, entry)
        except Exception as error:
            if not _is_not_found(error):
                raise
            return False
        return True


def _is_not_found(error: Exception) -> bool:
    """Return whether Airflow's API server responded with 404.

    The class of the error is not imported, because it exists only in Airflow 3.3 and later.
    """
    detail = getattr(getattr(error, "error", None), "detail", None)
    return isinstance(detail, dict) and detail.get("status_code") == NOT_FOUND
