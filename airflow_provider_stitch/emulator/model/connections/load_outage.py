"""Periods in which loads fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass
class LoadOutage:
    """A period in which all loads of a stream fail. While the period lasts, `until` is None."""

    since: datetime
    message: str
    until: datetime | None = None

    def covers(self, time: datetime) -> bool:
        """Return whether a load that is attempted at this time fails."""
        return self.since <= time and (self.until is None or time < self.until)
