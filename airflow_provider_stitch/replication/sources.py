"""Which source does a user mean? Pure functions."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.errors import AmbiguousSource, UnknownSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import Source

MAX_CANDIDATES = 10
MAX_ID_DIGITS = 18  #: more than any id of Stitch's has


def find_source(sources: Sequence[Source], wanted: int | str) -> Source:
    """Return the source with this id, or this `name`, or this display name; the first that fits, in this
    order.

    A deleted source is found only if no living one fits, for its name can be used again.

    :raises UnknownSource: none fits; the message lists the likeliest.
    :raises AmbiguousSource: several fit; the message lists them.
    """
    text, number = str(wanted).strip(), parse_source_id(wanted)
    living = [source for source in sources if source.deleted_at is None]
    deleted = [source for source in sources if source.deleted_at is not None]
    for group in (living, deleted):
        for fits in (_has_id(group, number), _has_name(group, text), _has_display_name(group, text)):
            if len(fits) > 1:
                raise AmbiguousSource(
                    f"{len(fits)} sources of this account go by {text!r}: {_listed(fits)}. "
                    "Give its id or its name instead."
                )
            if fits:
                return fits[0]
    raise UnknownSource(f"This Stitch account has no source {text!r}. {_candidates(living, text)}")


def parse_source_id(wanted: int | str) -> int | None:
    """Return what may be an id of Stitch's; None if it can only be a name."""
    text = str(wanted).strip()
    return int(text) if text.isdecimal() and len(text) <= MAX_ID_DIGITS and int(text) > 0 else None


def _has_id(sources: Sequence[Source], number: int | None) -> list[Source]:
    return [source for source in sources if source.id == number]


def _has_name(sources: Sequence[Source], text: str) -> list[Source]:
    return [source for source in sources if source.name == text]


def _has_display_name(sources: Sequence[Source], text: str) -> list[Source]:
    return [source for source in sources if source.display_name == text]


def _candidates(sources: Sequence[Source], text: str) -> str:
    if not sources:
        return "It has no sources at all: is the token of the right account?"
    by_word = {word: source for source in sources for word in (source.name, source.display_name)}
    close = [by_word[word] for word in difflib.get_close_matches(text, by_word, n=MAX_CANDIDATES, cutoff=0.5)]
    likeliest = list(dict.fromkeys(source.id for source in close)) or sorted(source.id for source in sources)
    by_id = {source.id: source for source in sources}
    shown = [by_id[source_id] for source_id in likeliest[:MAX_CANDIDATES]]
    more = f" and {len(sources) - len(shown)} more" if len(sources) > len(shown) else ""
    return f"It has: {_listed(shown)}{more}."


def _listed(sources: Sequence[Source]) -> str:
    return ", ".join(
        f"{source.name} ({source.id}, displayed as {source.display_name!r})" for source in sources
    )
