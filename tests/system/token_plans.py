"""Plan faults that occur while accounts are created.

A seed determines each plan.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

#: The faults that can occur before or after a step of the task.
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

#: Existing connections that may already use the requested connection id.
EXISTING: dict[str, dict[str, Any]] = {
    "token": {"conn_type": "stitch", "login": "7", "password": "ac_of_another_tenant"},
    "postgres": {"conn_type": "postgres", "host": "pg", "login": "stitch", "password": "pg_secret"},
    "partner": {"conn_type": "stitch", "extra": {"partner_id": "oc_1", "partner_secret": "oc_2"}},
    "account": {"conn_type": "stitch", "login": "7"},
    "by hand": {"conn_type": "stitch", "description": "Waits for its account"},
}

#: Existing connections that the task must not change. The task is allowed to store a token in any other
#: connection.
FOREIGN = ("token", "postgres", "partner", "account")


@dataclass(frozen=True)
class Attempt:
    """One run of the DAG that creates an account."""

    email: str
    faults: list[dict[str, str] | None]  #: one fault for each try, or None; no fault disturbs later tries


@dataclass(frozen=True)
class Plan:
    """A connection, and the DAG runs that try at the same time to store a token in this connection."""

    seed: int
    existing: str | None
    attempts: list[Attempt]

    @property
    def connection_id(self) -> str:
        return f"tenant_{self.seed}"


def make_plan(seed: int) -> Plan:
    """Return the plan that belongs to a seed."""
    rng = random.Random(seed)
    existing = rng.choice(list(EXISTING)) if rng.random() < 0.3 else None
    emails = [f"ada_{seed}@acme.example"]
    if existing is None and rng.random() < 0.4:
        emails.append(rng.choice([emails[0], f"bob_{seed}@acme.example"]))
    attempts = []
    for email in emails:
        first = FAULTS[seed % len(FAULTS)] if not attempts else rng.choice([None, *FAULTS])
        attempts.append(Attempt(email, [first, rng.choice([None, None, *FAULTS])]))
    return Plan(seed, existing, attempts)


def may_lose_response(plan: Plan, email: str) -> bool:
    """Return whether a task is killed after it has created an account and before it stores the token.

    In this case, the token is lost. The next try must explain how to obtain a new token.
    """
    fatal_moments = [("create", "after"), ("fill", "before")]
    return any(
        fault is not None and fault["what"] == "kill" and (fault["step"], fault["when"]) in fatal_moments
        for attempt in plan.attempts
        if attempt.email == email
        for fault in attempt.faults
    )
