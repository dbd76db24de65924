"""Evaluate whether each load that a job requires is finished or in error.

All functions are pure. Stitch reports loads for each stream, but not for each job. A stream's rows from a job
are therefore in the warehouse once the stream's `last_batch_loaded_at` has passed the time of the job's last
batch. Source of the rules: Stitch Connect API, "Load object", "List last loads for an account"; Stitch's
extraction logs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from airflow_provider_stitch.replication.rules.expected_loads import is_requested
from airflow_provider_stitch.replication.rules.goal import whole_seconds
from airflow_provider_stitch.replication.rules.observations import LoadProgress
from airflow_provider_stitch.replication.rules.streams import load_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import Load
    from airflow_provider_stitch.replication.rules.expected_loads import ExpectedLoad, JobTimes
    from airflow_provider_stitch.replication.rules.observations import LoadErrorHistory, Observations

# A load error that may be older than the job fails the wait only if it persists, because Stitch retries loads
# and old errors often clear soon.
PERSISTENT_ERROR_POLLS = 2  # minimum number of polls, after the first, that show the same error
# Minimum time between the first and the last poll that show the error.
MIN_PERSISTENT_ERROR_DURATION = timedelta(minutes=5)

# Minimum time, after the end of the job, for an error that may belong to a deleted source or a deselected
# stream of the same name.
MIN_AMBIGUOUS_ERROR_DURATION = timedelta(hours=1)

# Time from the end of a job until all rows of the job are assumed to be loaded. If the next job starts later,
# a load is assumed to contain only rows of the next job. An accepted load that changes later is assumed to
# belong to a later job.
MAX_LOAD_LAG = timedelta(minutes=30)

# Maximum settle period, unless `load_settle` is longer. The time between two batches of a stream is usually
# at most five minutes, but longer if the source is slow.
MAX_SETTLE = timedelta(minutes=15)

# A load may keep changing for this time after the first poll that listed a load at or after the last batch,
# or for this number of settle periods if they are longer. Later changes are assumed to come from later jobs.
# Loads that the task does not wait for prolong the quiet period for the same time after the end of the job.
# The time is long, because a slow destination may load the rows of one job for hours.
MAX_SETTLING_TIME, MAX_SETTLING_PERIODS = timedelta(hours=6), 10


class LoadRules(NamedTuple):
    """The settings of a goal that affect the evaluation of loads."""

    #: Time for which a load must not change before it is accepted; 0 disables settling.
    load_settle: timedelta
    #: Time without loads after which a stream without a load is assumed to have had no rows.
    quiet_period: timedelta


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """The status of one expected load."""

    expected: ExpectedLoad
    state: Literal["waiting", "loaded", "in_error", "no_rows"]
    #: Time of the load that contains the last batch, or that may contain it. None if there is no such load.
    loaded_at: datetime | None = None
    has_error: bool = False  #: whether the load is in an error state, which may be older than the job
    message: str | None = None  #: the destination's error message
    is_uncertain: bool = False  #: whether the listed load may belong to another stream
    is_unsettled: bool = False  #: whether the load was accepted although it still changes

    @property
    def is_assumed_loaded(self) -> bool:
        """Whether the stream is assumed to be loaded, although its last load is older than its last batch."""
        return (
            self.state == "loaded"
            and self.loaded_at is not None
            and self.loaded_at < whole_seconds(self.expected.last_batch_at)
        )


def may_overlap_previous_job(observations: Observations, started_at: datetime) -> bool:
    """Return whether the loads after this job's start may contain rows of the previous job."""
    polled_at, ended_at = observations.previous_job_polled_at, observations.previous_job_ended_at
    if polled_at is None or polled_at < whole_seconds(started_at):
        return True  # it is unknown when the previous job ended
    return ended_at is not None and started_at - ended_at < MAX_LOAD_LAG


def settle_period(expected: ExpectedLoad, rules: LoadRules) -> timedelta:
    """Return how long a load must remain unchanged before it is accepted as the stream's last load.

    The time between two loads is similar to the time between the batches that they contain. Half of
    `load_settle` is added to the longest gap between two batches, because the duration of loads varies.
    """
    if not rules.load_settle:
        return rules.load_settle
    return max(rules.load_settle, min(expected.longest_gap + rules.load_settle / 2, MAX_SETTLE))


