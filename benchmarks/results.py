"""The result of one benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """A message for each target that was missed, and all figures as JSON-serializable values."""

    misses: list[str]
    figures: dict[str, Any] = field(default_factory=dict)
