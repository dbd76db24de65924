"""Lines of a log that arrives in chunks, in bounded memory: of a very long line the middle is left out."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE_HEAD, LINE_TAIL = 16 * 1024, 4 * 1024  #: bytes that are kept of a longer line


def cut_lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each line without its end, and whether it has one. A line longer than 20 kB lacks its middle."""
    line = CutLine()
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        line.add(first)
        for other in others:
            yield line.take(), True
            line.add(other)
    yield line.take(), False


class CutLine:
    """The first and the last bytes of a line of any length."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, more: bytes) -> None:
        """Append bytes to the line."""
        room = LINE_HEAD - len(self._head)
        self._head += more[:room]
        self._tail += more[room:]
        if len(self._tail) > 2 * LINE_TAIL:
            del self._tail[:-LINE_TAIL]

    def take(self) -> bytes:
        """Return the bytes that were kept, and start the next line."""
        kept = bytes(self._head + self._tail[-LINE_TAIL:])
        self._head.clear()
        self._tail.clear()
        return kept


def parse_stamp(stamp: bytes | None) -> datetime | None:
    """Return the time of a line, or None if it has no usable time."""
    if stamp is None:
        return None
    year, month, day, hour, minute, second, milliseconds = map(int, re.findall(rb"\d+", stamp))
    try:
        return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=timezone.utc)
    except ValueError:  # 31 February has digits, but is no time
        return None
