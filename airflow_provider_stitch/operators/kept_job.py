"""The job that a task has started, kept for the task's next try."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.goals import Goal

JOB_KEY = "stitch_job"

# States of a task that another try has, or is going to have. None is that of one whose scheduler has died.
LATER_TRY = (None, "up_for_retry", "scheduled", "queued", "running", "deferred")

# Seconds that Airflow may take to answer a task that is being killed, out of the 5 that it leaves it.
ASK_PATIENCE = 1.5

NOT_FOUND = 404

logger = logging.getLogger(__name__)


class Kept(NamedTuple):
    """What an earlier try has left: a job, or that it was about to start one."""

    source: str | None  #: what the user gave as the source; None if that is not known
    source_id: int
    client_id: int | None  #: the account
    job: Goal | None  #: None: the try was killed before Stitch's answer was here, so a job may run or not
    starting_at: datetime | None  #: Stitch's time just before the start was sent
    is_joined: bool = False  #: this task did not start the job, and must not stop it


class KeptJob:
    """What Airflow's `task_state_store` (3.3 and later) keeps of this task's job; without it nothing is kept.

    The store outlives a killed worker, and XCom does not: Airflow empties it before each try. What is kept
    stays when the task succeeds, for Airflow may not come to hear of it.
    """

    def __init__(self, context: Context) -> None:
        self._store: Any = context.get("task_state_store")
        self._ti: Any = context["ti"]
        # A user who clears a task wants the rows that are new now. A clear grants a task more tries, but not
        # one that is running: then only the number of clears in the run differs.
        self._max_tries = getattr(context["ti"], "max_tries", None)
        self._clears = getattr(context.get("dag_run"), "clear_number", None)

    def about_to_start(self, source: Source, given: str, client_id: int, instant: datetime) -> bool:
        """Store that a job is about to be started: a worker can be killed before Stitch's response arrives.

        Return False if Airflow has given this try's place to a later one.

        :param given: what the user gave as the source.
        """
        return self._set(source.id, given, client_id, starting_at=instant.isoformat())

    def keep(self, goal: Goal, given: str, *, is_joined: bool = False) -> bool:
        """Store a job by its name. Return False if Airflow has given this try's place to a later one.

        :param given: what the user gave as the source.
        :param is_joined: the task did not start the job.
        """
        return self._set(goal.source_id, given, goal.client_id, job=goal.to_dict(), is_joined=is_joined)

    def end_try(self) -> None:
        """Store that this try has ended by itself, so that from now on a clear grants the task more tries."""
        try:
            kept = self._store.get(JOB_KEY) if self._store is not None else None
            if kept is not None:
                self._write({**kept, "clears": None})
        except Exception:  # the error that ended the try must reach Airflow
            logger.exception("Airflow could not store that this try has ended; a clear makes no difference.")

    def forget(self) -> None:
        """Keep nothing: the next try needs a job of its own."""
        if self._store is not None:
            self._store.delete(JOB_KEY)

    def recall(self) -> Kept | None:
        """Return what an earlier try has left, unless the task was cleared since."""
        from airflow_provider_stitch.connect.objects import parse_time
        from airflow_provider_stitch.replication.goals import Goal

        kept = cast("dict[str, Any] | None", self._store.get(JOB_KEY)) if self._store is not None else None
        if kept is None or kept["max_tries"] != self._max_tries:
            return None
        if kept.get("clears") not in (None, self._clears):
            return None
        job, starting_at = kept["job"], kept["starting_at"]
        return Kept(
            kept.get("source"),  # earlier versions did not store this, and neither the account
            kept["source_id"],
            kept.get("client_id"),
            Goal.from_dict(job) if job is not None else None,
            parse_time(starting_at) if starting_at is not None else None,
            kept.get("is_joined", False),
        )

    def is_taken_over(self) -> bool | None:
        """Return whether a later try continues with the job, because Airflow had given this one up.

        None if Airflow does not answer in time: a task that is being killed asks this. The job is then left
        to the next try, because a job that runs on costs less than a lost one.
        """
        answers: list[bool] = []

        def ask() -> None:
            try:
                answers.append(self._store is not None and self._is_given_up())
            except Exception:  # of whatever is between this process and Airflow's database
                logger.exception("Airflow could not tell whether another try of this task goes on.")

        # Left alone if it takes too long: it may wait for a lock of the very code that a signal interrupted.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(ASK_PATIENCE)
        return answers[0] if answers else None

    def _is_given_up(self) -> bool:
        # A try that was given up can't read what it has kept. Nor can one whose task a user has cleared, but
        # then there is no later try yet.
        if self._store.get(JOB_KEY) is not None:
            return False
        ti = self._ti
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        return any(state in LATER_TRY for state in states.get(ti.run_id, {}).values())

    def _set(
        self,
        source_id: int,
        given: str,
        client_id: int,
        *,
        job: dict[str, Any] | None = None,
        starting_at: str | None = None,
        is_joined: bool = False,
    ) -> bool:
        kept = {"source": given, "source_id": source_id, "client_id": client_id, "is_joined": is_joined}
        tries = {"max_tries": self._max_tries, "clears": self._clears}
        return self._write({**kept, "job": job, "starting_at": starting_at, **tries})

    def _write(self, kept: dict[str, Any]) -> bool:
        """Store what is kept. Return False if this try's id is gone, because a later try has another one."""
        if self._store is None:
            return True
        try:
            self._store.set(JOB_KEY, kept)
        except Exception as error:
            if not _is_not_found(error):
                raise
            return False
        return True


def _is_not_found(error: Exception) -> bool:
    """Return whether Airflow's API server responded with 404. Only Airflow 3.3 and later have the class."""
    detail = getattr(getattr(error, "error", None), "detail", None)
    return isinstance(detail, dict) and detail.get("status_code") == NOT_FOUND
