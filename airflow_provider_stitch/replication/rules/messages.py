"""Format the log lines, warnings and errors of an evaluation.

All functions are pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import ConnectionCheckFailed, LoadingFailed
from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.replication.rules.expected_loads import unknown_names
from airflow_provider_stitch.replication.rules.goal import whole_seconds
from airflow_provider_stitch.replication.rules.streams import join_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import ConnectionCheck
    from airflow_provider_stitch.replication.rules.extraction import ExtractionStatus
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.rules.loading import LoadStatus
    from airflow_provider_stitch.replication.rules.observations import Observations


def check_succeeded(check: ConnectionCheck) -> str:
    """Return the log line for a successful connection check."""
    time = format_time(check.completion_time) if check.completion_time else "an unknown time"
    return f"Connection check succeeded at {time} ({check.name})"


def check_failure(goal: Goal, check: ConnectionCheck) -> ConnectionCheckFailed:
    """Return the error for a failed connection check, with the message from the part that failed."""
    message = (
        check.discovery_error_message
        or check.tap_error_message
        or check.target_error_message
        or f"Stitch gave no message (status {check.status!r})."
    )
    return ConnectionCheckFailed(
        f"Connection check of source {goal.source_name} ({goal.source_id}) failed (job {check.name}): "
        f"{message}\nFix the source's connection settings in Stitch. Saving them starts a new check.",
        source_id=goal.source_id,
        job_name=check.name,
    )


def extraction_log_lines(extraction: ExtractionStatus) -> tuple[str, ...]:
    """Return the log line for a finished extraction, if the name of its job is known."""
    if extraction.job_name is None:
        return ()
    if extraction.started_at is None or extraction.completed_at is None:
        return (f"Extraction finished: {extraction.job_name}",)
    # Stitch truncates `completed_at` to whole seconds, so the more precise start time is truncated as well.
    duration = extraction.completed_at - whole_seconds(extraction.started_at)
    seconds = round(duration.total_seconds())
    time = format_time(extraction.completed_at)
    return (f"Extraction finished after {seconds} s, at {time}: {extraction.job_name}",)


def loading_log_lines(goal: Goal, statuses: Sequence[LoadStatus]) -> tuple[str, ...]:
    """Return a log line that lists the expected loads, and one line for each finished load."""
    if not statuses and goal.streams is not None:
        return (f"None of the requested streams had new rows: {join_names(goal.streams)}",)
    if not statuses:
        return ("No stream had new rows, so there is nothing to load",)
    confirmed = [status for status in statuses if status.expected.rows_confirmed]
    names = join_names(sorted(f"{status.expected.label} ({_rows(status)})" for status in confirmed))
    heading = (
        f"{_streams(len(confirmed))} to load: {names}" if confirmed else "No stream is known to have rows"
    )
    loaded = sorted(
        (status.loaded_at, status.expected.label, _rows(status))
        for status in statuses
        if status.state == "loaded" and status.loaded_at
    )
    return heading, *(f"Loaded {label}: {rows} at {format_time(time)}" for time, label, rows in loaded)


def loading_failure(
    goal: Goal, extraction: ExtractionStatus, statuses: Sequence[LoadStatus]
) -> LoadingFailed:
    """Return the error for failed loads, with the destination's message for each stream."""
    failed = [status for status in statuses if status.state == "in_error"]
    reasons = join_names(
        (f"  {status.expected.label}: {status.message or 'no message given'}" for status in failed), "\n"
    )
    return LoadingFailed(
        f"Loading of source {goal.source_name} ({goal.source_id}) failed (job {extraction.job_name}): "
        f"the destination rejected {len(failed)} of {_streams(len(statuses))}:\n{reasons}\n"
        "Fix the destination, then run the task again. Stitch keeps the rows for up to 30 days and retries "
        "the load, so the task then waits for these rows too.",
        source_id=goal.source_id,
        job_name=extraction.job_name,
    )


