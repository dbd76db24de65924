"""A Stitch account in memory and in virtual time. The caller chooses the durations of the jobs.

The account has the methods of `StitchClient` that a waiter calls. The account does not use HTTP, because the
simulation of a week with a thousand sources requires tens of thousands of requests.
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
from simulated_stitch.virtual_time import START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulated_stitch.virtual_time import VirtualLoop

RECORDS_PER_PAGE = 100
FIRST_SOURCE_ID = 310_000
LATENCY = 0.3  #: virtual seconds from a request to its response
#: The streams of each source. In Stitch, sources of one type have the same stream names.
STREAMS = ("commits", "issues", "pull_requests")
_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Job:
    """A replication job and its loads. Each stream has one batch. Times are in virtual seconds."""

    name: str
    started_at: float
    ended_at: float
    flushed_at: tuple[float, ...]  #: when the target sent the batch of each stream
    loaded_at: tuple[float, ...]  #: when the batch of each stream was loaded into the destination


class SimulatedAccount:
    """An account that generates its lists and logs from its jobs, and records rate-limited requests."""

    base_url = "https://stitch.example"
    client_id = known_client_id = 104857
    requests_per_10_minutes = 30
    redis = None

    def __init__(self, loop: VirtualLoop, sources: int) -> None:
        self._loop = loop
        self.sources = [
            Source.from_json({"id": FIRST_SOURCE_ID + number, "name": f"source_{number:04}"})
            for number in range(sources)
        ]
        self._jobs: dict[str, Job] = {}
        self._running: dict[int, Job] = {}  # running jobs by source number
        self._loading: dict[int, float] = {}  # when each pending load finishes, by index in the list of loads
        self._extractions = [
            self._extraction(number, self._previous_job(number)) for number in range(sources)
        ]
        # Loads are sorted by stream name and then by source. Stitch documents two sort orders, and this is
        # the first.
        self._loads = [_load(source.name, stream, -86_400.0) for stream in STREAMS for source in self.sources]
        #: Times of the requests that count against the rate limit.
        self.limited_request_times: list[float] = []

    def start_job(
        self, number: int, *, duration: float, flush_offsets: Sequence[float], load_lags: Sequence[float]
    ) -> Job:
        """Start a job of a source.

        :param number: the number of the source. The first source has number 0.
        :param duration: seconds from now until the extraction ends.
        :param flush_offsets: for each stream, the seconds from now until its batch is sent.
        :param load_lags: for each stream, the seconds from the sending of its batch until the batch is
            loaded.
        """
        now = self._loop.time()
        job = Job(
            name=self._job_name(number, now),
            started_at=now,
            ended_at=now + duration,
            flushed_at=tuple(now + each for each in flush_offsets),
            loaded_at=tuple(now + each + lag for each, lag in zip(flush_offsets, load_lags, strict=True)),
        )
        self._finish_jobs([number])
        self._running[number] = self._jobs[job.name] = job
        for stream, loaded_at in enumerate(job.loaded_at):
            self._loading[stream * len(self.sources) + number] = loaded_at
        return job

    # --- The methods of StitchClient -----------------------------------------------------------------------

    @property
    def stitch_time(self) -> datetime:
        return _instant(self._loop.time())

    def record_past_time(self, moment: datetime) -> None:
        """Do nothing, because the responses of this account already contain Stitch's time."""

    def list_extractions(self, page: int = 1) -> Page[Extraction]:
        self._finish_jobs(_indexes_of_page(page))
        return self._limited_page(self._extractions, page)

    def list_loads(self, page: int = 1) -> Page[Load]:
        self._finish_loads(_indexes_of_page(page))
        return self._limited_page(self._loads, page)

    def get_extraction_log(self, job_name: str, *, should_abort: Callable[[], bool]) -> ExtractionLog:  # noqa: ARG002 - this log is never read in chunks
        self._count_limited_request()
        job = self._jobs[job_name]
        flush_times = [_instant(each) for each in job.flushed_at]
        return ExtractionLog(
            streams={
                name: StreamLog(name, rows=120, batches=1, last_batch_at=at, one_request=True)
                for name, at in zip(STREAMS, flush_times, strict=True)
            },
            exits=(),
            exit_line="Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.",
            exited_at=_instant(job.ended_at),
            problems=(),
            complete=True,
            target="target-stitch",
        )

    def get_source(self, source_id: int) -> Source:
        self._loop.latency = LATENCY
        return self.sources[source_id - FIRST_SOURCE_ID]

    def list_sources(self) -> list[Source]:
        self._loop.latency = LATENCY
        return list(self.sources)

    def list_destinations(self) -> list[Destination]:
        self._loop.latency = LATENCY
        return [Destination.from_json({"id": 1, "name": "warehouse"})]

    def list_streams(self, source_id: int) -> list[Stream]:
        self._loop.latency = LATENCY
        first_id = len(STREAMS) * (source_id - FIRST_SOURCE_ID)
        return [
            Stream.from_json(
                {"stream_id": first_id + number, "tap_stream_id": name, "stream_name": name, "selected": True}
            )
            for number, name in enumerate(STREAMS)
        ]

    # --- Internals ------------------------------------------------------------------------------------------

    def _count_limited_request(self) -> None:
        self._loop.latency = LATENCY
        self.limited_request_times.append(self._loop.time())

    def _limited_page(self, records: Sequence[Any], number: int) -> Page[Any]:
        self._count_limited_request()
        indexes = _indexes_of_page(number)
        return Page(
            records=tuple(records[indexes.start : indexes.stop]),
            number=number,
            total=len(records),
            responded_at=self.stitch_time,
            next_page=number + 1 if indexes.stop < len(records) else None,
        )

    def _finish_jobs(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            job = self._running.get(number)
            if job is not None and job.ended_at <= self._loop.time():
                del self._running[number]
                self._extractions[number] = self._extraction(number, job)

    def _finish_loads(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            loaded_at = self._loading.get(index)
            if loaded_at is not None and loaded_at <= self._loop.time():
                del self._loading[index]
                load = self._loads[index]
                self._loads[index] = _load(load.source_name, load.stream_name, loaded_at)

    def _previous_job(self, number: int) -> Job:
        return Job(self._job_name(number, -90_000.0), -90_000.0, -86_400.0, (), ())

    def _job_name(self, number: int, started_at: float) -> str:
        """Return a job name with a version-1 UUID.

        As in Stitch's job names, the UUID contains the start time.
        """
        ticks = (_instant(started_at) - _UUID_EPOCH) // timedelta(microseconds=1) * 10
        version_1 = uuid.UUID(
            fields=(ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, (ticks >> 48) & 0xFFF | 0x1000, 0x92, 0xA9, 1)
        )
        return f"{self.client_id}.{FIRST_SOURCE_ID + number}.sync.{version_1}"

    def _extraction(self, number: int, job: Job) -> Extraction:
        return Extraction.from_json(
            {
                "job_name": job.name,
                "source_id": FIRST_SOURCE_ID + number,
                "start_time": format_time(_instant(job.started_at)),
                "completion_time": format_time(_instant(job.ended_at)),
                "discovery_exit_status": 0,
                "tap_exit_status": 0,
                "target_exit_status": 0,
            }
        )


def _indexes_of_page(page: int) -> range:
    return range((page - 1) * RECORDS_PER_PAGE, page * RECORDS_PER_PAGE)


def _load(source_name: str, stream_name: str, loaded_at: float) -> Load:
    return Load.from_json(
        {
            "source_name": source_name,
            "stream_name": stream_name,
            "last_batch_loaded_at": format_time(_instant(loaded_at)),
        }
    )


def _instant(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)
