"""Match a user's names and patterns to the streams of a source. All functions are pure."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_stitch.connect.errors import InvalidArgument, UnknownStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_stitch.connect.objects.streams import Stream

MAX_CANDIDATES = 10  #: maximum number of names in a message
# Finding close matches for thousands of names takes several seconds, so only the first errors list
# candidates.
MAX_ERRORS_WITH_CANDIDATES = 10


@dataclass(frozen=True)
class StreamSelection:
    """A name or pattern that selects streams, with options for the selected streams.

    If an option other than `fields` is None, the setting stays unchanged.
    """

    name: str  #: the name of a stream, or a pattern; see `match_streams`
    #: The fields to select. None selects all fields that Stitch can replicate, and "keep" changes no fields.
    fields: tuple[str, ...] | Literal["keep"] | None = None
    replication_method: str | None = None
    replication_key: str | None = None
    view_key_properties: tuple[str, ...] | None = None

    @property
    def needs_schema(self) -> bool:
        """Whether the selection refers to fields, so that the schema of the stream is required."""
        return (
            self.fields != "keep" or self.replication_key is not None or self.view_key_properties is not None
        )


def match_streams(
    streams: Sequence[Stream], selections: Sequence[StreamSelection]
) -> list[tuple[Stream, StreamSelection]]:
    """Return each selected stream with the selection that matches it.

    A name is a `tap_stream_id`, a `stream_name`, or a `stream_name` that is prefixed with the schema or
    database and a dot. A pattern contains `*`, which matches any characters, or `?`, which matches one
    character. A pattern is compared with all names of a stream. A name takes precedence over patterns that
    match the same stream.

    :raises UnknownStream: if a name or pattern matches no stream, or if a name matches several streams. The
        error message suggests possible names.
    :raises InvalidArgument: if two names refer to the same stream, or if two patterns select the same stream
        with different options.
    """
    index = _Index(streams)
    named: dict[str, tuple[Stream, StreamSelection]] = {}
    matched: dict[str, tuple[Stream, StreamSelection]] = {}
    problems: list[str] = []
    duplicates: list[str] = []
    for each in selections:
        found = index.find(each.name)
        is_pattern = not found and _is_pattern(each.name)
        if is_pattern:
            found = index.match(each.name)
        if not found or (len(found) > 1 and not is_pattern):
            with_candidates = len(problems) < MAX_ERRORS_WITH_CANDIDATES
            problems.append(_name_problem(index, each.name, found, with_candidates=with_candidates))
        elif is_pattern:
            _add_matches(matched, found, each)
        elif found[0].tap_stream_id in named:
            duplicates.append(found[0].tap_stream_id)
        else:
            named[found[0].tap_stream_id] = (found[0], each)
    if problems:
        raise UnknownStream(f"{' '.join(problems)} Nothing was changed.")
    if duplicates:
        raise InvalidArgument(f"Streams named more than once: {', '.join(sorted(set(duplicates)))}.")
    return list({**matched, **named}.values())


def views_without_keys(matched: Sequence[tuple[Stream, StreamSelection]]) -> list[Stream]:
    """Return the views that are matched only by a pattern and cannot be selected without key properties.

    A view can be selected only with `view_key_properties`. The key properties differ between views, so a
    pattern cannot set them. If a view is selected by name without key properties, `selection_change` raises
    an error instead.
    """
    return [
        stream
        for stream, selection in matched
        if stream.metadata.get("is-view") is True
        and not stream.metadata.get("view-key-properties")
        and not selection.view_key_properties
        and _is_pattern(selection.name)
        and selection.name not in _all_names(stream)
    ]


def find_stream(streams: Sequence[Stream], name: str) -> Stream:
    """Find a stream by `tap_stream_id`, name or numeric id, in this order of precedence.

    :raises UnknownStream: if no stream or more than one stream has this name. The error message suggests
        possible names.
    """
    index = _Index(streams)
    found = index.find(name) or [each for each in streams if str(each.stream_id) == name.strip()]
    if len(found) != 1:
        raise UnknownStream(_name_problem(index, name, found, with_candidates=True))
    return found[0]


def stream_labels(streams: Iterable[Stream]) -> dict[str, str]:
    """Return the display name of each stream, by `tap_stream_id`.

    The display name is the name of the stream if it is unique in the source, or else the `tap_stream_id`.
    """
    known = list(streams)
    counts = Counter(stream.stream_name for stream in known)
    return {
        stream.tap_stream_id: stream.stream_name if counts[stream.stream_name] == 1 else stream.tap_stream_id
        for stream in known
    }


def candidates(prefix: str, known: Sequence[str], name: str) -> str:
    """Return a sentence that lists the known names that are most similar to a name.

    If no name is similar, the sentence lists the first known names.
    """
    close = difflib.get_close_matches(name, known, n=MAX_CANDIDATES, cutoff=0.5)
    shown = close or list(known[:MAX_CANDIDATES])
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return f"{prefix}: {', '.join(shown) or 'none'}{more}."


class _Index:
    """An index of a source's streams by name.

    The index is necessary because a source may have 10,000 streams.
    """

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
        """Return the streams with this exact name."""
        found = self._ids.get(name) or self._names.get(name) or self._qualified.get(name) or []
        return list({stream.tap_stream_id: stream for stream in found}.values())

    def match(self, pattern: str) -> list[Stream]:
        """Return the streams that have at least one name that matches a pattern."""
        escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
        matches = re.compile(escaped, re.DOTALL).fullmatch
        return [stream for stream in self._streams if any(map(matches, _all_names(stream)))]

    def known(self) -> list[str]:
        """Return the names and ids of all streams, in alphabetical order."""
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
    matched: dict[str, tuple[Stream, StreamSelection]], found: Sequence[Stream], selection: StreamSelection
) -> None:
    for stream in found:
        _, other = matched.setdefault(stream.tap_stream_id, (stream, selection))
        if _options(other) != _options(selection):
            raise InvalidArgument(
                f"The patterns {other.name!r} and {selection.name!r} both match stream "
                f"{stream.tap_stream_id}, with different options. Add the stream itself by name, "
                "or make a pattern narrower."
            )


def _options(selection: StreamSelection) -> tuple[object, ...]:
    return (
        selection.fields,
        selection.replication_method,
        selection.replication_key,
        selection.view_key_properties,
    )


def _name_problem(index: _Index, name: str, found: Sequence[Stream], *, with_candidates: bool) -> str:
    if found:
        ids = ", ".join(stream.tap_stream_id for stream in found)
        return f"The source has {len(found)} streams named {name!r}; use the id of one: {ids}."
    matching = "that matches " if _is_pattern(name) else ""
    problem = f"The source has no stream {matching}{name!r}."
    return f"{problem} {candidates('It has', index.known(), name)}" if with_candidates else problem