def loading_warnings(
    goal: Goal, observations: Observations, statuses: Sequence[LoadStatus]
) -> tuple[str, ...]:
    """Return warnings about load errors, incomplete logs, and assumptions that replace missing facts."""
    return (
        *_warnings_about_log(goal, observations, statuses),
        *_warnings_about_loads(observations, statuses),
    )


_NO_LOG = (
    "Stitch has no log of the extraction, so the streams that had rows are unknown. Waiting for every "
    "selected stream to be loaded. If a stream still has no load {} after the end of the extraction and the "
    "source's last load, the stream is assumed to have had no rows."
)

_INCOMPLETE_LOG = (
    "The extraction's log does not show whether these streams had rows: {}. Waiting for the streams to be "
    "loaded. If a stream still has no load {} after the end of the extraction and the source's last load, "
    "the stream is assumed to have had no rows."
)

_UNKNOWN_NAMES = (
    "The extraction's log contains rows of {}, but the source has no streams with these names. Waiting for "
    "loads with these names."
)


def _warnings_about_log(
    goal: Goal, observations: Observations, statuses: Sequence[LoadStatus]
) -> tuple[str, ...]:
    warnings = []
    expected = [status.expected for status in statuses]
    possible = sorted(each.label for each in expected if not each.rows_confirmed)
    quiet_period = _duration(goal.quiet_period)
    if possible and observations.log is None:
        warnings.append(_NO_LOG.format(quiet_period))
    elif possible:
        warnings.append(_INCOMPLETE_LOG.format(join_names(possible), quiet_period))
    if unknown := unknown_names(expected):
        warnings.append(_UNKNOWN_NAMES.format(join_names(unknown)))
    return tuple(warnings)


_NO_LOAD = "Found no load of {}. Assuming that there were no new rows."

_BEFORE_LAST_BATCH = (
    "It is not known exactly when the last rows of {} were sent. The last load may be older than these rows. "
    "Assuming that the load contained all rows, because no other load followed."
)

_UNSETTLED = (
    "The loads of {} have kept changing for hours. Assuming that all rows of this job are loaded, and that "
    "later jobs of the source load the same streams. To wait for a shorter time, set a shorter load_settle."
)

_DOUBTFUL_ERROR = "Polling again, because these streams have a load error that may be older than this job: {}"

_OTHER_ERROR = (
    "These streams have a load error, so some of their rows are not loaded. The task does not wait for these "
    "streams: {}"
)


def _warnings_about_loads(observations: Observations, statuses: Sequence[LoadStatus]) -> tuple[str, ...]:
    no_rows = sorted(status.expected.label for status in statuses if status.state == "no_rows")
    early = sorted(status.expected.label for status in statuses if status.is_assumed_loaded)
    unsettled = sorted(status.expected.label for status in statuses if status.is_unsettled)
    doubtful = sorted(
        f"{status.expected.label} ({status.message})"
        for status in statuses
        if status.state == "waiting" and status.has_error
    )
    expected_names = {name for status in statuses for name in status.expected.load_names}
    others = sorted(
        f"{name} ({history.message})"
        for name, history in observations.load_errors.items()
        if name not in expected_names
    )
    warnings = [
        (_NO_LOAD, no_rows, ", "),
        (_BEFORE_LAST_BATCH, early, ", "),
        (_UNSETTLED, unsettled, ", "),
        (_DOUBTFUL_ERROR, doubtful, "; "),
        (_OTHER_ERROR, others, "; "),
    ]
    return tuple(text.format(join_names(names, separator)) for text, names, separator in warnings if names)


def _streams(number: int) -> str:
    return "1 stream" if number == 1 else f"{number} streams"


def _rows(status: LoadStatus) -> str:
    rows = status.expected.rows
    if rows is None:
        return "rows not counted" if status.expected.rows_confirmed else "rows unknown"
    return f"{rows} row" if rows == 1 else f"{rows} rows"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
