"""Functions that build extraction logs from lines and convert parsed logs for comparisons."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log

URL = "https://import.example/v2/import/batch"
STITCH_4 = "Running tap-github version 3.1.2 and target-stitch version 4.0.3"
FIRST = "Using batch_size_prefernces of {'full_table_streams': []}"
LAST = "Requests complete, stopping loop"
SUCCEEDED = "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."
MARKER = "com.stitchdata.target-stitch-avro.flush-pipeline - send-stream-record-count-impl"


def line(second: int, location: str, text: str, level: str = "INFO") -> str:
    at = datetime(2026, 8, 17, 6, tzinfo=timezone.utc) + timedelta(seconds=second)
    return f"{at:%Y-%m-%d %H:%M:%S},000Z {location:>6} - {level} {text}"


def at(second: int) -> datetime:
    return datetime(2026, 8, 17, 6, tzinfo=timezone.utc) + timedelta(seconds=second)


def parsed(*lines: str) -> ExtractionLog:
    return parse_extraction_log(["".join(f"{each}\n" for each in lines).encode()])


def of_target(*lines: str, first: str = FIRST, last: str = LAST) -> ExtractionLog:
    """Return a parsed target-stitch log with the given lines between its first and last lines."""
    return parsed(
        line(0, "main", STITCH_4),
        line(1, "target", first),
        *lines,
        line(900, "target", last),
        line(901, "main", SUCCEEDED),
    )


def serialized(second: int, name: str, messages: int) -> str:
    return line(second, "target", f"Serializing batch with {messages} messages for table {name}")


def request(second: int, size: int = 255) -> str:
    return line(second, "target", f"Sending batch of {size} bytes to {URL}")


def sent_old(second: int, name: str, messages: int) -> str:
    return line(second, "target", f"Sending batch with {messages} messages for table {name} to {URL}")


def found(log: ExtractionLog) -> dict[str, tuple[int | None, int, int | None, bool]]:
    """Return the values that the parser found for each stream.

    The values are the number of rows, the number of batches, the seconds until the last batch, and `certain`.
    """
    start = at(0)
    return {
        name: (
            each.rows,
            each.batches,
            None if each.last_batch_at is None else round((each.last_batch_at - start).total_seconds()),
            each.certain,
        )
        for name, each in log.streams.items()
    }
