"""What an extraction log says: which streams had rows, when they were flushed, and how the job ended.

A log is read once, as it arrives, in bounded memory however long it, one of its lines, or its list of streams
is.

Source: Stitch Connect API, "Extraction logs" (line format, exit status). The two lines that name streams with
rows are not documented, they are seen in the field; so a log without any says that nothing is known, not that
no rows came.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect._json import readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MOST_STREAMS = 20_000  #: twice as many as Stitch discovers tables
MOST_PROBLEMS = 20
PROBLEM_LIMIT = 500  #: characters of one
EXIT_LIMIT = 2000  #: characters of the exit line, and of each message in it
LINE_HEAD, LINE_TAIL = 16 * 1024, 4 * 1024  #: bytes that are looked at of a line that is longer than both
NAME_LIMIT = 4096  #: bytes of a stream's name: a thousand characters of any script
MOST_NAMES = 16 * 1024 * 1024  #: bytes of all names together

_LINE = re.compile(
    rb"\s*(?:(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d{3})Z?\s+)?"
    rb"(?:(main|tap|target)\s+-\s+(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:\s+|$))?)?"
)
_FLUSH = b"send-stream-record-count-impl"
_REPLICATED = re.compile(rb'replicated (\d{1,18}) records from "(.{1,4096})" endpoint')
_EXIT = b"Exit status is:"
_CLAUSE = re.compile(
    r"\s*(Discovery|Tap|Target)\s+(?:succeeded\.|failed\s+with\s+code\s+(-?\d{1,9})"
    r'(?:\.|\s+and\s+error\s+message:\s+(")))'
)
_MESSAGE_END = re.compile(r'"\.(?=\s*(?:$|Tap\s|Target\s))')
_PHASES = ("Discovery", "Tap", "Target")
_TERMINATED = -15  # the signal by which the runner ends a tap whose target has died


@dataclass(frozen=True, slots=True)
class StreamLog:
    """What a log says about one stream. All times are UTC."""

    name: str  #: as the log calls it; for databases that is a `tap_stream_id`
    #: Sum over all its "replicated" lines, as a stream can be read in several passes; None if there are none.
    rows: int | None
    flushes: int  #: how often rows were handed on to be loaded
    last_flush_at: datetime | None
    last_seen_at: datetime | None  #: the last line of either sort


@dataclass(frozen=True, slots=True)
class PhaseExit:
    """How one phase ended."""

    phase: str  #: `Discovery`, `Tap` or `Target`
    code: int  #: 0 is success; negative is the signal that ended it (-9 killed, -15 terminated)
    message: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the phase ended with a code that is not 0, or with a message."""
        return self.code != 0 or self.message is not None


@dataclass(frozen=True, slots=True)
class ExtractionLog:
    """What the log of one extraction job says."""

    streams: Mapping[str, StreamLog]
    exits: tuple[PhaseExit, ...]  #: the phases that the exit line mentions, in its order
    exit_line: str | None  #: from "Exit status is:" on, on one line; None if the log has none
    exited_at: datetime | None
    problems: tuple[str, ...]  #: the last 20 ERROR and CRITICAL lines, each of at most 500 characters
    streams_known: bool  #: `streams` is complete; False if no line names any, or there were too many to keep

    @property
    def succeeded(self) -> bool | None:
        """The verdict: True if all three phases succeeded, False if one failed, None if nothing tells."""
        if any(each.failed for each in self.exits):
            return False
        # A log that was cut off within its exit line says as little as one without.
        return True if tuple(each.phase for each in self.exits) == _PHASES else None

    @property
    def cause(self) -> PhaseExit | None:
        """The phase to blame, as `cause_of` says."""
        return cause_of(self.exits)


def cause_of(exits: Sequence[PhaseExit]) -> PhaseExit | None:
    """Return the phase to blame: the first that failed; but the target, if the tap was ended for it."""
    failed = [each for each in exits if each.failed]
    if len(failed) > 1 and failed[0].phase == "Tap" and failed[0].code == _TERMINATED:
        return failed[1]
    return failed[0] if failed else None


def parse_extraction_log(chunks: Iterable[bytes]) -> ExtractionLog:
    """Read a log, given in pieces of any size. Never fails over what is in it."""
    reading = _Reading()
    for number, line in enumerate(_lines(chunks)):
        reading.take(line if number else line.removeprefix(codecs.BOM_UTF8))
    return reading.result()


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines, cut in their middle if they are longer than anything that is looked for."""
    line = _Shortened()
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        line.add(first)
        for other in others:
            yield line.taken()
            line.add(other)
    yield line.taken()


class _Shortened:
    """Bytes of any number, of which the beginning and the end are kept."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, more: bytes) -> None:
        room = LINE_HEAD - len(self._head)
        self._head += more[:room]
        self._tail += more[room:]
        if len(self._tail) > 2 * LINE_TAIL:
            del self._tail[:-LINE_TAIL]

    def taken(self) -> bytes:
        """Return what was kept and begin anew."""
        kept = bytes(self._head + self._tail[-LINE_TAIL:])
        self._head.clear()
        self._tail.clear()
        return kept


