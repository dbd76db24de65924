"""How messages name things of which there may be thousands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAMES = 50  #: a source can have 10,000 streams, and a message travels through Airflow's database


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """Return names one after the other; of very many the first, and how many more there are."""
    known = list(names)
    more = f"{separator}and {len(known) - MAX_NAMES} more" if len(known) > MAX_NAMES else ""
    return f"{separator.join(known[:MAX_NAMES])}{more}"
