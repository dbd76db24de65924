"""The pricing plan of an account, and the plans for connections that clients create through the API."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.model.plans import CheckPlan, EmulatedStream, JobPlan

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class PricingPlan:
    """The features that the pricing plan of an account includes.

    See "Pricing plans" in the Stitch documentation.
    """

    cron: bool = True
    hooks: bool = True
    custom_emails: bool = True
    max_destinations: int = 3  #: limit of the Advanced plan; the limits of Standard and Premium are 1 and 5
    excluded_source_types: set[str] = field(default_factory=set)
    excluded_destination_types: set[str] = field(default_factory=set)


@dataclass
class NewConnectionPlan:
    """The plan for connections of one type that clients create through the API."""

    #: The streams that discovery finds. If None, the default streams of the type are used.
    streams: Mapping[str, int | EmulatedStream] | None = None
    job: JobPlan = field(default_factory=JobPlan)
    #: Plans for the first checks of new connections, with one plan per connection.
    checks: deque[CheckPlan] = field(default_factory=deque)

    def take_check(self) -> list[CheckPlan]:
        """Return a list that contains the next planned check, or an empty list if no check is planned."""
        return [self.checks.popleft()] if self.checks else []
