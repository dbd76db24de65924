"""Report the last extraction and the loads of each source in an account, and whether the source is paused.

All functions are pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.connect.objects.json import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Extraction, Load, Source

MAX_MESSAGE_LENGTH = 500  #: maximum length of an extraction's error message, in characters
MAX_SOURCES = 20  #: maximum number of sources with problems in one message
MAX_STREAMS = 5  #: maximum number of streams in error per source in one message


@dataclass(frozen=True, slots=True)
class ListedLoad:
    """A listed load, and the time of the response that contained the load."""

    load: Load
    seen_at: datetime  #: time of the response, by Stitch's clock


@dataclass(slots=True)
class SourceState:
    """The state of one source, and a row of the account report. Times are ISO 8601 strings in UTC."""

    source_id: int
    source_name: str
    display_name: str
    paused_by: str | None  #: "user" or "stitch"; None if the source is not paused
    #: "succeeded", "failed" or "terminated"; None if there was no extraction in the last 60 days.
    last_extraction: str | None = None
    last_extraction_at: str | None = None  #: when the last extraction ended
    extraction_error: str | None = None  #: error message from the part of the last extraction that failed
    job_name: str | None = None  #: name of the last extraction's job
    last_load_at: str | None = None  #: time of the source's last load
    hours_since_last_load: float | None = None  #: age of the last load when it was listed
    #: The destination's message for each stream in error, by stream name.
    streams_in_error: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  #: each is "extraction", "load" or "stale"

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)

    @property
    def description(self) -> str:
        """The problems of the source, formatted as one line."""
        parts = []
        if "extraction" in self.problems:
            ended = "was terminated" if self.last_extraction == "terminated" else "failed"
            reason = f": {self.extraction_error}" if self.extraction_error else ""
            parts.append(
                f"the last extraction {ended} at {self.last_extraction_at} (job {self.job_name}){reason}"
            )
        if "load" in self.problems:
            names = list(self.streams_in_error)
            shown = "; ".join(f"{name}: {self.streams_in_error[name]}" for name in names[:MAX_STREAMS])
            more = f"; and {len(names) - MAX_STREAMS} more" if len(names) > MAX_STREAMS else ""
            parts.append(f"loading of {_count(len(names), 'stream')} fails: {shown}{more}")
        if "stale" in self.problems:
            hours = self.hours_since_last_load
            parts.append(
                "no load in the last 60 days" if hours is None else f"the last load is {hours:g} hours old"
            )
        by = {"user": ", paused by a user", "stitch": ", paused by Stitch"}.get(self.paused_by or "", "")
        return f"{self.source_name} ({self.source_id}{by}): {'; '.join(parts)}"


def account_report(
    sources: Sequence[Source],
    extractions: Iterable[Extraction],
    loads: Iterable[ListedLoad],
    *,
    now: datetime,
    max_age: float | None = None,
) -> list[SourceState]:
    """Return the state of each source that is not deleted, sorted by name.

    :param now: the current time, by Stitch's clock.
    :param max_age: maximum age of a source's last load, in seconds. A source is stale if its last load
        exceeds the maximum age. If None, no source is stale.
    """
    by_source = {extraction.source_id: extraction for extraction in extractions}
    by_name: dict[str, list[ListedLoad]] = defaultdict(list)
    for each in loads:
        by_name[each.load.source_name].append(each)
    # If a deleted source had the same name as a current source, Stitch does not distinguish the loads of the
    # two sources.
    deleted_names = {source.name for source in sources if source.is_deleted}
    return [
        _state(
            source,
            by_source.get(source.id),
            by_name[source.name],
            has_predecessor=source.name in deleted_names,
            now=now,
            max_age=max_age,
        )
        for source in sorted(sources, key=lambda source: (source.name, source.id))
        if not source.is_deleted
    ]


def remove_deselected(state: SourceState, selected: Collection[str], known: Collection[str]) -> None:
    """Remove the errors of streams that are no longer selected.

    Stitch continues to list an old error for 60 days.

    :param selected: names of the source's selected streams.
    :param known: names of all the source's streams. An error under a name that matches no stream is kept.
    """
    for name in [each for each in state.streams_in_error if each in known and each not in selected]:
        del state.streams_in_error[name]
    if not state.streams_in_error and "load" in state.problems:
        state.problems.remove("load")


def problem_message(client_id: int, states: Sequence[SourceState], total: int) -> str:
    """Return the error message for a check that found problems.

    :param states: the sources with problems.
    :param total: number of sources that were checked.
    """
    shown = "\n".join(f"- {state.description}" for state in states[:MAX_SOURCES])
    more = f"\n- and {len(states) - MAX_SOURCES} more" if len(states) > MAX_SOURCES else ""
    verb = "has" if len(states) == 1 else "have"
    return (
        f"{len(states)} of {_count(total, 'source')} of Stitch account {client_id} {verb} problems. The XCom "
        f"of this task contains all of them.\n{shown}{more}"
    )


def _state(
    source: Source,
    extraction: Extraction | None,
    loads: Sequence[ListedLoad],
    *,
    has_predecessor: bool,
    now: datetime,
    max_age: float | None,
) -> SourceState:
    paused_by = "stitch" if source.system_paused_at else "user" if source.paused_at else None
    state = SourceState(source.id, source.name, source.display_name, paused_by)
    if extraction is not None:
        _add_extraction(state, extraction)
    age = _add_loads(state, loads, has_predecessor=has_predecessor)
    if max_age is not None and _is_stale(source, age, now=now, max_age=timedelta(seconds=max_age)):
        state.problems.append("stale")
    return state


def _add_extraction(state: SourceState, extraction: Extraction) -> None:
    state.job_name = extraction.job_name
    if extraction.completion_time is None:
        return
    state.last_extraction_at = format_time(extraction.completion_time)
    if extraction.succeeded:
        state.last_extraction = "succeeded"
        return
    state.last_extraction = "terminated" if extraction.terminated else "failed"
    descriptions = (
        (extraction.discovery_exit_status, extraction.discovery_description),
        (extraction.tap_exit_status, extraction.tap_description),
        (extraction.target_exit_status, extraction.target_description),
    )
    failed = [text for status, text in descriptions if status and text]
    state.extraction_error = one_line(failed[0], MAX_MESSAGE_LENGTH) if failed else None
    state.problems.append("extraction")


def _add_loads(state: SourceState, loads: Sequence[ListedLoad], *, has_predecessor: bool) -> timedelta | None:
    """Add a source's loads to its state, and return the age of the last load."""
    by_stream: dict[str, list[Load]] = defaultdict(list)
    for each in loads:
        by_stream[each.load.stream_name].append(each.load)
    for name, namesakes in sorted(by_stream.items()):
        errors = [
            load.error or "Stitch reports no reason." for load in namesakes if load.error_state is not None
        ]
        if errors and (len(errors) == len(namesakes) or not has_predecessor):
            state.streams_in_error[name] = errors[0]
    if state.streams_in_error:
        state.problems.append("load")
    loaded = [
        (each.seen_at - each.load.last_batch_loaded_at, each.load.last_batch_loaded_at)
        for each in loads
        if each.load.last_batch_loaded_at is not None
    ]
    if not loaded:
        return None
    age, loaded_at = min(loaded)
    state.last_load_at = format_time(loaded_at)
    state.hours_since_last_load = round(max(age.total_seconds(), 0.0) / 3600, 2)
    return age


def _is_stale(source: Source, age: timedelta | None, *, now: datetime, max_age: timedelta) -> bool:
    if age is None and source.created_at is not None:
        age = now - source.created_at  # a new source may not have loaded any rows yet
    return age is None or age > max_age


def _count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number} {word}s"
