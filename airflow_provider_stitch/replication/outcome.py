"""The outcome of a wait, as JSON-serializable values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import ERROR_CLASSES, StitchError, StitchUnauthorized
from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.observations import Observations

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.replication.rules.evaluate import Evaluation
    from airflow_provider_stitch.replication.rules.goal import Goal


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a wait as a JSON-serializable object, which the triggerer sends to a worker."""

    goal: dict[str, Any]  #: see `Goal.to_dict`
    result: dict[str, Any]  #: the known facts about the job; see `job_result`
    error: dict[str, Any] | None = None  #: see `error_to_dict`; None if the goal was reached
    #: Whether the extraction is known to have ended, so that the job need not be stopped.
    extraction_ended: bool = False
    #: Whether a stream was assumed to have had no rows, although the log does not prove it.
    assumes_no_rows: bool = False

    @classmethod
    def from_evaluation(cls, goal: Goal, evaluation: Evaluation, error: StitchError | None) -> Outcome:
        """Create the outcome of a wait from the last evaluation and, if the wait failed, from the error."""
        return cls(
            goal=goal.to_dict(),
            result=job_result(goal, evaluation),
            error=error_to_dict(error) if error else None,
            extraction_ended=evaluation.extraction.ended,
            assumes_no_rows=any(status.state == "no_rows" for status in evaluation.streams),
        )

    @classmethod
    def from_failed_start(cls, goal: Goal, error: StitchError) -> Outcome:
        """Create the outcome for a wait that could not start."""
        return cls.from_evaluation(goal, evaluate(goal, Observations()), error)

    @property
    def is_token_rejected(self) -> bool:
        """Whether the wait failed because Stitch rejected the access token."""
        return self.error is not None and self.error["kind"] == StitchUnauthorized.__name__

    @property
    def had_no_rows(self) -> bool:
        """Whether the extraction log proves that the goal's streams had no new rows."""
        return not self.result["streams"] and not self.assumes_no_rows

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)

    def raise_for_error(self) -> None:
        """Raise the error that ended the wait, if there is one."""
        if self.error is not None:
            kind = ERROR_CLASSES.get(self.error["kind"], StitchError)
            raise kind(
                self.error["message"], source_id=self.error["source_id"], job_name=self.error["job_name"]
            )


def job_result(goal: Goal, evaluation: Evaluation) -> dict[str, Any]:
    """Return the known facts about a job as JSON values. Times are ISO 8601 strings in UTC."""
    extraction = evaluation.extraction
    loaded_at = max((status.loaded_at for status in evaluation.streams if status.loaded_at), default=None)
    is_loaded = goal.phase == "loading" and evaluation.state == "finished"
    return {
        "job_name": extraction.job_name or goal.job_name,
        "source_id": goal.source_id,
        "source_name": goal.source_name,
        "client_id": goal.client_id,
        "started_at": _format_time(extraction.started_at or goal.started_at),
        "extraction_completed_at": _format_time(extraction.completed_at),
        "loaded_at": _format_time(loaded_at) if is_loaded else None,
        "streams": {
            status.expected.label: {
                "rows": status.expected.rows,
                "loaded_at": _format_time(status.loaded_at),
            }
            for status in sorted(evaluation.streams, key=lambda status: status.expected.label)
            if status.state != "no_rows"
        },
    }


def error_to_dict(error: StitchError) -> dict[str, Any]:
    """Return an error as JSON values."""
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "source_id": error.source_id,
        "job_name": error.job_name,
    }


def _format_time(time: datetime | None) -> str | None:
    return format_time(time) if time is not None else None
