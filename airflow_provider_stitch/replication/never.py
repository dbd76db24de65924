"""What can never finish, so that nobody waits for it. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import DeletedSource, NeverFinishes, StitchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import Destination, Source

_WITHOUT_JOBS = ("import_api", "webhook.")


def why_no_start(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    """Return why a replication job of this source can't be started and finish, or None."""
    return why_no_end(source) or _unconfigured(source) or _nowhere(source, destinations)


def why_no_job(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    """Return why Stitch's schedule will start no job of this source, or none that can finish, or None."""
    stopped = [
        ("by a user", source.paused_at),
        (
            "by Stitch (trial over, no rows for 40 days, destination gone, or plan changed)",
            source.system_paused_at,
        ),
    ]
    for by_whom, since in stopped:
        if since is not None:
            return _never(
                source,
                f"it is paused {by_whom} since {since:%Y-%m-%d %H:%M} UTC, so Stitch starts no job of it",
                "Unpause it, or start its jobs with StitchRunReplicationJobOperator.",
            )
    return why_no_start(source, destinations)


def why_no_load(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    """Return why the rows of this source's jobs can't be loaded any more, or None."""
    return why_no_end(source) or _nowhere(source, destinations)


def why_no_check(source: Source) -> StitchError | None:
    """Return why no connection check of this source can start, or None.

    Stitch starts the check as soon as the source reaches the step `discover_schema`.
    """
    return why_no_end(source) or _incomplete(source)


def why_no_end(source: Source) -> StitchError | None:
    """Return why no job or check of this source can end as it should, or None."""
    if source.deleted_at is not None:
        return DeletedSource(
            f"Source {source.label} was deleted at {source.deleted_at:%Y-%m-%d %H:%M} UTC. Name another.",
            source_id=source.id,
        )
    return _pushed_to(source)


def _pushed_to(source: Source) -> StitchError | None:
    if source.type is None or not source.type.startswith(_WITHOUT_JOBS):
        return None
    return _never(
        source,
        f"its type is {source.type}, whose rows are pushed to Stitch: it has no jobs to start or wait for",
        "Leave out this task, or name another source.",
    )


def _unconfigured(source: Source) -> StitchError | None:
    if source.current_step not in (None, "fully_configured"):
        return _never(
            source,
            f"it is not fully configured: it stands at the step {source.current_step!r}",
            _STEP_ADVICE.get(source.current_step or "", "Finish its configuration in Stitch."),
        )
    return None


def _incomplete(source: Source) -> StitchError | None:
    card = source.report_card
    missing = {} if card is None else card.missing_by_step
    if source.current_step not in ("form", "oauth", "profile") or not missing:
        return None
    steps = "; ".join(f"step {step}: {', '.join(names)}" for step, names in missing.items())
    return NeverFinishes(
        f"Stitch can't check the connection of source {source.label}, because its configuration is not "
        f"complete: it is at the step {source.current_step!r}. Missing properties: {steps}. Add them to the "
        "properties or credentials of the task that creates the source, or complete it in Stitch; then run "
        "this task again.",
        source_id=source.id,
    )


_STEP_ADVICE = {
    "form": "Fill in its connection settings in Stitch.",
    "oauth": "Authorize it in Stitch.",
    "profile": "Choose its profile in Stitch.",
    "discover_schema": "Its connection check has not succeeded yet: see its error in Stitch.",
    "field_selection": "Select at least one stream and one field of it.",
}


def _nowhere(source: Source, destinations: Sequence[Destination]) -> StitchError | None:
    if any(destination.deleted_at is None for destination in destinations):
        return None
    return _never(source, "its account has no destination", "Create a destination in Stitch first.")


def _never(source: Source, why: str, advice: str) -> NeverFinishes:
    return NeverFinishes(f"Source {source.label} can't replicate: {why}. {advice}", source_id=source.id)
