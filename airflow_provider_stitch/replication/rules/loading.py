"""Evaluate the loads that a job requires: is each stream loaded, or in error? Pure functions.

Stitch reports loads by stream and not by job. So a job's rows are in the warehouse once the stream's
`last_batch_loaded_at` has passed the time of the job's last batch of that stream. Source of the rules: Stitch
Connect API, "Load object", "List last loads for an account"; Stitch's extraction logs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from airflow_provider_stitch.replication.rules.expected_loads import is_requested
from airflow_provider_stitch.replication.rules.goal import whole_seconds
from airflow_provider_stitch.replication.rules.streams import load_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import Load
    from airflow_provider_stitch.replication.rules.expected_loads import ExpectedLoad, JobTimes
    from airflow_provider_stitch.replication.rules.observations import LoadErrorHistory, Observations

# An error that may be older than the job counts only if this number of later polls show it, and it lasts at
# least this long. The destination retries, so an old error often clears soon.
PERSISTENT_ERROR_POLLS = 2
PERSISTENT_ERROR_TIMEOUT = timedelta(minutes=5)

# If the previous job ended this long before a job started, its rows are assumed to be loaded by then.
MAX_LOAD_LAG = timedelta(minutes=30)

# Upper limit of the time to settle. Batches of a stream are about five minutes apart, or more if the source
# is slow.
MAX_SETTLE = timedelta(minutes=15)


class LoadRules(NamedTuple):
    """The periods that a user can choose."""

    load_settle: timedelta  #: how long a load that must settle must remain unchanged; zero disables settling
    quiet_period: timedelta  #: time after the source's last load until a stream is assumed to have no rows


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """The status of one expected load."""

    expected: ExpectedLoad
    state: Literal["waiting", "loaded", "in_error", "no_rows"]
    loaded_at: datetime | None = None
    has_error: bool = False  #: the load is in an error state, which may be older than the job
    message: str | None = None  #: the destination's message

    @property
    def is_before_last_batch(self) -> bool:
        """Whether the stream counts as loaded although its load is older than its last logged batch."""
        return (
            self.state == "loaded"
            and self.loaded_at is not None
            and self.loaded_at < whole_seconds(self.expected.last_batch_at)
        )


def may_overlap_previous_job(observations: Observations, started_at: datetime) -> bool:
    """Return whether rows of the previous job may still be pending when this job sends its own."""
    polled_at, ended_at = observations.previous_job_polled_at, observations.previous_job_ended_at
    if polled_at is None or polled_at < whole_seconds(started_at):
        return True  # no poll showed the end of the previous job, or another job may have run since
    return ended_at is not None and started_at - ended_at < MAX_LOAD_LAG


def settle_period(expected: ExpectedLoad, rules: LoadRules) -> timedelta:
    """Return how long a load must remain unchanged before it counts as the last one.

    If two batches were sent with a gap, they are loaded with a similar gap. Half of `load_settle` is added,
    because the two loads may take different times.
    """
    if not rules.load_settle:
        return rules.load_settle
    return max(rules.load_settle, min(expected.longest_gap + rules.load_settle / 2, MAX_SETTLE))


def has_persistent_error(history: LoadErrorHistory) -> bool:
    """Return whether an error that may be older than the job has lasted long enough to count."""
    duration = history.last_seen_at - history.first_seen_at
    return history.repeats >= PERSISTENT_ERROR_POLLS and duration >= PERSISTENT_ERROR_TIMEOUT


def error_history_of(expected: ExpectedLoad, observations: Observations) -> LoadErrorHistory | None:
    """Return the error history of an expected load under the first of its names that has one."""
    histories = (observations.load_errors.get(name) for name in expected.load_names)
    return next((history for history in histories if history is not None), None)


def evaluate_loads(
    expected: Sequence[ExpectedLoad],
    observations: Observations,
    rules: LoadRules,
    job: JobTimes,
    requested: frozenset[str] | None = None,
) -> tuple[LoadStatus, ...]:
    """Return the status of each requested load as of the last poll of the source's loads.

    :param expected: all loads that the job requires, also of streams that the user did not select, because
        they can share a name with a selected stream.
    :param requested: the `tap_stream_id` of each requested stream; None requests all.
    """
    wanted = [each for each in expected if is_requested(each, requested)]
    if observations.loads is None or observations.loads_at is None:
        return tuple(LoadStatus(each, "waiting") for each in wanted)
    poll = _Poll(
        observations, observations.loads_at, rules, job, is_quiet=_is_quiet(observations, rules, job)
    )
    records = _Records(observations)
    matches = {id(each): records.claim(each) for each in _latest_batch_first(expected)}
    confirmed = [_evaluate(each, matches[id(each)], poll) for each in wanted if each.rows_confirmed]
    # If a stream that had rows still waits for its load, the loads of other streams may still arrive, too.
    is_lagging = any(status.state == "waiting" for status in confirmed)
    poll = poll._replace(is_quiet=poll.is_quiet and not is_lagging)
    possible = [_evaluate(each, matches[id(each)], poll) for each in wanted if not each.rows_confirmed]
    return (*confirmed, *possible)


class _Poll(NamedTuple):
    """The last poll of the loads, to compare each expected load with."""

    observations: Observations
    at: datetime
    rules: LoadRules
    job: JobTimes
    is_quiet: bool  # no load of the source has finished during the quiet period


def _is_quiet(observations: Observations, rules: LoadRules, job: JobTimes) -> bool:
    records = (record for records in (observations.loads or {}).values() for record in records)
    loaded_at = [record.last_batch_loaded_at for record in records]
    latest = max([job.ended_at, *(time for time in loaded_at if time is not None)])
    return observations.loads_at is not None and observations.loads_at - latest >= rules.quiet_period


class _Match(NamedTuple):
    """The listed record that matches an expected load."""

    record: Load | None  # None: no record of its name is listed
    is_uncertain: bool = False  # another expected load has the same record, or only the names are similar


def _evaluate(expected: ExpectedLoad, match: _Match, poll: _Poll) -> LoadStatus:
    record = match.record
    loaded_at = record.last_batch_loaded_at if record is not None else None
    # Load times are whole seconds, so a load in the second of the last batch may be older than the batch.
    if loaded_at is not None and loaded_at >= whole_seconds(expected.last_batch_at):
        return _loaded_or_settling(expected, match, loaded_at, poll)
    if record is not None and (history := poll.observations.load_errors.get(record.stream_name)) is not None:
        status = _error_status(expected, record, history, poll)
        if status is not None:
            return status
    earliest = expected.earliest_last_batch_at
    if (
        poll.is_quiet
        and loaded_at is not None
        and earliest is not None
        and loaded_at >= whole_seconds(earliest)
    ):
        return LoadStatus(expected, "loaded", loaded_at)
    if poll.is_quiet and not expected.rows_confirmed:
        return LoadStatus(expected, "no_rows")
    return LoadStatus(expected, "waiting")


def _loaded_or_settling(
    expected: ExpectedLoad, match: _Match, loaded_at: datetime, poll: _Poll
) -> LoadStatus:
    # The first load after an error may contain only rows of earlier jobs.
    has_recovered = not poll.observations.recovered.isdisjoint(expected.load_names)
    must_settle = expected.must_settle or has_recovered or match.is_uncertain
    is_conclusive = loaded_at >= expected.last_batch_at and not must_settle
    is_settled = poll.at - loaded_at >= settle_period(expected, poll.rules)
    return LoadStatus(expected, "loaded" if is_conclusive or is_settled else "waiting", loaded_at)


def _error_status(
    expected: ExpectedLoad, record: Load, history: LoadErrorHistory, poll: _Poll
) -> LoadStatus | None:
    """Return the status of a load in error, or None if the error may belong to another record.

    The record of a deleted source or of a deselected stream can have the same name. So an old error is
    ignored while a record of the name without an error is listed.
    """
    clear_at = history.last_clear_at
    if clear_at is not None and clear_at >= whole_seconds(poll.job.started_at):  # a new error
        return LoadStatus(expected, "in_error", has_error=True, message=history.message)
    if record.error_state is None or history.records < expected.shared_names.get(record.stream_name, 0):
        return None
    state: Literal["in_error", "waiting"] = "in_error" if has_persistent_error(history) else "waiting"
    return LoadStatus(expected, state, has_error=True, message=history.message)


class _Records:
    """The listed loads, each matched to one expected load while there are enough of them.

    Stitch does not distinguish the loads of two streams that share a name in two schemas. Both are loaded
    once the latest load has passed the latest batch, and the second-latest load the second-latest batch. So
    the loads are matched in that order.
    """

    def __init__(self, observations: Observations) -> None:
        self._loads = observations.loads or {}
        self._streams = observations.streams or ()
        self._matched: set[int] = set()
        self._foreign_names: dict[str, list[str]] | None = None

    def claim(self, expected: ExpectedLoad) -> _Match:
        """Return the latest unmatched record under one of an expected load's names, or else the oldest."""
        listed_names = [name for name in expected.load_names if name in self._loads]
        names = listed_names or self._similar_names(expected)
        records = sorted((record for name in names for record in self._loads[name]), key=_latest_load_first)
        free = next((record for record in records if id(record) not in self._matched), None)
        if free is not None:
            self._matched.add(id(free))
            return _Match(free, is_uncertain=not listed_names)
        return _Match(records[-1] if records else None, is_uncertain=True)

    def _similar_names(self, expected: ExpectedLoad) -> list[str]:
        """Return the listed names that differ from an expected load's names in case or punctuation only.

        Stitch does not document whether a load has the name that the target sends, or the name of the
        destination's table. Names of other streams of the source are excluded.
        """
        if self._foreign_names is None:
            stream_names = {name for stream in self._streams for name in load_names(stream)}
            self._foreign_names = {}
            for name in self._loads.keys() - stream_names:
                self._foreign_names.setdefault(_table_name(name), []).append(name)
        table_names = dict.fromkeys(_table_name(name) for name in expected.load_names)
        return [name for table in table_names for name in self._foreign_names.get(table, ())]


def _table_name(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", name.casefold())


def _latest_batch_first(expected: Sequence[ExpectedLoad]) -> list[ExpectedLoad]:
    return sorted(expected, key=lambda each: each.last_batch_at, reverse=True)


def _latest_load_first(load: Load) -> float:
    return -load.last_batch_loaded_at.timestamp() if load.last_batch_loaded_at else 0.0
