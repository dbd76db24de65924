"""Find the source that a user refers to. Pure functions."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import AmbiguousSource, UnknownSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import Source

MAX_CANDIDATES = 10  #: sources in the message of an unknown source
MAX_ID_DIGITS = 18  #: more digits than any id of Stitch has


def find_source(sources: Sequence[Source], reference: int | str) -> Source:
    """Return the source with a given id, `name` or display name, searched in this order.

    A deleted source is found only if no other source matches, because its name can be used again.

    :raises UnknownSource: if no source matches; the message lists the most similar ones.
    :raises AmbiguousSource: if several sources match; the message lists them.
    """
    name, source_id = str(reference).strip(), parse_source_id(reference)
    active = [source for source in sources if source.deleted_at is None]
    deleted = [source for source in sources if source.deleted_at is not None]
    for group in (active, deleted):
        for matches in (
            [source for source in group if source.id == source_id],
            [source for source in group if source.name == name],
            [source for source in group if source.display_name == name],
        ):
            if len(matches) > 1:
                raise AmbiguousSource(
                    f"{len(matches)} sources of this Stitch account match {name!r}: {_describe(matches)}. "
                    "Use the id or the name of one of them instead."
                )
            if matches:
                return matches[0]
    raise UnknownSource(f"This Stitch account has no source {name!r}. {_candidates(active, name)}")


def parse_source_id(reference: int | str) -> int | None:
    """Return a user's reference as a source id, or None if it can only be a name."""
    text = str(reference).strip()
    return int(text) if text.isdecimal() and len(text) <= MAX_ID_DIGITS and int(text) > 0 else None


def _candidates(sources: Sequence[Source], name: str) -> str:
    """Return a sentence that lists the sources with the most similar names, at most ten."""
    if not sources:
        return "It has no sources at all. Check that the access token belongs to the right account."
    nearest = sorted(sources, key=lambda source: (-_similarity(source, name), source.id))[:MAX_CANDIDATES]
    if len(nearest) == len(sources):
        return f"It has: {_describe(nearest)}."
    return f"The most similar of its {len(sources)} sources are: {_describe(nearest)}."


def _similarity(source: Source, name: str) -> float:
    """Return how similar a name is to the source's names, from 0 to 1 (difflib's ratio, ignoring case)."""
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
