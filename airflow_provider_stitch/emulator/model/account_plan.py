"""The plan of an account, and the behaviour of connections created through the API."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.model.plans import CheckPlan, EmulatedStream, JobPlan

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class AccountPlan:
    """The features of an account. Source: Stitch documentation, "Pricing plans"."""

    cron: bool = True
    hooks: bool = True
    custom_emails: bool = True
    max_destinations: int = 3  #: Advanced plan; Standard has 1, Premium 5
    excluded_source_types: set[str] = field(default_factory=set)
    excluded_destination_types: set[str] = field(default_factory=set)


@dataclass
class NewConnectionPlan:
    """The behaviour of connections of one type that are created through the API."""

    #: The streams that discovery finds. None: the default streams of the type.
    streams: Mapping[str, int | EmulatedStream] | None = None
    job: JobPlan = field(default_factory=JobPlan)
    checks: deque[CheckPlan] = field(default_factory=deque)  #: first checks, one for each new connection

    def take_check(self) -> list[CheckPlan]:
        """Return the planned first check of a new connection, or an empty list for a successful check."""
        return [self.checks.popleft()] if self.checks else []