class _Reading:
    """What is known after some lines."""

    def __init__(self) -> None:
        self._streams: dict[bytes, _Stream] = {}
        self._names_size = 0
        self._streams_dropped = False
        self._problems: deque[str] = deque(maxlen=MOST_PROBLEMS)
        self._stamp: bytes | None = None
        self._exit = _Shortened()
        self._exit_first: bytes | None = None  # the exit line itself, without lines that may continue it
        self._exit_stamp: bytes | None = None
        self._in_exit = False

    def take(self, line: bytes) -> None:
        matched = _LINE.match(line)
        stamp, location, level = matched.groups() if matched else (None, None, None)
        if stamp:
            self._stamp = stamp
        if stamp or location:
            self._in_exit = False
        if self._in_exit:
            self._exit.add(b" " + line.strip())
        elif location == b"main" and matched and line.startswith(_EXIT, matched.end()):
            self._begin_exit(line[matched.end() :])
        elif level in (b"ERROR", b"CRITICAL"):
            self._problems.append(readable(_decoded(line), PROBLEM_LIMIT))
        # What stands before these is not known for certain, so they are looked for anywhere.
        if _FLUSH in line:
            self._flushed(line.partition(_FLUSH)[2].strip())
        elif b"replicated " in line and (told := _REPLICATED.search(line)):
            self._replicated(told[2].strip(), int(told[1]))

    def result(self) -> ExtractionLog:
        streams = {_decoded(name): stream.logged(_decoded(name)) for name, stream in self._streams.items()}
        first = None if self._exit_first is None else _decoded(self._exit_first)
        whole = "" if first is None else _decoded(self._exit.taken())
        return ExtractionLog(
            streams=streams,
            exits=() if first is None else _exits(first, whole),
            exit_line=None if first is None else readable(whole, EXIT_LIMIT),
            exited_at=_moment(self._exit_stamp),
            problems=tuple(self._problems),
            streams_known=bool(streams) and not self._streams_dropped,
        )

    def _begin_exit(self, text: bytes) -> None:
        self._exit.taken()  # the last exit line counts
        self._exit.add(text)
        self._exit_first, self._exit_stamp, self._in_exit = text, self._stamp, True

    def _flushed(self, name: bytes) -> None:
        if stream := self._stream(name):
            stream.flushes += 1
            stream.last_flush = stream.last_seen = self._stamp or stream.last_seen

    def _replicated(self, name: bytes, rows: int) -> None:
        if stream := self._stream(name):
            stream.rows = rows + (stream.rows or 0)
            stream.last_seen = self._stamp or stream.last_seen

    def _stream(self, name: bytes) -> _Stream | None:
        if not name:
            return None
        if name not in self._streams:
            size = self._names_size + len(name)
            if len(self._streams) >= MOST_STREAMS or len(name) > NAME_LIMIT or size > MOST_NAMES:
                self._streams_dropped = True
                return None
            self._names_size = size
            self._streams[name] = _Stream()
        return self._streams[name]


class _Stream:
    """A StreamLog in the making."""

    __slots__ = ("flushes", "last_flush", "last_seen", "rows")

    def __init__(self) -> None:
        self.rows: int | None = None
        self.flushes = 0
        self.last_flush: bytes | None = None
        self.last_seen: bytes | None = None

    def logged(self, name: str) -> StreamLog:
        return StreamLog(name, self.rows, self.flushes, _moment(self.last_flush), _moment(self.last_seen))


def _exits(first: str, whole: str) -> tuple[PhaseExit, ...]:
    """Return what an exit line says about each phase.

    The line may be wrapped, or followed by lines that do not belong to it; that cannot be seen from them. So
    first all is taken to belong to it, then the line alone, and at last as much as can be understood.
    """
    texts = [text.partition(":")[2] for text in (whole, first)]
    for text in texts:
        if exits := _clauses(text, 0, _PHASES):
            return exits
    return _beginning(texts[0])


def _clauses(text: str, start: int, phases: tuple[str, ...]) -> tuple[PhaseExit, ...] | None:
    """Return the clauses, in the order of their phases, that make up all of the text; None if none do."""
    if not text[start:].strip():
        return ()
    clause = _CLAUSE.match(text, start)
    if clause is None or clause[1] not in phases:
        return None
    later = phases[phases.index(clause[1]) + 1 :]
    if clause[3] is None:
        rest = _clauses(text, clause.end(), later)
        return None if rest is None else (_phase_exit(clause), *rest)
    if not later:
        end_of_last = text.rfind('".', clause.end())
        closed = end_of_last >= 0 and not text[end_of_last + 2 :].strip()
        return (_phase_exit(clause, text[clause.end() : end_of_last]),) if closed else None
    # A message can hold anything, even what looks like its end: it is over where the rest makes sense.
    for end in _MESSAGE_END.finditer(text, clause.end()):
        rest = _clauses(text, end.end(), later)
        if rest is not None:
            return (_phase_exit(clause, text[clause.end() : end.start()]), *rest)
    return None


def _beginning(text: str) -> tuple[PhaseExit, ...]:
    """Return the clauses that a text begins with; a message that is not over where it should be ends last."""
    exits: list[PhaseExit] = []
    position = 0
    while (clause := _CLAUSE.match(text, position)) and len(exits) < len(_PHASES):
        if clause[3] is not None:
            end = text.rfind('".', clause.end())
            return (*exits, _phase_exit(clause, text[clause.end() : end if end >= 0 else None]))
        exits.append(_phase_exit(clause))
        position = clause.end()
    return tuple(exits)


def _phase_exit(clause: re.Match[str], message: str | None = None) -> PhaseExit:
    if clause[2] is None:
        return PhaseExit(clause[1], 0)
    code = int(clause[2])
    if message is None and code == 0:  # the grammar allows it, and it is a failure all the same
        message = "failed with code 0"
    return PhaseExit(clause[1], code, None if message is None else readable(message, EXIT_LIMIT))


def _moment(stamp: bytes | None) -> datetime | None:
    if stamp is None:
        return None
    year, month, day, hour, minute, second, milliseconds = map(int, re.findall(rb"\d+", stamp))
    try:
        return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=timezone.utc)
    except ValueError:  # 31 February: digits, but no time
        return None


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")