def has_persistent_error(history: LoadErrorHistory) -> bool:
    """Return whether a load error has persisted long enough to fail the wait, even if the error is old."""
    duration = history.last_seen_at - history.first_seen_at
    return history.repeats >= PERSISTENT_ERROR_POLLS and duration >= MIN_PERSISTENT_ERROR_DURATION


def error_history_of(expected: ExpectedLoad, observations: Observations) -> LoadErrorHistory | None:
    """Return the first error history that matches one of an expected load's names, or None."""
    histories = (observations.load_errors.get(name) for name in expected.load_names)
    return next((history for history in histories if history is not None), None)


def evaluate_loads(
    expected: Sequence[ExpectedLoad],
    observations: Observations,
    rules: LoadRules,
    job: JobTimes,
    requested: frozenset[str] | None = None,
) -> tuple[LoadStatus, ...]:
    """Return the status of each requested load, based on the last poll of the source's loads.

    :param expected: all expected loads of the job. Loads of streams that were not requested are included,
        because they can share a name with a requested stream.
    :param requested: the `tap_stream_id` of each requested stream. If None, all streams are requested.
    """
    wanted = [each for each in expected if is_requested(each, requested)]
    if observations.loads is None or observations.loads_at is None:
        return tuple(LoadStatus(each, "waiting") for each in wanted)
    matcher = _LoadMatcher(observations)
    # The keys are object ids, because expected loads are not hashable.
    matches = {id(each): matcher.match(each) for each in _by_latest_batch(expected)}
    awaited = [matches[id(each)].listed for each in wanted if _is_awaited(each, observations)]
    is_quiet = _is_quiet(awaited, observations, rules, job)
    context = _Context(observations, observations.loads_at, rules, job, is_quiet=is_quiet)
    confirmed = [_evaluate(each, matches[id(each)], context) for each in wanted if each.rows_confirmed]
    # The quiet period is not conclusive while the load of a stream that certainly had rows is pending,
    # because a slow load can delay the loads of other streams.
    is_waiting = any(status.state == "waiting" for status in confirmed)
    context = context._replace(is_quiet=is_quiet and not is_waiting)
    possible = [_evaluate(each, matches[id(each)], context) for each in wanted if not each.rows_confirmed]
    return (*confirmed, *possible)


class _Context(NamedTuple):
    """The inputs of an evaluation that are the same for all expected loads."""

    observations: Observations
    polled_at: datetime  # time of the last poll of the loads
    rules: LoadRules
    job: JobTimes
    is_quiet: bool  # whether the quiet period has passed without a load from the source


def record_progress(observations: Observations, statuses: Sequence[LoadStatus]) -> Observations:
    """Return the observations after an evaluation, with the progress of the expected loads.

    A load that is only assumed to contain the last batch is not recorded, because another load may follow.
    """
    polled_at, known = observations.loads_at, observations.load_progress
    progress = {}
    for status in statuses:
        key = status.expected.key
        if polled_at is not None and status.loaded_at is not None and not status.is_assumed_loaded:
            since, accepted_at = known.get(key, LoadProgress(polled_at))
            is_accepted = status.state == "loaded" and not status.is_uncertain
            progress[key] = LoadProgress(since, status.loaded_at if is_accepted else accepted_at)
    return replace(observations, load_progress={**known, **progress}) if progress else observations


def _is_awaited(expected: ExpectedLoad, observations: Observations) -> bool:
    """Return whether a later load may contain rows of the job.

    An uncertain load is never recorded as accepted, so the time for which it may keep changing is limited.
    """
    progress, polled_at = observations.load_progress.get(expected.key), observations.loads_at
    if progress is None or polled_at is None:
        return True
    return progress.loaded_at is None and polled_at - progress.settling_since < MAX_SETTLING_TIME


