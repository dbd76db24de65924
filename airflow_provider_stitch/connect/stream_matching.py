"""Which streams of a source a user's names and patterns stand for. Pure functions."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import InvalidArgument, UnknownStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_stitch.connect.objects.streams import Stream
    from airflow_provider_stitch.connect.selection import WantedStream

MAX_CANDIDATES = 10
# Finding close matches takes seconds for thousands of names, so only the first wrong names get candidates.
MAX_EXPLAINED = 10


def match_streams(
    streams: Sequence[Stream], wanted: Sequence[WantedStream]
) -> list[tuple[Stream, WantedStream]]:
    """Return each stream that is named, with what is wanted of it.

    A name is a `tap_stream_id`, a `stream_name`, or a `stream_name` with its schema (or database) and a dot
    before it. A pattern, which has `*` for any characters or `?` for one, is matched against all of these. A
    name takes precedence over the patterns that match the same stream.

    :raises UnknownStream: a name or pattern matches nothing, or a name several streams; the message lists
        candidates.
    :raises InvalidArgument: two names stand for the same stream, or two patterns want different things of it.
    """
    index = _Index(streams)
    named: dict[str, tuple[Stream, WantedStream]] = {}
    matched: dict[str, tuple[Stream, WantedStream]] = {}
    wrong: list[str] = []
    twice: list[str] = []
    for each in wanted:
        found = index.find(each.name)
        is_pattern = not found and _is_pattern(each.name)
        if is_pattern:
            found = index.match(each.name)
        if not found or (len(found) > 1 and not is_pattern):
            wrong.append(_none_or_several(index, each.name, found, explained=len(wrong) < MAX_EXPLAINED))
        elif is_pattern:
            _add_matches(matched, found, each)
        elif found[0].tap_stream_id in named:
            twice.append(found[0].tap_stream_id)
        else:
            named[found[0].tap_stream_id] = (found[0], each)
    if wrong:
        raise UnknownStream(f"{' '.join(wrong)} Nothing was changed.")
    if twice:
        raise InvalidArgument(f"These streams are named twice: {', '.join(sorted(set(twice)))}.")
    return list({**matched, **named}.values())


def views_without_keys(matched: Sequence[tuple[Stream, WantedStream]]) -> list[Stream]:
    """Return the views that only a pattern matches and that cannot be selected, because they have no keys.

    A view needs `view_key_properties`, which no pattern can give to several views. A view that is named
    without them is an error instead.
    """
    return [
        stream
        for stream, wanted in matched
        if stream.metadata.get("is-view") is True
        and not stream.metadata.get("view-key-properties")
        and not wanted.view_key_properties
        and _is_pattern(wanted.name)
        and wanted.name not in _all_names(stream)
    ]


def labels_of(streams: Iterable[Stream]) -> dict[str, str]:
    """Return what users call each stream, by `tap_stream_id`: its name, or the id if two have the name."""
    known = list(streams)
    counts = Counter(stream.stream_name for stream in known)
    return {
        stream.tap_stream_id: stream.stream_name if counts[stream.stream_name] == 1 else stream.tap_stream_id
        for stream in known
    }


def candidates(begin: str, known: Sequence[str], name: str) -> str:
    """Return a sentence with the known names that are closest to a name, or else the first ones."""
    close = difflib.get_close_matches(name, known, n=MAX_CANDIDATES, cutoff=0.5)
    shown = close or list(known[:MAX_CANDIDATES])
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return f"{begin}: {', '.join(shown) or 'none'}{more}."


class _Index:
    """The streams of a source by their names. There may be 10,000."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._ids: dict[str, list[Stream]] = {}
        self._names: dict[str, list[Stream]] = {}
        self._qualified: dict[str, list[Stream]] = {}
        for stream in streams:
            self._ids.setdefault(stream.tap_stream_id, []).append(stream)
            self._names.setdefault(stream.stream_name, []).append(stream)
            for name in _qualified_names(stream):
                self._qualified.setdefault(name, []).append(stream)

    def find(self, name: str) -> list[Stream]:
        """Return the streams that have exactly this name."""
        found = self._ids.get(name) or self._names.get(name) or self._qualified.get(name) or []
        return list({stream.tap_stream_id: stream for stream in found}.values())

    def match(self, pattern: str) -> list[Stream]:
        """Return the streams that have a name which matches a pattern."""
        escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
        fits = re.compile(escaped, re.DOTALL).fullmatch
        return [stream for stream in self._streams if any(map(fits, _all_names(stream)))]

    def known(self) -> list[str]:
        """Return the names and ids of all streams."""
        return sorted({*self._names, *self._ids})


def _all_names(stream: Stream) -> Iterator[str]:
    yield stream.tap_stream_id
    yield stream.stream_name
    yield from _qualified_names(stream)


def _qualified_names(stream: Stream) -> Iterator[str]:
    for key in ("schema-name", "database-name"):
        prefix = stream.metadata.get(key)
        if isinstance(prefix, str) and prefix:
            yield f"{prefix}.{stream.stream_name}"


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _add_matches(
    matched: dict[str, tuple[Stream, WantedStream]], found: Sequence[Stream], wanted: WantedStream
) -> None:
    for stream in found:
        _, before = matched.setdefault(stream.tap_stream_id, (stream, wanted))
        if _options(before) != _options(wanted):
            raise InvalidArgument(
                f"The patterns {before.name!r} and {wanted.name!r} both match stream {stream.tap_stream_id}, "
                "and want different things of it. Name the stream itself too, or narrow a pattern."
            )


def _options(wanted: WantedStream) -> tuple[object, ...]:
    return (wanted.fields, wanted.replication_method, wanted.replication_key, wanted.view_key_properties)


def _none_or_several(index: _Index, name: str, found: Sequence[Stream], *, explained: bool) -> str:
    if found:
        ids = ", ".join(stream.tap_stream_id for stream in found)
        return f"The source has {len(found)} streams named {name!r}; name one by its id: {ids}."
    matching = "that matches " if _is_pattern(name) else ""
    problem = f"The source has no stream {matching}{name!r}."
    return f"{problem} {candidates('It has', index.known(), name)}" if explained else problem
