"""The state of a host that counts its requests in Redis together with other hosts.

In this module, a host is the group of processes that share one budget file. All processes on a host also
share its state, so that they behave in the same way while Redis is unavailable. Most Airflow processes run
only one task, so they end too early to count the hosts or to measure how long Redis is unavailable. All
functions are pure.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

HOSTS_RETENTION = 7 * 86_400.0
"""Seconds for which a host remembers the largest reported number of hosts; Redis omits idle hosts."""

TRUSTED_AFTER = 86_400.0
"""Seconds after which a host that uses Redis, even with idle periods, knows all other hosts."""

RECENT_FRACTION = 0.25
"""Fraction of `Allowance.silence` after which all other hosts are aware of a new host.

A host that has used Redis within this fraction of `Allowance.silence` knows all hosts that joined earlier. A
waiting task uses Redis every few seconds.
"""

REFRESH_FRACTION = 0.02
"""Fraction of `Allowance.silence` after which `reached_at` is updated."""


@dataclass(frozen=True, slots=True)
class HostState:
    """The state of a host that counts its requests in Redis.

    All times are in seconds, by the host's monotonic clock.
    """

    id: str
    hosts: int  #: largest number of hosts that Redis reported recently; 0 if Redis was never reached
    hosts_at: float  #: when Redis reported the value of `hosts`
    joined_at: float  #: when this host first reached Redis
    reached_at: float  #: when this host last reached Redis
    away_since: float | None = None  #: when this host first noticed that Redis was unavailable
    #: Whether requests of this host may be missing from the count in Redis. The budget file stores the value
    #: as 0 or 1.
    sent_alone: bool = False

    @classmethod
    def new(cls, now: float, *, sent_alone: bool = False) -> HostState:
        """Return the state of a host that has not yet reached Redis."""
        return cls(uuid.uuid4().hex, 0, now, now, now, sent_alone=sent_alone)

    def after_reply(self, hosts: int, now: float, *, silence: float, doubt_reported: bool) -> HostState:
        """Return the state after Redis has reported the number of hosts.

        :param silence: see `Allowance.silence`.
        :param doubt_reported: whether this host has informed Redis about requests that the host sent while
            Redis was unavailable.
        """
        state = replace(self, away_since=None, sent_alone=self.sent_alone and not doubt_reported)
        if not self.hosts:
            return replace(state, hosts=hosts, hosts_at=now, joined_at=now, reached_at=now)
        if hosts > self.hosts or not self.hosts_at <= now < self.hosts_at + HOSTS_RETENTION:
            state = replace(state, hosts=hosts, hosts_at=now)
        is_refreshed = now - self.reached_at > REFRESH_FRACTION * silence
        return replace(state, reached_at=now) if is_refreshed else state

    def after_failure(self, now: float) -> HostState:
        """Return the state after a process has failed to use Redis."""
        return self if self.away_since is not None else replace(self, away_since=now)

    def silent_for(self, silence: float, now: float) -> float:
        """Return the number of seconds until this host may send requests while Redis is unavailable.

        After that time, the host may send its part of the allowed requests. If the host cannot know how many
        hosts share the limit, it waits until Redis is available again.
        """
        if not self.hosts:
            return 0.0
        away_since = now if self.away_since is None else self.away_since
        return max(0.0, away_since + silence - now) if self._knows_hosts(silence, away_since) else silence

    def _knows_hosts(self, silence: float, away_since: float) -> bool:
        membership = self.reached_at - self.joined_at
        is_recent = away_since - self.reached_at <= RECENT_FRACTION * silence
        return membership >= TRUSTED_AFTER or (is_recent and membership >= RECENT_FRACTION * silence)