def _is_quiet(
    awaited: Sequence[Load | None], observations: Observations, rules: LoadRules, job: JobTimes
) -> bool:
    """Return whether the quiet period has passed since the source's last load and the end of the job.

    A load long after the job is ignored if no requested load waits for it, because it probably belongs to a
    later job.

    :param awaited: the listed loads that may still change because of the job.
    """
    awaited_ids = {id(load) for load in awaited}
    loaded_at = [
        load.last_batch_loaded_at
        for loads in (observations.loads or {}).values()
        for load in loads
        if load.last_batch_loaded_at is not None
        and (id(load) in awaited_ids or load.last_batch_loaded_at - job.ended_at < MAX_SETTLING_TIME)
    ]
    accepted = [each.loaded_at for each in observations.load_progress.values() if each.loaded_at is not None]
    latest = max([job.ended_at, *loaded_at, *accepted])
    polled_at = observations.all_loads_at
    return polled_at is not None and polled_at - latest >= rules.quiet_period


class _Match(NamedTuple):
    """The listed load that matches an expected load."""

    listed: Load | None  # None if no load is listed under a name of the expected load
    is_uncertain: bool = False  # whether the listed load may belong to another stream


def _evaluate(expected: ExpectedLoad, match: _Match, context: _Context) -> LoadStatus:
    listed = match.listed
    loaded_at = listed.last_batch_loaded_at if listed is not None else None
    progress = context.observations.load_progress.get(expected.key)
    if progress is not None and progress.loaded_at is not None:
        # A later load soon after the first load may contain more rows of this job, so it must settle. A slow
        # destination may load the rows long after the end of the job.
        is_soon = context.polled_at - max(context.job.ended_at, progress.settling_since) < MAX_LOAD_LAG
        if not is_soon or loaded_at is None or loaded_at <= progress.loaded_at:
            return LoadStatus(expected, "loaded", progress.loaded_at)
    # Load times are truncated to seconds, so compare whole seconds.
    if loaded_at is not None and loaded_at >= whole_seconds(expected.last_batch_at):
        return _loaded_or_settling(expected, match, loaded_at, context)
    history = context.observations.load_errors.get(listed.stream_name) if listed is not None else None
    if listed is not None and history is not None:
        status = _error_status(expected, listed, history, context)
        if status is not None:
            return status
    # After the quiet period, a load that may contain the last batch is assumed to contain that batch.
    earliest = expected.earliest_last_batch_at
    may_contain_batch = (
        loaded_at is not None and earliest is not None and loaded_at >= whole_seconds(earliest)
    )
    if context.is_quiet and may_contain_batch:
        return LoadStatus(expected, "loaded", loaded_at)
    if context.is_quiet and not expected.rows_confirmed:
        return LoadStatus(expected, "no_rows")
    return LoadStatus(expected, "waiting")


def _loaded_or_settling(
    expected: ExpectedLoad, match: _Match, loaded_at: datetime, context: _Context
) -> LoadStatus:
    """Return the status of an expected load if the last load is not older than the last batch."""
    # The first load after an error may contain only rows of earlier jobs.
    has_recovered = not context.observations.recovered.isdisjoint(expected.load_names)
    must_settle = expected.must_settle or has_recovered or match.is_uncertain
    # Load times are truncated to seconds. If a load and the last batch have times in the same second, the
    # load may be older than the batch.
    is_conclusive = loaded_at >= expected.last_batch_at and not must_settle
    period = settle_period(expected, context.rules)
    progress = context.observations.load_progress.get(expected.key)
    settling_since = context.polled_at if progress is None else progress.settling_since
    is_settled = context.polled_at - loaded_at >= period
    if is_conclusive or is_settled:
        return LoadStatus(expected, "loaded", loaded_at, is_uncertain=match.is_uncertain)
    max_settling_time = max(MAX_SETTLING_TIME, MAX_SETTLING_PERIODS * period)
    if context.polled_at - settling_since >= max_settling_time:
        return LoadStatus(expected, "loaded", loaded_at, is_uncertain=match.is_uncertain, is_unsettled=True)
    return LoadStatus(expected, "waiting", loaded_at, is_uncertain=match.is_uncertain)


