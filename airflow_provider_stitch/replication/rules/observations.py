"""A waiter's observations of one source, as immutable values that are replaced after each poll."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import ConnectionCheck, Extraction, Load, Stream


@dataclass(frozen=True, slots=True)
class LoadErrorHistory:
    """The history of one load error over several polls. All times are measured by Stitch's clock."""

    first_seen_at: datetime  #: time of the first poll that showed the error
    last_seen_at: datetime  #: time of the last poll that showed the error
    repeats: int  #: number of later polls that showed the error again
    #: Time of the last poll that listed the stream with fewer records in error; None if no poll did. If a
    #: poll did not list the stream, it is unknown whether the stream was in error.
    last_without_error_at: datetime | None
    #: Number of listed loads in error with this name, including loads of a deleted source.
    loads_in_error: int = 1
    message: str | None = None  #: the destination's error message


class LoadProgress(NamedTuple):
    """What earlier evaluations have found out about one expected load.

    A later job can change the load or put it into an error state, but this job's rows stay loaded. Soon after
    the end of the job or the first load, an accepted load that changes must settle again.
    """

    settling_since: datetime  #: time of the first poll that listed a load at or after the last batch
    loaded_at: datetime | None = None  #: time of the last accepted load, or None


@dataclass(frozen=True, slots=True)
class Observations:
    """The data about one source from Stitch's responses. All times are in UTC, by Stitch's clock."""

    extraction: Extraction | None = None  #: the listed job: the source's last completed job
    log: ExtractionLog | None = None
    #: Times of requests that returned no log or a truncated log.
    incomplete_log_times: tuple[datetime, ...] = ()
    streams: tuple[Stream, ...] | None = None
    #: Loads by stream name, which several loads can share.
    loads: Mapping[str, tuple[Load, ...]] | None = None
    loads_at: datetime | None = None  #: time of the last poll of the loads
    #: Time of the last poll that searched for all loads that can prolong the quiet period.
    all_loads_at: datetime | None = None
    #: The history of each current load error, by stream name.
    load_errors: Mapping[str, LoadErrorHistory] = field(default_factory=dict)
    recovered: frozenset[str] = frozenset()  #: names of streams whose load error has cleared
    check: ConnectionCheck | None = None
    #: Time of the last poll that did not list the goal's job. None if every poll listed the goal's job, or if
    #: the poll listed another job that was still running.
    previous_job_polled_at: datetime | None = None
    #: Completion time of the other job that the poll at `previous_job_polled_at` listed. None if the poll
    #: listed no completed job.
    previous_job_ended_at: datetime | None = None
    #: The progress of expected loads that are loaded or that settle, by `ExpectedLoad.key`.
    load_progress: Mapping[tuple[str, ...], LoadProgress] = field(default_factory=dict)
    #: Number of deleted sources with the source's name whose loads may still be listed; None if unknown.
    deleted_namesakes: int | None = None
    #: Whether to poll the loads before the job ends, so that old load errors can be recognized later.
    needs_baseline: bool = True

    def with_extraction(self, listed: Extraction | None, at: datetime, *, is_ours: bool) -> Observations:
        """Return the observations after the list of extractions has been polled.

        :param listed: the source's last completed job, or None if no job of the source is listed.
        :param at: time of the poll, by Stitch's clock.
        :param is_ours: whether `listed` is the goal's job.
        """
        if is_ours:
            return replace(self, extraction=listed)
        ended_at = listed.completion_time if listed is not None else None
        is_running = listed is not None and ended_at is None
        return replace(
            self,
            extraction=listed,
            previous_job_polled_at=None if is_running else at,
            previous_job_ended_at=ended_at,
        )

    def with_loads(
        self,
        loads: Iterable[Load],
        at: datetime,
        polled_names: Collection[str] | None = None,
        *,
        is_full: bool = True,
    ) -> Observations:
        """Return the observations after the source's loads have been polled.

        :param at: time of the poll, by Stitch's clock.
        :param polled_names: the stream names that the poll searched for. If None, the poll searched for all
            streams. Known loads with other names are kept, unless the poll returned these loads as well.
        :param is_full: whether the poll searched for all loads that can prolong the quiet period.
        """
        polled = _by_stream_name(loads)
        kept = {
            name: records
            for name, records in (self.loads or {}).items()
            if polled_names is not None
            and name not in polled_names
            and len(polled.get(name, ())) < len(records)
        }
        errors = {
            name: self._updated_history(name, failed, at)
            for name, records in polled.items()
            if name not in kept and (failed := [load for load in records if load.error_state is not None])
        }
        # A record that the poll did not return may have moved to another page, so its error is kept.
        kept_errors = {
            name: history for name, history in self.load_errors.items() if name in kept or name not in polled
        }
        return replace(
            self,
            loads={**polled, **kept},
            loads_at=at,
            all_loads_at=at if is_full else self.all_loads_at,
            load_errors={**errors, **kept_errors},
            recovered=self.recovered | (self.load_errors.keys() - errors.keys() - kept_errors.keys()),
        )

    def _updated_history(self, name: str, failed: Sequence[Load], at: datetime) -> LoadErrorHistory:
        """Return the error history of a stream name after a poll that returned the given failed loads."""
        history = self.load_errors.get(name)
        message = next((load.error for load in failed if load.error is not None), None)
        if history is not None and len(failed) <= history.loads_in_error:
            return replace(
                history,
                last_seen_at=at,
                repeats=history.repeats + 1,
                loads_in_error=len(failed),
                message=message,
            )
        was_listed = name in (self.loads or {})
        return LoadErrorHistory(
            first_seen_at=at,
            last_seen_at=at,
            repeats=0,
            last_without_error_at=self.loads_at if was_listed else None,
            loads_in_error=len(failed),
            message=message,
        )


def _by_stream_name(loads: Iterable[Load]) -> dict[str, tuple[Load, ...]]:
    grouped: dict[str, tuple[Load, ...]] = {}
    for load in loads:
        grouped[load.stream_name] = (*grouped.get(load.stream_name, ()), load)
    return grouped
