"""Short ways to say what Stitch tells, for tables of cases."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects import Extraction, Load, Stream, format_time
from airflow_provider_stitch.replication.rules.goal import Goal

SOURCE_ID = 310442
_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=timezone.utc)


def at(clock: str) -> datetime:
    """`06:04:51` or `06:04:51.118`, of one day in August."""
    return datetime.fromisoformat(f"2026-08-17T{clock}+00:00")


def job_name(began: datetime, source_id: int = SOURCE_ID) -> str:
    """A job's name as Stitch makes it: the version-1 UUID tells when it began."""
    ticks = (began - _UUID_EPOCH) // timedelta(microseconds=1) * 10
    version_1 = uuid.UUID(
        fields=(ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, (ticks >> 48) & 0x0FFF | 0x1000, 0x92, 0xA9, 0xA)
    )
    return f"104857.{source_id}.sync.{version_1}"


OURS = job_name(at("06:00:02"))
EARLIER = job_name(at("05:00:02"))
LATER = job_name(at("07:00:02"))


def goal(phase: Any = "extraction", **changes: Any) -> Goal:
    which = {} if {"started_after", "running_at"} & changes.keys() else {"job_name": OURS}
    return Goal(phase, SOURCE_ID, "github", 104857, **{**which, **changes})


def extraction(
    name: str = OURS,
    *,
    start: str = "06:00:02",
    end: str | None = "06:04:51",
    statuses: tuple[int | None, int | None, int | None] = (0, 0, 0),
    descriptions: tuple[str | None, str | None, str | None] = (None, None, None),
) -> Extraction:
    parts = ("discovery", "tap", "target")
    return Extraction.from_json(
        {
            "job_name": name,
            "source_id": SOURCE_ID,
            "start_time": format_time(at(start)),
            "completion_time": format_time(at(end)) if end else None,
            **{f"{part}_exit_status": status for part, status in zip(parts, statuses, strict=True)},
            **{f"{part}_description": said for part, said in zip(parts, descriptions, strict=True)},
        }
    )


SUCCEEDED = "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."
_ENDING = f"06:04:51 main INFO {SUCCEEDED}"


def log(*lines: str, ending: str | None = _ENDING) -> ExtractionLog:
    """Return the log of target-stitch 4.0, complete unless `ending` is None.

    Each line is written as `06:04:40.118 target INFO text`.
    """
    return parsed_log(
        "06:00:02 main INFO Running tap-github version 3.1.2 and target-stitch version 4.0.3",
        "06:00:05 target INFO Using batch_size_prefernces of {'full_table_streams': []}",
        *lines,
        *(["06:04:50 target INFO Requests complete, stopping loop", ending] if ending else []),
    )


def avro_log(*lines: str, ending: str | None = _ENDING) -> ExtractionLog:
    """Return the log of the Avro target. It has no line of its own at its start or end."""
    running = "06:00:02 main INFO Running tap-hp-postgres version 2.4.0 and target-stitch-avro version 1.9.0"
    return parsed_log(running, *lines, *([ending] if ending else []))


def parsed_log(*lines: str) -> ExtractionLog:
    """Return the log that consists of these lines only."""
    return parse_extraction_log([_line(part).encode() for line in lines for part in line.split("\n")])


def _line(line: str) -> str:
    clock, location, level, text = line.split(" ", 3)
    clock, _, millis = clock.partition(".")
    return f"2026-08-17 {clock},{millis or '000'}Z {location:>6} - {level} {text}\n"


def sent(clock: str, stream: str, rows: int = 1, messages: int | None = None) -> str:
    """Return the lines of one batch of target-stitch 4.0 in one request."""
    tags = f'{{"endpoint": "{stream}", "num_bytes": 255}}'
    counter = f'{{"type": "counter", "metric": "record_count", "value": {rows}, "tags": {tags}}}'
    texts = (
        f"Serializing batch with {messages or max(rows, 1)} messages for table {stream}",
        "Sending batch of 255 bytes to https://import.example/v2/import/batch",
        f"METRIC: {counter}",
    )
    return "\n".join(f"{clock} target INFO {text}" for text in texts)


def sent_uncounted(clock: str, stream: str, messages: int) -> str:
    """Return the line of one batch of target-stitch before 3.0.2, which counts messages only."""
    return (
        f"{clock} target INFO Sending batch with {messages} messages for table {stream} "
        "to https://import.example/v2/import/batch"
    )


def marker(clock: str, stream: str) -> str:
    """Return the marker of the Avro target for a stream with rows."""
    logger = "com.stitchdata.target-stitch-avro.flush-pipeline"
    return f"{clock} target INFO {logger} - send-stream-record-count-impl {stream}"


def replicated(clock: str, stream: str, rows: int) -> str:
    """Return a counter of the tap."""
    return f'{clock} tap INFO replicated {rows} records from "{stream}" endpoint'


def stream(
    name: str,
    tap_stream_id: str | None = None,
    *,
    selected: bool | None = True,
    schema: str = "",
    database: str = "",
) -> Stream:
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
    return Load.from_json(
        {
            "stitch_client_id": 104857,
            "source_name": "github",
            "stream_name": stream_name,
            "last_batch_loaded_at": format_time(at(loaded)) if loaded else None,
            "error_state": {"notification_data": {"message": error}} if error else None,
        }
    )
