"""What an account may do, and how what it creates through the API turns out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.plans import CheckPlan, EmulatedStream, JobPlan

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Allowance:
    """What the account's plan has. Source: Stitch documentation, "Pricing plans"."""

    cron: bool = True
    hooks: bool = True
    custom_emails: bool = True
    destinations: int = 3  #: Advanced; Standard has one, Premium five
    refused_types: set[str] = field(default_factory=set)  #: types of sources


@dataclass
class NewConnections:
    """How connections that are created through the API turn out."""

    streams: Mapping[str, int | EmulatedStream] | None = None  #: what discovery finds; None: the type's own
    job: JobPlan = field(default_factory=JobPlan)
    checks: deque[CheckPlan] = field(default_factory=deque)  #: of the next ones, one for each

    def take_checks(self) -> list[CheckPlan]:
        """How the first check of a new connection goes; nothing if it is a good one."""
        return [self.checks.popleft()] if self.checks else []
