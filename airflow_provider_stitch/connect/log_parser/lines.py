"""Split a log that arrives in chunks into lines.

To limit memory, the middle of very long lines is removed.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Number of bytes that are kept at the start and at the end of a long line.
MAX_HEAD_BYTES, MAX_TAIL_BYTES = 16 * 1024, 4 * 1024


def split_lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each line without its line break, and whether the line ended with a line break.

    Lines longer than 20 kB are shortened by removing bytes from the middle.
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
                    yield whole_line, True  # almost all lines are short, so this path must be fast
                else:
                    line.add(whole_line)
                    yield line.take(), True
            line.add(start_of_next)
    yield line.take(), False


class BoundedLine:
    """A line of any length, of which only the first and last bytes are kept."""

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
        """Return the kept bytes of the line, and start a new line."""
        kept = bytes(self._head + self._tail[-MAX_TAIL_BYTES:])
        self._head.clear()
        self._tail.clear()
        return kept


def parse_timestamp(timestamp: bytes | None) -> datetime | None:
    """Parse the timestamp of a line, or return None if it is missing or invalid."""
    if timestamp is None:
        return None
    year, month, day, hour, minute, second, milliseconds = map(int, re.findall(rb"\d+", timestamp))
    try:
        return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=timezone.utc)
    except ValueError:  # the date does not exist, such as 31 February
        return None
