"""A Stitch account in virtual time and in memory, whose sources' jobs take as long as they are told to.

It answers what somebody who waits asks for, as a `StitchClient` does, without HTTP: a week of a thousand
sources is tens of thousands of requests.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.extraction_log import ExtractionLog, StreamLog
from airflow_provider_stitch.connect.objects import (
    Destination,
    Extraction,
    Load,
    Page,
    Source,
    Stream,
    format_time,
)
from benchmarks.virtual_time import START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.virtual_time import VirtualLoop

PER_PAGE = 100
FIRST_ID = 310_000
LATENCY = 0.3  #: virtual seconds that an answer takes
STREAMS = ("commits", "issues", "pull_requests")  #: of every source, as sources of one type have
_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Job:
    """A job and the loads that it leads to. Times are virtual seconds."""

    name: str
    began: float
    ended: float
    flushed: tuple[float, ...]  #: when each stream's rows were handed on, all at once
    loaded: tuple[float, ...]  #: when they were in the destination


class SimulatedAccount:
    """Answers from the jobs that were started, and counts what Stitch limits."""

    base_url = "https://stitch.example"
    client_id = known_client_id = 104857
    requests_per_10_minutes = 30

    def __init__(self, loop: VirtualLoop, sources: int) -> None:
        self._loop = loop
        self.sources = [
            Source.from_json({"id": FIRST_ID + number, "name": f"source_{number:04}"})
            for number in range(sources)
        ]
        self._jobs: dict[str, Job] = {}
        self._running: dict[int, Job] = {}  # by number of the source
        self._loading: dict[int, float] = {}  # when it will have been loaded, by place in the list
        self._extractions = [self._extraction(number, self._job_before(number)) for number in range(sources)]
        # By stream name, and within it by source: the order that Stitch's documentation tells first.
        self._loads = [_load(source.name, stream, -86_400.0) for stream in STREAMS for source in self.sources]
        self.limited_at: list[float] = []  #: when each request came that counts against the limit

    def start(self, number: int, *, lasts: float, flushed: Sequence[float], lags: Sequence[float]) -> Job:
        """Begin a job of a source.

        :param lasts: seconds until its extraction ends.
        :param flushed: for each stream, in seconds from now, when its rows are handed on.
        :param lags: for each stream, seconds from then until they are loaded.
        """
        now = self._loop.time()
        job = Job(
            name=self._job_name(number, now),
            began=now,
            ended=now + lasts,
            flushed=tuple(now + each for each in flushed),
            loaded=tuple(now + each + lag for each, lag in zip(flushed, lags, strict=True)),
        )
        self._end_jobs([number])
        self._running[number] = self._jobs[job.name] = job
        for stream, loaded in enumerate(job.loaded):
            self._loading[stream * len(self.sources) + number] = loaded
        return job

    # --- What a client does -----------------------------------------------------------------------------

    @property
    def latest_answer_at(self) -> datetime:
        return _instant(self._loop.time())

    def list_extractions(self, page: int = 1) -> Page[Extraction]:
        self._end_jobs(_places_on(page))
        return self._limited_page(self._extractions, page)

    def list_loads(self, page: int = 1) -> Page[Load]:
        self._end_loads(_places_on(page))
        return self._limited_page(self._loads, page)

    def get_extraction_log(self, job_name: str, *, given_up: Callable[[], bool]) -> ExtractionLog:  # noqa: ARG002 - there is nothing to read
        self._count()
        job = self._jobs[job_name]
        flushed = [_instant(each) for each in job.flushed]
        return ExtractionLog(
            streams={
                name: StreamLog(name, rows=120, batches=1, last_batch_at=at, one_request=True)
                for name, at in zip(STREAMS, flushed, strict=True)
            },
            exits=(),
            exit_line="Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.",
            exited_at=_instant(job.ended),
            problems=(),
            complete=True,
            target="target-stitch",
        )

    def get_source(self, source_id: int) -> Source:
        self._loop.latency = LATENCY
        return self.sources[source_id - FIRST_ID]

    def list_destinations(self) -> list[Destination]:
        self._loop.latency = LATENCY
        return [Destination.from_json({"id": 1, "name": "warehouse"})]

    def list_streams(self, source_id: int) -> list[Stream]:
        self._loop.latency = LATENCY
        first_id = len(STREAMS) * (source_id - FIRST_ID)
        return [
            Stream.from_json(
                {"stream_id": first_id + number, "tap_stream_id": name, "stream_name": name, "selected": True}
            )
            for number, name in enumerate(STREAMS)
        ]

    # --- What it is made of -----------------------------------------------------------------------------

    def _count(self) -> None:
        self._loop.latency = LATENCY
        self.limited_at.append(self._loop.time())

    def _limited_page(self, records: Sequence[Any], number: int) -> Page[Any]:
        self._count()
        places = _places_on(number)
        return Page(
            records=tuple(records[places.start : places.stop]),
            number=number,
            total=len(records),
            answered_at=self.latest_answer_at,
            next_page=number + 1 if places.stop < len(records) else None,
        )

    def _end_jobs(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            job = self._running.get(number)
            if job is not None and job.ended <= self._loop.time():
                del self._running[number]
                self._extractions[number] = self._extraction(number, job)

    def _end_loads(self, places: Iterable[int]) -> None:
        for place in places:
            loaded = self._loading.get(place)
            if loaded is not None and loaded <= self._loop.time():
                del self._loading[place]
                load = self._loads[place]
                self._loads[place] = _load(load.source_name, load.stream_name, loaded)

    def _job_before(self, number: int) -> Job:
        return Job(self._job_name(number, -90_000.0), -90_000.0, -86_400.0, (), ())

    def _job_name(self, number: int, began: float) -> str:
        """Return a name as Stitch makes it: the version-1 UUID tells when the job began."""
        ticks = (_instant(began) - _UUID_EPOCH) // timedelta(microseconds=1) * 10
        version_1 = uuid.UUID(
            fields=(ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, (ticks >> 48) & 0xFFF | 0x1000, 0x92, 0xA9, 1)
        )
        return f"{self.client_id}.{FIRST_ID + number}.sync.{version_1}"

    def _extraction(self, number: int, job: Job) -> Extraction:
        return Extraction.from_json(
            {
                "job_name": job.name,
                "source_id": FIRST_ID + number,
                "start_time": format_time(_instant(job.began)),
                "completion_time": format_time(_instant(job.ended)),
                "discovery_exit_status": 0,
                "tap_exit_status": 0,
                "target_exit_status": 0,
            }
        )


def _places_on(page: int) -> range:
    return range((page - 1) * PER_PAGE, page * PER_PAGE)


def _load(source_name: str, stream_name: str, loaded: float) -> Load:
    return Load.from_json(
        {
            "source_name": source_name,
            "stream_name": stream_name,
            "last_batch_loaded_at": format_time(_instant(loaded)),
        }
    )


def _instant(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)
