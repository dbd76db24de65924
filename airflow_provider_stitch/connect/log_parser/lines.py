"""Split a log that arrives in chunks into lines. The middle of very long lines is dropped to bound memory."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_HEAD_BYTES, MAX_TAIL_BYTES = 16 * 1024, 4 * 1024  #: bytes that are kept of a long line


def split_lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each line without its line break, and whether it had one.

    Lines are cut to 20 kB in the middle.
    """
    line = BoundedLine()
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        line.add(first)
        if others:
            yield line.take(), True
            *whole_lines, start_of_next = others
            for whole_line in whole_lines:
                if len(whole_line) <= MAX_HEAD_BYTES:
                    yield whole_line, True  # almost every line, so this decides how fast a log is read
                else:
                    line.add(whole_line)
                    yield line.take(), True
            line.add(start_of_next)
    yield line.take(), False


class BoundedLine:
    """The first and the last bytes of a line of any length."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, more: bytes) -> None:
        """Append bytes to the line."""
        room = MAX_HEAD_BYTES - len(self._head)
        self._head += more[:room]
        self._tail += more[room:]
        if len(self._tail) > 2 * MAX_TAIL_BYTES:
            del self._tail[:-MAX_TAIL_BYTES]

    def take(self) -> bytes:
        """Return the bytes that were kept, and start a new line."""
        kept = bytes(self._head + self._tail[-MAX_TAIL_BYTES:])
        self._head.clear()
        self._tail.clear()
        return kept


def parse_timestamp(timestamp: bytes | None) -> datetime | None:
    """Return the time of a line; None if it is missing or invalid."""
    if timestamp is None:
        return None
    year, month, day, hour, minute, second, milliseconds = map(int, re.findall(rb"\d+", timestamp))
    try:
        return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=timezone.utc)
    except ValueError:  # such as 31 February
        return None
