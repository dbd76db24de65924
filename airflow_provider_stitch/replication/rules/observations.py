"""What Stitch has returned so far about one source: plain values, replaced and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import ConnectionCheck, Extraction, Load, Stream


@dataclass(frozen=True, slots=True)
class LoadErrorHistory:
    """The error state of a stream's load, followed over several polls of the list of loads."""

    first_seen_at: datetime  #: Stitch's time of the first poll that showed it
    last_seen_at: datetime  #: and of the last
    repeats: int  #: later polls that still showed it
    #: An earlier poll that showed the stream with fewer records in error; None: no poll did. A stream that
    #: was not listed was not seen without an error.
    clear_at: datetime | None
    records: int = 1  #: how many records of this name are in error; a deleted source's may be among them
    message: str | None = None  #: the destination's own message


@dataclass(frozen=True, slots=True)
class Observations:
    """All responses about one source that matter to one goal. Instants are Stitch's own, UTC."""

    extraction: Extraction | None = None  #: the listed job: the source's last completed one
    log: ExtractionLog | None = None
    log_missing_at: tuple[datetime, ...] = ()  #: when Stitch had no log, or one that is cut off
    streams: tuple[Stream, ...] | None = None
    loads: Mapping[str, tuple[Load, ...]] | None = None  #: by stream name, which need not be unique
    loads_at: datetime | None = None
    load_errors: Mapping[str, LoadErrorHistory] = field(default_factory=dict)  #: by stream name
    recovered: frozenset[str] = frozenset()  #: names of streams that an earlier poll showed in error
    check: ConnectionCheck | None = None
    previous_job_polled_at: datetime | None = (
        None  #: the last poll of the list before the goal's job was in it
    )
    previous_job_ended_at: datetime | None = None  #: when the job ended that was listed then, if one was
    needs_baseline: bool = True  #: whether a poll of the loads comes first, to tell old errors from new ones

    def with_extraction(self, listed: Extraction | None, at: datetime, *, is_ours: bool) -> Observations:
        """Return what is known after a poll of the list, which shows the source's last completed job."""
        if is_ours:
            return replace(self, extraction=listed)
        ended = listed.completion_time if listed is not None else None
        # A previous job that is listed as running was not seen to end.
        seen_at = at if listed is None or ended is not None else None
        return replace(self, extraction=listed, previous_job_polled_at=seen_at, previous_job_ended_at=ended)

    def with_loads(
        self, loads: Iterable[Load], at: datetime, looked_for: Collection[str] | None = None
    ) -> Observations:
        """Return what is known after a poll of the source's loads at Stitch's time `at`.

        :param looked_for: the stream names whose loads would have been found; None is all of the source. The
            loads of others stay known as they were, unless they were found as well.
        """
        by_name: dict[str, tuple[Load, ...]] = {}
        for load in loads:
            by_name[load.stream_name] = (*by_name.get(load.stream_name, ()), load)
        kept = {
            name: rows
            for name, rows in (self.loads or {}).items()
            if looked_for is not None and name not in looked_for and len(by_name.get(name, ())) < len(rows)
        }
        errors = {
            name: self._follow(name, wrong, at)
            for name, rows in by_name.items()
            if name not in kept and (wrong := [row for row in rows if row.error_state is not None])
        }
        # A record that is not found may just have moved to another page.
        unseen = {
            name: each for name, each in self.load_errors.items() if name in kept or name not in by_name
        }
        recovered = self.recovered | (self.load_errors.keys() - errors.keys() - unseen.keys())
        return replace(
            self,
            loads={**by_name, **kept},
            loads_at=at,
            load_errors={**errors, **unseen},
            recovered=frozenset(recovered),
        )

    def _follow(self, name: str, wrong: Sequence[Load], at: datetime) -> LoadErrorHistory:
        before = self.load_errors.get(name)
        message = next((row.error for row in wrong if row.error is not None), None)
        if before is not None and len(wrong) <= before.records:
            return replace(
                before, last_seen_at=at, repeats=before.repeats + 1, records=len(wrong), message=message
            )
        was_listed = name in (self.loads or {})
        return LoadErrorHistory(
            first_seen_at=at,
            last_seen_at=at,
            repeats=0,
            clear_at=self.loads_at if was_listed else None,
            records=len(wrong),
            message=message,
        )
