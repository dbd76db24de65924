"""Functions that create Stitch's objects and logs for test cases."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects import Extraction, Load, Source, Stream, format_time
from airflow_provider_stitch.replication.rules.goal import Goal

SOURCE_ID = 310442
_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=timezone.utc)


def at(time: str) -> datetime:
    """Return a time on a fixed day in August.

    :param text: the time of day, for example `06:04:51` or `06:04:51.118`.
    """
    return datetime.fromisoformat(f"2026-08-17T{time}+00:00")


def job_name(started_at: datetime, source_id: int = SOURCE_ID) -> str:
    """Return a job name in Stitch's format.

    The name ends with a version-1 UUID that contains the start time of the job.
    """
    ticks = (started_at - _UUID_EPOCH) // timedelta(microseconds=1) * 10
    version_1 = uuid.UUID(
        fields=(ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, (ticks >> 48) & 0x0FFF | 0x1000, 0x92, 0xA9, 0xA)
    )
    return f"104857.{source_id}.sync.{version_1}"


OURS = job_name(at("06:00:02"))
EARLIER = job_name(at("05:00:02"))
LATER = job_name(at("07:00:02"))


def goal(phase: Any = "extraction", **fields: Any) -> Goal:
    """Return a goal for a source.

    The goal is for the job `OURS`, unless the fields identify another job.
    """
    job = {} if {"started_after", "running_at"} & fields.keys() else {"job_name": OURS}
    return Goal(phase, SOURCE_ID, "github", 104857, **{**job, **fields})


def extraction(
    name: str = OURS,
    *,
    start: str = "06:00:02",
    end: str | None = "06:04:51",
    statuses: tuple[int | None, int | None, int | None] = (0, 0, 0),
    descriptions: tuple[str | None, str | None, str | None] = (None, None, None),
) -> Extraction:
    """Return an extraction with the exit statuses and descriptions of discovery, tap and target."""
    parts = ("discovery", "tap", "target")
    return Extraction.from_json(
        {
            "job_name": name,
            "source_id": SOURCE_ID,
            "start_time": format_time(at(start)),
            "completion_time": format_time(at(end)) if end else None,
            **{f"{part}_exit_status": status for part, status in zip(parts, statuses, strict=True)},
            **{f"{part}_description": text for part, text in zip(parts, descriptions, strict=True)},
        }
    )


SUCCEEDED = "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."
_ENDING = f"06:04:51 main INFO {SUCCEEDED}"


def log(*lines: str, ending: str | None = _ENDING) -> ExtractionLog:
    """Return an extraction log as target-stitch 4.0 writes it.

    The log is complete unless `ending` is None.

    :param lines: log lines of the form `06:04:40.118 target INFO text`.
    """
    return parsed_log(
        "06:00:02 main INFO Running tap-github version 3.1.2 and target-stitch version 4.0.3",
        "06:00:05 target INFO Using batch_size_prefernces of {'full_table_streams': []}",
        *lines,
        *(["06:04:50 target INFO Requests complete, stopping loop", ending] if ending else []),
    )


def avro_log(*lines: str, ending: str | None = _ENDING) -> ExtractionLog:
    """Return an extraction log as the Avro target writes it, without the usual first and last lines."""
    running = "06:00:02 main INFO Running tap-hp-postgres version 2.4.0 and target-stitch-avro version 1.9.0"
    return parsed_log(running, *lines, *([ending] if ending else []))


def parsed_log(*lines: str) -> ExtractionLog:
    """Return a log that contains only the given lines."""
    return parse_extraction_log([_line(part).encode() for line in lines for part in line.split("\n")])


def _line(line: str) -> str:
    time, program, level, text = line.split(" ", 3)
    time, _, millis = time.partition(".")
    return f"2026-08-17 {time},{millis or '000'}Z {program:>6} - {level} {text}\n"


def sent(time: str, stream: str, rows: int = 1, messages: int | None = None) -> str:
    """Return the log lines that target-stitch 4.0 writes for a batch that it sends in one request."""
    tags = f'{{"endpoint": "{stream}", "num_bytes": 255}}'
    counter = f'{{"type": "counter", "metric": "record_count", "value": {rows}, "tags": {tags}}}'
    texts = (
        f"Serializing batch with {messages or max(rows, 1)} messages for table {stream}",
        "Sending batch of 255 bytes to https://import.example/v2/import/batch",
        f"METRIC: {counter}",
    )
    return "\n".join(f"{time} target INFO {text}" for text in texts)


def sent_uncounted(time: str, stream: str, messages: int) -> str:
    """Return the log line that target-stitch before 3.0.2 writes for a batch.

    The line contains the number of messages, but not the number of rows.
    """
    return (
        f"{time} target INFO Sending batch with {messages} messages for table {stream} "
        "to https://import.example/v2/import/batch"
    )


def marker(time: str, stream: str) -> str:
    """Return the log line that the Avro target writes for a stream with rows."""
    logger = "com.stitchdata.target-stitch-avro.flush-pipeline"
    return f"{time} target INFO {logger} - send-stream-record-count-impl {stream}"


def replicated(time: str, stream: str, rows: int) -> str:
    """Return a log line in which a tap reports how many rows it has read."""
    return f'{time} tap INFO replicated {rows} records from "{stream}" endpoint'


def stream(
    name: str,
    tap_stream_id: str | None = None,
    *,
    selected: bool | None = True,
    schema: str = "",
    database: str = "",
) -> Stream:
    """Return a stream. By default, its `tap_stream_id` is equal to its name."""
    return Stream.from_json(
        {
            "stream_id": 1,
            "tap_stream_id": tap_stream_id or name,
            "stream_name": name,
            "selected": selected,
            "metadata": {
                key: value for key, value in (("schema-name", schema), ("database-name", database)) if value
            },
        }
    )


def load(stream_name: str, loaded: str | None, error: str | None = None) -> Load:
    """Return a load.

    :param loaded: the time when the last batch was loaded.
    :param error: the error message from the destination.
    """
    return Load.from_json(
        {
            "stitch_client_id": 104857,
            "source_name": "github",
            "stream_name": stream_name,
            "last_batch_loaded_at": format_time(at(loaded)) if loaded else None,
            "error_state": {"notification_data": {"message": error}} if error else None,
        }
    )


def source(
    source_id: int,
    name: str,
    display_name: str | None = None,
    *,
    step: str | None = "fully_configured",
    **fields: Any,
) -> Source:
    """Return a source.

    :param step: the current configuration step of the source.
    """
    defaults = {
        "id": source_id,
        "name": name,
        "display_name": display_name or name,
        "type": "platform.github",
        "stitch_client_id": 104857,
        "report_card": {"current_step_type": step},
    }
    return Source.from_json({**defaults, **fields})
