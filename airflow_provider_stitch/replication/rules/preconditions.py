"""Find a reason why a wait for a source can never finish.

All functions are pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import CannotFinish, DeletedSource, StitchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Destination, Source

_TYPES_WITHOUT_JOBS = ("import_api", "webhook.")  # prefixes of the types of sources that have no jobs

_STEP_ADVICE = {
    "form": "Fill in its connection settings in Stitch.",
    "oauth": "Authorize it in Stitch.",
    "profile": "Choose its profile in Stitch.",
    "discover_schema": "Its connection check has not succeeded yet. Check its error in Stitch.",
    "field_selection": "Select at least one stream and one field of it.",
}


def start_blocker(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    """Return the reason why a job of this source cannot start or finish, or None."""
    return source_blocker(source) or _setup_blocker(source) or _destination_blocker(source, destinations)


def schedule_blocker(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    """Return the reason why a scheduled job of this source cannot start or finish, or None."""
    if source.paused_at is not None:
        return _cannot_finish(
            source,
            f"a user paused it at {_to_minute(source.paused_at)}, so Stitch starts no job of it",
            "Unpause the source, or start its jobs with StitchRunReplicationJobOperator.",
        )
    if source.system_paused_at is not None:
        return _cannot_finish(
            source,
            f"Stitch paused it at {_to_minute(source.system_paused_at)}, so Stitch starts no job of it",
            "Possible causes: the trial ended, no rows were loaded for 40 days, the destination was deleted "
            "or replaced, or the plan changed. Fix the cause, then unpause the source in the Stitch app.",
        )
    return start_blocker(source, destinations)


def load_blocker(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    """Return the reason why the rows of a job can no longer be loaded, or None."""
    return source_blocker(source) or _destination_blocker(source, destinations)


def check_blocker(source: Source) -> StitchError | None:
    """Return the reason why a connection check of this source cannot start, or None.

    Stitch starts the check as soon as the source reaches the step `discover_schema`.
    """
    return source_blocker(source) or _incomplete_setup_blocker(source)


def raise_if_deleted(sources: Iterable[Source]) -> None:
    """Raise an error if a source has been deleted.

    :raises DeletedSource: for the first deleted source.
    """
    for source in sources:
        if (error := _deletion_error(source)) is not None:
            raise error


def source_blocker(source: Source) -> StitchError | None:
    """Return the reason why no job or connection check of this source can finish, or None."""
    if (error := _deletion_error(source)) is not None:
        return error
    if source.type is not None and source.type.startswith(_TYPES_WITHOUT_JOBS):
        return _cannot_finish(
            source,
            f"rows of its type ({source.type}) are pushed to Stitch, so it has no jobs to start or wait for",
            "Remove this task, or set its source to another one.",
        )
    return None


def _incomplete_setup_blocker(source: Source) -> StitchError | None:
    card = source.report_card
    missing = {} if card is None else card.missing_by_step
    if source.current_step not in ("form", "oauth", "profile") or not missing:
        return None
    steps = "; ".join(f"step {step}: {', '.join(names)}" for step, names in missing.items())
    return CannotFinish(
        f"Stitch can't check the connection of source {source.label}, because it is not fully configured "
        f"(it is at the step {source.current_step!r}). Missing properties: {steps}. Add them to the "
        "properties or credentials of the task that creates the source, or in Stitch. Then run this task "
        "again.",
        source_id=source.id,
    )


def _setup_blocker(source: Source) -> StitchError | None:
    step = source.current_step
    if step is None or step == "fully_configured":  # Stitch returns no step for some old sources
        return None
    return _cannot_finish(
        source,
        f"it is not fully configured (it is at the step {step!r})",
        _STEP_ADVICE.get(step, "Finish its configuration in Stitch."),
    )


def _destination_blocker(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    if any(destination.deleted_at is None for destination in destinations):
        return None
    return _cannot_finish(source, "its account has no destination", "Create a destination in Stitch first.")


def _cannot_finish(source: Source, reason: str, advice: str) -> CannotFinish:
    return CannotFinish(f"Source {source.label} can't replicate: {reason}. {advice}", source_id=source.id)


def _deletion_error(source: Source) -> DeletedSource | None:
    if source.deleted_at is None:
        return None
    return DeletedSource(
        f"Source {source.label} was deleted at {_to_minute(source.deleted_at)}. "
        "Set the task's source to another one, or remove the task.",
        source_id=source.id,
    )


def _to_minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
