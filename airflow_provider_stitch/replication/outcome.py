"""How the waiting for a goal ended, in plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import KINDS, StitchError, StitchUnauthorized
from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.observations import Observations

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.replication.rules.evaluate import Evaluation
    from airflow_provider_stitch.replication.rules.goal import Goal


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the waiting for a goal ended, in plain JSON values: it travels from the triggerer to a worker."""

    goal: dict[str, Any]
    result: dict[str, Any]  #: what is known of the job: `job_name`, `source_id` ... (see `job_result`)
    error: dict[str, Any] | None = None  #: `kind`, `message`, `source_id`, `job_name`
    extraction_ended: bool = False  #: the job was seen to end, so there is nothing left to stop

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_token_rejected(self) -> bool:
        """Stitch refused the access token."""
        return self.error is not None and self.error["kind"] == StitchUnauthorized.__name__

    def raise_for_error(self) -> None:
        """Raise the error that the waiting ended with, if it did."""
        if self.error is not None:
            kind = KINDS.get(self.error["kind"], StitchError)
            raise kind(
                self.error["message"], source_id=self.error["source_id"], job_name=self.error["job_name"]
            )

    @classmethod
    def from_evaluation(cls, goal: Goal, assessment: Evaluation, error: StitchError | None) -> Outcome:
        """Return what a verdict on a goal has come to, with the error that it ended with, if it did."""
        return cls(
            goal.to_dict(),
            job_result(goal, assessment),
            error_to_dict(error) if error else None,
            assessment.extraction.ended,
        )

    @classmethod
    def from_failed_start(cls, goal: Goal, error: StitchError) -> Outcome:
        """Return the outcome of a waiting that could not begin."""
        return cls.from_evaluation(goal, evaluate(goal, Observations()), error)


def job_result(goal: Goal, assessment: Evaluation) -> dict[str, Any]:
    """Return what is known of a job, in plain JSON values; instants are ISO 8601, UTC."""
    extraction = assessment.extraction
    latest = max((verdict.loaded_at for verdict in assessment.streams if verdict.loaded_at), default=None)
    all_loaded = assessment.state == "finished" and goal.phase == "loading"
    return {
        "job_name": extraction.job_name or goal.job_name,
        "source_id": goal.source_id,
        "source_name": goal.source_name,
        "client_id": goal.client_id,
        "started_at": _text(extraction.started_at or goal.started_at),
        "extraction_completed_at": _text(extraction.completed_at),
        "loaded_at": _text(latest) if all_loaded else None,
        "streams": {
            status.expected.label: {"rows": status.expected.rows, "loaded_at": _text(status.loaded_at)}
            for status in sorted(assessment.streams, key=lambda status: status.expected.label)
            if status.state != "no_rows"
        },
    }


def error_to_dict(error: StitchError) -> dict[str, Any]:
    """Return an error in plain JSON values."""
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "source_id": error.source_id,
        "job_name": error.job_name,
    }


def _text(instant: datetime | None) -> str | None:
    return format_time(instant) if instant is not None else None
