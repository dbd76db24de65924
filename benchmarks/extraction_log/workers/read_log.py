"""Read one extraction log in a new process, and report the time and memory that are needed.

The process generates the log while reading it, or downloads the log from a local Stitch.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_SIZE = 64 * 1024  #: bytes; the client reads chunks of this size from the network
PROCESS_STATUS = Path("/proc/self/status")

TAP = """\
2026-08-17 06:00:12,250Z    tap - INFO HTTP request to "orders" endpoint took 0.329s, returned status code 200
2026-08-17 06:00:12,551Z    tap - DEBUG Starting new HTTPS connection (1): shop.example.com:443
2026-08-17 06:00:13,002Z    tap - INFO METRIC: {"type": "counter", "metric": "record_count", "value": 250}
2026-08-17 06:00:13,010Z   main - INFO State update: adding bookmarks.orders.updated_at = "2026-08-17T05:55Z"
"""
AVRO_FLUSH = """\
2026-08-17 06:00:13,411Z target - INFO com.stitchdata.target-stitch-avro.batches - Flushing 20000 records
"""
AVRO_MARKER = """\
2026-08-17 06:00:14,250Z    tap - INFO replicated 250 records from "orders" endpoint
2026-08-17 06:00:15,250Z target - INFO com.stitchdata.target-stitch-avro.flush-pipeline - \
send-stream-record-count-impl orders
"""
STREAMS = ("orders", "customers", "products", "order_refunds")  #: streams in the target-stitch log
TARGET_STITCH_FIRST_LINE = """\
2026-08-17 06:00:05,610Z target - INFO Using batch_size_prefernces of {'full_table_streams': []}
"""
TARGET_STITCH_BATCH = """\
2026-08-17 06:00:14,250Z    tap - INFO replicated 250 records from "STREAM" endpoint
2026-08-17 06:00:15,250Z target - INFO Serializing batch with 250 messages for table STREAM
2026-08-17 06:00:15,254Z target - INFO Sending batch of 40960 bytes to https://import.example/v2/import/batch
2026-08-17 06:00:15,610Z target - INFO METRIC: {"type": "counter", "metric": "record_count", "value": 250, \
"tags": {"endpoint": "STREAM", "num_bytes": 40960}}
"""
TARGET_STITCH_LAST_LINES = """\
2026-08-17 06:02:31,100Z target - INFO Requests complete, stopping loop
2026-08-17 06:02:31,410Z   main - INFO Target exited normally with status 0
"""
EXIT_LINE = """
2026-08-17 06:02:32,250Z   main - INFO Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.
"""


def generate_log(form: str, size: int) -> Iterator[bytes]:
    """Generate a log of about the given number of bytes, plus an exit line."""
    chunks = {
        "avro": repeat_lines((TAP + AVRO_FLUSH) * 20 + AVRO_MARKER),
        "target-stitch": repeat_lines(
            "".join(TAP * 5 + TARGET_STITCH_BATCH.replace("STREAM", name) for name in STREAMS)
        ),
        "one line": endless_line(),
        "new streams": new_streams(),
    }[form]
    if form == "target-stitch":
        yield TARGET_STITCH_FIRST_LINE.encode()
    remaining = size
    while remaining > 0:
        chunk = next(chunks)
        if len(chunk) > remaining and b"\n" in chunk[:remaining]:
            # An incomplete line could contain the name of a stream that does not exist.
            chunk = chunk[: chunk.rindex(b"\n", 0, remaining) + 1]
            remaining = 0
        else:
            chunk = chunk[:remaining]
            remaining -= len(chunk)
        yield chunk
    yield ("\n" + TARGET_STITCH_LAST_LINES * (form == "target-stitch") + EXIT_LINE).encode()


def repeat_lines(lines: str) -> Iterator[bytes]:
    """Repeat some log lines, and yield the lines in chunks of CHUNK_SIZE.

    Most chunks end in the middle of a line.
    """
    block = lines.encode()
    repeated = block * (2 + CHUNK_SIZE // len(block))
    start = 0
    while True:
        yield repeated[start : start + CHUNK_SIZE]
        start = (start + CHUNK_SIZE) % len(block)


def endless_line() -> Iterator[bytes]:
    """Generate a log that consists of one endless line."""
    return itertools.repeat(b'{"rows": [' + b"0" * (CHUNK_SIZE - 10))


def new_streams() -> Iterator[bytes]:
    """Generate log lines, each with a different, long stream name."""
    for number in itertools.count():
        line = f"2026-08-17 06:00:15,250Z target - INFO send-stream-record-count-impl {number:0200d}\n"
        yield line.encode()


def memory(field: str) -> int:
    """Return the memory of this process in bytes.

    :param field: `VmRSS` for the current memory, `VmHWM` for its peak.
    """
    # On Linux, the peak that `getrusage` returns includes the peak of the parent process.
    if PROCESS_STATUS.exists():
        line = next(line for line in PROCESS_STATUS.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def read(task: dict[str, Any]) -> ExtractionLog:
    """Parse a generated log, or download and parse a log from a local Stitch."""
    if "url" not in task:
        return parse_extraction_log(generate_log(task["form"], task["size"]))
    with StitchClient(task["token"], base_url=task["url"], client_id=task["client_id"]) as client:
        return client.get_extraction_log(task["job_name"])


def main() -> None:
    task = json.load(sys.stdin)
    before, started_at, cpu_started_at = memory("VmRSS"), time.monotonic(), time.process_time()
    log = read(task)
    seconds, cpu_seconds = time.monotonic() - started_at, time.process_time() - cpu_started_at
    result = {"seconds": seconds, "cpu_seconds": cpu_seconds, "memory": memory("VmHWM") - before}
    print(json.dumps({**result, "succeeded": log.succeeded, "streams": len(log.streams)}))


if __name__ == "__main__":
    main()
