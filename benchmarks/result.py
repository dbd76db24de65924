"""What a benchmark has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """The targets that were missed, in words, and all figures as plain JSON values."""

    misses: list[str]
    figures: dict[str, Any] = field(default_factory=dict)
