"""Ids for new objects. As in Stitch, all accounts share one sequence of ids per kind of object."""

from __future__ import annotations

from typing import Literal

Kind = Literal["account", "source", "destination", "stream", "import_token", "custom_email", "hook"]
_FIRST_IDS: dict[Kind, int] = {
    "account": 104_857,
    "source": 310_442,
    "destination": 155_901,
    "stream": 5_120_772,
    "import_token": 828_804_411,
    "custom_email": 22,
    "hook": 8,
}


class Ids:
    """The next id for each kind of object. Ids are assigned in increasing order."""

    def __init__(self) -> None:
        self._next = dict(_FIRST_IDS)

    def take(self, kind: Kind, requested: int | None = None) -> int:
        """Return the requested id or, if no id is requested, the next id for this kind of object.

        All later ids for this kind are greater than the returned id.
        """
        number = self._next[kind] if requested is None else requested
        self._next[kind] = max(self._next[kind], number + 1)
        return number
