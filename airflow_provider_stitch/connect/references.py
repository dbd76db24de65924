"""Find the source or destination that a user refers to, and the source of a load.

All functions are pure.
"""

from __future__ import annotations

import difflib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.connect.errors import (
    AmbiguousSource,
    InvalidArgument,
    UnknownDestination,
    UnknownSource,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_stitch.connect.objects import Destination, Load, Source

Named = TypeVar("Named", "Source", "Destination")

MAX_CANDIDATES = 10  #: maximum number of sources in an error message
MAX_ID_DIGITS = 18  #: maximum number of digits in an id; all ids in Stitch are shorter


def find_source(sources: Sequence[Source], reference: int | str) -> Source:
    """Find a source by id, `name` or display name, in this order of precedence.

    A deleted source is returned only if no other source matches, because a newer source may have the same
    name.

    :raises UnknownSource: if no source matches. The error message lists the sources with the most similar
        names.
    :raises AmbiguousSource: if several sources match. The error message lists the matching sources.
    """
    name, matches = str(reference).strip(), _matches(sources, reference)
    if not matches:
        active = [source for source in sources if source.deleted_at is None]
        raise UnknownSource(f"This Stitch account has no source {name!r}. {_candidates(active, name)}")
    if len(matches) > 1:
        raise AmbiguousSource(
            f"{len(matches)} sources of this Stitch account match {name!r}: {_describe(matches)}. "
            "Use the id or the name of one of these sources instead."
        )
    return matches[0]


def parse_id(reference: int | str) -> int | None:
    """Convert a user's reference to an id, or return None if the reference can only be a name."""
    text = str(reference).strip()
    return int(text) if text.isdecimal() and len(text) <= MAX_ID_DIGITS and int(text) > 0 else None


def find_destination(destinations: Sequence[Destination], reference: int | str) -> Destination:
    """Find a destination by id, `name` or display name, in this order of precedence.

    A deleted destination is returned only if no other destination matches.

    :raises UnknownDestination: if no destination matches. The error message lists all destinations that are
        not deleted.
    :raises InvalidArgument: if several destinations match. Several destinations can match, because Stitch
        does not require unique names.
    """
    name, matches = str(reference).strip(), _matches(destinations, reference)
    if not matches:
        listed = ", ".join(each.label for each in destinations if each.deleted_at is None) or "none"
        raise UnknownDestination(f"This Stitch account has no destination {name!r}. It has: {listed}.")
    if len(matches) > 1:
        labels = ", ".join(each.label for each in matches)
        raise InvalidArgument(
            f"{len(matches)} destinations of this Stitch account match {name!r}: {labels}. "
            "Use the id of one of these destinations instead."
        )
    return matches[0]


def _matches(objects: Sequence[Named], reference: int | str) -> list[Named]:
    """Return the objects that match a reference by id, or else by `name`, or else by display name.

    Deleted objects are searched only if no other object matches.
    """
    name, object_id = str(reference).strip(), parse_id(reference)
    active = [each for each in objects if each.deleted_at is None]
    deleted = [each for each in objects if each.deleted_at is not None]
    for group in (active, deleted):
        for matches in (
            [each for each in group if each.id == object_id],
            [each for each in group if each.name == name],
            [each for each in group if each.display_name == name],
        ):
            if matches:
                return matches
    return []


class SourceNames:
    """An index of an account's sources by `name`.

    The index is needed to find the source of a load, because a load contains only the name of its source.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._by_name: dict[str, list[Source]] = {}
        for source in sorted(sources, key=_created_at):
            self._by_name.setdefault(source.name, []).append(source)

    def source_id(self, load: Load) -> int | None:
        """Return the id of a load's source, or None if the source cannot be found.

        A new source may reuse the name of a deleted source. If several sources have the name, the load is
        assigned to the last source that was created before the load, or to the newest source if the load has
        no timestamp.
        """
        sources = self._by_name.get(load.source_name, [])
        loaded_at = load.last_batch_loaded_at
        earlier = [source for source in sources if loaded_at is None or _created_at(source) <= loaded_at]
        found = earlier[-1:] or sources[:1]
        return found[0].id if found else None


def _created_at(source: Source) -> datetime:
    return source.created_at or datetime.min.replace(tzinfo=timezone.utc)


def _candidates(sources: Sequence[Source], name: str) -> str:
    """Return a sentence that lists up to ten sources with the most similar names."""
    if not sources:
        return "It has no sources at all. Check that the access token belongs to the right account."
    nearest = sorted(sources, key=lambda source: (-_similarity(source, name), source.id))[:MAX_CANDIDATES]
    if len(nearest) == len(sources):
        return f"It has: {_describe(nearest)}."
    return f"The most similar of its {len(sources)} sources are: {_describe(nearest)}."


def _similarity(source: Source, name: str) -> float:
    """Return the similarity of a name to the source's names, from 0 to 1.

    The similarity is computed with `difflib.SequenceMatcher`, ignoring case.
    """
    matcher = difflib.SequenceMatcher(b=name.casefold())
    ratios = []
    for each in {source.name, source.display_name}:
        matcher.set_seq1(each.casefold())
        ratios.append(matcher.ratio())
    return max(ratios)


def _describe(sources: Sequence[Source]) -> str:
    return ", ".join(
        f"{source.name} ({source.id}, displayed as {source.display_name!r})" for source in sources
    )
