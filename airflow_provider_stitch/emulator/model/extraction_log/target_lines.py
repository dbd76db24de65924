"""The lines that ``target-stitch`` or the Avro target writes to an extraction log.

The formats are from the code of the open-source ``target-stitch`` 1.8.1 to 4.0.3, and from logs in public bug
reports.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.model.extraction_log.lines import Line, counter
from airflow_provider_stitch.emulator.model.plans import release_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.jobs.timeline import Batch, Timeline

_URL = "https://import.example/v2/import/batch"
_FLUSH = "com.stitchdata.target-stitch-avro.flush-pipeline - send-stream-record-count-impl"
_AVRO_RELEASE = "1.9.0"

#: Maximum number of messages in a batch.
MAX_MESSAGES = 20_000
_BYTES_OF_ROW, _BYTES_OF_REQUEST = 200, 55
#: The interval between the requests of one batch, and between the batches of one flush.
_NEXT_REQUEST = timedelta(milliseconds=500)
_SERIALIZING = timedelta(milliseconds=9)
_SENDING = timedelta(milliseconds=5)
_MILLISECOND = timedelta(milliseconds=1)


def program(timeline: Timeline) -> tuple[str, str]:
    """Return the name and the version of a job's target."""
    if timeline.target_program == "avro":
        return "target-stitch-avro", _AVRO_RELEASE
    return "target-stitch", ".".join(map(str, release_of(timeline.log.target_version)))


def first_line(timeline: Timeline) -> str | None:
    """Return the first line of the target, or None for the Avro target, whose first line is not known."""
    if timeline.target_program == "avro":
        return None
    if release_of(timeline.log.target_version) < (3, 0, 0):
        return f"INFO Using Stitch import URL {_URL}"
    if timeline.log.first_line == "turbo_boost_factor":
        return "INFO Using turbo_boost_factor of 1"
    full = [read.stream.target_name for read in timeline.reads if read.stream.bookmark is None]
    preferences = {
        "batch_size_preference": None,
        "user_batch_size_preference": None,
        "full_table_streams": full,
    }
    return f"INFO Using batch_size_prefernces of {preferences}"  # target-stitch misspells "preferences"


def last_lines(timeline: Timeline) -> Iterator[str]:
    """Yield the last log lines of a target that ends normally."""
    if timeline.target_program == "avro":
        return
    release = release_of(timeline.log.target_version)
    if release < (2, 0, 0):
        yield "INFO Exiting normally"
        return
    yield "INFO Requests complete, stopping loop"
    if release == (2, 0, 5):
        yield "INFO Writing final state."


def batch_lines(timeline: Timeline) -> Iterator[Line]:
    """Yield the lines of all batches, including retries."""
    batches = [*timeline.batches, *([timeline.refused_batch] if timeline.refused_batch else [])]
    if timeline.target_program == "avro":
        yield from _avro_markers(timeline, batches)
        return
    release = release_of(timeline.log.target_version)
    for batch in batches:
        for line in _flush_lines(timeline, batch, release):
            yield line._replace(at=max(line.at, timeline.starts_at))


def sent_at(batch: Batch) -> datetime:
    """Return the time of the first attempt to send the last request of a batch."""
    return batch.flushed_at - timedelta(seconds=2**batch.retries - 1)


def refusal_lines(timeline: Timeline, description: str, at: datetime) -> Iterator[Line]:
    """Yield the log lines before the error message about a permanently rejected request."""
    persisting = description.startswith("Error persisting data to Stitch")
    if timeline.target_program == "avro" or not persisting:
        return
    if release_of(timeline.log.target_version) < (2, 0, 0):
        return
    error = "target_stitch.StitchClientResponseError"
    yield Line(at, "target", f"ERROR Giving up post_coroutine(...) after 1 tries ({error})")
    yield Line(at, "target", "INFO FLUSH early exit because of SEND_EXCEPTION: StitchClientResponseError()")


def _avro_markers(timeline: Timeline, batches: list[Batch]) -> Iterator[Line]:
    markers = timeline.log.flush_markers
    with_rows = sorted((batch for batch in batches if batch.rows), key=lambda batch: batch.flushed_at)
    last = {batch.tap_stream_id: batch.flushed_at for batch in with_rows}
    for batch in with_rows:
        if markers == "every" or (markers == "last" and batch.flushed_at == last[batch.tap_stream_id]):
            yield Line(batch.flushed_at, "target", f"INFO {_FLUSH} {batch.target_name}")


def _flush_lines(timeline: Timeline, batch: Batch, release: tuple[int, int, int]) -> Iterator[Line]:
    """Yield the lines of one flush, which consists of one or more batches."""
    messages = batch.rows + batch.version_messages
    parts = [min(MAX_MESSAGES, messages - sent) for sent in range(0, messages, MAX_MESSAGES)]
    at = sent_at(batch)
    requests = [min(batch.requests, part) for part in parts]
    first_start = at - _NEXT_REQUEST * (sum(requests) - 1)
    for number, (part, count) in enumerate(zip(parts, requests, strict=True)):
        versions = batch.version_messages if number == len(parts) - 1 else 0
        starts = [first_start + _NEXT_REQUEST * each for each in range(count)]
        yield from _batch_lines(timeline, batch.target_name, (part, versions), starts, release)
        first_start += _NEXT_REQUEST * count
    yield from _retry_lines(batch, at, release)


def _batch_lines(
    timeline: Timeline,
    name: str,
    counts: tuple[int, int],
    starts: list[datetime],
    release: tuple[int, int, int],
) -> Iterator[Line]:
    """Yield the lines of one batch.

    :param counts: the total number of messages, and the number of version messages.
    :param starts: the start times of the requests.
    """
    messages, versions = counts
    ahead = timedelta(seconds=timeline.log.serialized_ahead)
    first = starts[0] - ahead - _SERIALIZING
    if release < (3, 0, 2):
        yield Line(first, "target", f"INFO Sending batch with {messages} messages for table {name} to {_URL}")
        return
    yield Line(first, "target", f"INFO Serializing batch with {messages} messages for table {name}")
    per_request, remainder = divmod(messages, len(starts))
    for number, start in enumerate(starts, 1):
        sent = per_request + (1 if number <= remainder else 0)
        size = _BYTES_OF_REQUEST + _BYTES_OF_ROW * sent
        yield Line(start - ahead - _SENDING, "target", f"INFO Sending batch of {size} bytes to {_URL}")
        if release >= (3, 2, 0):
            rows = sent - (versions if number == len(starts) else 0)
            tags = {"endpoint": name, "num_bytes": size}
            yield Line(start, "target", counter(timeline.log.target_counter_form, rows, tags))


def _retry_lines(batch: Batch, at: datetime, release: tuple[int, int, int]) -> Iterator[Line]:
    """Yield the log lines about retries, which occur after 1, 2, 4, ... seconds.

    The lines about retries do not contain the stream name.
    """
    for number in range(batch.retries):
        wait = 2**number
        failed_at = at + timedelta(seconds=wait - 1) + _MILLISECOND
        if release < (2, 0, 0):
            text = (
                f"INFO Error sending data to Stitch. Sleeping {wait} seconds before trying again: timed out"
            )
        else:
            text = f"INFO Backing off post_coroutine(...) for {wait:.1f}s (asyncio.TimeoutError)"
        yield Line(failed_at, "target", text)
