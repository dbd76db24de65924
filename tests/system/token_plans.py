"""Seeded plans of what goes wrong while accounts are created."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

#: The steps of a task, and what can go wrong before or after each of them.
FAULTS = [
    *[
        {"step": step, "when": when, "what": what}
        for step in ("reserve", "create", "fill")
        for when in ("before", "after")
        for what in ("kill", "terminate")
    ],
    {"step": "find", "when": "before", "what": "kill"},
    {"step": "find", "when": "before", "what": "blind"},
    {"step": "reserve", "when": "before", "what": "fail"},
    {"step": "reserve", "when": "after", "what": "fail"},
    {"step": "fill", "when": "before", "what": "fail"},
    {"step": "fill", "when": "after", "what": "fail"},
]

#: Connections that may have the wanted id already.
EXISTING: dict[str, dict[str, Any]] = {
    "token": {"conn_type": "stitch", "login": "7", "password": "ac_of_another_tenant"},
    "postgres": {"conn_type": "postgres", "host": "pg", "login": "stitch", "password": "pg_hush"},
    "partner": {"conn_type": "stitch", "extra": {"partner_id": "oc_1", "partner_secret": "oc_2"}},
    "account": {"conn_type": "stitch", "login": "7"},
    "by hand": {"conn_type": "stitch", "description": "Waits for its account"},
}

#: Of these nothing may change. A token may be written into the others.
FOREIGN = ("token", "postgres", "partner", "account")


@dataclass(frozen=True)
class Attempt:
    """One run of the DAG."""

    email: str
    faults: list[dict[str, str] | None]  #: of each try; later tries have none


@dataclass(frozen=True)
class Plan:
    """One connection, and the runs that want to store a token in it at the same time."""

    seed: int
    existing: str | None
    attempts: list[Attempt]

    @property
    def connection_id(self) -> str:
        return f"tenant_{self.seed}"


def plan_of(seed: int) -> Plan:
    """Return what happens with this seed."""
    chance = random.Random(seed)
    existing = chance.choice(list(EXISTING)) if chance.random() < 0.3 else None
    emails = [f"ada_{seed}@acme.example"]
    if existing is None and chance.random() < 0.4:
        emails.append(chance.choice([emails[0], f"bob_{seed}@acme.example"]))
    attempts = []
    for email in emails:
        first = FAULTS[seed % len(FAULTS)] if not attempts else chance.choice([None, *FAULTS])
        attempts.append(Attempt(email, [first, chance.choice([None, None, *FAULTS])]))
    return Plan(seed, existing, attempts)


def may_lose_response(plan: Plan, email: str) -> bool:
    """Return whether a kill can hit between Stitch's creation of the account and the stored token.

    Nothing can store a token then. But the next try must explain how to obtain a new one.
    """
    lethal = [("create", "after"), ("fill", "before")]
    return any(
        fault is not None and fault["what"] == "kill" and (fault["step"], fault["when"]) in lethal
        for attempt in plan.attempts
        if attempt.email == email
        for fault in attempt.faults
    )
