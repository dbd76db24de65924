"""When is a stream loaded, or at least prepared? Pure functions.

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
from airflow_provider_stitch.replication.rules.streams import load_names, select_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import Load
    from airflow_provider_stitch.replication.rules.expected_loads import ExpectedLoad, JobTimes
    from airflow_provider_stitch.replication.rules.observations import LoadErrorHistory, Observations

__all__ = [
    "LoadRules",
    "LoadStatus",
    "evaluate_loads",
    "load_names",
    "may_overlap_previous_job",
    "select_streams",
]

# An error that may be older than the job counts only if two later polls still show it, the last of them at
# least five minutes after the first: the destination retries, so an old error is often over soon.
STALE_ERROR_POLLS = 2
STALE_ERROR_TIMEOUT = timedelta(minutes=5)

# Rows of a job that ended this long before the next one began are assumed to be loaded when that one sends
# its own.
MAX_LOAD_LAG = timedelta(minutes=30)

# Batches of a stream can be five minutes apart, and more if the source is slow. Waiting for the next one ends
# here.
MAX_SETTLE = timedelta(minutes=15)


class LoadRules(NamedTuple):
    """The periods that a user can choose. Source of the defaults: design of this package."""

    load_settle: timedelta  #: how long a load that must settle may not change; zero turns settling off
    quiet_period: timedelta  #: how long after the source's last load a stream without a load had no rows


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """What has become of one expected load."""

    expected: ExpectedLoad
    state: Literal["waiting", "loaded", "in_error", "no_rows"]
    loaded_at: datetime | None = None
    has_error: bool = False  #: its load is in an error state, which may be older than the job
    message: str | None = None  #: the destination's own message

    @property
    def is_early(self) -> bool:
        """Whether it counts as loaded by a load from before the last batch as far as the log shows it."""
        return (
            self.state == "loaded"
            and self.loaded_at is not None
            and self.loaded_at < _second(self.expected.last_batch_at)
        )


def may_overlap_previous_job(known: Observations, started_at: datetime) -> bool:
    """Return whether rows of an earlier job may still be pending when this one sends its own."""
    if known.previous_job_polled_at is None or known.previous_job_polled_at < started_at.replace(
        microsecond=0
    ):
        return True  # no poll showed when the previous job ended, or another one may have run since that poll
    return known.previous_job_ended_at is not None and started_at - known.previous_job_ended_at < MAX_LOAD_LAG


def settle_period(expected: ExpectedLoad, rules: LoadRules) -> timedelta:
    """Return how long the last load must not change before it counts as the last one.

    If two batches were sent with a gap, their loads come with a similar gap. Half of `load_settle` covers the
    difference in how long the two loads take.
    """
    if not rules.load_settle:
        return rules.load_settle
    return max(rules.load_settle, min(expected.settle + rules.load_settle / 2, MAX_SETTLE))


def evaluate_loads(
    expected: Sequence[ExpectedLoad],
    known: Observations,
    rules: LoadRules,
    job: JobTimes,
    requested: frozenset[str] | None = None,
) -> tuple[LoadStatus, ...]:
    """Evaluate the expected loads of the requested streams as of the last poll of the source's loads.

    :param expected: all loads that the job requires. The load of a stream that was not requested may have the
        same name.
    :param requested: each stream's `tap_stream_id`; None requests all.
    """
    wanted = [each for each in expected if is_requested(each, requested)]
    if known.loads is None or known.loads_at is None:
        return tuple(LoadStatus(each, "waiting") for each in wanted)
    poll = _Poll(known, known.loads_at, rules, job, quiet=_is_quiet(known, rules, job))
    records = _Records(known)
    found = {id(each): records.take(each) for each in _latest_first(expected)}
    confirmed = [_evaluate(each, found[id(each)], poll) for each in wanted if each.rows_confirmed]
    # While a load is missing, the destination lags, and a stream without a load may still get one.
    lags = any(each.state == "waiting" for each in confirmed)
    poll = poll._replace(quiet=poll.quiet and not lags)
    possible = [_evaluate(each, found[id(each)], poll) for each in wanted if not each.rows_confirmed]
    return (*confirmed, *possible)


def has_stale_error(history: LoadErrorHistory) -> bool:
    """Return whether an error that may be older than the job has lasted long enough to count."""
    lasted = history.last_seen_at - history.first_seen_at
    return history.repeats >= STALE_ERROR_POLLS and lasted >= STALE_ERROR_TIMEOUT


def error_history_of(expected: ExpectedLoad, known: Observations) -> LoadErrorHistory | None:
    """Return the error of a load, under whichever of its names it is listed."""
    return next((known.load_errors[name] for name in expected.load_names if name in known.load_errors), None)


class _Poll(NamedTuple):
    """What all expected loads are compared with."""

    known: Observations
    at: datetime
    rules: LoadRules
    job: JobTimes
    quiet: bool  # the source has had no load for the quiet period


def _is_quiet(known: Observations, rules: LoadRules, job: JobTimes) -> bool:
    records = (record for rows in (known.loads or {}).values() for record in rows)
    loaded = [record.last_batch_loaded_at for record in records]
    latest = max([job.ended_at, *(at for at in loaded if at is not None)])
    return known.loads_at is not None and known.loads_at - latest >= rules.quiet_period


class _Found(NamedTuple):
    """The listed load of an expected load."""

    record: Load | None  # None: none is listed
    is_shared: bool = False  # it serves for another expected load too, or resembles the name only


def _evaluate(expected: ExpectedLoad, found: _Found, poll: _Poll) -> LoadStatus:
    record = found.record
    loaded_at = record.last_batch_loaded_at if record is not None else None
    # Load times are whole seconds, so a load in the second of the last batch may have come before it.
    if loaded_at is not None and loaded_at >= _second(expected.last_batch_at):
        return _loaded_or_settling(expected, found, loaded_at, poll)
    if record is not None and (history := poll.known.load_errors.get(record.stream_name)) is not None:
        status = _in_error(expected, record, history, poll)
        if status is not None:
            return status
    earliest = expected.earliest_batch_at
    if poll.quiet and loaded_at is not None and earliest is not None and loaded_at >= _second(earliest):
        return LoadStatus(expected, "loaded", loaded_at)
    if not expected.rows_confirmed and poll.quiet:
        return LoadStatus(expected, "no_rows")
    return LoadStatus(expected, "waiting")


def _loaded_or_settling(
    expected: ExpectedLoad, found: _Found, loaded_at: datetime, poll: _Poll
) -> LoadStatus:
    # The first load after an error may carry only rows that earlier jobs had left.
    recovered = not poll.known.recovered.isdisjoint(expected.load_names)
    must_settle = expected.must_settle or recovered or found.is_shared
    is_exact = loaded_at >= expected.last_batch_at and not must_settle
    is_settled = poll.at - loaded_at >= settle_period(expected, poll.rules)
    return LoadStatus(expected, "loaded" if is_exact or is_settled else "waiting", loaded_at)


def _in_error(
    expected: ExpectedLoad, record: Load, history: LoadErrorHistory, poll: _Poll
) -> LoadStatus | None:
    """Return the status of a load in error, or None if the error may be another record's.

    The record of a deleted source or of a deselected stream can share the name. As long as a record without
    an error is listed, an error that is not new is taken for such a record's.
    """
    is_new = history.clear_at is not None and history.clear_at >= _second(poll.job.started_at)
    if is_new:
        return LoadStatus(expected, "in_error", has_error=True, message=history.message)
    if record.error_state is None or history.records < expected.sharers.get(record.stream_name, 0):
        return None
    state: Literal["in_error", "waiting"] = "in_error" if has_stale_error(history) else "waiting"
    return LoadStatus(expected, state, has_error=True, message=history.message)


class _Records:
    """The listed loads, each of which is given to one expected load as long as there are enough.

    Streams of one name in two schemas have loads that nothing tells apart. All are loaded when the latest
    load has passed the latest batch, the next load the next batch, and so on: so they are paired in that
    order.
    """

    def __init__(self, known: Observations) -> None:
        self._loads = known.loads or {}
        self._streams = known.streams or ()
        self._taken: set[int] = set()
        self._unclaimed: dict[str, list[str]] | None = None

    def take(self, expected: ExpectedLoad) -> _Found:
        """Return the latest record that no other expected load has taken, if one is listed."""
        exact = [name for name in expected.load_names if name in self._loads]
        names = exact or self._similar(expected)
        records = sorted((record for name in names for record in self._loads[name]), key=_latest_load_first)
        free = next((each for each in records if id(each) not in self._taken), None)
        if free is not None:
            self._taken.add(id(free))
            return _Found(free, is_shared=not exact)
        return _Found(records[-1] if records else None, is_shared=True)

    def _similar(self, expected: ExpectedLoad) -> list[str]:
        """Return the listed names of the same table in a destination that changes case and punctuation.

        Whether a load shows the name that the target sends, or the table's, is not documented. A name that a
        stream of the source has is that stream's.
        """
        if self._unclaimed is None:
            claimed = {name for stream in self._streams for name in load_names(stream)}
            self._unclaimed = {}
            for name in self._loads.keys() - claimed:
                self._unclaimed.setdefault(_table_name(name), []).append(name)
        similar = dict.fromkeys(_table_name(name) for name in expected.load_names)
        return [name for each in similar for name in self._unclaimed.get(each, ())]


def _table_name(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", name.casefold())


def _latest_first(expected: Sequence[ExpectedLoad]) -> list[ExpectedLoad]:
    return sorted(expected, key=lambda each: each.last_batch_at, reverse=True)


def _latest_load_first(load: Load) -> float:
    return -load.last_batch_loaded_at.timestamp() if load.last_batch_loaded_at else 0.0


def _second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
