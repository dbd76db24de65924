"""Test how goals are validated and serialized."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.replication.rules.goal import PHASES, Goal
from tests.support.builders import OURS, at, goal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"phase": "loaded"}, "Unknown phase 'loaded'", id="an unknown phase"),
        pytest.param({}, "exactly one way", id="no job"),
        pytest.param({"job_name": OURS, "started_after": at("06:00:00")}, "exactly one way", id="two jobs"),
        pytest.param({"job_name": OURS, "load_settle": -1}, "load_settle", id="a negative settle time"),
    ],
)
def test_invalid_goals_are_rejected(arguments, message):
    defaults = {"phase": "loading", "source_id": 310442, "source_name": "github", "client_id": 104857}

    with pytest.raises(InvalidArgument, match=message):
        Goal(**{**defaults, **arguments})


@given(
    st.sampled_from(PHASES),
    st.none() | st.lists(st.text()).map(tuple),
    st.sampled_from([{}, {"started_after": at("06:00:00.123456")}, {"running_at": at("06:00:00")}]),
)
def test_goal_is_the_same_after_to_dict_and_from_dict(phase, streams, job):
    original = goal(phase, streams=streams, **job)

    assert Goal.from_dict(original.to_dict()) == original
