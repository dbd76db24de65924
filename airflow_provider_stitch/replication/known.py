"""What Stitch has told so far about one source: plain values, replaced and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import ConnectionCheck, Extraction, Load, Stream


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error state of a stream's load, followed over looks at the list of loads."""

    since: datetime  #: Stitch's time of the first look that showed it
    until: datetime  #: and of the last
    looks: int  #: later looks that still showed it
    clear_at: datetime | None  #: an earlier look, which showed the stream without it; None: there was none
    said: str | None = None  #: the destination's own message

    def seen_again(self, at: datetime, said: str | None) -> Trouble:
        return replace(self, until=at, looks=self.looks + 1, said=said)


@dataclass(frozen=True, slots=True)
class Known:
    """All answers about one source that matter to one goal. Instants are Stitch's own, UTC."""

    extraction: Extraction | None = None  #: the listed job: the source's last completed one
    log: ExtractionLog | None = None
    log_refused_at: tuple[datetime, ...] = ()  #: when Stitch had no log, or one that is cut off
    streams: tuple[Stream, ...] | None = None
    loads: Mapping[str, tuple[Load, ...]] | None = None  #: by stream name, which need not be unique
    loads_at: datetime | None = None
    troubles: Mapping[str, Trouble] = field(default_factory=dict)  #: by stream name
    recovered: frozenset[str] = frozenset()  #: names of streams that an earlier look showed in trouble
    check: ConnectionCheck | None = None
    earlier_seen_at: datetime | None = None  #: the last look at the list before the goal's job was in it
    earlier_ended_at: datetime | None = None  #: when the job ended that was listed then, if one was
    looks_early: bool = True  #: whether a look at the loads comes first, to tell old errors from new ones

    def with_extraction(self, listed: Extraction | None, at: datetime, *, is_ours: bool) -> Known:
        """Return what is known after a look at the list, which shows the source's last completed job."""
        if is_ours:
            return replace(self, extraction=listed)
        ended = listed.completion_time if listed is not None else None
        return replace(self, extraction=listed, earlier_seen_at=at, earlier_ended_at=ended)

    def with_loads(
        self, loads: Iterable[Load], at: datetime, looked_for: Collection[str] | None = None
    ) -> Known:
        """Return what is known after a look at the source's loads at Stitch's time `at`.

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
        troubles = {
            row.stream_name: self._follow(row, at)
            for rows in by_name.values()
            for row in rows
            if row.error_state is not None and row.stream_name not in kept
        }
        # What is not found may just have moved to another page.
        unseen = {name: each for name, each in self.troubles.items() if name in kept or name not in by_name}
        recovered = self.recovered | (self.troubles.keys() - troubles.keys() - unseen.keys())
        return replace(
            self,
            loads={**by_name, **kept},
            loads_at=at,
            troubles={**troubles, **unseen},
            recovered=frozenset(recovered),
        )

    def _follow(self, row: Load, at: datetime) -> Trouble:
        before = self.troubles.get(row.stream_name)
        if before is not None:
            return before.seen_again(at, row.error)
        return Trouble(since=at, until=at, looks=0, clear_at=self.loads_at, said=row.error)
