"""Helpers that evaluate the loading phase of a job from a log and a list of loads."""

from __future__ import annotations

from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.observations import Observations
from tests.support.builders import (
    at,
    extraction,
    goal,
    load,
    log,
    replicated,
    sent,
    stream,
)

COMMITS, ISSUES = stream("commits"), stream("issues")
ONE_BATCH = log(replicated("06:02:33", "commits", 412), sent("06:04:40.118", "commits", 412))


def observed(
    the_log=ONE_BATCH, *, streams=(COMMITS, ISSUES), polls=((), "06:03:00"), **fields
) -> Observations:
    """Return the observations of a waiter after an extraction.

    Each item in `polls` contains the loads that Stitch listed, and Stitch's time.
    """
    defaults = {
        "extraction": extraction(),
        "log": the_log,
        "streams": tuple(streams),
        "previous_job_polled_at": at("06:00:10"),
        "deleted_namesakes": 0,
    }
    observations = Observations(**{**defaults, **fields})
    for loads, time in polls if isinstance(polls, list) else [polls]:
        observations = observations.with_loads(loads, at(time))
    return observations


def state_of(the_log, loads, polled_at, *, streams=(COMMITS, ISSUES), **fields) -> str:
    """Return the state of a loading goal after a poll that returned the given loads."""
    observations = observed(the_log, streams=streams, polls=(loads, polled_at))
    return evaluate(goal("loading", **fields), observations).state


ORDERS = stream("orders", "shopdb-public-orders", schema="public", database="shopdb")


IN_ERROR = load("commits", None, error="relation is locked")