def _error_status(
    expected: ExpectedLoad, listed: Load, history: LoadErrorHistory, context: _Context
) -> LoadStatus | None:
    """Return the status of a load in error, or None if the error may belong to another listed load.

    A load of a deleted source or a deselected stream can have the same name as the load in error. An old
    error is therefore ignored as long as another listed load with the same name has no error. If only some of
    the loads are listed, the error may belong to another load, so it fails the wait much later (see
    `_is_probably_ours`).
    """
    without_error_at = history.last_without_error_at
    if without_error_at is not None and without_error_at >= whole_seconds(context.job.started_at):
        return LoadStatus(expected, "in_error", has_error=True, message=history.message)
    if listed.error_state is None:
        return None
    loads_of_name = expected.shared_names.get(listed.stream_name, 1)
    loads_of_name += context.observations.deleted_namesakes or 0
    is_ambiguous = history.loads_in_error < loads_of_name
    if is_ambiguous and not _is_probably_ours(expected, listed, history, context):
        return None
    state: Literal["in_error", "waiting"] = "in_error" if has_persistent_error(history) else "waiting"
    return LoadStatus(expected, state, has_error=True, message=history.message)


def _is_probably_ours(
    expected: ExpectedLoad, listed: Load, history: LoadErrorHistory, context: _Context
) -> bool:
    """Return whether an old error that may belong to another load fails the wait.

    The time of the error is measured from the end of the job, because Stitch may load the first rows of a new
    source only after the extraction.
    """
    listed_loads = (context.observations.loads or {}).get(listed.stream_name, ())
    duration = history.last_seen_at - max(history.first_seen_at, context.job.ended_at)
    return (
        expected.rows_confirmed
        and history.loads_in_error == len(listed_loads)
        and history.repeats >= PERSISTENT_ERROR_POLLS
        and duration >= MIN_AMBIGUOUS_ERROR_DURATION
    )


class _LoadMatcher:
    """Matches each expected load to a different listed load, as long as enough loads are listed.

    If two streams in different schemas share a name, Stitch does not distinguish the loads of the two
    streams. Both streams are loaded if the latest load is not older than the latest batch, and the
    second-latest load is not older than the second-latest batch. Expected loads must therefore be matched in
    descending order of `last_batch_at`.
    """

    def __init__(self, observations: Observations) -> None:
        self._loads = observations.loads or {}
        self._streams = observations.streams or ()
        self._matched: set[int] = set()  # object ids of the matched loads
        self._unknown_names: dict[str, list[str]] | None = None  # listed names that match no stream, by table

    def match(self, expected: ExpectedLoad) -> _Match:
        """Return the latest unmatched load under one of an expected load's names.

        If all loads with these names are already matched, return the oldest load as an uncertain match. If no
        load has one of these names, a load with a similar name is an uncertain match as well.
        """
        listed_names = [name for name in expected.load_names if name in self._loads]
        names = listed_names or self._similar_names(expected)
        loads = sorted((load for name in names for load in self._loads[name]), key=_load_sort_key)
        free = next((load for load in loads if id(load) not in self._matched), None)
        if free is not None:
            self._matched.add(id(free))
            return _Match(free, is_uncertain=not listed_names)
        return _Match(loads[-1] if loads else None, is_uncertain=True)

    def _similar_names(self, expected: ExpectedLoad) -> list[str]:
        """Return the listed names that differ from an expected load's names only in case or punctuation.

        Stitch does not document whether the name of a load is the name that the target sends or the name of
        the destination's table. Names of other streams of the source are excluded.
        """
        if self._unknown_names is None:
            stream_names = {name for stream in self._streams for name in load_names(stream)}
            self._unknown_names = {}
            for name in self._loads.keys() - stream_names:
                self._unknown_names.setdefault(_table_name(name), []).append(name)
        table_names = dict.fromkeys(_table_name(name) for name in expected.load_names)
        return [name for table in table_names for name in self._unknown_names.get(table, ())]


def _table_name(name: str) -> str:
    """Return a name in lower case, with each sequence of punctuation replaced by an underscore."""
    return re.sub(r"[^a-z0-9_]+", "_", name.casefold())


def _by_latest_batch(expected: Sequence[ExpectedLoad]) -> list[ExpectedLoad]:
    return sorted(expected, key=lambda each: each.last_batch_at, reverse=True)


def _load_sort_key(load: Load) -> float:
    return -load.last_batch_loaded_at.timestamp() if load.last_batch_loaded_at else 0.0
