"""Numbers for what is created. Like Stitch's they belong to one sequence for all accounts."""

from __future__ import annotations

from typing import Literal

Kind = Literal["account", "source", "destination", "stream", "import_token", "custom_email", "hook"]
_FIRST: dict[Kind, int] = {
    "account": 104_857,
    "source": 310_442,
    "destination": 155_901,
    "stream": 5_120_772,
    "import_token": 828_804_411,
    "custom_email": 22,
    "hook": 8,
}


class Ids:
    """Gives each new object its number. Numbers only ever increase."""

    def __init__(self) -> None:
        self._next = dict(_FIRST)

    def take(self, kind: Kind, wanted: int | None = None) -> int:
        """The next number of a kind, or the one that a test wants; the following are above both."""
        number = self._next[kind] if wanted is None else wanted
        self._next[kind] = max(self._next[kind], number + 1)
        return number
