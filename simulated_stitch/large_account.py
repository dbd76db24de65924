"""An account of any size in memory. The account's lists have pages of the same size as Stitch's lists."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects import Extraction, Load, Page, Source, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

RECORDS_PER_PAGE = 100
AT = datetime(2026, 8, 17, 6, tzinfo=timezone.utc)


def page_of(records: Sequence[Any], number: int, at: datetime = AT) -> Page[Any]:
    """Return one page of a list, or an empty page beyond the end of the list."""
    first = (number - 1) * RECORDS_PER_PAGE
    is_last = first + RECORDS_PER_PAGE >= len(records)
    return Page(
        records=tuple(records[first : first + RECORDS_PER_PAGE]),
        number=number,
        total=len(records),
        responded_at=at,
        next_page=None if is_last else number + 1,
    )


def extraction_of(source_id: int, job_name: str | None = None, ended: datetime = AT) -> Extraction:
    return Extraction(
        job_name=job_name or f"104857.{source_id}.sync.00000000-0000-1000-8000-000000000000",
        source_id=source_id,
        stitch_client_id=104857,
        tap_name="tap-github",
        start_time=ended - timedelta(minutes=5),
        completion_time=ended,
        discovery_exit_status=0,
        tap_exit_status=0,
        target_exit_status=0,
        discovery_description=None,
        tap_description=None,
        target_description=None,
        raw={},
    )


def load_of(source_name: str, stream_name: str, loaded_at: datetime = AT) -> Load:
    return Load(source_name, stream_name, 104857, loaded_at, None, {})


def by_stream_name(load: Load) -> tuple[str, str]:
    return load.stream_name, load.source_name


@dataclass(eq=False)
class LargeAccount:
    """An account with the methods of `StitchClient` that a waiter calls. The account records the requests."""

    extractions: Sequence[Extraction] = ()
    loads: Sequence[Load] = ()
    #: The streams of each source, by source name and in the order of source ids. If the value for a source is
    #: an exception, a request for the source's streams raises this exception.
    sources: Mapping[str, Sequence[Stream] | Exception] = field(default_factory=dict)
    requests_per_10_minutes: int = 30
    before_each: Callable[[], None] = lambda: None  #: function to call before each response

    base_url = "https://stitch.example"
    client_id = known_client_id = 104857
    redis = None
    stitch_time = AT

    def __post_init__(self) -> None:
        self.requests: list[tuple[str, int | str]] = []  #: the kind of each request, and its page or job name
        self.stream_requests = 0
        self._lock = threading.Lock()

    def record_past_time(self, moment: datetime) -> None:
        """Do nothing, because the responses of this account already contain Stitch's time."""

    def list_extractions(self, page: int = 1) -> Page[Extraction]:
        return self._respond("extractions", page, self.extractions)

    def list_loads(self, page: int = 1) -> Page[Load]:
        return self._respond("loads", page, self.loads)

    def list_sources(self) -> list[Source]:
        return [
            Source.from_json({"id": number, "name": name, "display_name": name})
            for number, name in enumerate(self.sources)
        ]

    def list_streams(self, source_id: int) -> list[Stream]:
        self.stream_requests += 1
        streams = list(self.sources.values())[source_id]
        if isinstance(streams, Exception):
            raise streams
        return list(streams)

    def get_extraction_log(self, job_name: str, *, should_abort: Callable[[], bool]) -> ExtractionLog:  # noqa: ARG002 - the log is empty
        with self._lock:
            self.requests.append(("log", job_name))
        self.before_each()
        return parse_extraction_log([])

    def _respond(self, kind: str, page: int, records: Sequence[Any]) -> Page[Any]:
        with self._lock:
            self.requests.append((kind, page))
        self.before_each()
        return page_of(records, page)


def loads_by_stream_name(sources: Iterable[str], streams: Sequence[str]) -> list[Load]:
    """Return the loads of several sources that have the same streams, like sources of one type."""
    names = list(sources)
    return sorted((load_of(source, stream) for source in names for stream in streams), key=by_stream_name)


def sources_with(streams: Sequence[str], sources: Iterable[str]) -> dict[str, list[Stream]]:
    """Return the streams of each source, with ascending ids."""
    ids = itertools.count(5_000_000, 3)
    return {
        source: [
            Stream.from_json(
                {"stream_id": next(ids), "tap_stream_id": each, "stream_name": each, "selected": True}
            )
            for each in streams
        ]
        for source in sources
    }


def loads_by_stream_id(sources: Mapping[str, Sequence[Stream]]) -> list[Load]:
    streams = [
        (stream.stream_id, source, stream.stream_name) for source in sources for stream in sources[source]
    ]
    return [load_of(source, name) for _, source, name in sorted(streams)]
