"""In a fresh process: read one extraction log, made here or served by a Stitch; report time and memory."""

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

PIECE = 64 * 1024  #: bytes, as many as the client takes from the network at once
STATUS = Path("/proc/self/status")

USUAL = """\
2026-08-17 06:00:12,250Z    tap - INFO HTTP request to "orders" endpoint took 0.329s, returned status code 200
2026-08-17 06:00:12,551Z    tap - DEBUG Starting new HTTPS connection (1): shop.example.com:443
2026-08-17 06:00:13,002Z    tap - INFO METRIC: {"type": "counter", "metric": "record_count", "value": 250}
2026-08-17 06:00:13,010Z   main - INFO State update: adding bookmarks.orders.updated_at = "2026-08-17T05:55Z"
2026-08-17 06:00:13,411Z target - INFO com.stitchdata.target-stitch-avro.batches - Flushing 20000 records
"""
MARKERS = """\
2026-08-17 06:00:14,250Z    tap - INFO replicated 250 records from "orders" endpoint
2026-08-17 06:00:15,250Z target - INFO com.stitchdata.target-stitch-avro.flush-pipeline - \
send-stream-record-count-impl orders
"""
EXIT = b"""
2026-08-17 06:02:32,250Z   main - INFO Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.
"""


def made(form: str, size: int) -> Iterator[bytes]:
    """Make a log of so many bytes, and an exit line, while it is read."""
    pieces = {"usual": usual, "one line": one_line, "new streams": new_streams}[form]()
    left = size
    while left > 0:
        piece = next(pieces)[:left]
        left -= len(piece)
        yield piece
    yield EXIT


def usual() -> Iterator[bytes]:
    """Lines as a tap writes them; one in 50 tells of rows."""
    lines = (USUAL * 20 + MARKERS).encode()
    block = (lines * (1 + PIECE // len(lines)))[: PIECE - 7]  # so that pieces end within lines
    return itertools.repeat(block)


def one_line() -> Iterator[bytes]:
    """A line that does not end."""
    return itertools.repeat(b'{"rows": [' + b"0" * (PIECE - 10))


def new_streams() -> Iterator[bytes]:
    """Each line names another stream, and a long one."""
    for number in itertools.count():
        line = f"2026-08-17 06:00:15,250Z target - INFO send-stream-record-count-impl {number:0200d}\n"
        yield line.encode()


def memory(field: str) -> int:
    """Return bytes of this process: `VmRSS` now, or `VmHWM` at most so far."""
    # What getrusage says begins, on Linux, at the peak of the process that started this one.
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def read(task: dict[str, Any]) -> ExtractionLog:
    if "url" not in task:
        return parse_extraction_log(made(task["form"], task["size"]))
    with StitchClient(task["token"], base_url=task["url"], client_id=task["client_id"]) as client:
        return client.get_extraction_log(task["job_name"])


def main() -> None:
    task = json.load(sys.stdin)
    before, began, cpu_began = memory("VmRSS"), time.monotonic(), time.process_time()
    log = read(task)
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu_began
    result = {"seconds": seconds, "cpu_seconds": cpu_seconds, "memory": memory("VmHWM") - before}
    print(json.dumps({**result, "succeeded": log.succeeded, "streams": len(log.streams)}))


if __name__ == "__main__":
    main()
